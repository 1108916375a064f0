//! Generated expressions on generated records: evaluator and compiled forms agree with the reference, and everything that
//! the language has was come across on the way.
//!
//! `FOOTFALL_FUZZ_CASES` sets the number of expressions (each on all rows of a table), `FOOTFALL_FUZZ_SEED` the seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use chrono_tz::Tz;
use footfall_lang::ast::{BinaryOp, Expr, ExprKind, Function, Quantifier};
use footfall_lang::parse_expression;

use super::generator::{FORMS, Writer};
use super::records::{Random, row};
use super::reference::Reach;
use super::table::{Found, Table, TextType, Way, compare_noting};
use crate::compile::Clock;

/// Expressions unless told otherwise; below this, not everything can be come across.
const CASES: usize = 10_000;
const ROWS: usize = 16;
/// Expressions on one table, with random numbers of their own: a failure is the same on any number of threads.
const CHUNK: usize = 100;
/// One expression of so many goes through DataFusion's whole planner, the others are run by themselves.
const QUERY_OF: usize = 24;
const CLOCK: Clock = Clock { now: 1_700_000_000, timezone: Tz::America__New_York };

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// What came of some of the expressions.
#[derive(Default)]
struct Findings {
    compared: usize,
    failures: Vec<String>,
    reach: Reach,
    written: BTreeSet<&'static str>,
    outcomes: BTreeMap<&'static str, usize>,
    shapes: BTreeMap<&'static str, usize>,
    compiled_to: BTreeMap<&'static str, usize>,
}

impl Findings {
    fn add(&mut self, other: Self) {
        self.compared += other.compared;
        self.failures.extend(other.failures);
        self.reach.add(other.reach);
        self.written.extend(other.written);
        for (all, some) in [
            (&mut self.outcomes, other.outcomes),
            (&mut self.shapes, other.shapes),
            (&mut self.compiled_to, other.compiled_to),
        ] {
            some.into_iter().for_each(|(name, count)| *all.entry(name).or_default() += count);
        }
    }
}

#[test]
fn compiled_forms_agree_with_the_reference_on_all_that_the_language_has() {
    let (cases, seed) = (setting("FOOTFALL_FUZZ_CASES", CASES), setting("FOOTFALL_FUZZ_SEED", 1));
    let next = AtomicUsize::new(0);
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut all = Findings::default();
        loop {
            let first = CHUNK * next.fetch_add(1, Ordering::Relaxed);
            if first >= cases {
                return all;
            }
            all.add(runtime.block_on(chunk(seed, first..cases.min(first + CHUNK))));
        }
    };
    let threads = thread::available_parallelism().map_or(2, |count| count.get().min(4));
    let mut all = Findings::default();
    thread::scope(|scope| {
        let spawn = |_| thread::Builder::new().stack_size(16 << 20).spawn_scoped(scope, work).unwrap();
        let workers: Vec<_> = (0..threads).map(spawn).collect();
        workers.into_iter().for_each(|worker| all.add(worker.join().unwrap()));
    });
    let Findings { compared, mut failures, reach, written, outcomes, shapes, compiled_to } = all;
    println!("{compared} pairs of {cases} expressions, seed {seed}, {} things come across: {outcomes:?}", reach.len());
    println!("nested: {shapes:?}, compiled to {compiled_to:?}");
    failures.sort_by_key(String::len);
    let shown = failures.iter().take(12).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "seed {seed}: {} of {cases} expressions differ:\n{shown}", failures.len());
    if cases < CASES {
        return;
    }
    assert!(compared >= 10 * cases, "{compared} pairs of {cases} expressions");
    let missing = reach.missing();
    assert!(missing.is_empty(), "{} things were never come across:\n{}", missing.len(), missing.join("\n"));
    let unwritten: Vec<_> = FORMS.iter().filter(|form| !written.contains(*form)).collect();
    assert!(unwritten.is_empty(), "never written: {unwritten:?}");
    for shape in SHAPES {
        assert!(shapes.get(shape).is_some_and(|count| *count >= 3), "{shape}: {shapes:?}");
    }
    let count = |form: &str| compiled_to.get(form).copied().unwrap_or(0_usize);
    // The others name lists written in the expression, `split` or `regex_replace` somewhere.
    let all: usize = compiled_to.values().sum();
    assert!(3 * count("columns") > all, "quantifiers have a columnar form: {compiled_to:?}");
}

/// Expressions of these numbers, on a table of their own.
async fn chunk(seed: usize, cases: std::ops::Range<usize>) -> Findings {
    let mut random = Random::new(((seed as u64) << 32) | cases.start as u64);
    let texts = random.pick(&[TextType::Utf8, TextType::View, TextType::Dictionary]);
    let mut table = Table::new((0..ROWS).map(|_| row(&mut random)).collect(), texts);
    let mut findings = Findings::default();
    for case in cases {
        let mut writer = Writer::new(&mut random);
        let text = writer.expression(case);
        findings.written.append(&mut writer.forms);
        let tree = parse_expression(&text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let nested = shapes_of(&tree);
        if nested.contains("quantifier") {
            *findings.compiled_to.entry(table.form(&tree, &CLOCK)).or_default() += 1;
        }
        nested.into_iter().for_each(|shape| *findings.shapes.entry(shape).or_default() += 1);
        table.way = if case % QUERY_OF == 0 { Way::Query } else { Way::Batch };
        match compare_noting(&text, &tree, &table, &CLOCK, &mut findings.reach).await {
            Ok(values) => {
                findings.compared += values.len();
                values.iter().for_each(|value| *findings.outcomes.entry(outcome(value)).or_default() += 1);
            }
            Err(failure) => findings.failures.push(format!("case {case}: {failure}")),
        }
    }
    findings
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
