//! A view as an SQL table.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use footfall_storage::views::{View, Views};

use super::ViewPlan;

/// Views are SQL tables under their name behind this.
pub const PREFIX: &str = "view_";

/// A view as of the snapshot that it was planned over.
pub struct ViewTable {
    plan: ViewPlan,
    views: Views,
    view: View,
}

impl ViewTable {
    pub fn new(plan: ViewPlan, views: Views, view: View) -> Self {
        Self { plan, views, view }
    }
}

impl fmt::Debug for ViewTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ViewTable").field("name", &self.view.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for ViewTable {
    fn schema(&self) -> SchemaRef {
        self.plan.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let answer = self.plan.answer(&self.views, &self.view).await;
        let answer = answer.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let Some(projection) = projection else { return Ok(answer) };
        let schema = answer.schema();
        let columns = projection.iter().map(|index| {
            let name = schema.field(*index).name().clone();
            (Arc::new(Column::new(&name, *index)) as Arc<dyn PhysicalExpr>, name)
        });
        Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), answer)?))
    }
}
