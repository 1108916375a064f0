//! Names and the calls that bind them: `any`, `all`, `filter`, `map`, `let` (§7).

use footfall_lang::ast::{Expr, Quantifier};

use super::Evaluator;
use crate::{EvalValue, List, TypeError};

/// How deeply `map` may nest lists; the JSON reader allows less. Comparing and dropping values recurse this deep.
const LIST_DEPTH_MAX: u32 = 512;

/// The names in scope, innermost last. A type error ends the evaluation, so names need not be taken back then.
#[derive(Default)]
pub(super) struct Bindings<'e> {
    names: Vec<(&'e str, EvalValue)>,
}

impl<'e> Bindings<'e> {
    /// The innermost value of a name. The parser binds every name, so undefined is for hand-made trees only.
    pub(super) fn get(&self, name: &str) -> EvalValue {
        let found = self.names.iter().rev().find(|(known, _)| *known == name);
        found.map_or(EvalValue::Undefined, |(_, value)| value.clone())
    }
}

impl<'e> Evaluator<'e> {
    /// The body is evaluated for every element, whatever the first ones give: nothing short-circuits (§7).
    pub(super) fn quantifier(
        &mut self,
        quantifier: Quantifier,
        variable: &'e str,
        list: &'e Expr,
        body: &'e Expr,
    ) -> Result<EvalValue, TypeError> {
        let EvalValue::List(items) = self.eval(list)? else { return Ok(EvalValue::Undefined) };
        let mut results = Vec::with_capacity(items.len());
        for item in items.iter() {
            self.bindings.names.push((variable, item.clone()));
            results.push(self.eval(body)?);
            self.bindings.names.pop();
        }
        finish(quantifier, &items, results, body)
    }

    /// Later pairs see earlier ones.
    pub(super) fn let_(&mut self, pairs: &'e [(String, Expr)], body: &'e Expr) -> Result<EvalValue, TypeError> {
        let outside = self.bindings.names.len();
        for (name, value) in pairs {
            let value = self.eval(value)?;
            self.bindings.names.push((name, value));
        }
        let result = self.eval(body)?;
        self.bindings.names.truncate(outside);
        Ok(result)
    }
}

/// What a quantifier makes of its body's results.
fn finish(q: Quantifier, items: &List, results: Vec<EvalValue>, body: &Expr) -> Result<EvalValue, TypeError> {
    match q {
        Quantifier::Any => Ok(truths(q, &results, body)?.contains(&true).into()),
        Quantifier::All => Ok((!truths(q, &results, body)?.contains(&false)).into()),
        Quantifier::Filter => Ok(filter(items, &truths(q, &results, body)?)),
        Quantifier::Map => map(results, body),
    }
}

/// The results of a body as conditions.
fn truths(quantifier: Quantifier, results: &[EvalValue], body: &Expr) -> Result<Vec<bool>, TypeError> {
    let place = || format!("the body of `{}`", quantifier.name());
    let truth = |value: &EvalValue| value.truth().ok_or_else(|| TypeError::condition(&place(), value, &body.span));
    results.iter().map(truth).collect()
}

fn filter(items: &List, kept: &[bool]) -> EvalValue {
    let kept = items.iter().zip(kept).filter(|(_, kept)| **kept);
    EvalValue::List(kept.map(|(item, _)| item.clone()).collect())
}

fn map(results: Vec<EvalValue>, body: &Expr) -> Result<EvalValue, TypeError> {
    let list = List::from(results);
    if list.depth() > LIST_DEPTH_MAX {
        let message = format!("`map` nests lists too deeply, depth_max={LIST_DEPTH_MAX}");
        return Err(TypeError { message, span: body.span.clone() });
    }
    Ok(EvalValue::List(list))
}
