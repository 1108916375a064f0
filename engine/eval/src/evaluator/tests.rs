use chrono_tz::Tz;
use footfall_lang::{parse_expression, parse_segment};
use footfall_model::Value;

use super::*;
use crate::{Map, segment_keys};

const CLOCK: Clock = Clock { now: 1_700_000_000, timezone: Tz::America__New_York };

fn properties(json: &str) -> Map {
    match EvalValue::from(&Value::from(serde_json::from_str::<serde_json::Value>(json).unwrap())) {
        EvalValue::Map(map) => map,
        other => panic!("not a map: {other:?}"),
    }
}

/// The value's segment keys joined, or the message and span of the type error.
fn check_on(text: &str, json: &str, expect: &str) {
    let record = properties(json);
    let found = match evaluate(&parse_expression(text).unwrap(), &Record::event(&record), &CLOCK) {
        Ok(value) => segment_keys(&value, CLOCK.timezone).join("|"),
        Err(error) => format!("{} @{:?}", error.message, error.span),
    };
    assert_eq!(found, expect, "{text} on {json}");
}

fn check(text: &str, expect: &str) {
    check_on(text, "{}", expect);
}

#[test]
fn type_errors_say_where() {
    check("true and 5", "an operand of `and` must be boolean, found a number @9..10");
    check("'x' or true", "an operand of `or` must be boolean, found a string @0..3");
    check("if(null, 1, 2)", "a condition of `if` must be boolean, found null @3..7");
    check("ifs(false, 1, [], 2)", "a condition of `ifs` must be boolean, found a list @14..16");
    check("filter(x, [1], x)", "the body of `filter` must be boolean, found a number @15..16");
    check("defined(true and 5)", "an operand of `and` must be boolean, found a number @17..18");
    check("string(1, false or 5)", "an operand of `or` must be boolean, found a number @19..20");
}

#[test]
fn only_the_chosen_branch_is_evaluated() {
    check("if(true, 1, true and 5)", "1");
    check("if(undefined, true and 5, 2)", "2");
    check("ifs(true, 1, 5, 2)", "1");
    check("ifs(false, true and 5, true, 2)", "2");
}

#[test]
fn quantifiers_do_not_short_circuit() {
    check("any(x for x in [true, 5])", "the body of `any` must be boolean, found a number @4..5");
    check("all(x for x in [false, 5])", "the body of `all` must be boolean, found a number @4..5");
    check("any(x for x in [undefined, true])", "true");
    check("all(x for x in [undefined, true])", "false");
    check("map(x, [1, 'a'], x + 1)", "2|undefined");
    check("filter(x, 5, true)", "undefined");
}

#[test]
fn a_date_literal_is_local_and_data_is_utc() {
    let record = r#"{"t": "2024-01-01"}"#;
    check("number(datetime('2024-01-01'))", "1704085200");
    check_on("number(datetime(properties['t']))", record, "1704067200");
    check("datetime('2024-01-01') == '2024-01-01'", "true");
    check_on("datetime('2024-01-01') == properties['t']", record, "false");
    check_on("datetime(properties['t']) < '2024-01-01'", record, "true");
    check("datetime('2024-01-01') in ['2024-01-01']", "true");
    check("let(d, '2024-01-01', number(datetime(d)))", "1704067200");
    check("number(datetime('2024-' + '01-01'))", "1704067200");
    check("day('2024-01-01')", "1");
    check_on("day(properties['t'])", record, "31");
    check("datedif('2024-01-01', '2024-01-02', 'd')", "1");
    check("string(datetime('2024-01-01'))", "2024-01-01T00:00:00");
    check("today()", "2023-11-14T00:00:00");
    check("week(5)", "undefined");
}

#[test]
fn casts_with_defaults() {
    check("string(null, 'x')", "x");
    check("number('a', 'b')", "b");
    check("boolean(undefined, true)", "false");
    check("datetime('a', null)", "null");
    check("string(1, 'x')", "1");
}

#[test]
fn texts_and_patterns() {
    check("length('é日') + len([1])", "3");
    check("regex_extract('ABC', 'b(.)', '1')", "undefined");
    check("regex_extract('ABC', 'b(.)')", "BC");
    check("regex_match(5, 'a')", "undefined");
    check("regex_replace('aXa', 'A', '$0')", "$0X$0");
    check("regex_replace('a', 'a', 1)", "undefined");
    check("sum([])", "0");
    check("sum([1, '2', null, 3])", "4");
    check("sum([1e308, 1e308])", "undefined");
    check("min(1, null)", "undefined");
}

