//! Following the scores of a series that comes in parts, day by day.

use super::follow::{AlarmRun, Followed, PendingRow, Reference};
use super::rule::FollowRule;

impl Reference {
    /// [`Reference::follow`] of rows of which it is known when they were. Those that have been followed
    /// already are in no new run, and have p-values by the reference as it is. The last `rule.reach` rows are
    /// followed for the result only: the reference keeps their scores, and follows them once later rows have
    /// come, by the scores that they have then. In whatever parts rows come, the reference is the same, if each
    /// part begins at least twice `rule.reach` rows before the end of the previous one.
    pub(crate) fn follow_new(
        &mut self,
        scores: &[Option<f32>],
        times: &[i64],
        rule: &FollowRule,
    ) -> Followed {
        let Some(first) = times.first() else { return Followed::default() };
        self.lengths = Some(rule.lengths);
        let pending = std::mem::take(&mut self.pending);
        let (gone, here) = pending.split_at(pending.partition_point(|row| row.time < *first));
        self.follow_gone(gone, rule);
        let seen = self.until.map_or(0, |until| times.partition_point(|time| *time <= until));
        let mut p = self.p_values(&scores[..seen]);
        let scores = with_earlier(scores, times, here, rule.reach);
        let found = self.clone().follow(&scores[seen..], rule);
        let runs: Vec<AlarmRun> =
            found.runs.into_iter().map(|run| self.moved(run, seen, times)).collect();
        self.follow_final(&scores, times, seen, rule);
        p.extend(found.p);
        let settled = runs.first().map_or(seen, |run| run.rows.start.min(seen));
        Followed { p, runs, seen: settled }
    }

    /// Follows rows that do not come again, by the scores that they had.
    fn follow_gone(&mut self, rows: &[PendingRow], rule: &FollowRule) {
        let Some(last) = rows.last() else { return };
        let (scores, times): (Vec<_>, Vec<_>) = rows.iter().map(|r| (r.score, r.time)).unzip();
        self.follow_at(&scores, &times, rule);
        self.until = Some(last.time).max(self.until);
    }

    /// Follows the rows from `seen` on whose scores are final, and keeps the others.
    fn follow_final(
        &mut self,
        scores: &[Option<f32>],
        times: &[i64],
        seen: usize,
        rule: &FollowRule,
    ) {
        let last = scores.len().saturating_sub(rule.reach).checked_sub(1).map(|last| times[last]);
        let end = last.map_or(0, |last| times.partition_point(|time| *time <= last)).max(seen);
        self.follow_at(&scores[seen..end], &times[seen..end], rule);
        self.until = last.max(self.until);
        let row = |t: usize| PendingRow { time: times[t], score: scores[t] };
        self.pending = (end..scores.len()).map(row).collect();
    }

    /// [`Reference::follow`], which keeps when the run began that goes on.
    fn follow_at(&mut self, scores: &[Option<f32>], times: &[i64], rule: &FollowRule) {
        let found = self.follow(scores, rule);
        match found.runs.last().filter(|run| run.open && !run.continued) {
            _ if self.run.is_empty() => self.run_since = None,
            Some(run) => self.run_since = times.get(run.rows.start).copied(),
            None => {}
        }
    }

    /// A run of the rows from `seen` on; one that continued also has its rows before these.
    fn moved(&self, run: AlarmRun, seen: usize, times: &[i64]) -> AlarmRun {
        let start = run.rows.start + seen;
        let since = self.run_since.filter(|_| run.continued);
        let start = since.map_or(start, |since| times.partition_point(|time| *time < since));
        AlarmRun { rows: start..run.rows.end + seen, ..run }
    }
}

/// Scores of rows, with the `earlier` ones in the first `reach` rows: windows that cover these do not all
/// begin in the rows given.
fn with_earlier(
    scores: &[Option<f32>],
    times: &[i64],
    earlier: &[PendingRow],
    reach: usize,
) -> Vec<Option<f32>> {
    let mut scores = scores.to_vec();
    let near = times.len().min(reach);
    for row in earlier {
        let at = times[..near].partition_point(|time| *time < row.time);
        if at < near && times[at] == row.time {
            scores[at] = row.score;
        }
    }
    scores
}

#[cfg(test)]
mod tests {
    #![allow(clippy::single_range_in_vec_init)] // Runs are ranges of rows.

    use proptest::prelude::*;

    use super::super::example::{RULE, normal, runs, some};
    use super::*;

    #[test]
    fn rows_that_were_followed_are_context() {
        let mut scores = normal(1, 1000);
        [150, 600].iter().for_each(|t| scores[*t..t + 20].fill(30.0));
        let (scores, times) = (some(scores), (0..1000).collect::<Vec<i64>>());
        let (mut whole, start) = (Reference::new(&normal(0, 3000)), 100);
        let mut parts = whole.clone();
        let expected = whole.follow_new(&scores, &times, &RULE);
        parts.follow_new(&scores[..500], &times[..500], &RULE);
        let found = parts.follow_new(&scores[start..], &times[start..], &RULE);
        assert_eq!(found.p[500 - start..], expected.p[500..]);
        assert_eq!((runs(&expected), runs(&found)), (vec![150..170, 600..620], vec![500..520]));
        assert_eq!(parts, whole);
        let again = parts.follow_new(&scores, &times, &RULE);
        assert!(again.runs.is_empty() && parts == whole);
    }

