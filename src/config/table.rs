//! The table of options: every option is declared once, with its type, default, range and one
//! sentence. Parsing, checks and documentation read it from here.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::range::OneOrRange;
use crate::error::{Error, Result};

/// Verbs that fit a model if none is given.
pub(super) const FITS: &[&str] = &[
    "fit",
    "generate",
    "events",
    "pairs",
    "score",
    "expect",
    "label",
    "alarms",
    "explain",
    "sensitivity",
    "reconstruct",
    "embed",
];
/// Verbs that train a detector if none is given.
pub(super) const DETECTS: &[&str] = &["fit", "score", "label", "alarms", "explain", "sensitivity"];
/// Verbs that generate anomalies with a model.
pub(super) const GENERATES: &[&str] = &["generate", "events", "pairs"];
/// Verbs that place generated anomalies on the rows of a series.
pub(super) const PLACES: &[&str] = &["generate", "events"];
/// Verbs with one row per window.
pub(super) const WINDOWS: &[&str] = &["pairs", "embed"];
/// Verbs that score rows.
pub(super) const SCORES: &[&str] = &["score", "label", "alarms", "explain", "sensitivity"];
/// Verbs with a threshold.
pub(super) const LABELS: &[&str] = &["label", "alarms", "explain", "sensitivity"];
/// Verbs that inject classical anomalies.
pub(super) const INJECTS: &[&str] = &["inject"];
/// Verbs that try a detector on anomalies.
pub(super) const TRIES: &[&str] = &["sensitivity"];
/// Verbs that compare scores.
pub(super) const COMPARES: &[&str] = &["compare"];
/// All verbs on series.
pub(super) const ALL: &[&str] = &[
    "fit",
    "generate",
    "events",
    "pairs",
    "score",
    "expect",
    "label",
    "alarms",
    "sensitivity",
    "explain",
    "reconstruct",
    "embed",
    "inject",
];

/// A struct of options.
pub(super) trait Config: Serialize + for<'de> Deserialize<'de> + Default {
    /// Its options.
    const OPTIONS: &'static [OptionSpec];
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// Its name, the same in every language.
    pub name: &'static str,
    /// One sentence of documentation.
    pub doc: &'static str,
    /// The group under which it is listed.
    pub group: &'static str,
    /// The values that it takes.
    pub shape: Shape,
    /// Its range, and where it is used.
    pub rule: OptionRule,
}

/// The type of an option.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Shape {
    /// Type of one value.
    pub value_type: ValueType,
    /// Whether `None` is a value: off, or a default that depends on other values.
    pub optional: bool,
    /// Whether a pair (min, max) is allowed.
    pub pair: bool,
    /// Whether a list of values is allowed.
    pub list: bool,
}

/// Type of one value of an option.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueType {
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Flag,
    /// A number in units of the order column, or a duration.
    Step,
    /// Domains of features.
    Domain,
    /// Names of features.
    Names,
    /// Rows, or a duration.
    Span,
    /// One of some words.
    Words(&'static [Word]),
    /// One of some words, or a number.
    WordOrNumber(&'static [Word]),
}

/// A word that an option takes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Word {
    /// The word.
    pub name: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// Other words for the same.
    pub aliases: &'static [&'static str],
}

/// An end of a range.
#[derive(Clone, Copy, Debug)]
struct End {
    at: f64,
    /// Whether the range includes it.
    included: bool,
}

impl End {
    const fn excluded(self) -> Self {
        Self { included: false, ..self }
    }

    /// Whether `value` is this end and the range includes it.
    fn is(&self, value: f64) -> bool {
        self.included && value == self.at
    }
}

