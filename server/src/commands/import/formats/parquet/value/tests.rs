use std::sync::Arc;

use arrow::array::{
    BinaryArray, BooleanArray, Date32Array, Date64Array, Decimal128Array, DictionaryArray, DurationSecondArray,
    FixedSizeBinaryArray, Float32Array, Float64Array, Int8Array, Int64Array, LargeStringArray, ListBuilder, MapBuilder,
    StringArray, StringBuilder, StringViewArray, StructArray, Time32SecondArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use arrow::datatypes::{Field, Int32Type};

use super::*;

fn json(text: &str) -> Value {
    serde_json::from_str::<serde_json::Value>(text).unwrap().into()
}

/// The values of an array as JSON; an empty text is no value.
fn check(array: impl Array + 'static, expect: &[&str]) {
    let array: ArrayRef = Arc::new(array);
    assert_eq!(array.len(), expect.len());
    for (row, text) in expect.iter().enumerate() {
        let expect = (!text.is_empty()).then(|| json(text));
        assert_eq!(of(&array, row), Ok(expect), "{:?} row {row}", array.data_type());
    }
    assert_eq!(of(&array, expect.len()), Ok(None));
}

#[test]
fn scalars_keep_their_types() {
    check(BooleanArray::from(vec![Some(true), None]), &["true", ""]);
    check(Int8Array::from(vec![-128, 7]), &["-128", "7"]);
    check(Int64Array::from(vec![i64::MIN, i64::MAX]), &["-9223372036854775808", "9223372036854775807"]);
    check(UInt64Array::from(vec![3, u64::MAX]), &["3", r#""18446744073709551615""#]);
    check(Float32Array::from(vec![0.5, f32::NAN]), &["0.5", ""]);
    check(Float64Array::from(vec![5.0, f64::INFINITY, 1e300]), &["5.0", "", "1e300"]);
    check(StringArray::from(vec!["", "007"]), &[r#""""#, r#""007""#]);
    check(LargeStringArray::from(vec!["é"]), &[r#""é""#]);
    check(StringViewArray::from(vec!["a long text that is not inlined"]), &[r#""a long text that is not inlined""#]);
    check(BinaryArray::from(vec![b"abc".as_slice()]), &[r#""abc""#]);
    let bytes: ArrayRef = Arc::new(FixedSizeBinaryArray::try_from_iter([[0xff, 0xfe]].into_iter()).unwrap());
    assert!(of(&bytes, 0).unwrap_err().contains("not UTF-8"));
    let decimals = Decimal128Array::from(vec![Some(1250), Some(-100), Some(99), None]).with_precision_and_scale(9, 2);
    check(decimals.unwrap(), &["12.5", "-1", "0.99", ""]);
    check(DictionaryArray::<Int32Type>::from_iter(["a", "b", "a"]), &[r#""a""#, r#""b""#, r#""a""#]);
}

#[test]
fn moments_are_dates_in_utc() {
    let leap = r#""2024-02-29T12:00:00""#;
    check(TimestampSecondArray::from(vec![1_709_208_000]), &[leap]);
    check(TimestampMillisecondArray::from(vec![1_709_208_000_000, -1]), &[leap, r#""1969-12-31T23:59:59.999""#]);
    check(TimestampMicrosecondArray::from(vec![1_709_208_000_125_000]), &[r#""2024-02-29T12:00:00.125""#]);
    check(TimestampNanosecondArray::from(vec![1_709_208_000_000_000_999]).with_timezone("Europe/Berlin"), &[leap]);
    check(Date32Array::from(vec![19_782]), &[r#""2024-02-29""#]);
    check(Date64Array::from(vec![1_709_208_000_000]), &[leap]);
    check(Time32SecondArray::from(vec![3_661]), &[r#""01:01:01""#]);
    check(DurationSecondArray::from(vec![60]), &[r#""PT60S""#]);
    let at = |array: ArrayRef| moment_of(&array, 0);
    assert_eq!(at(Arc::new(TimestampNanosecondArray::from(vec![1_500_000_000]))), Some(Value::Float(1.5)));
    assert_eq!(at(Arc::new(Date32Array::from(vec![2]))), Some(Value::Float(172_800.0)));
    assert_eq!(at(Arc::new(Int64Array::from(vec![2]))), None);
}

#[test]
fn nested_values_are_lists_and_objects() {
    let mut lists = ListBuilder::new(StringBuilder::new());
    lists.append_value([Some("a"), None]);
    lists.append_null();
    lists.append_value([] as [Option<&str>; 0]);
    check(lists.finish(), &[r#"["a",null]"#, "", "[]"]);

    let a: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    let b: ArrayRef = Arc::new(StringArray::from(vec![None, Some("x")]));
    let field = |name: &str, of: &ArrayRef| Arc::new(Field::new(name, of.data_type().clone(), true));
    let parts = StructArray::from(vec![(field("a", &a), a.clone()), (field("b", &b), b.clone())]);
    check(parts, &[r#"{"a":1}"#, r#"{"b":"x"}"#]);

    let mut maps = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    maps.keys().append_value("k");
    maps.values().append_value("v");
    maps.keys().append_value("n");
    maps.values().append_null();
    maps.append(true).unwrap();
    check(maps.finish(), &[r#"{"k":"v"}"#]);
}

#[test]
fn dictionaries_of_a_batch_are_replaced_by_what_they_stand_for() {
    let dictionary: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::from_iter([Some("a"), None]));
    let batch = RecordBatch::try_from_iter_with_nullable([("d", dictionary, true)]).unwrap();
    let plain = plain(&batch).unwrap();
    assert_eq!(plain.column(0).data_type(), &DataType::Utf8);
    assert_eq!((of(plain.column(0), 0), of(plain.column(0), 1)), (Ok(Some(json("\"a\""))), Ok(None)));
}
