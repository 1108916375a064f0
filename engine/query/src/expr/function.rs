//! The function as the planner sees it: a text, and the type of what it compiles to.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use footfall_lang::ast::{self, ExprKind};
use footfall_lang::parse_expression;
use footfall_storage::columns::{Builtin, Catalog};

use super::ExprError;
use crate::catalog::{TableColumn, sql_name};
use crate::compile::{Clock, CompileError, compile_column, compile_condition, time_word};
use crate::resolver::{EventResolver, by_name};

/// A call that stands as a value, under the name that people use.
pub(super) const VALUE: &str = "expr";
/// A call that stands as a condition.
pub(super) const CONDITION: &str = "expr_condition";

/// Both functions, for the events of one snapshot.
pub fn functions(catalog: &Arc<Catalog>, clock: &Clock) -> [ScalarUDF; 2] {
    [Role::Value, Role::Condition].map(|role| {
        ScalarUDF::new_from_impl(EventExpression {
            role,
            catalog: catalog.clone(),
            clock: *clock,
            known: Mutex::default(),
            signature: Signature::any(1, Volatility::Immutable),
        })
    })
}

/// The word of a call that makes its value change by itself.
pub fn tells_time(expr: &Expr) -> Option<&'static str> {
    // A call that does not compile was told of by the planner.
    compiled(expr).and_then(Result::ok).and_then(|compiled| compiled.time_word)
}

/// What a call compiles to; absent if it is no call.
pub(super) fn compiled(expr: &Expr) -> Option<Result<Arc<Compiled>, ExprError>> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else { return None };
    let function = func.inner().downcast_ref::<EventExpression>()?;
    match args.as_slice() {
        [Expr::Literal(text, _)] => text.try_as_str().flatten().map(|text| function.compiled(text)),
        _ => None,
    }
}

/// A call's text over columns of the events table.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) value: Expr,
    pub(super) data_type: DataType,
    /// Of a condition: true just where `value` is.
    pub(super) predicate: Option<Expr>,
    /// What the columns named in both are.
    pub(super) columns: Vec<(String, TableColumn)>,
    time_word: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Value,
    Condition,
}

#[derive(Debug)]
struct EventExpression {
    role: Role,
    catalog: Arc<Catalog>,
    clock: Clock,
    /// By text: the planner asks for a call's type again and again.
    known: Mutex<HashMap<String, Result<Arc<Compiled>, ExprError>>>,
    signature: Signature,
}

// In one statement's context there is one of each.
impl PartialEq for EventExpression {
    fn eq(&self, other: &Self) -> bool {
        self.role == other.role && Arc::ptr_eq(&self.catalog, &other.catalog) && self.clock == other.clock
    }
}

impl Eq for EventExpression {}

impl Hash for EventExpression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl EventExpression {
    fn compiled(&self, text: &str) -> Result<Arc<Compiled>, ExprError> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known().get(text) {
            return known.clone();
        }
        let compiled = self.compile(text).map(Arc::new);
        known().insert(text.to_owned(), compiled.clone());
        compiled
    }

    fn compile(&self, text: &str) -> Result<Compiled, ExprError> {
        let tree = parse_expression(text).map_err(|diagnostic| ExprError::Parse {
            message: said_of(text, &diagnostic.to_string()),
            span: diagnostic.span,
        })?;
        let refused = |error: CompileError| ExprError::Type {
            message: said_of(text, &format!("{}, offset={}", error.message, error.span.start)),
            span: error.span,
        };
        let resolver = EventResolver::new(self.catalog.clone());
        let time_word = time_word(&tree);
        if self.role == Role::Condition {
            let condition = compile_condition(&tree, &resolver, &self.clock).map_err(refused)?;
            let columns = self.columns(&[&condition.predicate, &condition.truth]);
            let (value, predicate) = (condition.truth, Some(condition.predicate));
            return Ok(Compiled { value, data_type: DataType::Boolean, predicate, columns, time_word });
        }
        if let Some(property) = bare_property(&tree).filter(|property| resolver.is_stored(property)) {
            return Ok(self.property(property));
        }
        let column = compile_column(&tree, &resolver, &self.clock).map_err(refused)?;
        let columns = self.columns(&[&column.value]);
        Ok(Compiled { value: column.value, data_type: column.data_type, predicate: None, columns, time_word })
    }

    /// A property by itself is its column in SQL, whichever of both names it.
    fn property(&self, property: &str) -> Compiled {
        let name = sql_name(property);
        let column = TableColumn::unified(name.clone(), property, &self.catalog);
        Compiled {
            value: by_name(&name),
            data_type: column.field.data_type().clone(),
            predicate: None,
            columns: vec![(name, column)],
            time_word: None,
        }
    }

    fn columns(&self, exprs: &[&Expr]) -> Vec<(String, TableColumn)> {
        let mut names: Vec<&str> =
            exprs.iter().flat_map(|expr| expr.column_refs()).map(|column| column.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let column = |name: &str| {
            let builtin = Builtin::ALL.into_iter().find(|builtin| builtin.name() == name);
            let stored = || self.catalog.columns().iter().find(|column| column.column.as_ref() == name);
            builtin.map(TableColumn::builtin).or_else(|| stored().map(TableColumn::of_type))
        };
        names.into_iter().filter_map(|name| Some((name.to_owned(), column(name)?))).collect()
    }
}

fn bare_property(tree: &ast::Expr) -> Option<&str> {
    match &tree.kind {
        ExprKind::Lookup { source: ast::Source::Properties | ast::Source::Event, key, path } if path.is_empty() => {
            Some(key)
        }
        _ => None,
    }
}

/// A statement may hold several expressions: the one that is meant, as far as it is short.
fn said_of(text: &str, message: &str) -> String {
    const CHARS_MAX: usize = 60;
    let mut shown: String = text.chars().take(CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{message}, expr={shown}")
}

impl ScalarUDFImpl for EventExpression {
    fn name(&self) -> &str {
        match self.role {
            Role::Value => VALUE,
            Role::Condition => CONDITION,
        }
    }

    // A column of the answer is named after the call as it was written.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let args: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        Ok(format!("{VALUE}({})", args.join(",")))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type of {VALUE}() depends on its argument's value")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let text = args.scalar_arguments.first().copied().flatten().and_then(ScalarValue::try_as_str).flatten();
        let Some(text) = text else { return internal_err!("{VALUE}() without a text") };
        let compiled = self.compiled(text)?;
        Ok(Arc::new(Field::new(self.name(), compiled.data_type.clone(), true)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("{VALUE}() was left in a plan")
    }
}
