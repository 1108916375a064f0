//! The nouns that more than one crate needs: who (`ids`), what (`Event`) and with which values (`Value`).
//!
//! Plain data only. No IO, no async, no Arrow: a noun enters here when a second crate needs it.

mod event;
mod ids;
mod value;

pub use event::{Event, StoredEvent};
pub use ids::{ProjectId, Shard, Uid};
pub use value::Value;
