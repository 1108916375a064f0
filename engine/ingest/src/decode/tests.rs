use super::*;

fn json(text: &str) -> Result<Vec<Item>, DecodeError> {
    decode(text.as_bytes(), Form::Json, Damage::Refuse)
}

fn first(text: &str) -> Record {
    match json(text).unwrap().remove(0) {
        Item::Record(record) => record,
        other => panic!("{other:?}"),
    }
}

fn members(text: &str) -> Vec<(String, Value)> {
    match first(text).properties {
        Properties::Members(members) => members,
        other => panic!("{other:?}"),
    }
}

#[test]
fn objects_arrays_and_lines_are_records() {
    let check = |text: &str, form: Form, expect: Result<usize, DecodeError>| {
        assert_eq!(decode(text.as_bytes(), form, Damage::Refuse).map(|items| items.len()), expect, "{text}");
    };
    check("{}", Form::Json, Ok(1));
    check(" [{},{}]\n", Form::Json, Ok(2));
    check("[1,null,[],\"x\",{}]", Form::Json, Ok(5));
    check("{}\n\n  \r\n{}\r\nnonsense\n", Form::Ndjson, Ok(3));
    check("", Form::Json, Err(DecodeError::Empty));
    check(" \n ", Form::Ndjson, Err(DecodeError::Empty));
    check("[]", Form::Json, Err(DecodeError::Empty));
    for nonsense in ["17", "\"x\"", "null", "[{}", "{} {}", "{\"a\":}", "[{},]", "{'a':1}", "[1e999]", "NaN"] {
        check(nonsense, Form::Json, Err(DecodeError::InvalidJson));
    }
}

#[test]
fn elements_that_are_no_records_are_told_apart() {
    assert_eq!(json("[1]").unwrap(), [Item::NotAnObject]);
    assert_eq!(json("[[[{}]]]").unwrap(), [Item::NotAnObject]);
    let lines = decode(b"[{}]\n{", Form::Ndjson, Damage::Refuse).unwrap();
    assert_eq!(lines, [Item::NotAnObject, Item::Malformed]);
}

#[test]
fn two_thousand_records_and_no_more() {
    let many = |n: usize| format!("[{}]", vec!["{}"; n].join(","));
    assert_eq!(json(&many(2000)).unwrap().len(), 2000);
    assert_eq!(json(&many(2001)), Err(DecodeError::TooManyRecords));
    let lines = |n: usize| decode("{}\n".repeat(n).as_bytes(), Form::Ndjson, Damage::Refuse);
    assert_eq!(lines(2000).unwrap().len(), 2000);
    assert_eq!(lines(2001), Err(DecodeError::TooManyRecords));
}

#[test]
fn values_keep_their_type() {
    let text = r#"{"properties":{"a":1,"b":1.0,"c":-9223372036854775808,"d":18446744073709551615,"e":null,"f":true,
        "g":"\u00e9\"","h":[1,{"x":[]}],"distinct_id":18446744073709551615}}"#;
    let member = |name: &str, value| (name.to_string(), value);
    assert_eq!(
        members(text),
        [
            member("a", Value::Int(1)),
            member("b", Value::Float(1.0)),
            member("c", Value::Int(i64::MIN)),
            member("d", Value::Float(18446744073709551615.0)),
            member("e", Value::Null),
            member("f", Value::Bool(true)),
            member("g", Value::Text("é\"".into())),
            member("h", Value::List(vec![Value::Int(1), Value::Map(vec![member("x", Value::List(vec![]))])])),
            member("distinct_id", Value::Text("18446744073709551615".into())),
        ]
    );
}

#[test]
fn of_a_repeated_name_the_last_value_counts() {
    let text = r#"{"event":"a","properties":{"p":1},"event":"b","properties":{"p":1,"q":{"x":1,"x":2},"p":3}}"#;
    let record = first(text);
    assert_eq!(record.event, Some(Value::Text("b".into())));
    let inner = Value::Map(vec![("x".into(), Value::Int(2))]);
    assert_eq!(record.properties, Properties::Members(vec![("p".into(), Value::Int(3)), ("q".into(), inner)]));
}

