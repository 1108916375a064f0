//! How a command ends when it does not succeed.

use std::process::ExitCode;

use footfall_engine::{Error, ErrorKind};

#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The command line asks for something that does not make sense; exit code 2.
    #[error("{0}")]
    Usage(String),
    /// Exit code 1.
    #[error("{0}")]
    Failed(String),
    /// No server answers, or another one than before: it may have been started again. Exit code 1.
    #[error("{0}")]
    Unreachable(String),
}

impl CommandError {
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    /// Says it on standard error and answers the exit code.
    pub fn report(&self) -> ExitCode {
        eprintln!("error: {self}");
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) | Self::Unreachable(_) => ExitCode::FAILURE,
        }
    }
}

impl From<Error> for CommandError {
    fn from(error: Error) -> Self {
        match error.kind {
            ErrorKind::Internal => Self::Failed(format!("internal error: {error}")),
            _ => Self::Failed(error.to_string()),
        }
    }
}
