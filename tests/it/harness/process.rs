//! The `footfall` executable and its command line.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

/// What one run of the command line printed, and how it ended.
#[derive(Debug)]
pub struct CliOutput {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl CliOutput {
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "the command failed: {self:#?}");
        self
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: not JSON alone: {self:#?}"))
    }
}

/// `FOOTFALL_BIN`, else the binary built beside this test executable.
fn footfall_binary() -> PathBuf {
    if let Some(path) = std::env::var_os("FOOTFALL_BIN") {
        return PathBuf::from(path);
    }
    let test = std::env::current_exe().expect("a running test has a path");
    let profile = test.parent().and_then(Path::parent).expect("a test lies in <target>/<profile>/deps");
    let binary = profile.join("footfall");
    assert!(binary.is_file(), "no binary at {}: build the workspace first (./scripts/test does)", binary.display());
    binary
}

/// The binary under test, without the variables that are meant for the tests.
pub fn footfall() -> Command {
    footfall_at(None)
}

/// As [`footfall`], by another path.
pub fn footfall_at(path: Option<&Path>) -> Command {
    let mut command = Command::new(path.map_or_else(footfall_binary, Path::to_owned));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FOOTFALL_")) {
        command.env_remove(name);
    }
    command
}

/// Runs `footfall ARGS --data-dir DIR` to its end.
pub async fn run_cli(data_dir: &Path, env: &[(String, String)], args: &[&str]) -> CliOutput {
    let output = footfall()
        .args(args)
        .arg("--data-dir")
        .arg(data_dir)
        .envs(env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("the binary starts");
    CliOutput {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
