//! What a thorough test has to come across: the tables of the reference, entry by entry.

use footfall_lang::Arity;
use footfall_lang::ast::Function;

use super::{Fact, Kind, Outcome, Reach};

use Kind::{Bool, Datetime, List, Map, Null, Number, Text, Undefined};

/// Operators as trees name them.
pub const OPERATORS: [&str; 15] =
    ["or", "and", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "+", "-", "*", "/", "%"];
const QUANTIFIERS: [&str; 4] = ["any", "all", "filter", "map"];
const TRUTHS: [Outcome; 2] = [Outcome::True, Outcome::False];

impl Reach {
    /// What was not come across, for people.
    pub fn missing(&self) -> Vec<String> {
        let mut wanted = Vec::new();
        leaves(&mut wanted);
        prefixes(&mut wanted);
        operators(&mut wanted);
        casts(&mut wanted);
        quantifiers(&mut wanted);
        wanted.extend([Text, List].map(|kind| Fact::Call("len", 1, kind, Outcome::Number)));
        for field in ["year", "month", "day", "hour", "minute", "second", "week"] {
            wanted.extend([Text, Datetime].map(|kind| Fact::Call(field, 1, kind, Outcome::Number)));
        }
        wanted.extend(["D", "M", "Y", "MD", "YM", "YD"].map(|unit| Fact::Unit(unit.to_owned())));
        let mut missing: Vec<String> =
            wanted.iter().filter(|fact| !self.has(fact)).map(|fact| format!("{fact:?}")).collect();
        self.functions(&mut missing);
        self.defaults(&mut missing);
        for kind in Kind::ALL {
            for pairs in [1, 2] {
                let seen = self.any(|fact| *fact == Fact::Let(pairs, kind));
                if !seen {
                    missing.push(format!("{pairs} pairs of let around {kind:?}"));
                }
            }
        }
        missing
    }

    /// Each function with each number of arguments gives everything that it can give.
    fn functions(&self, missing: &mut Vec<String>) {
        for function in Function::all() {
            let counts = match function.arity() {
                Arity::Between { min, max } => (min..=max).collect(),
                Arity::Pairs => vec![2, 4, 6],
            };
            for count in counts {
                for outcome in results(function, count) {
                    let seen = |fact: &Fact| matches!(fact, Fact::Call(name, args, _, found) if *name == function.name() && *args == count && *found == outcome);
                    if !self.any(seen) {
                        missing.push(format!("{} of {count} arguments gives {outcome:?}", function.name()));
                    }
                }
            }
        }
    }

    /// A second argument that is used gives something; of the first ones that are used, each type that can be.
    fn defaults(&self, missing: &mut Vec<String>) {
        for cast in ["string", "number", "boolean", "datetime"] {
            for kind in Kind::ALL {
                let results = cast_results(cast, kind);
                let (absent, present): (Vec<Outcome>, Vec<Outcome>) =
                    results.iter().partition(|outcome| matches!(outcome, Outcome::Undefined | Outcome::Null));
                let seen = |used: bool, given: &dyn Fn(Outcome) -> bool| {
                    self.any(|fact| matches!(fact, Fact::Cast(name, of, Some(default), found) if *name == cast && *of == kind && *default == used && given(*found)))
                };
                if !absent.is_empty() && !seen(true, &|found| !matches!(found, Outcome::Undefined | Outcome::Null)) {
                    missing.push(format!("{cast} of {kind:?} gives its second argument"));
                }
                for outcome in present {
                    if !seen(false, &|found| found == outcome) {
                        missing.push(format!("{cast} of {kind:?} gives {outcome:?} with a second argument"));
                    }
                }
            }
        }
    }
}

fn leaves(wanted: &mut Vec<Fact>) {
    let literals = [
        Outcome::Undefined,
        Outcome::Null,
        Outcome::True,
        Outcome::False,
        Outcome::Number,
        Outcome::Text,
        Outcome::List,
    ];
    wanted.extend(literals.map(Fact::Literal));
    wanted.push(Fact::Now);
    for there in [true, false] {
        wanted.extend(["properties", "event", "user"].map(|source| Fact::Source(source, "", there)));
        wanted.extend([Fact::Index("key", Map, there), Fact::Index("position", List, there)]);
    }
    // Without behaviours in the query every name is undefined.
    wanted.push(Fact::Source("behaviors", "", false));
    for source in ["properties", "event"] {
        wanted.extend(["$time", "time"].map(|name| Fact::Source(source, name, true)));
    }
    for kind in Kind::ALL {
        wanted.extend([Fact::Index("key", kind, false), Fact::Index("position", kind, false)]);
    }
}

fn prefixes(wanted: &mut Vec<Fact>) {
    for kind in Kind::ALL {
        let not: &[Outcome] = match kind {
            Bool => &TRUTHS,
            Undefined => &[Outcome::True],
            _ => &[Outcome::Undefined],
        };
        wanted.extend(not.iter().map(|outcome| Fact::Prefix("not", kind, *outcome)));
        let negated = if kind == Number { Outcome::Number } else { Outcome::Undefined };
        wanted.push(Fact::Prefix("-", kind, negated));
    }
}

