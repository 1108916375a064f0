//! A DataFusion context for one query over one project.
//!
//! It holds that project's tables and an allow-list of functions, and nothing else: no file formats, no table
//! factories, no other project. Every query gets a fresh one.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SessionStateBuilder, SessionStateDefaults};
use datafusion::prelude::{SessionConfig, SessionContext};
use footfall_storage::Snapshot;
use footfall_storage::journal::{JournalRow, RejectedEvent};

use crate::blockwise::Blockwise;
use crate::catalog::{EventsTable, Properties, Shape, journal_table};
use crate::compile::{self, Clock};
use crate::count_users::CountUsers;
use crate::error::QueryError;
use crate::expr;
use crate::truncate_utc::TruncateUtc;

/// Makes contexts; shared by all queries of a process.
pub struct Sessions {
    runtime: Arc<RuntimeEnv>,
    lanes: usize,
}

impl Sessions {
    /// `lanes` is how many lanes a scan is cut into: the threads of the query pool.
    pub fn new(runtime: Arc<RuntimeEnv>, lanes: usize) -> Self {
        Self { runtime, lanes: lanes.max(1) }
    }

    /// A context in which `events` shows a snapshot in the given shape with these properties, and `rejected_events` the same snapshot's losers.
    pub fn context(
        &self,
        snapshot: &Arc<Snapshot>,
        shape: Shape,
        properties: Properties,
    ) -> Result<SessionContext, QueryError> {
        let state = SessionStateBuilder::new()
            .with_config(self.config())
            .with_runtime_env(self.runtime.clone())
            .with_scalar_functions(SessionStateDefaults::default_scalar_functions())
            .with_aggregate_functions(SessionStateDefaults::default_aggregate_functions())
            .with_window_functions(SessionStateDefaults::default_window_functions())
            .with_expr_planners(SessionStateDefaults::default_expr_planners())
            .with_analyzer_rule(Arc::new(CountUsers))
            .with_analyzer_rule(Arc::new(TruncateUtc))
            .with_physical_optimizer_rule(Arc::new(Blockwise))
            .build();
        let context = SessionContext::new_with_state(state);
        for function in footfall_udfs::aggregates() {
            context.register_udaf(function.as_ref().clone());
        }
        for function in compile::functions() {
            context.register_udf(function.as_ref().clone());
        }
        let events: Arc<dyn TableProvider> = Arc::new(EventsTable::new(snapshot.clone(), shape, properties));
        context.register_table("events", events)?;
        context.register_table(RejectedEvent::TABLE, journal_table(snapshot.rejected.clone())?)?;
        Ok(context)
    }

    /// A context for SQL, which knows `expr('…')` over the snapshot's events.
    pub fn sql_context(
        &self,
        snapshot: &Arc<Snapshot>,
        properties: Properties,
        clock: &Clock,
    ) -> Result<SessionContext, QueryError> {
        let context = self.context(snapshot, Shape::Sql, properties)?;
        for function in expr::functions(&snapshot.catalog, clock) {
            context.register_udf(function);
        }
        Ok(context)
    }

    fn config(&self) -> SessionConfig {
        let mut config = SessionConfig::new()
            .with_target_partitions(self.lanes)
            .with_information_schema(false)
            .with_create_default_catalog_and_schema(true)
            // Property names keep their case.
            .set_bool("datafusion.sql_parser.enable_ident_normalization", false)
            .set_str("datafusion.execution.time_zone", "UTC");
        let options = config.options_mut();
        // Our declared partitioning is used as it is (stack.md §4, "Declared partitioning").
        options.optimizer.subset_repartition_threshold = 1;
        options.optimizer.preserve_file_partitions = 1;
        options.optimizer.repartition_aggregations = false;
        options.execution.enable_file_stream_work_stealing = false;
        config
    }
}
