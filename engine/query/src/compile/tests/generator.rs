//! Seeded expressions: every production and function of the language, types mixed on purpose.

mod spelling;
mod survey;

use std::collections::BTreeSet;

use super::records::Random;

pub use spelling::FORMS;

/// What an operand is meant to be; now and then it is something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Bool,
    Number,
    Text,
    Date,
    List,
    Any,
}

/// Writes one expression.
pub struct Writer<'r> {
    random: &'r mut Random,
    variables: Vec<String>,
    /// What ways of writing were used.
    pub forms: BTreeSet<&'static str>,
}

impl<'r> Writer<'r> {
    pub fn new(random: &'r mut Random) -> Self {
        Self { random, variables: Vec::new(), forms: BTreeSet::new() }
    }

    /// The expression of a number: four of ten go through the tables of the language, three are about lists, the others are
    /// left to chance.
    pub fn expression(&mut self, number: usize) -> String {
        let text = match number % 10 {
            place @ 0..4 => self.survey(number / 10 * 4 + place),
            4..7 => self.nested(),
            _ => {
                let depth = 1 + self.random.below(5);
                let want = self.random.pick(&[Want::Bool, Want::Bool, Want::Bool, Want::Number, Want::Text, Want::Any]);
                self.write(want, depth)
            }
        };
        self.respelt(text)
    }

    fn write(&mut self, want: Want, depth: usize) -> String {
        let want = if self.random.chance(7) { Want::Any } else { want };
        if depth == 0 {
            return self.leaf(want);
        }
        match (want, self.random.below(10)) {
            (_, 0) => self.leaf(want),
            (_, 1) => self.control(want, depth),
            (Want::Bool, _) => self.bool(depth - 1),
            (Want::Number, _) => self.number(depth - 1),
            (Want::Text, _) => self.text(depth - 1),
            (Want::Date, _) => self.date(depth - 1),
            (Want::List, _) => self.list(depth - 1),
            (Want::Any, _) => {
                let want = self.random.pick(&[Want::Bool, Want::Number, Want::Text, Want::Date, Want::List]);
                self.write(want, depth - 1)
            }
        }
    }

    fn leaf(&mut self, want: Want) -> String {
        let within = if want == Want::List { 50 } else { 30 };
        if self.random.chance(within)
            && let Some(variable) = (!self.variables.is_empty()).then(|| self.random.pick(&self.variables))
        {
            return variable + self.inside(want);
        }
        if self.random.chance(30) {
            return self.literal(want);
        }
        let names: &[&str] = match want {
            Want::Bool => &["bool", "flag", "any"],
            Want::Number => &["int", "float", "number", "any", "time"],
            Want::Text => &["text", "nullable", "any", "text or list", "date"],
            Want::Date => &["$time", "$time", "date", "any"],
            Want::List => &["list", "objects", "carts", "carts", "cart or text", "text or list", "deep", "any"],
            Want::Any => {
                &["any", "any", "map", "carts", "absent", "nullable", "null", "list", "deep", "text", "flag", "int"]
            }
        };
        let (name, path) = (self.random.pick(names), self.path());
        format!(
            "{}[\"{name}\"]{path}",
            self.random.pick(&["properties", "properties", "properties", "event", "event", "user", "user"])
        )
    }