fn operators(wanted: &mut Vec<Fact>) {
    for op in OPERATORS {
        for left in Kind::ALL {
            for right in Kind::ALL {
                let outcomes = operator_results(op, left, right);
                wanted.extend(outcomes.iter().map(|outcome| Fact::Operator(op, left, right, *outcome)));
            }
        }
    }
}

fn operator_results(op: &str, left: Kind, right: Kind) -> &'static [Outcome] {
    let condition = |kind| matches!(kind, Bool | Undefined);
    let of_date = matches!((left, right), (Datetime, Text) | (Text, Datetime));
    match op {
        "or" | "and" if !condition(left) || !condition(right) => &[Outcome::TypeError],
        "or" if left == Undefined && right == Undefined => &[Outcome::False],
        "and" if left == Undefined || right == Undefined => &[Outcome::False],
        "or" | "and" => &TRUTHS,
        "==" | "!=" if left == right && !matches!(left, Undefined | Null) || of_date => &TRUTHS,
        "==" | "!=" => {
            if (left == right) == (op == "==") {
                &[Outcome::True]
            } else {
                &[Outcome::False]
            }
        }
        "<" | "<=" | ">" | ">=" => match (left, right) {
            (Number, Number) | (Text, Text) | (Datetime, Datetime) => &TRUTHS,
            _ if of_date => &[Outcome::True, Outcome::False, Outcome::Undefined],
            _ => &[Outcome::Undefined],
        },
        "in" | "not in" if right == List || (left, right) == (Text, Text) => &TRUTHS,
        "in" => &[Outcome::Undefined],
        "not in" => &[Outcome::True],
        "+" if (left, right) == (Text, Text) => &[Outcome::Text],
        _ if (left, right) == (Number, Number) => &[Outcome::Number, Outcome::Undefined],
        _ => &[Outcome::Undefined],
    }
}

fn casts(wanted: &mut Vec<Fact>) {
    for cast in ["string", "number", "boolean", "datetime", "list"] {
        for kind in Kind::ALL {
            let outcomes = cast_results(cast, kind);
            wanted.extend(outcomes.iter().map(|outcome| Fact::Cast(cast, kind, None, *outcome)));
        }
    }
}

/// The table of §6.
fn cast_results(cast: &str, kind: Kind) -> &'static [Outcome] {
    match (cast, kind) {
        ("boolean", Null | Undefined) => &[Outcome::False],
        ("boolean", Datetime | List | Map) => &[Outcome::True],
        ("boolean", _) => &TRUTHS,
        ("list", Undefined | Null) => &[Outcome::Undefined],
        ("list", _) => &[Outcome::List],
        ("string", Null) => &[Outcome::Null],
        (_, Undefined | Null | List | Map) => &[Outcome::Undefined],
        ("string", _) => &[Outcome::Text],
        ("number", Text) => &[Outcome::Number, Outcome::Undefined],
        ("number", _) => &[Outcome::Number],
        (_, Text | Number) => &[Outcome::Datetime, Outcome::Undefined],
        (_, Bool) => &[Outcome::Undefined],
        (_, Datetime) => &[Outcome::Datetime],
    }
}

fn quantifiers(wanted: &mut Vec<Fact>) {
    for quantifier in QUANTIFIERS {
        wanted.push(Fact::Empty(quantifier));
        for kind in Kind::ALL {
            wanted.push(Fact::Body(quantifier, kind));
            let outcomes: &[Outcome] = match (kind, quantifier) {
                (List, "any" | "all") => &[Outcome::True, Outcome::False, Outcome::TypeError],
                (List, _) => &[Outcome::List, Outcome::TypeError],
                _ => &[Outcome::Undefined],
            };
            wanted.extend(outcomes.iter().map(|outcome| Fact::Quantifier(quantifier, kind, *outcome)));
        }
    }
}

/// What a function can give. Casts have a table of their own.
fn results(function: Function, args: usize) -> Vec<Outcome> {
    use Outcome as O;
    let all = || vec![O::True, O::False, O::Number, O::Text, O::Datetime, O::List, O::Map, O::Null, O::Undefined];
    match function {
        Function::Defined => TRUTHS.to_vec(),
        Function::String | Function::Number | Function::Boolean | Function::Datetime | Function::List => Vec::new(),
        Function::HasPrefix | Function::HasSuffix | Function::RegexMatch => vec![O::True, O::False, O::Undefined],
        Function::Split if args == 2 => vec![O::List, O::Undefined],
        Function::Upper
        | Function::Lower
        | Function::Left
        | Function::Right
        | Function::Mid
        | Function::Split
        | Function::RegexExtract
        | Function::RegexReplace => vec![O::Text, O::Undefined],
        Function::If => [all(), vec![O::TypeError]].concat(),
        Function::Ifs => vec![O::True, O::False, O::Number, O::Text, O::Datetime, O::Undefined, O::TypeError],
        Function::Today => vec![O::Datetime],
        Function::Floor
        | Function::Ceil
        | Function::Round
        | Function::Min
        | Function::Max
        | Function::Len
        | Function::Sum
        | Function::Datedif
        | Function::Year
        | Function::Month
        | Function::Day
        | Function::Hour
        | Function::Minute
        | Function::Second
        | Function::Week => vec![O::Number, O::Undefined],
    }
}
