//! Tools that are not Rust: Python and Node with the pinned packages of `scripts/tools`, and the seed of random data.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

/// This crate's folder, as the runner says: a binary that was built in another clone, with the same target folder, knows
/// that one's.
pub fn crate_folder() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// The root of the repository: this crate's parent.
pub fn repository_root() -> PathBuf {
    crate_folder().parent().expect("the crate lies in the repository").to_path_buf()
}

/// `FOOTFALL_SEED` or the test's own, printed so that a failure can be run again.
pub fn seed(default: u64) -> u64 {
    let seed = std::env::var("FOOTFALL_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    println!("FOOTFALL_SEED={seed}");
    seed
}

/// Standard output of `tests/py/SCRIPT ARGS`, or `None` when the tools are not installed.
pub async fn python(script: &str, args: &[&str]) -> Option<String> {
    let mut command = python_command()?;
    command.arg(script).args(args);
    Some(output_of(command).await)
}

/// The tests beside the Python package of this name in `tests/py`; `None` when the tools are not installed.
pub async fn python_unit_tests(package: &str) -> Option<String> {
    let mut command = python_command()?;
    command.args(["-m", "unittest", "discover", "-t", ".", "-s"]).arg(format!("{package}/tests"));
    Some(output_of(command).await)
}

/// The Python of the tests, in `tests/py`; `None` when the tools are not installed.
pub fn python_command() -> Option<Command> {
    let interpreter = cache().join("venv/bin/python");
    if !installed(&interpreter, "Python packages") {
        return None;
    }
    let mut command = Command::new(interpreter);
    command.current_dir(repository_root().join("tests/py")).kill_on_drop(true);
    // Several runs at once must not write the same files beside the sources.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Some(command)
}

/// Standard output of `tests/js/SCRIPT ARGS`, or `None` when the tools are not installed.
pub async fn node(script: &str, args: &[&str]) -> Option<String> {
    let modules = cache().join("npm/node_modules");
    if !installed(&modules, "npm packages") {
        return None;
    }
    let mut command = Command::new("node");
    command.arg(repository_root().join("tests/js").join(script)).args(args).env("NODE_PATH", modules);
    Some(output_of(command).await)
}

/// A Chromium of this machine, or `None` when there is none.
pub fn chromium() -> Option<String> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-headless-shell", "chromium-browser", "google-chrome"];
    let found = names.iter().flat_map(|name| std::env::split_paths(&folders).map(move |folder| folder.join(name)));
    let found = { found }.find(|path| path.is_file()).unwrap_or_else(|| PathBuf::from("/usr/bin/chromium"));
    installed(&found, "Chromium").then(|| found.display().to_string())
}

async fn output_of(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.expect("the tool starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} failed\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
    stdout.into_owned()
}

fn cache() -> PathBuf {
    if let Some(cache) = std::env::var_os("FOOTFALL_CACHE") {
        return PathBuf::from(cache);
    }
    PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/footfall")
}

/// `./scripts/test` sets `FOOTFALL_REQUIRE_TOOLS`: there a missing tool is a failure, elsewhere a loud skip.
fn installed(path: &Path, what: &str) -> bool {
    if path.exists() {
        return true;
    }
    assert!(std::env::var_os("FOOTFALL_REQUIRE_TOOLS").is_none(), "{what} are missing at {}", path.display());
    eprintln!("SKIPPED: {what} are not at {}; ./scripts/tools installs them", path.display());
    false
}
