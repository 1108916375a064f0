//! Who may know whom: the tree of `house-style.md` §1, checked on what cargo resolved.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::harness::repository_root;

/// Which package reaches which, by ordinary dependencies: not those of tests or build scripts.
struct Resolved {
    names: BTreeMap<String, String>,
    edges: BTreeMap<String, Vec<String>>,
}

impl Resolved {
    fn read() -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--locked", "--offline"])
            .current_dir(repository_root())
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let packages = metadata["packages"].as_array().expect("packages");
        let names = packages.iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
        let ordinary = |dependency: &&Value| {
            let kinds = dependency["dep_kinds"].as_array().expect("kinds");
            kinds.iter().any(|kind| kind["kind"].is_null())
        };
        let edges = metadata["resolve"]["nodes"].as_array().expect("nodes").iter().map(|node| {
            let dependencies = node["deps"].as_array().expect("deps").iter().filter(ordinary);
            (text(&node["id"]), dependencies.map(|dependency| text(&dependency["pkg"])).collect())
        });
        Self { names, edges: edges.collect() }
    }

    /// Names of all packages that a package reaches, itself left out.
    fn reached_by(&self, name: &str) -> BTreeSet<&str> {
        let start = self.names.iter().find(|(_, known)| *known == name).map(|(id, _)| id);
        let mut open = vec![start.unwrap_or_else(|| panic!("no package {name}"))];
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            for next in &self.edges[id] {
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        seen.into_iter().map(|id| self.names[id].as_str()).collect()
    }

    fn versions_of(&self, name: &str) -> usize {
        self.names.values().filter(|known| *known == name).count()
    }
}

#[test]
fn crates_reach_only_what_they_may_know() {
    let resolved = Resolved::read();
    let datafusion = |name: &&str| name.starts_with("datafusion");
    // object_store brings an HTTP client; a server is what they must not know.
    let http = |name: &&str| ["axum", "footfall-server"].contains(name);
    let ours = |name: &&str| name.starts_with("footfall-");
    let io = |name: &&str| ["tokio", "object_store", "reqwest", "hyper"].contains(name);
    type Forbidden<'a> = &'a dyn Fn(&&str) -> bool;
    let rules: [(&str, &str, Forbidden); 14] = [
        ("footfall-model", "DataFusion", &datafusion),
        ("footfall-lang", "DataFusion", &datafusion),
        ("footfall-eval", "DataFusion", &datafusion),
        ("footfall-storage", "DataFusion", &datafusion),
        ("footfall-ingest", "DataFusion", &datafusion),
        ("footfall-model", "IO", &io),
        ("footfall-lang", "IO", &io),
        ("footfall-eval", "IO", &io),
        ("footfall-udfs", "another crate of ours", &ours),
        ("footfall-engine", "HTTP", &http),
        ("footfall-query", "HTTP", &http),
        ("footfall-storage", "HTTP", &http),
        ("footfall-ingest", "HTTP", &http),
        ("footfall-tests", "another crate of ours", &ours),
    ];
    let mut broken = vec![];
    for (package, what, forbidden) in rules {
        let reached = resolved.reached_by(package).into_iter().filter(|name| forbidden(name)).collect::<Vec<_>>();
        if !reached.is_empty() {
            broken.push(format!("{package} must not know {what}, and reaches {reached:?}"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    // The reading itself must be able to see what is forbidden above.
    let server = resolved.reached_by("footfall-server");
    assert!(server.iter().any(datafusion) && server.iter().any(http) && server.iter().any(ours), "{server:?}");
}

#[test]
fn the_arrow_family_is_there_once() {
    let resolved = Resolved::read();
    for name in ["arrow", "arrow-array", "arrow-schema", "parquet", "object_store", "datafusion", "datafusion-common"] {
        assert_eq!(resolved.versions_of(name), 1, "copies of {name}");
    }
}
