//! Every combination in its turn: each operator on each pair of types, each cast with and without a default, each
//! quantifier over each type and around each, each function on whatever comes.
//!
//! Chance alone would leave holes in the tables of the reference; this goes through them row by row.

use footfall_lang::Arity;
use footfall_lang::ast::Function;

use super::Writer;
use crate::compile::tests::reference::{Kind, OPERATORS};

const CASTS: [&str; 5] = ["string", "number", "boolean", "datetime", "list"];
const QUANTIFIERS: [&str; 4] = ["any", "all", "filter", "map"];
const KINDS: usize = Kind::ALL.len();
/// How many expressions each part has, in the order of [`Writer::survey`].
const PARTS: [usize; 5] = [OPERATORS.len() * KINDS * KINDS, CASTS.len() * KINDS * 3, 4 * KINDS * KINDS, KINDS * 4, 280];
/// All parts one after the other.
const ROUND: usize = PARTS[0] + PARTS[1] + PARTS[2] + PARTS[3] + PARTS[4];

impl Writer<'_> {
    /// The expression of a number; numbers come around.
    pub(super) fn survey(&mut self, number: usize) -> String {
        // Neighbours are unlike each other: the step shares no divisor with the round.
        let mut place = number * 1_009 % ROUND;
        let part = PARTS.iter().position(|size| {
            let here = place < *size;
            place -= if here { 0 } else { *size };
            here
        });
        match part {
            Some(0) => self.operator(place),
            Some(1) => self.cast(place),
            Some(2) => self.around(place),
            Some(3) => self.inside_and_before(place),
            _ => self.function(place),
        }
    }

    fn operator(&mut self, place: usize) -> String {
        let (op, left_kind, right_kind) = (OPERATORS[place / KINDS / KINDS], kind(place / KINDS), kind(place));
        let (left, right) = (self.operand(left_kind), self.operand(right_kind));
        let plain = format!("({left} {op} {right})");
        match op {
            // Texts that are read as dates before, at and after a datetime, and one that is none.
            "==" | "!=" | "<" | "<=" | ">" | ">=" if is_date_and_text(left_kind, right_kind) => {
                let at = "datetime('2024-01-02T03:04:05Z')";
                let compared = if left_kind == Kind::Text { format!("t {op} {at}") } else { format!("{at} {op} t") };
                let texts = "['1999-01-01', '2024-01-02T03:04:05Z', '2030-01-01', 'junk']";
                format!("let(p, {plain}, map(t, {texts}, {compared}))")
            }
            // Sums, differences, products and quotients that are too large, which two numbers rarely give.
            "+" | "-" | "*" | "/" if (left_kind, right_kind) == (Kind::Number, Kind::Number) => {
                let with = match op {
                    "-" => "-n",
                    "/" => "0.1",
                    _ => "n",
                };
                format!("let(p, {plain}, let(n, number('1.7e308'), n {op} {with}))")
            }
            // Two values drawn apart are rarely the same.
            "==" | "!=" | "<" | "<=" | ">" | ">=" if left_kind == right_kind => {
                format!("({plain} == ({left} {op} {left}))")
            }
            "in" | "not in" if right_kind == Kind::List => {
                format!("({plain} == ({left} {op} map(e, [1, 'a'], {left})))")
            }
            "in" | "not in" if left_kind == right_kind => format!("({plain} == ({left} {op} {left}))"),
            _ => self.somewhere(&plain, &left, op, &right),
        }
    }

    /// The same in the body of a quantifier or of a `let`.
    fn somewhere(&mut self, plain: &str, left: &str, op: &str, right: &str) -> String {
        match self.random.below(5) {
            0 => format!("let(p, {left}, p {op} {right})"),
            1 => format!("let(p, {left}, q, {right}, p {op} q)"),
            2 => format!("map(p, [1, 2], {plain})"),
            3 => format!("map(p, map(e, [1], {left}), p {op} {right})"),
            _ => plain.to_owned(),
        }
    }

    fn cast(&mut self, place: usize) -> String {
        let (cast, of) = (CASTS[place / KINDS / 3], kind(place));
        let value = self.operand(of);
        let default = if place / KINDS % 3 == 0 || cast == "list" {
            String::new()
        } else {
            let kind = self.random.pick(&Kind::ALL);
            format!(", {}", self.operand(kind))
        };
        let plain = format!("{cast}({value}{default})");
        match (cast, of) {
            // Texts that are read as one, and one that is none.
            ("number" | "datetime", Kind::Text) => {
                format!("let(p, {plain}, map(t, ['2024-01-02', '42', 'junk'], {cast}(t{default})))")
            }
            _ => plain,
        }
    }

    /// Over each type, a body of each.
    fn around(&mut self, place: usize) -> String {
        let (quantifier, over, gives) = (QUANTIFIERS[place / KINDS / KINDS], kind(place / KINDS), kind(place));
        let (list, body) = (self.operand(over), self.operand(gives));
        let list = if self.random.chance(10) { "[]".to_owned() } else { list };
        let whole = if matches!(quantifier, "any" | "all") && self.random.chance(50) {
            self.forms.insert("body before for");
            format!("{quantifier}({body} for p in {list})")
        } else {
            self.forms.insert("name, list, body");
            format!("{quantifier}(p, {list}, {body})")
        };
        match self.random.below(4) {
            0 => format!("let(a, {whole}, a)"),
            1 => format!("let(a, {body}, b, {whole}, a)"),
            _ => whole,
        }
    }

    fn inside_and_before(&mut self, place: usize) -> String {
        let value = self.operand(kind(place));
        match place / KINDS {
            0 => format!("let(p, {value}, p[\"a\"])"),
            1 => format!("let(p, {value}, p[0])"),
            2 => format!("(not {value})"),
            _ => format!("(-{value})"),
        }
    }

    /// A function with as many arguments as it may have, of any types.
    fn function(&mut self, place: usize) -> String {
        let functions: Vec<Function> = Function::all().collect();
        let function = functions[place % functions.len()];
        let count = match function.arity() {
            Arity::Between { min, max } => min + place / functions.len() % (max - min + 1),
            Arity::Pairs => 2 * (1 + place / functions.len() % 3),
        };
        let pattern = matches!(function, Function::RegexMatch | Function::RegexExtract | Function::RegexReplace);
        let conditions = matches!(function, Function::If | Function::Ifs) && self.random.chance(70);
        let mut args = Vec::new();
        for position in 0..count {
            let kind = match function {
                _ if conditions && position % 2 == 0 && position + 1 < count => Kind::Bool,
                // A text or a date first is what most functions are about.
                _ if position == 0 && self.random.chance(50) => self.random.pick(&[Kind::Text, Kind::Datetime]),
                _ => self.random.pick(&Kind::ALL),
            };
            args.push(if pattern && position == 1 { format!("\"{}\"", self.pattern()) } else { self.operand(kind) });
        }
        format!("{}({})", function.name(), args.join(", "))
    }

    /// Something that is of this type in most records.
    fn operand(&mut self, kind: Kind) -> String {
        let source = self.random.pick(&["properties", "properties", "event", "user"]);
        let mut named = |names: &[&str]| format!("{source}[\"{}\"]", self.random.pick(names));
        match kind {
            Kind::Undefined => {
                let names = ["undefined", "behaviors[\"b\"]", "properties[\"text\"][\"x\"]", "user[\"list\"][99]"];
                let absent = named(&["absent"]);
                if self.random.chance(40) { absent } else { self.random.pick(&names).to_owned() }
            }
            Kind::Null => {
                let sent = named(&["null"]);
                if self.random.chance(60) { sent } else { "null".to_owned() }
            }
            Kind::Bool => {
                let sent = named(&["bool", "bool", "flag"]);
                match self.random.below(5) {
                    0 => self.random.pick(&["true", "false"]).to_owned(),
                    1 => format!("defined({sent})"),
                    _ => sent,
                }
            }
            Kind::Number => {
                let sent = named(&["int", "float", "number", "number"]);
                match self.random.below(6) {
                    0 => self.number_literal(),
                    1 => self.random.pick(&["properties[\"time\"]", "event[\"time\"]", "NOW"]).to_owned(),
                    _ => sent,
                }
            }
            Kind::Text => {
                let sent = named(&["text", "text", "date", "nullable"]);
                if self.random.chance(30) { self.text_literal() } else { sent }
            }
            Kind::Datetime => {
                let sent = named(&["date"]);
                let literal = self.random.pick(&["'2024-01-02'", "'2024-03-10T02:30:00'", "'2024-01-02 03:04:05Z'"]);
                match self.random.below(5) {
                    0 => format!("datetime({sent})"),
                    1 => format!("datetime({literal})"),
                    2 => "today()".to_owned(),
                    _ => self.random.pick(&["properties", "event"]).to_owned() + "[\"$time\"]",
                }
            }
            Kind::List => {
                let sent = named(&["list", "list", "objects", "carts", "deep"]);
                match self.random.below(5) {
                    0 => self.list_literal(),
                    1 => format!("map(v, {sent}, v)"),
                    _ => sent,
                }
            }
            Kind::Map => {
                let (sent, first) = (named(&["map"]), named(&["objects"]));
                if self.random.chance(70) { sent } else { first + "[0]" }
            }
        }
    }
}

fn is_date_and_text(left: Kind, right: Kind) -> bool {
    matches!((left, right), (Kind::Datetime, Kind::Text) | (Kind::Text, Kind::Datetime))
}

fn kind(place: usize) -> Kind {
    Kind::ALL[place % KINDS]
}
