//! TEMPORARY STUB until footfall_eval is there.
use super::Clock;
use chrono_tz::Tz;
use footfall_lang::ast::{Expr, Source, Span};
#[derive(Clone, Debug, PartialEq)]
pub enum Value { Undefined, Null, Bool(bool), Number(f64), Text(String), Datetime(i64), List(Vec<Value>), Map(Vec<(String, Value)>) }
pub struct Failure { pub message: String, pub span: Span }
pub trait Record { fn property(&self, source: Source, key: &str) -> Value; }
pub fn evaluate(_: &Expr, _: &dyn Record, _: &Clock) -> Result<Value, Failure> { Ok(Value::Undefined) }
pub fn evaluate_constant(_: &Expr, _: &Clock) -> Result<Value, Failure> { Ok(Value::Undefined) }
pub fn segment_keys(_: &Value, _: &Clock) -> Vec<String> { vec![] }
pub fn json_value(_: &str) -> Value { Value::Null }
pub fn number_text(x: f64) -> String { x.to_string() }
pub fn parse_number(_: &str) -> Option<f64> { None }
pub fn parse_datetime(_: &str, _: Option<Tz>) -> Option<i64> { None }
pub fn datetime_of_number(_: f64) -> Option<i64> { None }
pub fn datetime_text(_: i64, _: Tz) -> Option<String> { None }
#[derive(Clone, Copy)] pub enum DateField { Year }
pub fn date_field(_: &str) -> Option<DateField> { None }
pub fn date_part(_: DateField, _: i64, _: Tz) -> Option<f64> { None }
pub fn datedif(_: i64, _: i64, _: &str, _: Tz) -> Option<f64> { None }
pub fn has_prefix(_: &str, _: &str) -> bool { false }
pub fn has_suffix(_: &str, _: &str) -> bool { false }
pub fn left(_: &str, _: f64) -> Option<&str> { None }
pub fn right(_: &str, _: f64) -> Option<&str> { None }
pub fn mid(_: &str, _: f64, _: f64) -> Option<&str> { None }
pub fn split_part<'a>(_: &'a str, _: &str, _: f64) -> Option<&'a str> { None }
pub struct Pattern;
impl Pattern { pub fn new(_: &str) -> Option<Self> { None } pub fn is_match(&self, _: &str) -> bool { false } pub fn extract<'a>(&self, _: &'a str, _: f64) -> Option<&'a str> { None } pub fn replace(&self, t: &str, _: &str) -> String { t.to_owned() } }
