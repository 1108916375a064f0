//! Generated expressions on generated records: the compiled forms agree with the evaluator.
//!
//! `FOOTFALL_FUZZ_CASES` sets the number of expressions (each on all rows of a table), `FOOTFALL_FUZZ_SEED` the seed.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono_tz::Tz;
use footfall_lang::ast::{BinaryOp, Expr, ExprKind, Function, Quantifier};
use footfall_lang::parse_expression;

use super::generator::Writer;
use super::records::{Random, row};
use super::table::{Found, Table, TextType, compare};
use crate::compile::Clock;

const ROWS: usize = 24;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn table(random: &mut Random) -> Table {
    let texts = random.pick(&[TextType::Utf8, TextType::View, TextType::Dictionary]);
    Table::new((0..ROWS).map(|_| row(random)).collect(), texts)
}

#[tokio::test]
async fn compiled_forms_agree_with_the_evaluator() {
    let (cases, seed) = (setting("FOOTFALL_FUZZ_CASES", 600), setting("FOOTFALL_FUZZ_SEED", 1));
    let clock = Clock { now: 1_700_000_000, timezone: Tz::America__New_York };
    let mut random = Random::new(seed);
    let (mut compared, mut failures, mut productions) = (0, Vec::new(), HashSet::new());
    let mut outcomes = BTreeMap::new();
    let (mut shapes, mut forms) = (BTreeMap::new(), BTreeMap::new());
    let mut data = table(&mut random);
    for case in 0..cases {
        if case % 100 == 0 {
            data = table(&mut random);
        }
        let text = Writer::expression(&mut random);
        let tree = parse_expression(&text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        productions.extend(tree.walk().map(|node| production(&node.kind)));
        let nested = shapes_of(&tree);
        if nested.contains("quantifier") {
            *forms.entry(data.form(&tree, &clock)).or_insert(0) += 1;
        }
        nested.into_iter().for_each(|shape| *shapes.entry(shape).or_insert(0) += 1);
        match compare(&text, &tree, &data, &clock).await {
            Ok(values) => {
                compared += values.len();
                values.iter().for_each(|value| *outcomes.entry(outcome(value)).or_insert(0) += 1);
            }
            Err(failure) => failures.push(format!("case {case}: {failure}")),
        }
    }
    println!("{compared} pairs of {cases} expressions, seed {seed}, {} productions: {outcomes:?}", productions.len());
    println!("nested: {shapes:?}, compiled to {forms:?}");
    failures.sort_by_key(String::len);
    let shown = failures.iter().take(12).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "seed {seed}: {} of {cases} expressions differ:\n{shown}", failures.len());
    if cases >= 500 {
        // Seven kinds of leaf and binder, 2 prefixes, 15 operators, 35 functions, 4 quantifiers.
        assert!(productions.len() >= 60, "{} productions reached: {productions:?}", productions.len());
        for shape in SHAPES {
            assert!(shapes.get(shape).is_some_and(|count| *count >= 3), "{shape}: {shapes:?}");
        }
        let count = |form: &str| forms.get(form).copied().unwrap_or(0_usize);
        // The others name lists written in the expression, `split` or `regex_replace` somewhere.
        let all: usize = forms.values().sum();
        assert!(3 * count("columns") > all, "quantifiers have a columnar form: {forms:?}");
    }
}

fn outcome(value: &Found) -> &'static str {
    match value {
        Found::Undefined => "undefined",
        Found::Null => "null",
        Found::Bool(true) => "true",
        Found::Bool(false) => "false",
        Found::Number(_) => "number",
        Found::Text(_) => "text",
        Found::Datetime(_) => "datetime",
        Found::Nested => "list or map",
        Found::TypeError => "type error",
        Found::Several(..) => "several",
    }
}

fn production(kind: &ExprKind) -> String {
    match kind {
        ExprKind::Literal(literal) => format!("{literal:?}").chars().take_while(|c| c.is_alphabetic()).collect(),
        ExprKind::Now => "now".to_owned(),
        ExprKind::Lookup { path, .. } => format!("lookup {}", path.len().min(1)),
        ExprKind::Variable { path, .. } => format!("variable {}", path.len().min(1)),
        ExprKind::Unary { op, .. } => format!("{op:?}"),
        ExprKind::Binary { op, .. } => format!("{op:?}"),
        ExprKind::Call { function, .. } => format!("{function:?}()"),
        ExprKind::Quantifier { quantifier, .. } => format!("{quantifier:?}"),
        ExprKind::Let { .. } => "let".to_owned(),
    }
}

/// What of lists and maps an expression is about.
const SHAPES: [&str; 11] = [
    "quantifier",
    "quantifier in a body",
    "quantifier in a quantifier's body in a body",
    "name hidden by an inner one",
    "let in a body",
    "outer element in an inner body",
    "property in a body",
    "index of an element",
    "filter or map as a list",
    "sum or length of a filter or map",
    "membership in an element",
];

fn shapes_of(tree: &Expr) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    let mut pending: Vec<(&Expr, Vec<&str>)> = vec![(tree, Vec::new())];
    while let Some((node, names)) = pending.pop() {
        let inside = !names.is_empty();
        match &node.kind {
            ExprKind::Quantifier { variable, list, body, .. } => {
                found.insert("quantifier");
                if inside {
                    found.insert("quantifier in a body");
                }
                if names.len() > 1 {
                    found.insert("quantifier in a quantifier's body in a body");
                }
                if names.contains(&&**variable) {
                    found.insert("name hidden by an inner one");
                }
                if is_computed_list(list) {
                    found.insert("filter or map as a list");
                }
                pending.push((list, names.clone()));
                pending.push((body, names.into_iter().chain([&**variable]).collect()));
                continue;
            }
            ExprKind::Let { .. } if inside => {
                found.insert("let in a body");
            }
            ExprKind::Variable { name, path } => {
                if !path.is_empty() && inside {
                    found.insert("index of an element");
                }
                if names.len() > 1 && names.last().is_some_and(|last| last != name) && names.contains(&&**name) {
                    found.insert("outer element in an inner body");
                }
            }
            ExprKind::Lookup { .. } if inside => {
                found.insert("property in a body");
            }
            ExprKind::Call { function: Function::Sum | Function::Len, args } if args.iter().any(is_computed_list) => {
                found.insert("sum or length of a filter or map");
            }
            ExprKind::Binary { op: BinaryOp::In | BinaryOp::NotIn, right, .. } => {
                if matches!(right.kind, ExprKind::Variable { .. }) && inside {
                    found.insert("membership in an element");
                }
            }
            _ => {}
        }
        pending.extend(node.children().into_iter().map(|child| (child, names.clone())));
    }
    found
}

fn is_computed_list(node: &Expr) -> bool {
    matches!(node.kind, ExprKind::Quantifier { quantifier: Quantifier::Filter | Quantifier::Map, .. })
}