#[test]
fn names_hide_and_return() {
    check("let(x, 1, any(x, [2], x == 2) and x == 1)", "true");
    check("let(a, 1, a, a + 1, a)", "2");
    check_on("map(x, properties['l'], map(y, x, y + len(x)))", r#"{"l": [[1], [1, 2]]}"#, "[2]|[3,4]");
}

#[test]
fn a_formula_folds_case() {
    let tree = parse_expression("'A' == 'a' and 'B' in ['b'] and not 'A' != 'a'").unwrap();
    let record = Record::event(&crate::Nothing);
    assert_eq!(evaluate(&tree, &record, &CLOCK), Ok(EvalValue::Bool(false)));
    assert_eq!(evaluate_formula(&tree, &record, &CLOCK), Ok(EvalValue::Bool(true)));
}

#[test]
fn filters_keep_or_drop() {
    let record = Record::event(&crate::Nothing);
    let check = |text: &str, expect: Option<bool>| {
        let found = matches(&parse_expression(text).unwrap(), &record, &CLOCK);
        assert_eq!(found.ok(), expect, "{text}");
    };
    check("properties['x'] != 1", Some(true));
    check("properties['x'] > 1", Some(false));
    check("not (properties['x'] > 1)", Some(true));
    check("false", Some(false));
    check("null", None);
    check("'a'", None);
}

#[test]
fn sources_are_closures_too() {
    let upper = |key: &str| EvalValue::from(key.to_uppercase());
    let record = Record { user: &upper, ..Record::event(&crate::Nothing) };
    let tree = parse_expression("user['a'] + string(behaviors['b'], '-')").unwrap();
    assert_eq!(evaluate(&tree, &record, &CLOCK), Ok(EvalValue::from("A-")));
    let members = [("k".to_owned(), Value::Int(3))];
    let tree = parse_segment("k").tree.unwrap();
    assert_eq!(evaluate(&tree, &Record::profile(&crate::Members(&members)), &CLOCK), Ok(EvalValue::Number(3.0)));
}

#[test]
fn chains_are_folded_in_a_loop() {
    let sum = format!("1{}", "+1".repeat(32_767));
    check(&sum, "32768");
    check(&format!("''{}", " in ''".repeat(10_000)), "undefined");
    check(&vec!["user['a'] > 1"; 3000].join(" or "), "false");
}

/// At each of 256 levels one operator of every binding, each nested to the right, on the stack of a worker thread.
#[test]
fn the_deepest_tree_fits_a_small_stack() {
    let operators = format!("{}1{}", "1 + 1 in 1 + 1 * (".repeat(256), ")".repeat(256));
    let every = format!("{}true{}", "false or true and true == undefined + 1 * (".repeat(256), ")".repeat(256));
    let quantifiers = format!("{}true{}", "true and any(x, [1], ".repeat(255), ")".repeat(255));
    let calls = format!("{}1{}", "1 + 1 * if(true, ".repeat(256), ", 1)".repeat(256));
    let work = move || {
        check(&operators, "undefined");
        check(&every, "false");
        check(&quantifiers, "true");
        check(&calls, "257");
    };
    std::thread::Builder::new().stack_size(1280 << 10).spawn(work).unwrap().join().unwrap();
}

/// Small texts that would run for ever, or take all memory, without a budget.
#[test]
fn the_cost_of_an_evaluation_is_bounded() {
    let list = format!("[{}]", vec!["1"; 100].join(","));
    let nested = format!("{}true{}", format!("all(x, {list}, ").repeat(20), ")".repeat(20));
    let doubling_text = format!("let(a, 'xxxxxxxxxxxxxxxx', {}len(a))", "a, a + a, ".repeat(1000));
    let doubling_list = format!("let(a, [1, 1], {}a == [])", "a, map(x, [1, 1], a), ".repeat(1000));
    let replaced = format!("let(a, 'aaaaaaaaaaaaaaaa', {}len(a))", "a, regex_replace(a, 'a', a), ".repeat(20));
    for text in [nested, doubling_text, doubling_list, replaced] {
        let found = evaluate(&parse_expression(&text).unwrap(), &Record::event(&crate::Nothing), &CLOCK);
        let message = found.expect_err("a bounded evaluation").message;
        assert_eq!(message, "evaluation costs too much, cost_max=10000000", "{text:.60}");
    }
    let deep_list = format!("let(a, [1], {}len(a))", "a, map(x, [1], a), ".repeat(3000));
    let found = evaluate(&parse_expression(&deep_list).unwrap(), &Record::event(&crate::Nothing), &CLOCK);
    assert_eq!(found.expect_err("bounded depth").message, "`map` nests lists too deeply, depth_max=512");
}
