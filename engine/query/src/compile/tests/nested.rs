//! Lists and maps: read once, laid out right whatever their sizes, and what they cost is bounded.

use chrono_tz::Tz;
use datafusion::arrow::array::{ArrayRef, AsArray, StringArray};
use datafusion::arrow::datatypes::Float64Type;
use footfall_lang::parse_expression;
use footfall_model::Value;
use std::sync::Arc;

use super::table::{Found, Row, Table, TextType, compare};
use crate::compile::Clock;
use crate::compile::nested::count;

const CLOCK: Clock = Clock { now: 1_700_000_000, timezone: Tz::UTC };

fn row(json: serde_json::Value) -> Row {
    let serde_json::Value::Object(members) = json else { panic!("no object") };
    Row { properties: members.into_iter().map(|(key, value)| (key, Value::from(value))).collect(), ..Row::default() }
}

fn orders(count: usize) -> Table {
    let item =
        |n: usize| serde_json::json!({"sku": format!("s{n}"), "price": n % 7, "tags": ["a", n % 3], "more": {"k": n}});
    let items = |n: usize| (0..n % 5).map(|i| item(n + i)).collect::<Vec<_>>();
    Table::new((0..count).map(|n| row(serde_json::json!({"items": items(n), "min": n % 4}))).collect(), TextType::View)
}

async fn check(text: &str, table: &Table) -> Vec<Found> {
    let tree = parse_expression(text).unwrap();
    assert_eq!(table.form(&tree, &CLOCK), "columns", "{text}");
    compare(text, &tree, table, &CLOCK).await.unwrap()
}

/// Each of these names the list at least ten times, in different ways.
#[tokio::test]
async fn a_property_is_read_once_however_often_it_is_named() {
    let table = orders(200);
    let mention = |n: usize| format!("any(i['price'] == {n} and i['sku'] != 's{n}' for i in properties['items'])");
    let either: Vec<String> = (0..10).map(mention).collect();
    let mixed = "len(filter(i, properties['items'], i['price'] > properties['items'][0]['price'])) > 1 \
        or sum(map(i, properties['items'], i['price'])) > 10 and 'a' in properties['items'][1]['tags'] \
        or any(any(t == i['price'] for t in i['tags']) for i in properties['items']) \
        or properties['items'][0]['more']['k'] == 7 or properties['items'][1]['more'] == properties['items'][0]['more'] \
        or all(i in properties['items'] for i in properties['items']) \
        or let(l, properties['items'], len(l) == 3 and any(i['price'] == properties['min'] for i in l))";
    // After `and`, DataFusion may go on with the few rows that are left; these are a batch of their own.
    for (text, most) in [(either.join(" or "), 200), (either.join(" and "), 250), (mixed.to_owned(), 250)] {
        let tree = parse_expression(&text).unwrap();
        count::take();
        table.values(&tree, &CLOCK).await.unwrap();
        let read = count::take();
        assert!((200..=most).contains(&read), "{read} texts read for 200 rows: {text}");
        check(&text, &table).await;
    }
}

#[tokio::test]
async fn only_what_is_asked_for_is_read_of_odd_texts() {
    // As storage writes none: white space, a key twice, and what is no JSON at all.
    let texts = [
        " [ { \"a\" : 1 , \"a\" : 2 } , 3 ] ",
        "[{\"b\":{\"a\":[1,{}]},\"a\":\"\\u0041\"}]",
        "[{\"a\":1}",
        "junk",
        "{\"a\":2}",
        "[{\"\\u0061\":2}]",
        "null",
    ];
    let found = |text: &str| {
        let decoder = crate::compile::nested::Decoder::default();
        decoder.ask_for_test();
        let array: ArrayRef = Arc::new(StringArray::from(vec![Some("[]"), None, Some(text)]));
        let columns = decoder.decode_for_test(&[array]).unwrap();
        let lists = columns.column_by_name("#list").unwrap().as_list_view::<i32>().clone();
        let elements = lists.value(2);
        let numbers = elements.as_struct().column_by_name("[\"a\"]#number").unwrap();
        (
            numbers.as_primitive::<Float64Type>().iter().collect::<Vec<_>>(),
            datafusion::arrow::array::Array::is_valid(&lists, 2),
        )
    };
    let expect: [(Vec<Option<f64>>, bool); 7] = [
        (vec![Some(2.0), None], true),
        (vec![None], true),
        (vec![], false),
        (vec![], false),
        (vec![], false),
        (vec![Some(2.0)], true),
        (vec![], false),
    ];
    for (text, expect) in texts.into_iter().zip(expect) {
        assert_eq!(found(text), expect, "{text}");
    }
}

