//! A journal of a snapshot as a table: all its rows in one stream, oldest first.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use footfall_storage::journal::{JournalRow, JournalView};
use futures::TryStreamExt;

/// The table of a journal as of the view.
pub fn journal_table<R: JournalRow>(view: JournalView<R>) -> Result<Arc<dyn TableProvider>> {
    let schema = view.schema();
    let rows = JournalStream { schema: schema.clone(), view };
    Ok(Arc::new(StreamingTable::try_new(schema, vec![Arc::new(rows)])?))
}

struct JournalStream<R> {
    schema: SchemaRef,
    view: JournalView<R>,
}

impl<R: JournalRow> fmt::Debug for JournalStream<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(R::TABLE)
    }
}

impl<R: JournalRow> PartitionStream for JournalStream<R> {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches = self.view.batches().map_err(|error| DataFusionError::External(Box::new(error)));
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches))
    }
}
