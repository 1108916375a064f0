//! Generated expressions on generated records: the compiled forms agree with the evaluator.
//!
//! `FOOTFALL_FUZZ_CASES` sets the number of expressions (each on all rows of a table), `FOOTFALL_FUZZ_SEED` the seed.

use std::collections::{BTreeMap, HashSet};

use chrono_tz::Tz;
use footfall_lang::ast::ExprKind;
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
    let mut data = table(&mut random);
    for case in 0..cases {
        if case % 100 == 0 {
            data = table(&mut random);
        }
        let text = Writer::expression(&mut random);
        let tree = parse_expression(&text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        productions.extend(tree.walk().map(|node| production(&node.kind)));
        match compare(&text, &tree, &data, &clock).await {
            Ok(values) => {
                compared += values.len();
                values.iter().for_each(|value| *outcomes.entry(outcome(value)).or_insert(0) += 1);
            }
            Err(failure) => failures.push(format!("case {case}: {failure}")),
        }
    }
    println!("{compared} pairs of {cases} expressions, seed {seed}, {} productions: {outcomes:?}", productions.len());
    failures.sort_by_key(String::len);
    let shown = failures.iter().take(12).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "seed {seed}: {} of {cases} expressions differ:\n{shown}", failures.len());
    if cases >= 500 {
        // Seven kinds of leaf and binder, 2 prefixes, 15 operators, 35 functions, 4 quantifiers.
        assert!(productions.len() >= 60, "{} productions reached: {productions:?}", productions.len());
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
