//! What a restart runs: the program under the path it was started by, as it is on disk by then.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Reading settings takes milliseconds; a program that hangs is not one to become.
const CHECK_MAX: Duration = Duration::from_secs(20);

pub struct Program {
    path: PathBuf,
    /// The name first, as the process was given them.
    args: Vec<OsString>,
}

impl Program {
    /// This very process. To be asked at start: later the file may be another one already.
    pub fn current() -> std::io::Result<Self> {
        let args: Vec<OsString> = std::env::args_os().collect();
        let running = std::env::current_exe()?;
        // By the name it was called by, where that leads to it: an upgrade often points a link to the next version, and
        // `/proc` only knows what the link pointed to.
        let called = args.first().and_then(|name| called(Path::new(name), &running));
        Ok(Self { path: called.unwrap_or(running), args })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the program starts at all and accepts the settings that this process runs with; the reason if not.
    pub async fn check(&self) -> Result<(), String> {
        let mut command = tokio::process::Command::from(self.command());
        command.arg("--check").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let path = self.path.display();
        let output = match tokio::time::timeout(CHECK_MAX, command.output()).await {
            Err(_) => return Err(format!("{path} does not answer")),
            Ok(Err(e)) => return Err(format!("{path} cannot be started: {e}")),
            Ok(Ok(output)) => output,
        };
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{path} would not start ({}): {}", output.status, said.trim()))
    }

    /// The program with our arguments, name and environment.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(self.args.get(1..).unwrap_or_default());
        if let Some(name) = self.args.first() {
            command.arg0(name);
        }
        for variable in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDS_FIRST_FD", "LISTEN_FDNAMES"] {
            command.env_remove(variable);
        }
        command
    }
}

/// Where `name`, as a shell would look for it, leads to the file that is `running`.
fn called(name: &Path, running: &Path) -> Option<PathBuf> {
    let is_running = |path: &PathBuf| path.canonicalize().is_ok_and(|file| file == running);
    if name.components().count() > 1 {
        return std::path::absolute(name).ok().filter(is_running);
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(is_running)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_followed_when_it_is_time() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let (old, link) = (dir.join("footfall-1"), dir.join("footfall"));
        std::fs::write(&old, "").unwrap();
        std::os::unix::fs::symlink(&old, &link).unwrap();
        assert_eq!(called(&link, &old), Some(link));
        assert_eq!(called(&dir.join("none"), &old), None);
        assert_eq!(called(Path::new("no-such-program"), &old), None);
    }
}
