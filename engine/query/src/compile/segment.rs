//! An `on`: each row's segment key, or keys where the value is a list (`expression-language.md` §9).

use datafusion::arrow::datatypes::DataType;
use datafusion::functions_nested::expr_fn::make_array;
use datafusion::logical_expr::expr_fn::cast;
use datafusion::logical_expr::{Expr, lit};
use footfall_lang::ast;

use super::compiler::Compiler;
use super::lanes::{Errors, Lanes, choose, first_of, only_where};
use super::{casts, fallback};

const UNDEFINED: &str = "undefined";

/// The key of a row whose value is no list, and the keys of any row if there are lists.
pub(super) fn keys(root: &ast::Expr, lanes: &Lanes, compiler: &Compiler<'_>) -> (Expr, Option<Expr>) {
    let mut candidates = casts::texts(lanes, &compiler.clock);
    candidates.extend(lanes.null.clone().map(|null| only_where(null, lit("null"))));
    candidates.push(lit(UNDEFINED));
    let key = first_of(candidates).unwrap_or_else(|| lit(UNDEFINED));
    let error = Errors::flag(&lanes.errors.all);
    let key = match &error {
        Some(error) => choose(error.clone(), lit(UNDEFINED), key),
        None => key,
    };
    let list = lanes.nested.clone().map(|nested| {
        let single = make_array(vec![cast(key.clone(), DataType::Utf8)]);
        let keys = choose(nested, fallback::segments(compiler.closed(root), compiler), single);
        match error {
            Some(error) => choose(error, make_array(vec![lit(UNDEFINED)]), keys),
            None => keys,
        }
    });
    (key, list)
}
