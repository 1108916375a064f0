//! Running a compiled body: columns in, columns out, once for a whole batch of rows or elements.
//!
//! A block first takes its steps, each of which goes through one list and adds columns, then evaluates its results, which
//! are DataFusion expressions on all columns that are there by then. A step turns rows into elements: the list's columns
//! are already laid out one element after the other, what the body reads from outside is repeated along the offsets, and
//! the body is a block again.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StructArray, UInt32Array};
use datafusion::arrow::compute::{concat, take};
use datafusion::arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::common::{DFSchema, Result, exec_datafusion_err};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use footfall_eval::BUDGET;

use super::demand::Lane;
use super::reduce::{Elements, Reduction};

/// Elements that a body is evaluated on at a time, so that memory stays bounded where lists multiply. One list may be
/// longer.
const ELEMENTS_MAX: usize = 1 << 16;

/// The element's own columns and those from outside are told apart by the beginning of their names.
pub(super) const ELEMENT: &str = "e";

/// What is computed from the columns of one level: rows, or the elements of a list.
#[derive(Debug, Default)]
pub(in crate::compile) struct Block {
    pub(super) steps: Vec<Step>,
    pub(super) results: Vec<(Lane, Formula)>,
}

/// One way through a list.
#[derive(Debug)]
pub(in crate::compile) struct Step {
    /// Of the columns that it adds: `{name}#{lane}`.
    pub(super) name: String,
    pub(super) list: Formula,
    /// What the body reads from outside.
    pub(super) captures: Vec<(String, Formula)>,
    /// Columns of the elements that the body reads, without [`ELEMENT`].
    pub(super) reads: Vec<String>,
    pub(super) body: Block,
    pub(super) reduction: Reduction,
}

/// How many elements each record has cost.
///
/// Lists that are not inside of each other multiply. The evaluator's own bound counts more for every element, so no
/// record fails here that it would have an answer for.
pub(super) struct Costs {
    /// What each record may still cost; absent once it was too much.
    left: Vec<Option<u64>>,
}

impl Costs {
    pub(super) fn new(records: usize) -> Self {
        Self { left: vec![Some(BUDGET); records] }
    }

    fn pay(&mut self, record: u32, elements: usize) {
        if let Some(left) = self.left.get_mut(record as usize) {
            *left = left.and_then(|left| left.checked_sub(elements as u64));
        }
    }

    fn is_exhausted(&self, record: u32) -> bool {
        self.left.get(record as usize).is_none_or(Option::is_none)
    }
}

/// The rows of one level.
pub(super) struct Rows {
    pub(super) batch: RecordBatch,
    /// The record that each belongs to; empty where no step asks for it.
    pub(super) records: Vec<u32>,
}

impl Rows {
    pub(super) fn new(columns: Vec<(String, ArrayRef)>, count: usize, records: Vec<u32>) -> Result<Self> {
        let (fields, arrays): (Vec<FieldRef>, Vec<ArrayRef>) =
            columns.into_iter().map(|(name, array)| (field(&name, &array), array)).unzip();
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)?;
        Ok(Self { batch, records })
    }

    fn add(&mut self, columns: Vec<(String, ArrayRef)>) -> Result<()> {
        let mut fields: Vec<FieldRef> = self.batch.schema().fields().iter().cloned().collect();
        let mut arrays = self.batch.columns().to_vec();
        for (name, array) in columns {
            fields.push(field(&name, &array));
            arrays.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.batch.num_rows()));
        self.batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)?;
        Ok(())
    }
}

fn field(name: &str, array: &ArrayRef) -> FieldRef {
    Arc::new(Field::new(name, array.data_type().clone(), true))
}

impl Block {
    /// The results, in order.
    pub(super) fn run(&self, mut rows: Rows, costs: &mut Costs) -> Result<Vec<ArrayRef>> {
        for step in &self.steps {
            let columns = step.run(&rows, costs)?;
            rows.add(columns)?;
        }
        self.results.iter().map(|(_, formula)| formula.evaluate(&rows.batch)).collect()
    }
}

impl Step {
    fn run(&self, rows: &Rows, costs: &mut Costs) -> Result<Vec<(String, ArrayRef)>> {
        let lists = self.list.evaluate(&rows.batch)?;
        let lists = lists.as_list_view_opt::<i32>().ok_or_else(|| exec_datafusion_err!("expected lists"))?;
        let values = lists.values().as_struct_opt().ok_or_else(|| exec_datafusion_err!("expected elements"))?;
        let mut elements = Elements::new(lists);
        rows.records.iter().enumerate().for_each(|(row, record)| costs.pay(*record, elements.size(row)));
        let exhausted = rows.records.iter().enumerate().filter(|(_, record)| costs.is_exhausted(**record));
        exhausted.for_each(|(row, _)| elements.give_up(row));
        let results = self.reduction.needs_body().then(|| self.body_results(rows, values, &elements, costs));
        let results = results.transpose()?.unwrap_or_default();
        let columns = self.reduction.apply(lists, &elements, &results)?;
        Ok(columns.into_iter().map(|(lane, array)| (format!("{}#{}", self.name, lane.name()), array)).collect())
    }

