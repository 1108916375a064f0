//! Storage: events in, crash-safe immutable snapshots out.
//!
//! ```text
//! append ─▶ log (durable) ─▶ live rows (visible) ─▶ acknowledged
//!                              │ full or old
//!                              ▼
//!             sorted segments ─▶ object store ─▶ one commit of the Delta table ─▶ log released
//! ```
//!
//! It knows nothing of DataFusion, reports or HTTP. Reading order: [`columns`] (what a row is), [`segment`] (a file),
//! [`log`], `live` (recent rows), [`table`] (which files exist), [`journal`] (rows that are only ever added), [`compaction`]
//! (fewer, larger files), [`project`] (all of it together for one tenant), [`views`] (results that are kept).

pub mod backup;
pub mod census;
pub mod columns;
pub mod compaction;
pub mod failpoint;
pub mod journal;
pub mod log;
pub mod project;
pub mod sealed;
pub mod segment;
pub mod table;
pub mod views;

mod arrivals;
mod durable;
mod error;
mod format;
mod kept;
mod keys;
mod live;
mod lookup;
mod nice;
mod recent;
mod sound;
mod split_map;
mod store;
mod users;
mod verify;

pub use arrivals::{ArrivedRows, LiveRow};
pub use durable::DurableLocal;
pub use error::{StorageError, chain};
pub use format::{Known, check_directory, check_store, enter_directory, enter_store};
pub use kept::{KeptBudget, KeptLimits};
pub use keys::{generated_insert_id, key_of};
pub use live::LiveChunk;
pub use lookup::{Creation, LookupRows, LookupTable, LookupTables, Missing};
pub use nice::NiceThreads;
pub use project::{
    Arrival, Arrived, Collected, Compacted, ImportBatch, IngestSummary, Newest, ProjectOptions, ProjectStore,
    Recovered, Shared, Snapshot, record_contents,
};
pub use recent::KeyCache;
pub use store::{StorePolicy, open_store, probe_store, reach_store, remove_leftovers};
pub use verify::{Checked, Depth, Orphan, StoreDamage, Verification, VerifiedProject, verify_store};
