//! One thing written in many ways: quotes and escapes, forms of numbers, letter case, white space, brackets for nothing.

use super::Writer;
use crate::compile::tests::records::{DATES, TEXTS};

/// Every way of writing that is kept count of; the survey and the grammar's own parts add theirs.
pub const FORMS: [&str; 20] = [
    "body before for",
    "name, list, body",
    "double quotes",
    "single quotes",
    "escapes",
    "surrogate pairs",
    "a number with an exponent",
    "a number with a fraction",
    "leading zeros",
    "= for ==",
    "length",
    "a list in a list",
    "a negative number in a list",
    "words in capitals",
    "lines and tabs",
    "no parentheses",
    "not before an operand",
    "many parentheses",
    "many prefixes",
    "many brackets of calls",
];

impl Writer<'_> {
    pub(super) fn number_literal(&mut self) -> String {
        let literals = [
            "0",
            "1",
            "2",
            "3",
            "5",
            "42",
            "2.5",
            "0.5",
            "0.1",
            "007",
            "1e21",
            "1E+3",
            "25e-1",
            "5e-324",
            "9007199254740991",
            "9007199254740992",
            "9007199254740993",
            "9223372036854775807",
            "9223372036854775808",
            "1e308",
            "1.7976931348623157e308",
            "NOW",
            "1704164645",
            "4294967295",
            "4294967296",
            "1704164645000",
        ];
        let literal = self.random.pick(&literals);
        if literal.contains(['e', 'E']) {
            self.forms.insert("a number with an exponent");
        }
        if literal.contains('.') {
            self.forms.insert("a number with a fraction");
        }
        if literal.starts_with("00") {
            self.forms.insert("leading zeros");
        }
        literal.to_owned()
    }

    pub(super) fn text_literal(&mut self) -> String {
        let text = if self.random.chance(25) { self.random.pick(&DATES) } else { self.random.pick(&TEXTS) };
        self.quoted(text)
    }

    pub(super) fn date_text(&mut self) -> String {
        let text = self.random.pick(&DATES);
        self.quoted(text)
    }

    /// A text as a literal.
    pub(super) fn quoted(&mut self, text: &str) -> String {
        let quote = self.random.pick(&['"', '"', '\'']);
        self.forms.insert(if quote == '"' { "double quotes" } else { "single quotes" });
        let escape_all = self.random.chance(10);
        let mut literal = String::from(quote);
        for c in text.chars() {
            let plain = c != quote && c != '\\';
            if plain && !escape_all {
                literal.push(c);
                continue;
            }
            self.forms.insert("escapes");
            match c {
                '"' | '\'' | '\\' => literal.extend(['\\', c]),
                '\n' => literal.push_str("\\n"),
                '\t' => literal.push_str("\\t"),
                c => {
                    let mut units = [0; 2];
                    let units = c.encode_utf16(&mut units);
                    if units.len() == 2 {
                        self.forms.insert("surrogate pairs");
                    }
                    units.iter().for_each(|unit| literal.push_str(&format!("\\u{unit:04x}")));
                }
            }
        }
        literal.push(quote);
        literal
    }

    pub(super) fn list_literal(&mut self) -> String {
        let count = self.random.below(5);
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.push(match self.random.below(9) {
                0..3 => self.text_literal(),
                3..6 => {
                    let number =
                        self.random.pick(&["0", "1", "-1", "-0", "2.5", "5", "9007199254740992", "1704164645"]);
                    if number.starts_with('-') {
                        self.forms.insert("a negative number in a list");
                    }
                    number.to_owned()
                }
                6 => self.random.pick(&["true", "false"]).to_owned(),
                7 => self.random.pick(&["null", "undefined"]).to_owned(),
                _ => {
                    self.forms.insert("a list in a list");
                    self.random.pick(&["[1]", "['a']", "[]", "[[null], -2]"]).to_owned()
                }
            });
        }
        format!("[{}]", elements.join(", "))
    }

    /// The same expression with other letters, other white space, or in needless brackets.
    pub(super) fn respelt(&mut self, text: String) -> String {
        match self.random.below(100) {
            0..3 => {
                self.forms.insert("words in capitals");
                outside_of_texts(&text, |word| if is_fixed(word) { None } else { Some(word.to_uppercase()) })
            }
            3 => {
                self.forms.insert("lines and tabs");
                outside_of_texts(&text, |word| Some(format!("\r\n{word}\t")))
            }
            4 => {
                self.forms.insert("many parentheses");
                let count = 1 + self.random.below(100);
                format!("{}{text}{}", "(".repeat(count), ")".repeat(count))
            }
            5 => {
                self.forms.insert("many prefixes");
                let count = 1 + self.random.below(100);
                format!("{}({text})", self.random.pick(&["not ", "-", "- not "]).repeat(count))
            }
            6 => {
                self.forms.insert("many brackets of calls");
                let (open, close) = self.random.pick(&[
                    ("list(", ")"),
                    ("if(true, ", ", 1)"),
                    ("string(", ", 'x')"),
                    ("let(d, 1, ", ")"),
                    ("map(d, [1], ", ")"),
                ]);
                let count = 1 + self.random.below(30);
                format!("{}{text}{}", open.repeat(count), close.repeat(count))
            }
            _ => text,
        }
    }
}

/// Words whose letters matter: sources, and the names that the generator binds.
fn is_fixed(word: &str) -> bool {
    let names = [
        "properties",
        "event",
        "user",
        "behaviors",
        "x",
        "y",
        "z",
        "v",
        "e",
        "p",
        "q",
        "a",
        "b",
        "d",
        "t",
        "n",
        "element",
    ];
    names.contains(&word)
}

/// Replaces words that stand in no text.
fn outside_of_texts(text: &str, replace: impl Fn(&str) -> Option<String>) -> String {
    let (mut result, mut word, mut quote, mut escaped) = (String::new(), String::new(), None, false);
    for c in text.chars().chain([' ']) {
        if quote.is_none() && (c.is_ascii_alphabetic() || c == '_' && !word.is_empty()) {
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            // `1e5` is one number.
            let in_number = result.ends_with(|c: char| c.is_ascii_digit());
            let replaced = if in_number { None } else { replace(&word) };
            result.push_str(replaced.as_deref().unwrap_or(&word));
            word.clear();
        }
        result.push(c);
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            None if matches!(c, '"' | '\'') => quote = Some(c),
            _ => {}
        }
    }
    result.pop();
    result
}