#[test]
fn tokens_are_texts() {
    let token = |properties: &str| {
        let items = json(&format!(r#"{{"properties":{properties}}}"#)).unwrap();
        items[0].token().map(str::to_owned)
    };
    assert_eq!(token(r#"{"a":1,"token":"TOK"}"#).as_deref(), Some("TOK"));
    for none in [r#"{"token":""}"#, r#"{"token":17}"#, r#"{"token":null}"#, "{}", "[]", "null"] {
        assert_eq!(token(none), None, "{none}");
    }
    assert_eq!(Item::NotAnObject.token(), None);
}

#[test]
fn nothing_is_collected_beyond_its_limit() {
    let list = |n: usize| format!(r#"{{"properties":{{"l":[{}]}}}}"#, vec!["0"; n].join(","));
    let [(_, Value::List(items))] = &members(&list(100_000))[..] else { panic!() };
    assert_eq!(items.len(), crate::limits::NESTED_MAX + 1);
    assert!(first(&list(600_000)).bytes > crate::limits::RECORD_BYTES_MAX);

    let names: Vec<String> = (0..1_000_000).map(|i| format!("\"{i}\":1")).collect();
    let record = first(&format!(r#"{{"properties":{{{}}}}}"#, names.join(",")));
    assert_eq!(record.properties, Properties::TooMany);
    let [(_, Value::Map(inner))] = &members(&format!(r#"{{"properties":{{"o":{{{}}}}}}}"#, names.join(",")))[..] else {
        panic!()
    };
    assert_eq!(inner.len(), crate::limits::NESTED_MAX + 1);
}

#[test]
fn sizes_are_those_of_the_text() {
    for text in [
        r#"{"event":"a","properties":{"token":"TOK","n":12345,"b":true,"l":[1,2,3],"o":{"k":"v"}}}"#,
        r#"{"event":"Sign Up","properties":{},"other":"beside"}"#,
    ] {
        let bytes = first(text).bytes;
        assert!(bytes.abs_diff(text.len()) <= 8, "{bytes} {}", text.len());
    }
}

#[test]
fn depth_is_bounded_wherever_it_stands() {
    let deep = "[".repeat(100_000);
    for text in [
        deep.clone(),
        format!(r#"{{"properties":{{"p":{deep}"#),
        format!(r#"{{"other":{deep}"#),
        format!("[{}{}]", deep, "]".repeat(100_000)),
        format!(r#"[{{"a":{}1{}}}]"#, r#"{"a":"#.repeat(100_000), "}".repeat(100_000)),
    ] {
        assert_eq!(json(&text), Err(DecodeError::InvalidJson));
        let lines = decode(text.as_bytes(), Form::Ndjson, Damage::Report).unwrap();
        assert_eq!(lines, [Item::Malformed]);
    }
    let allowed = format!(r#"{{"properties":{{"p":{}1{}}}}}"#, "[".repeat(100), "]".repeat(100));
    assert_eq!(json(&allowed).unwrap().len(), 1);
}

#[test]
fn bytes_that_are_no_text_fail_the_request_or_their_record() {
    let text = b"[{\"event\":\"a\",\"properties\":{\"p\":\"x\xff\"}},{\"event\":\"b\",\"properties\":{}}]";
    assert_eq!(decode(text, Form::Json, Damage::Refuse), Err(DecodeError::InvalidJson));
    let items = decode(text, Form::Json, Damage::Report).unwrap();
    let damaged: Vec<bool> = items.iter().map(|item| matches!(item, Item::Record(r) if r.damaged)).collect();
    assert_eq!(damaged, [true, false]);
    assert_eq!(decode(b"\xff", Form::Json, Damage::Report), Err(DecodeError::InvalidJson));
    let lines = decode(b"{}\n{\"event\":\"\xff\"}\n\xff", Form::Ndjson, Damage::Refuse).unwrap();
    assert_eq!(lines[1..], [Item::Malformed, Item::Malformed]);
}

#[test]
fn half_a_surrogate_pair_costs_no_more_than_its_character() {
    let text = br#"[{"event":"a","properties":{"p":"x\ud83d"}},{"event":"b","properties":{"p":"\ufffd"}}]"#;
    for damage in [Damage::Refuse, Damage::Report] {
        let items = decode(text, Form::Json, damage).unwrap();
        let Item::Record(Record { properties: Properties::Members(members), .. }) = &items[0] else { panic!() };
        assert_eq!(members[0].1, Value::Text("x\u{fffd}".into()));
        let damaged: Vec<bool> = items.iter().map(|item| matches!(item, Item::Record(r) if r.damaged)).collect();
        // Which of the two was sent like this cannot be told afterwards.
        assert_eq!(damaged, [true, true]);
    }
}

#[test]
fn long_texts_are_read_in_slices_and_short_ones_at_once() {
    let slices = |records: usize, form| {
        let record = format!(r#"{{"event":"e","properties":{{"p":"{}"}}}}"#, "x".repeat(1000));
        let text = match form {
            Form::Json => format!("[{}]", vec![record; records].join(",")),
            Form::Ndjson => vec![record; records].join("\n"),
        };
        let mut slices = 0;
        let items = decode_in_slices(text.as_bytes(), form, Damage::Refuse, records, &mut || slices += 1).unwrap();
        assert_eq!(items.len(), records);
        slices
    };
    for form in [Form::Json, Form::Ndjson] {
        assert_eq!(slices(10, form), 0);
        assert!((9..=11).contains(&slices(640, form)), "640 KB in pieces of 64 KiB");
    }
}

#[test]
fn the_number_of_records_is_a_setting() {
    for (text, form) in [("[{},{},{}]", Form::Json), ("{}\n{}\n{}", Form::Ndjson)] {
        let read =
            |max| decode_in_slices(text.as_bytes(), form, Damage::Refuse, max, &mut || {}).map(|items| items.len());
        assert_eq!(read(3), Ok(3));
        assert_eq!(read(2), Err(DecodeError::TooManyRecords));
    }
}

#[test]
fn values_are_judged_like_the_text_they_could_have_been() {
    let text = r#"{"event":"a","properties":{"p":"x","q":[1,null,{"k":-12.5}],"r":true,"p":"y"}}"#;
    let Item::Record(read) = decode_line(text.as_bytes(), Damage::Report) else { panic!() };
    let value = |json: &str| -> Value { serde_json::from_str::<serde_json::Value>(json).unwrap().into() };
    let properties = [("p", r#""x""#), ("q", r#"[1,null,{"k":-12.5}]"#), ("r", "true"), ("p", r#""y""#)];
    let properties = properties.iter().map(|(name, json)| ((*name).to_owned(), value(json))).collect();
    let Item::Record(made) = Item::of(Some(value(r#""a""#)), properties) else { panic!() };
    assert_eq!((&made.event, &made.properties), (&read.event, &read.properties));
    assert!(made.bytes.abs_diff(read.bytes) < 40, "{} {}", made.bytes, read.bytes);
    assert_eq!(decode_line(b"{", Damage::Report), Item::Malformed);
    assert_eq!(decode_line(b"7", Damage::Report), Item::NotAnObject);
}
