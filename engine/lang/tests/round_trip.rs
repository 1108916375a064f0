//! Printing a tree and parsing the text gives the tree back.
//!
//! Trees are grown from random bytes, so that a failing case shrinks to few bytes, and only as the parser could have
//! made them: names bound, arity right, no sign on a number outside a list.

use footfall_lang::{
    Arity,
    ast::{BinaryOp, Expr, ExprKind, Function, Index, Literal, Quantifier, Source, UnaryOp},
    parse_expression,
};
use proptest::prelude::*;

const BINARY: [BinaryOp; 15] = [
    BinaryOp::Or,
    BinaryOp::And,
    BinaryOp::Equal,
    BinaryOp::NotEqual,
    BinaryOp::Less,
    BinaryOp::LessEqual,
    BinaryOp::Greater,
    BinaryOp::GreaterEqual,
    BinaryOp::In,
    BinaryOp::NotIn,
    BinaryOp::Add,
    BinaryOp::Subtract,
    BinaryOp::Multiply,
    BinaryOp::Divide,
    BinaryOp::Remainder,
];
const QUANTIFIERS: [Quantifier; 4] = [Quantifier::Any, Quantifier::All, Quantifier::Filter, Quantifier::Map];
const SOURCES: [Source; 4] = [Source::Properties, Source::Event, Source::User, Source::Behaviors];
const NAMES: [&str; 4] = ["x", "X", "_long_name9", "length"];
const TEXTS: [&str; 6] = ["", "a", "it's \"quoted\"", "back\\slash\n\t\u{1}", "日本😀", "(a|b)"];
const NUMBERS: [f64; 7] = [0.0, 1.0, 0.1, 1e300, 5e-324, 9007199254740993.0, 123.456];

struct Grower<'b> {
    bytes: std::slice::Iter<'b, u8>,
    scope: Vec<&'static str>,
}

impl Grower<'_> {
    fn pick(&mut self, below: usize) -> usize {
        usize::from(*self.bytes.next().unwrap_or(&0)) % below
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.pick(all.len())]
    }

    fn boxed(&mut self, depth: usize) -> Box<Expr> {
        Box::new(self.expr(depth))
    }

    fn expr(&mut self, depth: usize) -> Expr {
        let kind = match if depth == 0 { 0 } else { self.pick(10) } {
            0 => self.leaf(),
            1 | 2 => {
                ExprKind::Unary { op: self.one_of(&[UnaryOp::Not, UnaryOp::Negate]), operand: self.boxed(depth - 1) }
            }
            3..7 => {
                ExprKind::Binary { op: self.one_of(&BINARY), left: self.boxed(depth - 1), right: self.boxed(depth - 1) }
            }
            7 => self.call(depth),
            8 => self.quantifier(depth),
            _ => self.let_(depth),
        };
        Expr { kind, span: 0..0 }
    }

    fn leaf(&mut self) -> ExprKind {
        match self.pick(5) {
            0 => ExprKind::Now,
            1 => ExprKind::Lookup {
                source: self.one_of(&SOURCES),
                key: self.one_of(&TEXTS).to_owned(),
                path: self.path(),
            },
            2 if !self.scope.is_empty() => {
                let scope = self.scope.clone();
                ExprKind::Variable { name: self.one_of(&scope).to_owned(), path: self.path() }
            }
            _ => ExprKind::Literal(self.literal(2, false)),
        }
    }

    fn path(&mut self) -> Vec<Index> {
        let count = self.pick(3);
        let index = |g: &mut Self| match g.pick(2) {
            0 => Index::Key(g.one_of(&TEXTS).to_owned()),
            _ => Index::Position(g.one_of(&[0, 7, usize::MAX])),
        };
        (0..count).map(|_| index(self)).collect()
    }

    fn literal(&mut self, depth: usize, signed: bool) -> Literal {
        match self.pick(if depth == 0 { 5 } else { 6 }) {
            0 => Literal::Undefined,
            1 => Literal::Null,
            2 => Literal::Bool(self.pick(2) == 0),
            3 => {
                let sign = if signed && self.pick(2) == 0 { -1.0 } else { 1.0 };
                Literal::Number(sign * self.one_of(&NUMBERS))
            }
            4 => Literal::Text(self.one_of(&TEXTS).to_owned()),
            _ => {
                let count = self.pick(4);
                Literal::List((0..count).map(|_| self.literal(depth - 1, true)).collect())
            }
        }
    }

    fn call(&mut self, depth: usize) -> ExprKind {
        let functions: Vec<Function> = Function::all().collect();
        let function = self.one_of(&functions);
        let count = match function.arity() {
            Arity::Between { min, max } => min + self.pick(max - min + 1),
            Arity::Pairs => 2 * (1 + self.pick(3)),
        };
        let mut args: Vec<Expr> = (0..count).map(|_| self.expr(depth - 1)).collect();
        if matches!(function, Function::RegexMatch | Function::RegexExtract | Function::RegexReplace) {
            args[1] = Expr { kind: ExprKind::Literal(Literal::Text("(a|b)+".to_owned())), span: 0..0 };
        }
        ExprKind::Call { function, args }
    }

    fn quantifier(&mut self, depth: usize) -> ExprKind {
        let (quantifier, name) = (self.one_of(&QUANTIFIERS), self.one_of(&NAMES));
        let list = self.boxed(depth - 1);
        self.scope.push(name);
        let body = self.boxed(depth - 1);
        self.scope.pop();
        ExprKind::Quantifier { quantifier, variable: name.to_owned(), list, body }
    }

    fn let_(&mut self, depth: usize) -> ExprKind {
        let outside = self.scope.len();
        let mut bindings = Vec::new();
        for _ in 0..1 + self.pick(3) {
            let (name, value) = (self.one_of(&NAMES), self.expr(depth - 1));
            bindings.push((name.to_owned(), value));
            self.scope.push(name);
        }
        let body = self.boxed(depth - 1);
        self.scope.truncate(outside);
        ExprKind::Let { bindings, body }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn printing_then_parsing_gives_the_same_tree(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let tree = Grower { bytes: bytes.iter(), scope: Vec::new() }.expr(8);
        let text = tree.to_string();
        let back = parse_expression(&text).map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?;
        prop_assert!(back.same_tree(&tree), "{text}\n{tree:?}\n{back:?}");
        prop_assert_eq!(back.to_string(), text);
        prop_assert_eq!(&back.clone(), &back);
    }
}

/// Short by default; `FOOTFALL_FUZZ_CASES` sets the long form.
fn cases() -> u32 {
    std::env::var("FOOTFALL_FUZZ_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(500)
}

/// The deepest tree a text can give: at each of 256 levels one operator of every binding, each nested to the right.
#[test]
fn the_deepest_tree_fits_a_small_stack() {
    let text = format!("{}1 + 1{}", "1 or 1 and 1 == 1 + 1 * (".repeat(256), ")".repeat(256));
    let check = move || {
        let tree = parse_expression(&text).unwrap();
        assert!(tree.clone() == tree);
        assert!(tree.to_string() == text);
        assert!(!format!("{tree:?}").is_empty());
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(check).unwrap().join().unwrap();
}