    /// Scores of the last `reach` rows change once there are more rows. Parts that begin early enough give
    /// the same reference all the same, and the same runs of all rows but the last ones.
    #[test]
    fn scores_that_change_are_followed_once_they_are_final() {
        let rule = FollowRule { reach: 40, ..RULE };
        let mut scores = normal(1, 1000);
        [150, 395, 590].iter().for_each(|t| scores[*t..t + 20].fill(30.0));
        let (scores, times) = (some(scores), (0..1000).collect::<Vec<i64>>());
        let cut_at = |end: usize| {
            let mut cut = scores[..end].to_vec();
            cut[end - 40..].iter_mut().flatten().for_each(|score| *score *= 0.1);
            cut
        };
        let mut whole = Reference::new(&normal(0, 3000));
        let mut parts = whole.clone();
        let expected = whole.follow_new(&cut_at(1000), &times, &rule);
        assert_eq!(runs(&expected), [150..170, 395..415, 590..610]);
        let mut found = Vec::new();
        for end in (200..=1000).step_by(200) {
            let start = (end - 200_usize).saturating_sub(80);
            let day = parts.follow_new(&cut_at(end)[start..], &times[start..end], &rule);
            let moved = |run: &AlarmRun| run.rows.start + start..run.rows.end + start;
            found.extend(day.runs.iter().map(moved));
        }
        assert_eq!(parts, whole);
        // What the scores at the end of a day showed in part, or not at all, is whole on the next one.
        assert_eq!(found[0], 150..160);
        assert_eq!(found[1..], runs(&expected));
        // Rows that do not come again are followed by the scores that they had.
        let gone = parts.pending.len();
        parts.follow_new(&some(normal(3, 100)), &(1000..1100).collect::<Vec<_>>(), &rule);
        assert_eq!((gone, parts.until), (40, Some(1059)));
    }

    /// The cut is in the bridged rows of a run above a new normal.
    #[test]
    fn bridged_rows_are_only_known_afterwards() {
        let mut scores = some(normal(159, 1000));
        scores[855..956].iter_mut().flatten().for_each(|score| *score += 15.0);
        let rule = FollowRule { settle: 60, join: 15, memory: Some(1500), repeats: 40, ..RULE };
        let mut whole = Reference::new(&normal(160, 1200));
        let mut parts = whole.clone();
        assert_eq!(runs(&whole.follow(&scores, &rule)), [855..915, 935..956]);
        assert_eq!(runs(&parts.follow(&scores[..940], &rule)), [855..915, 935..940]);
        assert_eq!(runs(&parts.follow(&scores[940..], &rule)), [15..16]);
        assert_eq!(parts, whole);
    }

    proptest! {
        /// Following day by day equals one pass.
        #[test]
        fn parts_give_what_the_whole_gives(
            seed in 0u64..1000,
            incidents in prop::collection::vec((0usize..900, 1usize..150), 0..4),
            cuts in prop::collection::vec(0usize..1000, 0..5),
            (join, cooldown) in (0usize..20, 0usize..30),
        ) {
            let mut scores = some(normal(seed, 1000));
            for (start, length) in incidents {
                let end = (start + length).min(1000);
                scores[start..end].iter_mut().flatten().for_each(|score| *score += 15.0);
            }
            scores[seed as usize % 1000] = None;
            let memory = Some(1500);
            let rule = FollowRule { settle: 60, join, cooldown, memory, repeats: 40, ..RULE };
            let mut whole = Reference::new(&normal(seed + 1, 1200));
            let mut parts = whole.clone();
            let expected = whole.follow(&scores, &rule);
            let mut cuts = [vec![0, 1000], cuts].concat();
            cuts.sort_unstable();
            let (mut p, mut rows) = (Vec::new(), Vec::new());
            for cut in cuts.windows(2) {
                let bytes = serde_json::to_string(&parts).unwrap();
                parts = serde_json::from_str(&bytes).unwrap();
                let found = parts.follow(&scores[cut[0]..cut[1]], &rule);
                prop_assert!(parts.is_sound());
                rows.extend(runs(&found).into_iter().flatten().map(|t| t + cut[0]));
                p.extend(found.p);
            }
            prop_assert_eq!(&p, &expected.p);
            prop_assert_eq!(parts, whole);
            // Rows that a run bridges across a cut, below the low line, are only known afterwards.
            let all: Vec<usize> = runs(&expected).into_iter().flatten().collect();
            prop_assert!(rows.iter().all(|t| all.contains(t)));
            let sure = |t: &&usize| expected.p[**t].is_some_and(|p| p < 0.5 * rule.go_on);
            prop_assert!(all.iter().filter(sure).all(|t| rows.contains(t)));
        }
    }
}
