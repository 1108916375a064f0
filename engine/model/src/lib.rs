//! The nouns that more than one crate needs: who (`ids`), what (`Event`, `ProfileUpdate`) and with which values (`Value`).
//!
//! Plain data only. No IO, no async, no Arrow: a noun enters here when a second crate needs it.

mod event;
mod ids;
mod profile;
mod value;

pub use event::{Event, StoredEvent};
pub use ids::{ProjectId, Shard, Uid};
pub use profile::{ProfileTarget, ProfileUpdate};
pub use value::Value;
