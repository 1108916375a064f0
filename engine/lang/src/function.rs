//! The callable names: spelling, number of arguments, and what a misspelt one probably was.

use std::fmt;

use crate::ast::{Function, Quantifier, Source};

/// How many arguments a function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// From `min` to `max` arguments.
    Between { min: usize, max: usize },
    /// Condition and value, any number of times but at least once.
    Pairs,
}

impl Arity {
    /// Whether `count` arguments are right.
    pub fn allows(self, count: usize) -> bool {
        match self {
            Self::Between { min, max } => (min..=max).contains(&count),
            Self::Pairs => count >= 2 && count.is_multiple_of(2),
        }
    }
}

impl fmt::Display for Arity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Between { min: 0, max: 0 } => f.write_str("no arguments"),
            Self::Between { min: 1, max: 1 } => f.write_str("1 argument"),
            Self::Between { min, max } if min == max => write!(f, "{min} arguments"),
            Self::Between { min, max } => write!(f, "{min} or {max} arguments"),
            Self::Pairs => f.write_str("pairs of condition and value"),
        }
    }
}

const fn exactly(count: usize) -> Arity {
    Arity::Between { min: count, max: count }
}

const fn between(min: usize, max: usize) -> Arity {
    Arity::Between { min, max }
}

const FUNCTIONS: [(&str, Function, Arity); 35] = [
    ("defined", Function::Defined, exactly(1)),
    ("string", Function::String, between(1, 2)),
    ("number", Function::Number, between(1, 2)),
    ("boolean", Function::Boolean, between(1, 2)),
    ("datetime", Function::Datetime, between(1, 2)),
    ("list", Function::List, exactly(1)),
    ("floor", Function::Floor, exactly(1)),
    ("ceil", Function::Ceil, exactly(1)),
    ("round", Function::Round, exactly(1)),
    ("min", Function::Min, exactly(2)),
    ("max", Function::Max, exactly(2)),
    ("has_prefix", Function::HasPrefix, exactly(2)),
    ("has_suffix", Function::HasSuffix, exactly(2)),
    ("upper", Function::Upper, exactly(1)),
    ("lower", Function::Lower, exactly(1)),
    ("len", Function::Len, exactly(1)),
    ("left", Function::Left, exactly(2)),
    ("right", Function::Right, exactly(2)),
    ("mid", Function::Mid, exactly(3)),
    ("split", Function::Split, between(2, 3)),
    ("regex_match", Function::RegexMatch, exactly(2)),
    ("regex_extract", Function::RegexExtract, between(2, 3)),
    ("regex_replace", Function::RegexReplace, exactly(3)),
    ("if", Function::If, exactly(3)),
    ("ifs", Function::Ifs, Arity::Pairs),
    ("sum", Function::Sum, exactly(1)),
    ("today", Function::Today, exactly(0)),
    ("datedif", Function::Datedif, exactly(3)),
    ("year", Function::Year, exactly(1)),
    ("month", Function::Month, exactly(1)),
    ("day", Function::Day, exactly(1)),
    ("hour", Function::Hour, exactly(1)),
    ("minute", Function::Minute, exactly(1)),
    ("second", Function::Second, exactly(1)),
    ("week", Function::Week, exactly(1)),
];

// `row` indexes the table by the enum.
const _: () = assert!(FUNCTIONS.len() == Function::Week as usize + 1);

impl Function {
    /// The function of this name, in any letter case. `length` is `len` by another name, but only where it is called:
    /// it stays free as the name of a variable.
    pub fn from_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("length") {
            return Some(Self::Len);
        }
        Self::from_reserved(name)
    }

    fn from_reserved(name: &str) -> Option<Self> {
        FUNCTIONS.iter().find(|(known, _, _)| known.eq_ignore_ascii_case(name)).map(|&(_, function, _)| function)
    }

    /// The name as printed.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// How many arguments the function takes.
    pub fn arity(self) -> Arity {
        self.row().2
    }

    /// All functions.
    pub fn all() -> impl Iterator<Item = Self> {
        FUNCTIONS.iter().map(|&(_, function, _)| function)
    }

    /// The table is in the order of the enum; `table_is_in_enum_order` keeps it so.
    fn row(self) -> (&'static str, Self, Arity) {
        FUNCTIONS[self as usize]
    }
}

impl Quantifier {
    const ALL: [(&'static str, Self); 4] =
        [("any", Self::Any), ("all", Self::All), ("filter", Self::Filter), ("map", Self::Map)];

    /// The quantifier of this name, in any letter case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|&(_, quantifier)| quantifier)
    }

    /// The name as printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::All => "all",
            Self::Filter => "filter",
            Self::Map => "map",
        }
    }
}