/// A property that was sent as a list and as a single value, and what is inside of an element.
#[tokio::test]
async fn a_single_value_is_a_list_of_one() {
    let values =
        serde_json::json!([["a", "b", 1], "a", 1, 1.5, true, null, [], {"a": "a"}, [["a"], {"a": 1}], "b", -0.0]);
    let rows =
        values.as_array().unwrap().iter().map(|x| row(serde_json::json!({"x": x, "l": [x], "t": "a"}))).collect();
    let table = Table::new(rows, TextType::View);
    for text in [
        "'a' in list(properties['x'])",
        "properties['t'] in list(properties['x']) and not (1 in list(properties['x']))",
        "any(x == properties['t'] or x == true or x > 1 for x in list(properties['x']))",
        "any('a' in list(x) for x in properties['l'])",
        "sum(list(properties['x']))",
        "len(list(properties['x'])) + len(list(properties['t'])) + len(properties['l'])",
        "any(e['a'] == 1 or e['a'] == 'a' for e in list(properties['x']))",
        "len(list(filter(e, properties['x'], e == 'a')))",
    ] {
        check(text, &table).await;
    }
}

/// A property that was only ever null, stored apart from lists, has no column that a list could come from.
#[tokio::test]
async fn a_list_of_what_was_only_null_is_undefined() {
    let rows = [serde_json::json!({"gone": null, "l": [1]}), serde_json::json!({"l": [2, 3]})].map(row);
    for texts in [TextType::View, TextType::Utf8] {
        let table = Table::new(rows.to_vec(), texts);
        for text in [
            "map(x, list(properties['gone']), x < properties['l'])",
            "any(any(x == y for y in list(properties['gone'])) for x in properties['l'])",
            "len(list(properties['gone'])) == undefined",
            "sum(list(properties['never']))",
        ] {
            let tree = parse_expression(text).unwrap();
            compare(text, &tree, &table, &CLOCK).await.unwrap();
        }
    }
}

/// More elements than a body takes at a time, in rows of very different sizes.
#[tokio::test]
async fn lists_that_multiply_are_taken_in_parts() {
    let numbers = |count: usize| (0..count).collect::<Vec<_>>();
    let rows = [0, 1, 400, 0, 3, 300, 2];
    let rows = rows.map(|count| row(serde_json::json!({"l": numbers(count), "m": numbers(count / 2), "n": [count]})));
    let table = Table::new(rows.to_vec(), TextType::Utf8);
    check("any(all(x >= y for x in properties['l']) for y in properties['m'])", &table).await;
    check("all(any(x == y for y in properties['l']) for x in properties['m'])", &table).await;
    check("sum(map(x, properties['l'], sum(map(y, properties['m'], x * y))))", &table).await;
    check("len(filter(x, properties['l'], any(x in properties['n'] or x == y + 1 for y in properties['m'])))", &table)
        .await;
}

#[tokio::test]
async fn what_a_record_costs_is_bounded() {
    let numbers: Vec<usize> = (0..4_000).collect();
    let table =
        Table::new(vec![row(serde_json::json!({"l": numbers})), row(serde_json::json!({"l": [1]}))], TextType::Utf8);
    let nested = |depth: usize| {
        let open: String = (0..depth).map(|n| format!("all(x{n}, properties['l'], ")).collect();
        format!("{open}x0 >= 0{}", ")".repeat(depth))
    };
    for (depth, expect) in [(1, Found::Bool(true)), (2, Found::TypeError), (30, Found::TypeError)] {
        let tree = parse_expression(&nested(depth)).unwrap();
        assert_eq!(table.form(&tree, &CLOCK), "columns");
        let found = table.values(&tree, &CLOCK).await.unwrap();
        assert_eq!(found, [expect, Found::Bool(true)], "{depth} deep");
    }
}
