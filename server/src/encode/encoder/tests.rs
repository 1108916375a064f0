use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, ListArray, StringArray,
    TimestampMillisecondArray,
};
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::ipc::reader::StreamReader;

use super::*;

fn batch() -> RecordBatch {
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
    let words: DictionaryArray<Int32Type> = [Some("=a,b"), None].into_iter().collect();
    let columns: [(&str, ArrayRef); 7] = [
        ("n", Arc::new(Int64Array::from(vec![Some(9_007_199_254_740_993), None]))),
        ("x", Arc::new(Float64Array::from(vec![0.5, f64::NAN]))),
        ("ok", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("time", Arc::new(TimestampMillisecondArray::from(vec![1_704_067_200_000, 1_704_067_200_250]))),
        ("list", Arc::new(lists)),
        ("word", Arc::new(words)),
        ("text \"q\"", Arc::new(StringArray::from(vec!["a\"b", ""]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

fn encode(format: Format, batches: &[RecordBatch]) -> Vec<u8> {
    let mut encoder = Encoder::new(format, batch().schema()).unwrap();
    let mut out = encoder.start();
    for batch in batches {
        out.extend(encoder.batch(batch).unwrap());
    }
    out.extend(encoder.finish().unwrap());
    out
}

fn text(format: Format, batches: &[RecordBatch]) -> String {
    String::from_utf8(encode(format, batches)).unwrap()
}

#[test]
fn json_keeps_integers_times_lists_and_nulls() {
    let json: serde_json::Value = serde_json::from_str(&text(Format::Json, &[batch()])).unwrap();
    assert_eq!(
        json["columns"].to_string(),
        r#"[{"name":"n","type":"int64"},{"name":"x","type":"float64"},{"name":"ok","type":"boolean"},{"name":"time","type":"timestamp"},{"name":"list","type":"list<int64>"},{"name":"word","type":"text"},{"name":"text \"q\"","type":"text"}]"#
    );
    assert_eq!(
        json["rows"].to_string(),
        r#"[[9007199254740993,0.5,true,"2024-01-01T00:00:00Z",[1,null],"=a,b","a\"b"],[null,null,null,"2024-01-01T00:00:00.250Z",null,null,""]]"#
    );
}

#[test]
fn the_split_into_batches_does_not_show() {
    let split = [batch().slice(0, 1), batch().slice(0, 0), batch().slice(1, 1)];
    for format in [Format::Json, Format::Ndjson, Format::Csv] {
        assert_eq!(text(format, &split), text(format, &[batch()]), "{format:?}");
    }
}

#[test]
fn no_rows_are_a_whole_document_too() {
    assert!(text(Format::Json, &[]).ends_with(r#","rows":[]}"#));
    assert_eq!(text(Format::Ndjson, &[]), "");
    assert_eq!(text(Format::Csv, &[]), "n,x,ok,time,list,word,\"text \"\"q\"\"\"\n");
    assert_eq!(StreamReader::try_new(encode(Format::Arrow, &[]).as_slice(), None).unwrap().count(), 0);
}

#[test]
fn ndjson_is_an_object_per_line() {
    assert_eq!(
        text(Format::Ndjson, &[batch()]).lines().next().unwrap(),
        r#"{"n":9007199254740993,"x":0.5,"ok":true,"time":"2024-01-01T00:00:00Z","list":[1,null],"word":"=a,b","text \"q\"":"a\"b"}"#
    );
}

#[test]
fn csv_is_safe_to_open() {
    let csv = text(Format::Csv, &[batch()]);
    let mut lines = csv.lines().skip(1);
    assert_eq!(
        lines.next().unwrap(),
        "9007199254740993,0.5,true,2024-01-01T00:00:00Z,\"[1,null]\",\"'=a,b\",\"a\"\"b\""
    );
    assert_eq!(lines.next().unwrap(), ",,,2024-01-01T00:00:00.250Z,,,");
}

#[test]
fn arrow_comes_back_as_it_was() {
    let bytes = encode(Format::Arrow, &[batch(), batch()]);
    let read: Vec<_> = StreamReader::try_new(bytes.as_slice(), None).unwrap().map(Result::unwrap).collect();
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].column(0).as_ref(), batch().column(0).as_ref());
}
