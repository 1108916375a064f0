//! Whatever parses evaluates without panic on whatever record, the same way twice and after printing, and to a value
//! that keeps the invariants. `FOOTFALL_FUZZ_CASES` sets the number of cases.

use chrono_tz::Tz;
use footfall_eval::{Clock, EvalValue, Members, Record, evaluate, evaluate_formula, matches, segment_keys};
use footfall_lang::parse_expression;
use footfall_model::Value;
use proptest::prelude::*;

/// Templates with holes: nearly everything that comes out parses and meets values of every type.
const SHAPES: [&str; 40] = [
    "~ or ~",
    "~ and ~",
    "not ~",
    "~ == ~",
    "~ != ~",
    "~ < ~",
    "~ >= ~",
    "~ in ~",
    "~ not in ~",
    "~ + ~",
    "~ - ~",
    "~ * ~",
    "~ / ~",
    "~ % ~",
    "-~",
    "string(~, ~)",
    "number(~)",
    "boolean(~)",
    "datetime(~)",
    "list(~)",
    "round(~)",
    "max(~, ~)",
    "has_prefix(~, ~)",
    "upper(~)",
    "len(~)",
    "left(~, ~)",
    "right(~, ~)",
    "mid(~, ~, ~)",
    "split(~, ~)",
    "split(~, ~, ~)",
    "regex_extract(~, '(a)|b', ~)",
    "regex_replace(~, 'a*', ~)",
    "if(~, ~, ~)",
    "ifs(~, ~, ~, ~)",
    "sum(~)",
    "datedif(~, ~, 'MD')",
    "week(~)",
    "any(x, ~, ~)",
    "filter(x, ~, ~)",
    "map(x, ~, ~)",
];
const LEAVES: [&str; 24] = [
    "1",
    "0",
    "2.5",
    "1e308",
    "true",
    "false",
    "null",
    "undefined",
    "NOW",
    "''",
    "'a'",
    "'2024-03-10T02:30:00'",
    "'-12.5e1'",
    "'é😀'",
    "','",
    "[]",
    "[1, 'a', [null]]",
    "today()",
    "properties['a']",
    "properties['b'][0]",
    "user['c']['k']",
    "event['a']",
    "behaviors['b']",
    "-1",
];

/// Fills the holes of a template from the bytes, and those of what fills them.
fn grow(bytes: &mut impl Iterator<Item = u8>, depth: usize) -> String {
    let byte = bytes.next().map_or(0, usize::from);
    if depth == 0 || byte.is_multiple_of(4) {
        return LEAVES[byte / 4 % LEAVES.len()].to_owned();
    }
    let shape = SHAPES[byte % SHAPES.len()];
    shape.chars().map(|c| if c == '~' { format!("({})", grow(bytes, depth - 1)) } else { c.to_string() }).collect()
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_map(Value::Float),
        "\\PC{0,12}".prop_map(Value::Text),
        "[0-9]{4}-[01][0-9]-[0-3][0-9]".prop_map(Value::Text),
    ];
    leaf.prop_recursive(3, 20, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
            prop::collection::vec(("[a-k]", inner), 0..5).prop_map(Value::Map),
        ]
    })
}

/// The invariants of a value: numbers are finite, also inside lists.
fn sound(value: &EvalValue) -> bool {
    match value {
        EvalValue::Number(number) => number.is_finite(),
        EvalValue::List(items) => items.iter().all(sound),
        EvalValue::Map(map) => map.iter().all(|(_, member)| sound(member)),
        _ => true,
    }
}

fn cases() -> u32 {
    std::env::var("FOOTFALL_FUZZ_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(500)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn every_tree_evaluates(
        bytes in prop::collection::vec(any::<u8>(), 1..60),
        a in any_value(),
        b in any_value(),
        c in any_value(),
        now in any::<i64>(),
        zone in prop::sample::select(vec![Tz::UTC, Tz::America__New_York, Tz::Asia__Kathmandu, Tz::Pacific__Apia]),
    ) {
        let members = [("a".to_owned(), a), ("b".to_owned(), b), ("c".to_owned(), c)];
        let members = Members(&members);
        let record = Record { properties: &members, event: &members, user: &members, behaviors: &members };
        let clock = Clock { now, timezone: zone };
        let text = grow(&mut bytes.into_iter(), 4);
        let tree = parse_expression(&text).map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?;
        let found = evaluate(&tree, &record, &clock);
        if let Ok(value) = &found {
            prop_assert!(sound(value), "{text}: {value:?}");
            prop_assert!(!segment_keys(value, zone).is_empty());
        }
        prop_assert_eq!(&evaluate(&tree, &record, &clock), &found);
        let printed = parse_expression(&tree.to_string()).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(evaluate(&printed, &record, &clock).ok(), found.ok());
        let _ = matches(&tree, &record, &clock);
        let _ = evaluate_formula(&tree, &record, &clock);
    }
}