/// The range of an option, and where it is used.
#[derive(Clone, Copy, Debug)]
pub struct OptionRule {
    low: End,
    high: End,
    /// Description of the default, if it depends on other values.
    pub auto: Option<&'static str>,
    /// Its symbol in the paper.
    pub symbol: Option<&'static str>,
    /// The verbs that take it, if they differ from those of its group.
    verbs: &'static [&'static str],
    /// Condition for its use: another option, and the values of it for which this one is used.
    pub when: Option<(&'static str, &'static [&'static str])>,
}

/// Any value of the type.
pub(super) const fn any() -> OptionRule {
    between(f64::NEG_INFINITY, f64::INFINITY)
}

/// `low` or more.
pub(super) const fn at_least(low: f64) -> OptionRule {
    between(low, f64::INFINITY)
}

/// More than `low`.
pub(super) const fn above(low: f64) -> OptionRule {
    at_least(low).above_low()
}

/// From `low` to `high`, both included.
pub(super) const fn between(low: f64, high: f64) -> OptionRule {
    let low = End { at: low, included: true };
    let high = End { at: high, included: true };
    OptionRule { low, high, auto: None, symbol: None, verbs: &[], when: None }
}

impl OptionRule {
    /// Excludes the lower end.
    pub(super) const fn above_low(self) -> Self {
        Self { low: self.low.excluded(), ..self }
    }

    /// Excludes the upper end.
    pub(super) const fn below_high(self) -> Self {
        Self { high: self.high.excluded(), ..self }
    }

    /// Describes a default that depends on other values.
    pub(super) const fn auto(self, text: &'static str) -> Self {
        Self { auto: Some(text), ..self }
    }

    /// The symbol of the paper.
    pub(super) const fn symbol(self, text: &'static str) -> Self {
        Self { symbol: Some(text), ..self }
    }

    /// The verbs that take it.
    pub(super) const fn verbs(self, verbs: &'static [&'static str]) -> Self {
        Self { verbs, ..self }
    }

    /// Used only where option `name` is one of `values`.
    pub(super) const fn when(self, name: &'static str, values: &'static [&'static str]) -> Self {
        Self { when: Some((name, values)), ..self }
    }

    fn holds(&self, value: f64) -> bool {
        let above = value > self.low.at || self.low.is(value);
        let below = value < self.high.at || self.high.is(value);
        value.is_finite() && above && below
    }

    /// The range in words; empty where everything is allowed.
    fn text(&self) -> String {
        let (low, high) = (self.low.at, self.high.at);
        match (low.is_finite(), high.is_finite()) {
            (true, true) => {
                let open = if self.low.included { '[' } else { '(' };
                let close = if self.high.included { ']' } else { ')' };
                format!("in {open}{low}, {high}{close}")
            }
            (true, false) if self.low.included => format!(">= {low}"),
            (true, false) => format!("> {low}"),
            (false, true) => format!("<= {high}"),
            (false, false) => String::new(),
        }
    }
}

impl OptionSpec {
    /// An option of a group; `verbs` apply unless its rule names others.
    pub(super) const fn new(
        name: &'static str,
        doc: &'static str,
        group: &'static str,
        verbs: &'static [&'static str],
        shape: Shape,
        rule: OptionRule,
    ) -> Self {
        let rule = if rule.verbs.is_empty() { rule.verbs(verbs) } else { rule };
        Self { name, doc, group, shape, rule }
    }

    /// The verbs that take it.
    pub fn verbs(&self) -> &'static [&'static str] {
        self.rule.verbs
    }

    /// The allowed values, as in an error message after "must be".
    pub fn allowed(&self) -> String {
        let range = self.rule.text();
        let one = match self.shape.value_type {
            ValueType::Integer if self.rule.high.at.is_finite() => {
                format!("an integer from {} to {}", self.rule.low.at, self.rule.high.at)
            }
            ValueType::Integer => format!("an integer {range}"),
            ValueType::Number => format!("a number {range}"),
            ValueType::Flag => "true or false".into(),
            ValueType::Step => "a number > 0 or a positive duration".into(),
            ValueType::Domain => "\"learned\", \"none\", or for some features \"none\" or {\"min\", \"max\", \"step\", \"values\", \"monotone\"} with min <= max and step > 0".into(),
            ValueType::Names => "a name of a feature, or a list of them".into(),
            ValueType::Span => "rows >= 1, or a duration such as \"2h\"".into(),
            ValueType::Words(words) => or(words),
            ValueType::WordOrNumber(words) => {
                let quoted = words.iter().map(|word| format!("{:?}", word.name));
                format!("{} or a number {range}", quoted.collect::<Vec<_>>().join(", "))
            }
        };
        let one = one.trim_end();
        match (self.shape.pair, self.shape.list) {
            (true, _) => format!("{one}, or two such as (min, max)"),
            (_, true) => format!("one or several of {one}"),
            _ => one.into(),
        }
    }

    /// The error for a value that is not allowed.
    pub(super) fn refuse(&self, value: impl ToString) -> Error {
        Error::parameter(self.name, value, self.allowed())
    }

    /// The same for a value as given by the user, with the nearest word.
    pub(super) fn refuse_given(&self, value: &Value) -> Error {
        let (ValueType::Words(words) | ValueType::WordOrNumber(words)) = self.shape.value_type
        else {
            return self.refuse(value);
        };
        let given = match value {
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            value => value.as_str().into_iter().collect::<Vec<_>>(),
        };
        let known = || {
            words
                .iter()
                .flat_map(|word| std::iter::once(word.name).chain(word.aliases.iter().copied()))
        };
        let wrong = given.into_iter().find(|given| known().all(|word| word != *given));
        match wrong.and_then(|given| nearest(given, known())) {
            Some(near) => {
                let allowed = format!("{}; did you mean {near:?}?", self.allowed());
                Error::parameter(self.name, value, allowed)
            }
            None => self.refuse(value),
        }
    }

    /// Whether a value is one of its words; true if it takes other values.
    pub(super) fn knows(&self, value: &Value) -> bool {
        let ValueType::Words(words) = self.shape.value_type else { return true };
        let known = |word: &Word| Some(word.name) == value.as_str();
        words.iter().any(known)
    }

    /// The range as a table shows it.
    fn range(&self) -> String {
        match self.shape.value_type {
            ValueType::Flag
            | ValueType::Domain
            | ValueType::Names
            | ValueType::Words(_)
            | ValueType::WordOrNumber(_) => String::new(),
            ValueType::Span => ">= 1".into(),
            ValueType::Step => "> 0".into(),
            ValueType::Integer if self.rule.high.at.is_finite() => {
                format!("{} to {}", self.rule.low.at, self.rule.high.at)
            }
            _ => self.rule.text().trim_start_matches("in ").into(),
        }
    }
}