    /// The body's results on all elements, those of the first row first.
    fn body_results(
        &self,
        rows: &Rows,
        values: &StructArray,
        elements: &Elements,
        costs: &mut Costs,
    ) -> Result<Vec<(Lane, ArrayRef)>> {
        let captures: Vec<(String, ArrayRef)> = self
            .captures
            .iter()
            .map(|(name, formula)| Ok((name.clone(), formula.evaluate(&rows.batch)?)))
            .collect::<Result<_>>()?;
        let mut parts: Vec<Vec<ArrayRef>> = vec![Vec::new(); self.body.results.len()];
        for group in elements.groups(ELEMENTS_MAX) {
            // Who each element belongs to is asked for by few.
            let goes_on = !self.body.steps.is_empty();
            let parents = (goes_on || !captures.is_empty()).then(|| elements.parents(group.clone()));
            let count = elements.count_of(group.clone());
            let indices = elements.indices(group);
            let mut columns = Vec::with_capacity(self.reads.len() + captures.len());
            for name in &self.reads {
                let column = values.column_by_name(name);
                let column = column.ok_or_else(|| exec_datafusion_err!("no such column of elements, column={name}"))?;
                columns.push((format!("{ELEMENT}{name}"), indices.of(column)?));
            }
            let mut records = Vec::new();
            if let Some(parents) = &parents {
                for (name, array) in &captures {
                    columns.push((name.clone(), take(array, parents, None)?));
                }
                if goes_on {
                    records.extend(parents.values().iter().filter_map(|row| rows.records.get(*row as usize)));
                }
            }
            let results = self.body.run(Rows::new(columns, count, records)?, costs)?;
            parts.iter_mut().zip(results).for_each(|(part, result)| part.push(result));
        }
        let whole = |mut parts: Vec<ArrayRef>| match parts.len() {
            1 => Ok(parts.remove(0)),
            _ => concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>()),
        };
        let lanes = self.body.results.iter().map(|(lane, _)| *lane);
        lanes.zip(parts).map(|(lane, parts)| Ok((lane, whole(parts)?))).collect()
    }
}

/// Which elements a group has, as places among all values.
pub(super) enum Places {
    /// One after the other from the first: nothing has to be copied.
    Run(usize, usize),
    Scattered(UInt32Array),
}

impl Places {
    pub(super) fn of(&self, column: &ArrayRef) -> Result<ArrayRef> {
        Ok(match self {
            Self::Run(first, count) => column.slice(*first, *count),
            Self::Scattered(indices) => take(column, indices, None)?,
        })
    }
}

/// An expression on the columns of a level, planned when the first batch shows their types.
#[derive(Debug)]
pub(super) struct Formula {
    pub(super) expr: Expr,
    planned: Mutex<Option<(SchemaRef, Arc<dyn PhysicalExpr>)>>,
}

impl Formula {
    pub(super) fn new(expr: Expr) -> Self {
        Self { expr, planned: Mutex::default() }
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        if let Expr::Column(column) = &self.expr
            && let Some(array) = batch.column_by_name(&column.name)
        {
            return Ok(Arc::clone(array));
        }
        self.physical(batch)?.evaluate(batch)?.into_array(batch.num_rows())
    }

    fn physical(&self, batch: &RecordBatch) -> Result<Arc<dyn PhysicalExpr>> {
        let schema = batch.schema();
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, expr)) = planned.as_ref().filter(|(known, _)| *known == schema) {
            return Ok(Arc::clone(expr));
        }
        let named = Arc::new(DFSchema::try_from(Arc::clone(&schema))?);
        let simplifier = ExprSimplifier::new(SimplifyContext::builder().with_schema(Arc::clone(&named)).build());
        // Some functions, such as `coalesce`, exist only to be rewritten here.
        let expr = simplifier.simplify(simplifier.coerce(self.expr.clone(), &named)?)?;
        let expr = create_physical_expr(&expr, &named, &ExecutionProps::new(), &PhysicalPlanningContext::default())?;
        *planned = Some((schema, Arc::clone(&expr)));
        Ok(expr)
    }
}
