//! What common filters compile to, written as people read plans; and that hostile ones stay small.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono_tz::Tz;
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::common::DFSchema;
use datafusion::logical_expr::expr_fn::ident;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::prelude::SessionContext;
use footfall_lang::ast::Source;
use footfall_lang::parse_expression;
use footfall_model::Value;

use super::table::{Row, Table, TextType, compare};
use crate::compile::{Clock, PropertyColumns, PropertyResolver, compile_segment, compile_where, properties_of};

const CLOCK: Clock = Clock { now: 1_700_000_000, timezone: Tz::UTC };

/// Columns named after the types they hold: `t` text, `i` int, `f` float, `b` bool, `j` json, `n` null,
/// `d` datetime, `u` time.
struct Names;

impl PropertyResolver for Names {
    fn property(&self, _: Source, key: &str) -> PropertyColumns {
        let column = |lane: char| {
            key.contains(lane).then(|| ident(if key.len() == 1 { key.to_owned() } else { format!("{key}_{lane}") }))
        };
        PropertyColumns {
            bool: column('b'),
            int: column('i'),
            float: column('f'),
            text: column('t'),
            json: column('j'),
            null: column('n'),
            datetime: column('d'),
            unix_time: column('u'),
        }
    }
}

fn check(text: &str, predicate: &str, type_error: Option<&str>) {
    let tree = parse_expression(text).unwrap();
    let compiled = compile_where(&tree, &Names, &CLOCK).unwrap();
    let found = (compiled.predicate.to_string(), compiled.type_error.map(|error| error.to_string()));
    assert_eq!((&*found.0, found.1.as_deref()), (predicate, type_error), "{text}");
}

