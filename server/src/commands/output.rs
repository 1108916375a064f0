//! Standard output that may be a pipe somebody closes: `footfall sql … | head` is no failure.

use std::io::{ErrorKind, Write};

use super::CommandError;

/// Whether anybody still reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    Listening,
    Gone,
}

/// Writes all of `bytes`.
pub fn write(bytes: &[u8]) -> Result<Reader, CommandError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::Listening),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(e) => Err(CommandError::failed(format!("cannot write the result: {e}"))),
    }
}

/// Writes a line, or several.
pub fn print(text: &str) -> Result<(), CommandError> {
    write(format!("{text}\n").as_bytes()).map(drop)
}

/// Writes a value as indented JSON.
pub fn print_json(value: &impl serde::Serialize) -> Result<(), CommandError> {
    let text = serde_json::to_string_pretty(value).map_err(|e| CommandError::failed(e.to_string()))?;
    print(&text)
}