    fn path(&mut self) -> &'static str {
        let paths = ["[0]", "[\"a\"]", "[1][\"l\"]", "[\"l\"][0]", "[0][\"items\"]", "[0][\"items\"][1][\"a\"]"];
        if self.random.chance(92) { "" } else { self.random.pick(&paths) }
    }

    /// Where in an element to look.
    fn inside(&mut self, want: Want) -> &'static str {
        match want {
            Want::List => {
                self.random.pick(&["[\"items\"]", "[\"items\"]", "[\"l\"]", "", "[\"l\"][0]", "[\"deep\"][\"l\"]"])
            }
            _ => self.random.pick(&[
                "",
                "",
                "[\"a\"]",
                "[\"a\"]",
                "[\"b\"]",
                "[\"l\"]",
                "[0]",
                "[\"deep\"][\"a\"]",
                "['b\\\"é']",
            ]),
        }
    }

    fn literal(&mut self, want: Want) -> String {
        match want {
            Want::Bool => self.random.pick(&["true", "false", "undefined"]).to_owned(),
            Want::Number => self.number_literal(),
            Want::Text => self.text_literal(),
            Want::Date => {
                let number = self.number_literal();
                let date = self.date_text();
                self.random.pick(&[
                    format!("datetime({date})"),
                    format!("datetime({number})"),
                    "today()".to_owned(),
                    date,
                ])
            }
            Want::List => self.list_literal(),
            Want::Any => {
                let want = self.random.pick(&[Want::Bool, Want::Number, Want::Text, Want::Date, Want::List]);
                if self.random.chance(20) { "null".to_owned() } else { self.literal(want) }
            }
        }
    }

    /// What gives any type.
    fn control(&mut self, want: Want, depth: usize) -> String {
        match self.random.below(4) {
            0 => {
                let condition = self.write(Want::Bool, depth - 1);
                format!("if({condition}, {}, {})", self.write(want, depth - 1), self.write(want, depth - 1))
            }
            1 => {
                let mut pairs = Vec::new();
                for _ in 0..1 + self.random.below(3) {
                    pairs.push(self.write(Want::Bool, depth - 1));
                    pairs.push(self.write(want, depth - 1));
                }
                format!("ifs({})", pairs.join(", "))
            }
            2 => {
                let outer = self.variables.len();
                let mut bindings = String::new();
                for _ in 0..1 + self.random.below(2) {
                    let value = self.write(want, depth - 1);
                    let name = self.random.pick(&["x", "y", "z"]);
                    bindings += &format!("{name}, {value}, ");
                    self.variables.push(name.to_owned());
                }
                let body = self.write(want, depth - 1);
                self.variables.truncate(outer);
                format!("let({bindings}{body})")
            }
            _ => {
                let cast = match want {
                    Want::Number => "number",
                    Want::Text => "string",
                    Want::Date => "datetime",
                    _ => "boolean",
                };
                let value = self.write(Want::Any, depth - 1);
                match self.random.below(3) {
                    0 => format!("{cast}({value}, {})", self.write(want, depth - 1)),
                    _ => format!("{cast}({value})"),
                }
            }
        }
    }

    fn bool(&mut self, depth: usize) -> String {
        match self.random.below(14) {
            13 => self.flat(depth),
            0 | 1 => {
                let op = self.random.pick(&["and", "or"]);
                let operands: Vec<String> =
                    (0..2 + self.random.below(3)).map(|_| self.write(Want::Bool, depth)).collect();
                format!("({})", operands.join(&format!(" {op} ")))
            }
            2 => format!("(not {})", self.write(Want::Bool, depth)),
            3..6 => {
                let want = self.scalar();
                let op = self.random.pick(&["==", "=", "!="]);
                if op == "=" {
                    self.forms.insert("= for ==");
                }
                format!("({} {op} {})", self.write(want, depth), self.write(want, depth))
            }
            6 | 7 => {
                let want = self.scalar();
                let op = self.random.pick(&["<", "<=", ">", ">="]);
                format!("({} {op} {})", self.write(want, depth), self.write(want, depth))
            }
            8 | 9 => {
                let op = self.random.pick(&["in", "not in"]);
                let left = self.write(Want::Any, depth);
                let right = match self.random.below(4) {
                    0 => self.write(Want::Text, depth),
                    1 => self.write(Want::List, depth),
                    _ => self.list_literal(),
                };
                format!("({left} {op} {right})")
            }
            10 => format!("defined({})", self.write(Want::Any, depth)),
            11 => match self.random.below(3) {
                0 => format!("has_prefix({}, {})", self.write(Want::Text, depth), self.write(Want::Text, depth)),
                1 => format!("has_suffix({}, {})", self.write(Want::Text, depth), self.write(Want::Text, depth)),
                _ => format!("regex_match({}, \"{}\")", self.write(Want::Text, depth), self.pattern()),
            },
            _ => {
                let quantifier = self.random.pick(&["any", "all"]);
                self.quantifier(quantifier, Want::Bool, depth)
            }
        }
    }

    /// Operators and operands in a row: the grammar alone says what belongs together.
    fn flat(&mut self, depth: usize) -> String {
        self.forms.insert("no parentheses");
        let operators = ["or", "and", "==", "=", "!=", "<", "<=", ">", ">=", "in", "not in", "+", "-", "*", "/", "%"];
        let mut text = self.leaf(Want::Any);
        for _ in 0..2 + self.random.below(6) {
            let op = self.random.pick(&operators);
            let prefix = self.random.pick(&["", "", "", "not ", "-", "not not "]);
            if prefix.starts_with("not") {
                self.forms.insert("not before an operand");
            }
            let want = self.random.pick(&[Want::Number, Want::Bool, Want::Text, Want::Any]);
            let operand = if self.random.chance(20) { self.write(want, depth) } else { self.leaf(want) };
            text += &format!(" {op} {prefix}{operand}");
        }
        format!("({text})")
    }

    fn scalar(&mut self) -> Want {
        self.random.pick(&[Want::Number, Want::Text, Want::Date, Want::Bool, Want::Any])
    }

    fn pattern(&mut self) -> &'static str {
        self.random.pick(&[
            "a",
            "A(.)",
            "[0-9]+",
            "(?-i)b",
            "^$",
            "(x),(y)?",
            ".",
            "\\\\b",
            "é|😀",
            "(?s)(.*)-(.*)",
            "e\u{301}",
        ])
    }

    fn quantifier(&mut self, quantifier: &str, body: Want, depth: usize) -> String {
        // Mostly a list as it comes: what is computed is rarely one.
        let list = if self.random.chance(60) { self.leaf(Want::List) } else { self.write(Want::List, depth) };
        let name = self.random.pick(&["x", "y", "element"]);
        self.variables.push(name.to_owned());
        let body = match self.random.below(6) {
            0 if body == Want::Bool => format!("{name} == {}", self.literal(Want::Any)),
            1 if body == Want::Bool => format!("{name}[\"a\"] > {}", self.literal(Want::Number)),
            2 if body == Want::Bool && depth > 0 => {
                let quantifier = self.random.pick(&["any", "all"]);
                self.quantifier(quantifier, Want::Bool, depth - 1)
            }
            3 if self.variables.len() > 1 => {
                let (one, other) = (self.random.pick(&self.variables), self.random.pick(&self.variables));
                let op = self.random.pick(&["==", "!=", "<", "in", "not in", "+"]);
                format!("{one}{} {op} {other}{}", self.inside(Want::Any), self.inside(Want::List))
            }
            4 => format!("let(v, {name}{}, {})", self.inside(Want::Any), {
                self.variables.push("v".to_owned());
                let body = self.write(body, depth);
                self.variables.pop();
                body
            }),
            _ => self.write(body, depth),
        };
        self.variables.pop();
        if matches!(quantifier, "any" | "all") && self.random.chance(50) {
            self.forms.insert("body before for");
            return format!("{quantifier}({body} for {name} in {list})");
        }
        self.forms.insert("name, list, body");
        format!("{quantifier}({name}, {list}, {body})")
    }

    /// An expression that is about lists.
    fn nested(&mut self) -> String {
        match self.random.below(8) {
            0 => format!("len({}) > 1", self.quantifier("filter", Want::Bool, 2)),
            1 => format!("sum({})", self.quantifier("map", Want::Number, 2)),
            2 => format!("(not {})", self.quantifier("all", Want::Bool, 3)),
            3 => format!("{} in {}", self.leaf(Want::Any), self.leaf(Want::List)),
            _ => {
                let quantifier = self.random.pick(&["any", "all"]);
                self.quantifier(quantifier, Want::Bool, 3)
            }
        }
    }

    fn number(&mut self, depth: usize) -> String {
        match self.random.below(12) {
            0..5 => {
                let op = self.random.pick(&["+", "-", "*", "/", "%"]);
                format!("({} {op} {})", self.write(Want::Number, depth), self.write(Want::Number, depth))
            }
            5 => format!("(-{})", self.write(Want::Number, depth)),
            6 => {
                let function = self.random.pick(&["floor", "ceil", "round"]);
                format!("{function}({})", self.write(Want::Number, depth))
            }
            7 => {
                let function = self.random.pick(&["min", "max"]);
                format!("{function}({}, {})", self.write(Want::Number, depth), self.write(Want::Number, depth))
            }
            8 => {
                let want = self.random.pick(&[Want::Text, Want::List]);
                let name = self.random.pick(&["len", "len", "length"]);
                if name == "length" {
                    self.forms.insert("length");
                }
                format!("{name}({})", self.write(want, depth))
            }
            9 if self.random.chance(40) => {
                let fold = self.random.pick(&["sum", "len"]);
                let quantifier = self.random.pick(&["filter", "map"]);
                let body = if quantifier == "filter" { Want::Bool } else { Want::Number };
                format!("{fold}({})", self.quantifier(quantifier, body, depth))
            }
            9 => format!("sum({})", self.write(Want::List, depth)),
            10 => {
                let part = self.random.pick(&["year", "month", "day", "hour", "minute", "second", "week"]);
                format!("{part}({})", self.write(Want::Date, depth))
            }
            _ => {
                let unit = self.random.pick(&["D", "M", "Y", "MD", "YM", "YD", "md", "ym", "?"]);
                format!("datedif({}, {}, \"{unit}\")", self.write(Want::Date, depth), self.write(Want::Date, depth))
            }
        }
    }

    fn text(&mut self, depth: usize) -> String {
        match self.random.below(9) {
            0 | 1 => format!("({} + {})", self.write(Want::Text, depth), self.write(Want::Text, depth)),
            2 => {
                let function = self.random.pick(&["upper", "lower"]);
                format!("{function}({})", self.write(Want::Text, depth))
            }
            3 => {
                let function = self.random.pick(&["left", "right"]);
                format!("{function}({}, {})", self.write(Want::Text, depth), self.count(depth))
            }
            4 => format!("mid({}, {}, {})", self.write(Want::Text, depth), self.count(depth), self.count(depth)),
            5 => {
                let by = self.random.pick(&[",", "a", "ab", "日", "", "-", "T"]);
                format!("split({}, \"{by}\", {})", self.write(Want::Text, depth), self.count(depth))
            }
            6 => format!("regex_extract({}, \"{}\")", self.write(Want::Text, depth), self.pattern()),
            7 => format!(
                "regex_extract({}, \"{}\", {})",
                self.write(Want::Text, depth),
                self.pattern(),
                self.count(depth)
            ),
            _ => {
                let with = self.write(Want::Text, depth);
                format!("regex_replace({}, \"{}\", {with})", self.write(Want::Text, depth), self.pattern())
            }
        }
    }

    fn count(&mut self, depth: usize) -> String {
        if self.random.chance(20) {
            return self.write(Want::Number, depth);
        }
        self.random.pick(&["0", "1", "2", "3", "-1", "1.5", "100"]).to_owned()
    }

    fn date(&mut self, depth: usize) -> String {
        let want = self.random.pick(&[Want::Text, Want::Number, Want::Date, Want::Any]);
        format!("datetime({})", self.write(want, depth))
    }

    fn list(&mut self, depth: usize) -> String {
        match self.random.below(4) {
            0 => format!("list({})", self.write(Want::Any, depth)),
            1 => {
                let by = self.random.pick(&[",", "a", "é"]);
                format!("split({}, \"{by}\")", self.write(Want::Text, depth))
            }
            2 => self.quantifier("filter", Want::Bool, depth),
            _ => self.quantifier("map", Want::Any, depth),
        }
    }
}
