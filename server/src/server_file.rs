//! `server.json`: where the server of a data directory is found, and the word that opens it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::projects::random_hex;

const FILE: &str = "server.json";

/// The bearer token of this process, and of those it hands over to.
pub struct LocalToken(String);

impl LocalToken {
    pub fn random() -> Self {
        Self(random_hex(32))
    }

    /// The one that this process had before it became another program; commands that are under way hold it.
    pub fn of_predecessor(data_dir: &Path) -> Option<Self> {
        let record = ServerRecord::read(data_dir)?;
        (record.pid == std::process::id()).then_some(Self(record.token))
    }

    pub fn matches(&self, token: &str) -> bool {
        self.0.as_bytes().ct_eq(token.as_bytes()).into()
    }
}

/// What the file holds.
#[derive(Serialize, Deserialize)]
pub struct ServerRecord {
    /// `http://127.0.0.1:8080`
    pub http: String,
    pub token: String,
    pub pid: u32,
    /// Another one for each start, whatever else stays the same.
    pub start: String,
    /// For how long nobody was answered when the predecessor handed over; none if there was no hand-over.
    pub handed_over_ms: Option<u64>,
}

impl ServerRecord {
    pub fn read(data_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(data_dir.join(FILE)).ok()?).ok()
    }
}

/// `server.json` while it exists; dropping it removes the file.
pub struct ServerFile {
    path: PathBuf,
}

impl ServerFile {
    /// Publishes the address. Call only while holding the data directory. `gap` is how long nobody was answered in a
    /// hand-over.
    pub fn write(
        data_dir: &Path,
        address: SocketAddr,
        token: &LocalToken,
        gap: Option<Duration>,
    ) -> std::io::Result<Self> {
        let record = ServerRecord {
            http: base_url(address),
            token: token.0.clone(),
            pid: std::process::id(),
            start: random_hex(8),
            handed_over_ms: gap.map(|gap| u64::try_from(gap.as_millis()).unwrap_or(u64::MAX)),
        };
        let path = data_dir.join(FILE);
        let temporary = data_dir.join(format!("{FILE}.new"));
        // A left-over of a killed server could have other permissions.
        drop(fs::remove_file(&temporary));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(&serde_json::to_vec(&record)?)?;
        fs::rename(&temporary, &path)?;
        Ok(Self { path })
    }

    /// Leaves the file in place, for a successor to replace it.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for ServerFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "cannot remove server.json");
        }
    }
}

/// Where a client on this machine finds a listener; a wildcard address is reached by loopback.
pub fn base_url(address: SocketAddr) -> String {
    let mut address = address;
    if address.ip().is_unspecified() {
        let loopback = if address.is_ipv4() { "127.0.0.1" } else { "::1" };
        if let Ok(ip) = loopback.parse() {
            address.set_ip(ip);
        }
    }
    format!("http://{address}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_file_is_private_and_goes_with_the_server() {
        let dir = tempfile::tempdir().unwrap();
        let token = LocalToken::random();
        let file = ServerFile::write(dir.path(), "0.0.0.0:80".parse().unwrap(), &token, None).unwrap();
        let path = dir.path().join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(ServerRecord::read(dir.path()).unwrap().http, "http://127.0.0.1:80");
        assert!(token.matches(&LocalToken::of_predecessor(dir.path()).unwrap().0));
        drop(file);
        assert!(!path.exists());
    }
}