/// Words with "or" between the last two.
fn or(words: &[Word]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{:?}", word.name)).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.join(""),
    }
}

/// The known name most similar to a wrong one.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Minimum Jaro-Winkler similarity of a misspelling.
    const LEAST: f64 = 0.8;
    let alike = |known: &'a str| (strsim::jaro_winkler(name, known), known);
    let best = known.into_iter().map(alike).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= LEAST).then_some(best.1)
}

/// A Rust type that an option can have.
pub(super) trait Shaped {
    /// Its type as seen by users.
    const SHAPE: Shape;
}

/// A value that can be checked against the range of its option.
pub(super) trait Ranged {
    /// Rejects a value outside of the range.
    ///
    /// # Errors
    /// [`Error::Parameter`].
    fn check(&self, spec: &OptionSpec) -> Result<()>;
}

pub(super) const fn plain(value_type: ValueType) -> Shape {
    Shape { value_type, optional: false, pair: false, list: false }
}

macro_rules! numeric {
    ($($type:ty => $of:expr),+) => {$(
        impl Shaped for $type {
            const SHAPE: Shape = plain($of);
        }

        impl Ranged for $type {
            fn check(&self, spec: &OptionSpec) -> Result<()> {
                if spec.rule.holds(*self as f64) { Ok(()) } else { Err(spec.refuse(self)) }
            }
        }

        impl Ranged for OneOrRange<$type> {
            fn check(&self, spec: &OptionSpec) -> Result<()> {
                let (low, high) = self.bounds();
                if low <= high && [low, high].iter().all(|x| spec.rule.holds(*x as f64)) {
                    return Ok(());
                }
                Err(spec.refuse(self))
            }
        }
    )+};
}

numeric!(usize => ValueType::Integer, u64 => ValueType::Integer, f64 => ValueType::Number);

impl Shaped for bool {
    const SHAPE: Shape = plain(ValueType::Flag);
}

impl Ranged for bool {
    fn check(&self, _: &OptionSpec) -> Result<()> {
        Ok(())
    }
}

impl<T: Shaped> Shaped for Option<T> {
    const SHAPE: Shape = Shape { optional: true, ..T::SHAPE };
}

impl<T: Ranged> Ranged for Option<T> {
    fn check(&self, spec: &OptionSpec) -> Result<()> {
        self.as_ref().map_or(Ok(()), |value| value.check(spec))
    }
}

impl<T: Shaped> Shaped for OneOrRange<T> {
    const SHAPE: Shape = Shape { pair: true, ..T::SHAPE };
}

/// An option, for documentation and other languages.
#[derive(Debug, Serialize)]
pub struct OptionRow {
    name: &'static str,
    doc: &'static str,
    group: &'static str,
    r#type: Shape,
    default: Option<Value>,
    thorough: Option<Value>,
    paper: Option<Value>,
    auto: Option<&'static str>,
    range: String,
    symbol: Option<&'static str>,
    verbs: &'static [&'static str],
    when: Option<(&'static str, &'static [&'static str])>,
}

impl OptionRow {
    /// Whether it is this option for the same verbs.
    pub(super) fn covers(&self, spec: &OptionSpec) -> bool {
        self.name == spec.name && spec.verbs().iter().all(|verb| self.verbs.contains(verb))
    }

    /// A row with the values of the presets "default", "thorough" and "paper".
    pub(super) fn new(spec: &OptionSpec, [default, thorough, paper]: [Option<Value>; 3]) -> Self {
        let OptionRule { auto, symbol, when, .. } = spec.rule;
        let OptionSpec { name, doc, group, shape, .. } = *spec;
        let (range, verbs) = (spec.range(), spec.verbs());
        Self {
            name,
            doc: doc.trim(),
            group,
            r#type: shape,
            default,
            thorough,
            paper,
            auto,
            range,
            symbol,
            verbs,
            when,
        }
    }
}
