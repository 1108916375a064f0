//! From the text a client sent to events the engine can store: `decode` → `validate`; and the same for [`profiles`].
//!
//! Both steps are pure and synchronous: no HTTP, no files, no clock. The moment of arrival and the client's address come
//! in through [`Rules`], randomness through [`IdSource`], so that a simulation can replay a request to the letter.
//!
//! Invariants, whatever the input:
//! - I1: neither step panics or recurses deeper than serde_json's own limit of 128 levels.
//! - I2: memory is bounded by the text: no list, object or batch is collected beyond its limit (see `limits`).
//! - I3: an accepted event has a name, a time of 1971 or later and not after arrival, and unique property names.
//! - I4: one bad record never takes another with it; only text that is no JSON at all fails as a whole.
//!
//! Left out: HTTP forms (base64, gzip, `data=`) are the server's; duplicates and identity links are the engine's.

mod decode;
mod fault;
mod ids;
mod limits;
pub mod lookup;
mod members;
pub mod profiles;
mod repairs;
mod time;
mod validate;

pub use decode::{Damage, DecodeError, Form, Item, Record, decode, decode_in_slices, decode_line};
pub use fault::Fault;
pub use ids::{IdSource, denied_id};
pub use limits::RECORDS_MAX;
pub use repairs::{Repair, Repairs};
pub use validate::{Accepted, MergeMode, Outcome, Rejected, Route, Rules, UnknownMergeMode, validate};
