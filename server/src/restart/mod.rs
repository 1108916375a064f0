//! One process image after the other, under the same id and on the same sockets.
//!
//! [`Program`] is what to run, tried out before anything is given up for it ([`Program::check`]); [`Program::exec`]
//! becomes it. Container and service managers see one process all along.

mod exec;
mod notify;
mod program;

pub use notify::notify;
pub use program::Program;
