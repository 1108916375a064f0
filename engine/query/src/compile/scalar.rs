//! The scalar evaluator, as this module uses it: the meaning of everything that is compiled.

use footfall_eval::{EvalValue, Nothing, Record, TypeError, evaluate};
use footfall_lang::ast::Expr;

use super::Clock;

/// The value of a tree that names no property and no variable of a binder outside of it.
pub(super) fn evaluate_constant(tree: &Expr, clock: &Clock) -> Result<EvalValue, TypeError> {
    evaluate(tree, &Record::event(&Nothing), clock)
}

/// The value that a column's JSON text holds; undefined if it is no JSON, which storage does not write.
pub(super) fn json_value(text: &str) -> EvalValue {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(json) => EvalValue::from(&footfall_model::Value::from(json)),
        Err(_) => EvalValue::Undefined,
    }
}

/// The same value written anew: keys once, no white space; absent if the text is no JSON.
pub(super) fn normal_json(text: &str) -> Option<String> {
    serde_json::from_str::<serde_json::Value>(text).ok().map(|json| json.to_string())
}
