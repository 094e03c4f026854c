//! The table of options: every option is declared once, with its type, default, range and one
//! sentence. What parses, checks, documents or offers options reads it from here.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::range::OneOrRange;
use crate::error::{Error, Result};

/// Verbs that fit a model where none is given.
pub(super) const FITS: &[&str] = &[
    "fit",
    "generate",
    "events",
    "pairs",
    "score",
    "label",
    "alarms",
    "sensitivity",
    "reconstruct",
    "embed",
];
/// Verbs that train a detector where none is given.
pub(super) const DETECTS: &[&str] = &["fit", "score", "label", "alarms", "sensitivity"];
/// Verbs that make anomalies with a model.
pub(super) const GENERATES: &[&str] = &["generate", "events", "pairs"];
/// Verbs that place anomalies with a model on the rows of a series.
pub(super) const PLACES: &[&str] = &["generate", "events"];
/// Verbs whose rows are windows.
pub(super) const WINDOWS: &[&str] = &["pairs", "embed"];
/// Verbs that score rows.
pub(super) const SCORES: &[&str] = &["score", "label", "alarms", "sensitivity"];
/// Verbs that draw a line between scores.
pub(super) const LABELS: &[&str] = &["label", "alarms", "sensitivity"];
/// Verbs that inject classical anomalies.
pub(super) const INJECTS: &[&str] = &["inject"];
/// Verbs that try a detector on anomalies.
pub(super) const TRIES: &[&str] = &["sensitivity"];
/// Verbs that compare scores.
pub(super) const COMPARES: &[&str] = &["compare"];
/// Verbs of series.
pub(super) const ALL: &[&str] = &[
    "fit",
    "generate",
    "events",
    "pairs",
    "score",
    "label",
    "alarms",
    "sensitivity",
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
    /// One sentence.
    pub doc: &'static str,
    /// The topic that it is listed under.
    pub group: &'static str,
    /// What values it takes.
    pub shape: Shape,
    /// Their range, and who uses it.
    pub rule: OptionRule,
}

/// The type of an option.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Shape {
    /// What one value is.
    pub of: Of,
    /// Whether the default depends on something else, which `None` stands for.
    pub optional: bool,
    /// Whether (min, max) are allowed, too.
    pub pair: bool,
    /// Whether a list of values is.
    pub list: bool,
}

/// What one value of an option is.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Of {
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Flag,
    /// A number in units of the order column, or a duration.
    Step,
    /// What features can take.
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

/// The range of an option, and who uses it.
#[derive(Clone, Copy, Debug)]
pub struct OptionRule {
    low: f64,
    high: f64,
    /// Whether the ends of the range belong to it.
    closed: (bool, bool),
    /// What the default is, where it depends on something else.
    pub auto: Option<&'static str>,
    /// Its symbol in the paper.
    pub symbol: Option<&'static str>,
    /// The verbs that take it, where they are others than those of its group.
    verbs: &'static [&'static str],
    /// What it takes for the option to be used: another option, and the values of it that use this.
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
    OptionRule { closed: (false, true), ..at_least(low) }
}

/// From `low` to `high`, both included.
pub(super) const fn between(low: f64, high: f64) -> OptionRule {
    let closed = (true, true);
    OptionRule { low, high, closed, auto: None, symbol: None, verbs: &[], when: None }
}

impl OptionRule {
    /// Without the lower end.
    pub(super) const fn above_low(self) -> Self {
        Self { closed: (false, self.closed.1), ..self }
    }

    /// Without the upper end.
    pub(super) const fn below_high(self) -> Self {
        Self { closed: (self.closed.0, false), ..self }
    }

    /// What stands in for a default that depends on something else.
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
        let (low, high) = self.closed;
        let above = value > self.low || (low && value == self.low);
        let below = value < self.high || (high && value == self.high);
        value.is_finite() && above && below
    }

    /// The range in words; empty where everything is allowed.
    fn text(&self) -> String {
        let (low, high) = (self.low, self.high);
        match (low.is_finite(), high.is_finite()) {
            (true, true) => {
                let (open, close) = self.closed;
                let open = if open { '[' } else { '(' };
                let close = if close { ']' } else { ')' };
                format!("in {open}{low}, {high}{close}")
            }
            (true, false) if self.closed.0 => format!(">= {low}"),
            (true, false) => format!("> {low}"),
            (false, true) => format!("<= {high}"),
            (false, false) => String::new(),
        }
    }
}

impl OptionSpec {
    /// An option of a group whose verbs are `verbs`, where its rule names no others.
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

    /// The values that it takes, as an error message says it after "must be".
    pub fn allowed(&self) -> String {
        let range = self.rule.text();
        let one = match self.shape.of {
            Of::Integer if self.rule.high.is_finite() => {
                format!("an integer from {} to {}", self.rule.low, self.rule.high)
            }
            Of::Integer => format!("an integer {range}"),
            Of::Number => format!("a number {range}"),
            Of::Flag => "true or false".into(),
            Of::Step => "a number > 0 or a positive duration".into(),
            Of::Domain => "\"learned\", \"none\", or for some features \"none\" or {\"min\", \"max\", \"step\", \"values\", \"monotone\"} with min <= max and step > 0".into(),
            Of::Names => "a name of a feature, or a list of them".into(),
            Of::Span => "rows >= 1, or a duration such as \"2h\"".into(),
            Of::Words(words) => or(words),
            Of::WordOrNumber(words) => {
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

    /// The error for a value that it does not take.
    pub(super) fn refuse(&self, value: impl ToString) -> Error {
        Error::parameter(self.name, value, self.allowed())
    }

    /// The same for a value as it was given: with the nearest word.
    pub(super) fn refuse_given(&self, value: &Value) -> Error {
        let (Of::Words(words) | Of::WordOrNumber(words)) = self.shape.of else {
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

    /// Whether a value is one of its words; true where it takes others.
    pub(super) fn knows(&self, value: &Value) -> bool {
        let Of::Words(words) = self.shape.of else { return true };
        let known = |word: &Word| Some(word.name) == value.as_str();
        words.iter().any(known)
    }

    /// The range as a table shows it.
    fn range(&self) -> String {
        match self.shape.of {
            Of::Flag | Of::Domain | Of::Names | Of::Words(_) | Of::WordOrNumber(_) => String::new(),
            Of::Span => ">= 1".into(),
            Of::Step => "> 0".into(),
            Of::Integer if self.rule.high.is_finite() => {
                format!("{} to {}", self.rule.low, self.rule.high)
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

/// The known name that a wrong one is most like.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Least similarity of a slip of the pen, by Jaro and Winkler.
    const LEAST: f64 = 0.8;
    let alike = |known: &'a str| (strsim::jaro_winkler(name, known), known);
    let best = known.into_iter().map(alike).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= LEAST).then_some(best.1)
}

/// A type of Rust that an option can have.
pub(super) trait Shaped {
    /// What it is to a user.
    const SHAPE: Shape;
}

/// A value that can be held against the range of its option.
pub(super) trait Ranged {
    /// Refuses it where it is outside.
    ///
    /// # Errors
    /// [`Error::Parameter`].
    fn check(&self, spec: &OptionSpec) -> Result<()>;
}

pub(super) const fn plain(of: Of) -> Shape {
    Shape { of, optional: false, pair: false, list: false }
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

numeric!(usize => Of::Integer, u64 => Of::Integer, f64 => Of::Number);

impl Shaped for bool {
    const SHAPE: Shape = plain(Of::Flag);
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

/// An option as tables and other languages read it.
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
    /// Whether it is this option of the same verbs.
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
