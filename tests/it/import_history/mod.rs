//! `footfall import`: history from files of every form, broken off anywhere, beside live traffic.
//!
//! The oracle is the records themselves: one event per key, the latest copy's properties, each in its own day. Files are
//! written by `tests/py/import_files.py`, that is by Python's csv and gzip and by pyarrow.

mod broken_off;
mod data;
mod forms;
mod mapping;
mod remote;

use std::path::Path;

use serde_json::Value;

use crate::harness::{CliOutput, Project, Server};

/// `footfall import --json` into a project; the summary it prints.
async fn import(server: &Server, project: &Project, args: &[&str]) -> Value {
    run_import(server, project, args).await.succeeded().json()
}

async fn run_import(server: &Server, project: &Project, args: &[&str]) -> CliOutput {
    server.cli(&[&["import", "--project", &project.name, "--json"], args].concat()).await
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
