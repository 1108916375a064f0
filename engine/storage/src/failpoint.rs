//! Places on the write path where a test can stop, delay or fail the process; in a shipped binary there are none.
//!
//! With the cargo feature `failpoints`, the environment variable `FAILPOINTS` says at start what happens where, in the
//! notation of the crate `fail`: `log::before_sync=3*off->return(exit);flush::swap=sleep(200)`. Steps are taken in
//! order, `3*off` lets three passes go by. What the crate calls a return value is the kind of failure here:
//!
//! - `return(exit)`: the process ends on the spot, as by `kill -9`: nothing is flushed, dropped or told.
//! - `return(io-error)`: the step answers an error of input and output. Where a step cannot fail, nothing happens.
//! - `sleep(ms)`, `delay(ms)`, `pause`, `panic` and `off` as the crate has them.

use std::io;

/// The failure that a failpoint was told to answer.
#[derive(Debug, thiserror::Error)]
#[error("failpoint {0}")]
pub struct Injected(&'static str);

impl From<Injected> for io::Error {
    fn from(injected: Injected) -> Self {
        Self::other(injected)
    }
}

impl From<Injected> for object_store::Error {
    fn from(injected: Injected) -> Self {
        Self::Generic { store: "failpoint", source: injected.into() }
    }
}

/// Whether this build has failpoints at all.
pub const ENABLED: bool = cfg!(feature = "failpoints");

/// Every failpoint there is, in the order in which a record meets them and then a start, and what an `io-error` is there.
pub const NAMES: &[(&str, &str)] = &[
    ("log::before_write", "the write of a group fails, nothing of it is in the file"),
    ("log::mid_write", "the write of a group fails, half of it is in the file"),
    ("log::before_sync", "fdatasync fails, the process aborts"),
    ("log::after_sync", "fdatasync fails after all is on the disk, the process aborts"),
    ("shard::apply", "nothing: durable events cannot fail to become visible"),
    ("http::before_ack", "503 although everything is stored: the reply that the client waited for is lost"),
    ("flush::mid_parquet", "a data file cannot be written, part of it is staged"),
    ("flush::after_put", "a flush fails after one of its files is in the store"),
    ("commit::before", "the store refuses a commit of a table"),
    ("commit::after_put_lost_reply", "the store has the commit, its reply is lost"),
    ("flush::swap", "nothing: a commit cannot be taken back"),
    ("compact::after_write", "a compaction fails after its file is in the store"),
    ("compact::commit", "a compaction is not committed; whatever is committed next repeats it first"),
    ("compact::swap", "nothing: a commit cannot be taken back"),
    ("gc::delete", "a dead file cannot be deleted"),
    ("log::unlink", "a log segment cannot be deleted"),
    ("engine::attach", "a project that has been opened and replayed is given up again"),
    ("import::chunk", "reading ends with an error"),
    ("import::checkpoint", "reading ends with an error, its spill is on disk and not in the journal"),
    ("import::batch", "loading ends with an error, a batch is applied and not in the journal"),
    ("import::finish", "the import ends with an error, everything is loaded"),
];

/// Passes the failpoint `name`.
#[cfg(feature = "failpoints")]
pub fn hit(name: &'static str) -> Result<(), Injected> {
    debug_assert!(NAMES.iter().any(|(known, _)| *known == name), "{name} is missing in NAMES");
    fail::fail_point!(name, |action: Option<String>| match action.as_deref() {
        // Not `exit`, which runs handlers and flushes streams.
        Some("exit") => std::process::abort(),
        _ => Err(Injected(name)),
    });
    Ok(())
}

/// Passes the failpoint `name`, which this build does not have.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_name: &'static str) -> Result<(), Injected> {
    Ok(())
}

/// Arms the failpoints that the environment names, for as long as the process lives. Call it first in `main`.
///
/// # Panics
/// On a name that no failpoint has, or an action that is none: a test of something else would pass.
#[cfg(feature = "failpoints")]
pub fn arm() {
    // Dropping the scenario would disarm.
    std::mem::forget(fail::FailScenario::setup());
    for (name, actions) in fail::list() {
        assert!(NAMES.iter().any(|(known, _)| *known == name), "there is no failpoint {name}");
        let known = |step: &str| !step.contains("return") || ["(exit)", "(io-error)"].iter().any(|k| step.ends_with(k));
        assert!(actions.split("->").map(str::trim).all(known), "failpoint {name} cannot {actions}");
    }
}