#[test]
fn a_common_filter_is_what_a_person_would_write() {
    let check = |text: &str, predicate: &str| check(text, predicate, None);
    check("properties['t'] == 'pro'", r#"t = Utf8("pro")"#);
    check("properties['t'] != 'pro'", r#"t IS DISTINCT FROM Utf8("pro")"#);
    check("not properties['i'] == 5", "i IS DISTINCT FROM Int64(5)");
    check("properties['i'] > 5", "i > Int64(5)");
    check("5 < properties['i']", "i > Int64(5)");
    check("properties['if'] <= 10", "if_i <= Int64(10) OR if_f <= Float64(10)");
    check("properties['tifbj'] == 'pro'", r#"tifbj_t = Utf8("pro")"#);
    check("properties['b'] and properties['b'] == true", "b AND b");
    check("properties['t'] in ['a', 'b', 5]", r#"t IN ([Utf8("a"), Utf8("b")])"#);
    check("'x' in properties['t']", r#"contains(t, Utf8("x"))"#);
    check("let(a, properties['i'], a > 1 and a < 5)", "i > Int64(1) AND i < Int64(5)");
    check("defined(properties['tj'])", r#"tj_t IS NOT NULL OR tj_j != Utf8("null")"#);
    check("properties['ti'] == undefined", "ti_i IS NULL AND ti_t IS NULL");
    check("any(x == 5 for x in properties['t'])", "Boolean(false)");
    check("'x' in properties['tn'] or null == properties['tn']", r#"contains(tn_t, Utf8("x")) OR tn_n"#);
}

#[test]
fn a_number_is_a_double_whatever_its_column() {
    let check = |text: &str, predicate: &str| check(text, predicate, None);
    check("properties['i'] >= 2.5", "i >= Int64(3)");
    check("properties['i'] == 2.5", "i < Int64(-9223372036854775808)");
    check("properties['i'] < 1e30", "i >= Int64(-9223372036854775808)");
    // 9007199254740993 is the same double.
    check("properties['i'] > 9007199254740992", "i > Int64(9007199254740993)");
    check("properties['i'] == 9007199254740992", "i >= Int64(9007199254740992) AND i <= Int64(9007199254740993)");
    check("properties['i'] in [1, 2.5, 3]", "i IN ([Int64(1), Int64(3)])");
    // Arrow's order of doubles has −0 below 0.
    check("properties['f'] == 0", "f = Float64(0) OR f = Float64(-0)");
    check("properties['f'] >= 0", "f >= Float64(-0)");
    check("properties['f'] > -0", "f > Float64(0)");
}

#[test]
fn a_time_is_compared_on_its_column() {
    let check = |text: &str, predicate: &str| check(text, &predicate.replace("$", "Some(\"UTC\")"), None);
    check("properties['d'] >= datetime('2024-01-01')", "d >= TimestampMillisecond(1704067200000, $)");
    check("properties['d'] > '2024-01-01'", "d >= TimestampMillisecond(1704067201000, $)");
    check("datetime(properties['d']) <= datetime(NOW)", "d < TimestampMillisecond(1700000001000, $)");
    check(
        "properties['u'] == 1704164645",
        "u >= TimestampMillisecond(1704164645000, $) AND u < TimestampMillisecond(1704164646000, $)",
    );
}

#[test]
fn errors_that_the_value_excludes_do_not_burden_the_filter() {
    check("properties['bt']", "bt_b", Some("bt_t IS NOT NULL"));
    check("properties['bt'] and properties['i'] > 1", "bt_b AND i > Int64(1)", Some("bt_t IS NOT NULL"));
    check(
        "properties['bt'] or properties['bt'] or properties['i'] > 1",
        "(bt_b OR bt_b OR i > Int64(1)) AND bt_t IS NULL",
        Some("bt_t IS NOT NULL"),
    );
    let field = |text: &str, name: &str| format!("get_field(expression_nested[{text}](j), Utf8(\"{name}\"))");
    let text = r#"any(x, properties["j"], x == 5)"#;
    check(text, &field(text, "bool"), None);
    let text = r#"any(x, properties["j"], x)"#;
    check(text, &field(text, "bool"), Some(&field(text, "error")));
}

#[test]
fn properties_are_listed_once_in_order() {
    let tree = parse_expression("user['b'] + properties['a'] + user['b'] + event['a'] > len(properties['c'])").unwrap();
    let expect = [(Source::User, "b"), (Source::Properties, "a"), (Source::Event, "a"), (Source::Properties, "c")];
    assert_eq!(properties_of(&tree), expect.map(|(source, key)| (source, key.to_owned())));
}

/// Whether statistics of the columns alone can exclude a file or row group.
#[tokio::test]
async fn filters_prune() {
    let zoned = || DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let fields = [
        ("t", DataType::Utf8),
        ("i", DataType::Int64),
        ("f", DataType::Float64),
        ("b", DataType::Boolean),
        ("d", zoned()),
        ("if_i", DataType::Int64),
        ("if_f", DataType::Float64),
    ];
    let schema = Schema::new(fields.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec());
    let named = DFSchema::try_from(schema.clone()).unwrap();
    let state = SessionContext::new().state();
    let schema = Arc::new(schema);
    for (text, prunes) in [
        ("properties['t'] == 'pro'", true),
        ("properties['t'] in ['a', 'b']", true),
        ("properties['i'] > 5 and properties['f'] < 0", true),
        ("properties['i'] in [1, 2]", true),
        ("properties['if'] == 5", true),
        ("properties['f'] == 0", true),
        ("properties['b'] == true or properties['i'] == 9007199254740992", true),
        ("properties['d'] >= datetime('2024-01-01') and properties['t'] + 'x' == 'y'", true),
        ("properties['t'] == undefined", true),
        ("defined(properties['t']) and not (properties['i'] > 5)", true),
        ("properties['t'] != 'pro'", true),
        ("properties['i'] + 1 > 5", false),
    ] {
        let tree = parse_expression(text).unwrap();
        let predicate = compile_where(&tree, &Names, &CLOCK).unwrap().predicate;
        let predicate = state.create_physical_expr(predicate, &named).unwrap();
        let pruning =
            PruningPredicateBuilder::new().with_file_schema(Arc::clone(&schema)).try_build(predicate).unwrap();
        assert_eq!(!pruning.always_true(), prunes, "{text}: {:?}", pruning.predicate_expr().to_string());
    }
}

async fn check_hostile(text: &str) {
    let tree = parse_expression(text).unwrap();
    let row = |json: &str| Row {
        properties: serde_json::from_str::<BTreeMap<String, serde_json::Value>>(json)
            .unwrap()
            .into_iter()
            .map(|(key, value)| (key, Value::from(value)))
            .collect(),
        ..Row::default()
    };
    let rows = vec![row(r#"{"a": 1, "b": true}"#), row(r#"{"a": "x"}"#), row(r#"{"a": [1], "b": null}"#)];
    let table = Table::new(rows, TextType::Utf8);
    let short: String = text.chars().take(60).collect();
    let started = std::time::Instant::now();
    compare(&short, &tree, &table, &CLOCK).await.unwrap();
    println!("{:?} {short}", started.elapsed());
}

/// On the small stack of a test thread.
#[tokio::test]
async fn long_chains_and_deep_nests_are_compiled() {
    let chain = |term: &str, op: &str, count: usize| vec![term; count].join(op);
    check_hostile(&chain("properties['a'] == 1", " or ", 2_500)).await;
    check_hostile(&chain("properties['a'] != 2", " and ", 2_500)).await;
    check_hostile(&chain("properties['a'] == 1 and properties['b']", " or ", 1_000)).await;
    check_hostile(&format!("{} > 5", chain("properties['a']", " + ", 3_000))).await;
    check_hostile(&chain("properties['a']", " == ", 3_000)).await;
    check_hostile(&chain("properties['a']", " in ", 3_000)).await;
    check_hostile(&format!("{}properties['b']", "not ".repeat(250))).await;
    check_hostile(&format!("{}properties['b']{}", "(true and ".repeat(250), ")".repeat(250))).await;
    check_hostile(&format!("{}properties['a']{}", "1 + (".repeat(250), ")".repeat(250))).await;
}

/// Each doubles something at every link.
#[tokio::test]
async fn what_would_explode_is_left_to_the_fallback() {
    let doubling: String = (0..60).map(|i| format!("x{}, x{i} + x{i}, ", i + 1)).collect();
    check_hostile(&format!("let(x0, properties['a'], {doubling}x60 > 1)")).await;
    let nested =
        |open: &str, close: &str, count: usize| format!("{}properties['a']{}", open.repeat(count), close.repeat(count));
    check_hostile(&nested("defined(if(properties['b'] == true, ", ", properties['a']))", 60)).await;
    check_hostile(&nested("string(", ", properties['a'])", 60)).await;
    check_hostile(&nested("(properties['a'] < (", ") == properties['b'])", 60)).await;
    let filters: String = (0..300).map(|i| format!("x{}, any(y == x{i} for y in properties['a']), ", i + 1)).collect();
    check_hostile(&format!("let(x0, properties['b'], {filters}x300)")).await;
}

#[test]
fn a_text_segment_is_its_column() {
    let tree = parse_expression("properties['t']").unwrap();
    let compiled = compile_segment(&tree, &Names, &CLOCK).unwrap();
    assert_eq!(compiled.key.to_string(), r#"coalesce(t, Utf8("undefined"))"#);
    assert_eq!((compiled.list, compiled.type_error), (None, None));
}
