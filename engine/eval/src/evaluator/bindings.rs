//! Names and the calls that bind them: `any`, `all`, `filter`, `map`, `let` (§7).

use footfall_lang::ast::{Expr, Quantifier};

use super::Evaluator;
use crate::{EvalValue, List, TypeError};

/// How deeply `map` may nest lists; the JSON reader allows less. Comparing and dropping values recurse this deep.
const LIST_DEPTH_MAX: u32 = 512;

/// The names in scope, innermost last.
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
    pub(super) fn quantifier(
        &mut self,
        quantifier: Quantifier,
        variable: &'e str,
        list: &'e Expr,
        body: &'e Expr,
    ) -> Result<EvalValue, TypeError> {
        let EvalValue::List(items) = self.eval(list)? else { return Ok(EvalValue::Undefined) };
        match quantifier {
            // No short circuit: a type error on a later element counts (§7).
            Quantifier::Any | Quantifier::All => {
                let held = self.count_held(quantifier, variable, &items, body)?;
                let wanted = if quantifier == Quantifier::Any { held > 0 } else { held == items.len() };
                Ok(EvalValue::Bool(wanted))
            }
            Quantifier::Filter => {
                let mut kept = Vec::new();
                for item in items.iter() {
                    if self.holds(quantifier, variable, item, body)? {
                        kept.push(item.clone());
                    }
                }
                Ok(kept.into())
            }
            Quantifier::Map => self.map(variable, &items, body),
        }
    }

    fn map(&mut self, variable: &'e str, items: &List, body: &'e Expr) -> Result<EvalValue, TypeError> {
        let mut mapped = Vec::new();
        for item in items.iter() {
            mapped.push(self.with_bound(variable, item.clone(), |this| this.eval(body))?);
        }
        let mapped = List::from(mapped);
        if mapped.depth() > LIST_DEPTH_MAX {
            let message = format!("`map` nests lists too deeply, depth_max={LIST_DEPTH_MAX}");
            return Err(TypeError { message, span: body.span.clone() });
        }
        Ok(EvalValue::List(mapped))
    }

    fn count_held(
        &mut self,
        quantifier: Quantifier,
        variable: &'e str,
        items: &List,
        body: &'e Expr,
    ) -> Result<usize, TypeError> {
        let mut held = 0;
        for item in items.iter() {
            held += usize::from(self.holds(quantifier, variable, item, body)?);
        }
        Ok(held)
    }

    fn holds(
        &mut self,
        quantifier: Quantifier,
        variable: &'e str,
        item: &EvalValue,
        body: &'e Expr,
    ) -> Result<bool, TypeError> {
        let value = self.with_bound(variable, item.clone(), |this| this.eval(body))?;
        value
            .truth()
            .ok_or_else(|| TypeError::condition(&format!("the body of `{}`", quantifier.name()), &value, &body.span))
    }

    /// Later pairs see earlier ones.
    pub(super) fn let_(&mut self, pairs: &'e [(String, Expr)], body: &'e Expr) -> Result<EvalValue, TypeError> {
        let outside = self.bindings.names.len();
        for (name, value) in pairs {
            let value = self.eval(value)?;
            self.bindings.names.push((name, value));
        }
        let result = self.eval(body);
        self.bindings.names.truncate(outside);
        result
    }

    fn with_bound<T>(&mut self, name: &'e str, value: EvalValue, task: impl FnOnce(&mut Self) -> T) -> T {
        self.bindings.names.push((name, value));
        let result = task(self);
        self.bindings.names.pop();
        result
    }
}
