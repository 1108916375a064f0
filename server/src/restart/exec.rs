//! Becoming the next program, with sockets in hand.
//!
//! Everything else of ours closes by itself: each descriptor that Rust opens has the flag that says so. The lock on the
//! data directory is let go of in the same instant.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::time::SystemTime;

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

use super::Program;
use crate::config::HANDED_OVER_AT;
use crate::listen::{NAME, NAME_ACTIVATED, NAME_CONNECTION, Sockets};

const DISTANCE: i32 = 64;

impl Program {
    /// Replaces this process; answers only if that fails, and then nothing has changed. `since` is when we stopped to
    /// answer, `activated` whether somebody else owns the listening socket.
    pub fn exec(&self, sockets: &Sockets, activated: bool, since: SystemTime) -> io::Error {
        let listener = std::iter::once(sockets.listener.as_fd());
        let all: Vec<BorrowedFd> = listener.chain(sockets.connections.iter().map(AsFd::as_fd)).collect();
        // They have to be numbered in sequence.
        let given = match in_sequence(&all).and_then(|copies| keep_across_exec(&copies).map(|()| copies)) {
            Ok(copies) => copies,
            Err(error) => return error,
        };
        let Some(first) = given.first() else { return io::Error::from(io::ErrorKind::InvalidInput) };
        let names = std::iter::once(if activated { NAME_ACTIVATED } else { NAME });
        let names: Vec<_> = names.chain(std::iter::repeat(NAME_CONNECTION)).take(given.len()).collect();
        let since = since.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
        self.command()
            .env("LISTEN_FDS", given.len().to_string())
            .env("LISTEN_PID", std::process::id().to_string())
            .env("LISTEN_FDS_FIRST_FD", first.as_raw_fd().to_string())
            .env("LISTEN_FDNAMES", names.join(":"))
            .env(HANDED_OVER_AT, since.to_string())
            .exec()
    }
}

/// Copies with numbers that follow each other, above all that are in use; of as many, from the first, as there are
/// numbers for.
fn in_sequence(sockets: &[BorrowedFd]) -> io::Result<Vec<OwnedFd>> {
    let mut next = above_all_in_use()?;
    let mut copies = Vec::with_capacity(sockets.len());
    for socket in sockets {
        let copy = match fcntl_dupfd_cloexec(socket, next) {
            Ok(copy) if copy.as_raw_fd() == next => copy,
            Ok(_) if copies.is_empty() => return Err(io::Error::other("file descriptors cannot be put in sequence")),
            Err(error) if copies.is_empty() => return Err(error.into()),
            Ok(_) | Err(_) => {
                tracing::warn!(
                    closed = sockets.len() - copies.len(),
                    "too few file descriptors to hand over all connections"
                );
                break;
            }
        };
        next = next.saturating_add(1);
        copies.push(copy);
    }
    Ok(copies)
}

/// Far enough above that a file which another thread opens meanwhile does not come between.
fn above_all_in_use() -> io::Result<i32> {
    let numbers = std::fs::read_dir("/proc/self/fd")?;
    let highest = numbers.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok()).max();
    highest.and_then(|highest| highest.checked_add(DISTANCE)).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

fn keep_across_exec(sockets: &[OwnedFd]) -> io::Result<()> {
    for socket in sockets {
        fcntl_setfd(socket, FdFlags::empty())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_follow_each_other_and_are_the_same_sockets() {
        let listeners: Vec<_> = (0..5).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let copies = in_sequence(&listeners.iter().map(AsFd::as_fd).collect::<Vec<_>>()).unwrap();
        let numbers: Vec<i32> = copies.iter().map(AsRawFd::as_raw_fd).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
        for (copy, listener) in copies.into_iter().zip(&listeners) {
            assert_eq!(std::net::TcpListener::from(copy).local_addr().unwrap(), listener.local_addr().unwrap());
        }
    }
}