impl Source {
    const ALL: [(&'static str, Self); 4] = [
        ("properties", Self::Properties),
        ("event", Self::Event),
        ("user", Self::User),
        ("behaviors", Self::Behaviors),
    ];

    /// The source of this name; lower case only.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|&&(known, _)| known == name).map(|&(_, source)| source)
    }

    /// The name as printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Properties => "properties",
            Self::Event => "event",
            Self::User => "user",
            Self::Behaviors => "behaviors",
        }
    }

    /// The lower-case name of a source written in another letter case.
    pub(crate) fn respell(name: &str) -> Option<&'static str> {
        Self::ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|&(known, _)| known)
    }
}

/// Whether a word, keywords aside, may not name a variable.
pub(crate) fn is_reserved(word: &str) -> bool {
    word.eq_ignore_ascii_case("let")
        || Quantifier::from_name(word).is_some()
        || Function::from_reserved(word).is_some()
        || Source::respell(word).is_some()
}

/// The callable name nearest to a misspelt one, if any is near.
pub(crate) fn suggest(word: &str) -> Option<&'static str> {
    let names = FUNCTIONS.iter().map(|&(name, _, _)| name).chain(Quantifier::ALL.iter().map(|&(name, _)| name));
    nearest(word, names.chain(["let"]))
}

/// The name nearest to a misspelt one without regard to case, if any is near: at most two edits, and fewer than half the
/// letters. Names and words of more than 24 bytes are not compared.
pub fn nearest<'n>(word: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    const BYTES_MAX: usize = 24;
    if word.len() > BYTES_MAX {
        return None;
    }
    let word = word.to_lowercase();
    names
        .filter(|name| name.len() <= BYTES_MAX)
        .map(|name| (edits(word.as_bytes(), name.to_lowercase().as_bytes()), name))
        .filter(|&(distance, name)| distance <= 2 && distance * 2 < name.len())
        .min()
        .map(|(_, name)| name)
}

/// The variable nearest to an unknown name: one that differs in letter case alone, or as near as for functions.
pub(crate) fn nearest_variable<'t>(name: &str, variables: impl Iterator<Item = &'t str>) -> Option<&'t str> {
    const NAME_BYTES_MAX: usize = 64;
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    variables
        .filter(|variable| variable.len() <= NAME_BYTES_MAX)
        .map(|variable| {
            let recased = variable.eq_ignore_ascii_case(name);
            (if recased { 0 } else { edits(name.as_bytes(), variable.as_bytes()) }, variable)
        })
        .filter(|&(distance, variable)| distance <= 2 && (distance == 0 || distance * 2 < variable.len()))
        .min()
        .map(|(_, variable)| variable)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `from` into `to`.
fn edits(from: &[u8], to: &[u8]) -> usize {
    let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
    let mut row: Vec<usize> = (0..=to.len()).collect();
    let mut row_before: Vec<usize> = Vec::new();
    let mut a_before = None;
    for (i, &a) in from.iter().enumerate() {
        let mut next = vec![i + 1];
        let mut b_before = None;
        for (j, &b) in to.iter().enumerate() {
            let swapped = a_before == Some(b) && b_before == Some(a);
            let swap = if swapped { at(&row_before, j.saturating_sub(1)) + 1 } else { usize::MAX };
            let replace = at(&row, j) + usize::from(a != b);
            next.push(replace.min(at(&row, j + 1) + 1).min(at(&next, j) + 1).min(swap));
            b_before = Some(b);
        }
        row_before = std::mem::replace(&mut row, next);
        a_before = Some(a);
    }
    at(&row, to.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_enum_order() {
        for (index, (name, function, _)) in FUNCTIONS.iter().enumerate() {
            assert_eq!((index, *name), (*function as usize, function.name()));
            assert_eq!(Function::from_name(&name.to_uppercase()), Some(*function));
        }
    }

    #[test]
    fn suggestions() {
        let check = |word: &str, expect: Option<&str>| assert_eq!(suggest(word), expect, "{word}");
        check("flor", Some("floor"));
        check("FLORO", Some("floor"));
        check("hasprefix", Some("has_prefix"));
        check("regexmatch", Some("regex_match"));
        check("defind", Some("defined"));
        check("mpa", Some("map"));
        check("nosuch", None);
        check("x", None);
        check("", None);
    }
}
