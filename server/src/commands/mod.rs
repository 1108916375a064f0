//! The commands that do one thing and end. Results go to standard output, everything else to standard error.

pub mod backend;
pub mod backup;
pub mod compact;
mod error;
pub mod import;
pub mod inspect;
pub mod log;
mod output;
pub mod patience;
mod place;
mod progress;
pub mod project;
pub mod restart;
pub mod sql;
pub mod verify;
pub mod view;

pub use error::CommandError;
pub use output::print;
pub use progress::{Progress, Quantity};
