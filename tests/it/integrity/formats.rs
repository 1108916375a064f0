//! Data of other versions: those before are read, those to come are refused and left as they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::copy;
use crate::harness::{crate_folder, run_cli};

/// `{version}/data` is a data directory as that version left it after a kill, `answers.json` what it answered.
/// `tests/golden/make` writes one.
fn golden() -> Vec<PathBuf> {
    let root = crate_folder().join("golden");
    let entries = std::fs::read_dir(root).expect("the golden directories").map(|entry| entry.expect("an entry").path());
    let mut versions: Vec<PathBuf> = entries.filter(|path| path.join("data").is_dir()).collect();
    versions.sort();
    versions
}

#[tokio::test]
async fn data_directories_of_every_version_open_with_the_same_answers() {
    let versions = golden();
    assert!(!versions.is_empty());
    for version in versions {
        let data = copy(&version.join("data"));
        let answers = std::fs::read(version.join("answers.json")).expect("the answers");
        let answers: Value = serde_json::from_slice(&answers).expect("JSON");
        for answer in answers.as_array().expect("a list") {
            let query = answer["query"].as_str().expect("a query");
            let args = ["sql", "--project", "golden", "--format", "json", query];
            let output = run_cli(data.path(), &[], &args).await.succeeded();
            assert_eq!(output.json()["rows"], answer["rows"], "{}: {query}", version.display());
        }
        run_cli(data.path(), &[], &["verify", "--deep"]).await.succeeded();
    }
}

/// Every file with its bytes.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut contents = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).expect("a file");
                contents.insert(path, bytes);
            }
        }
    }
    contents
}

#[tokio::test]
async fn what_a_newer_version_wrote_is_refused_and_left_untouched() {
    let newest = golden().pop().expect("a golden directory");
    for file in ["FORMAT.json", "store/FORMAT.json"] {
        let data = copy(&newest.join("data"));
        std::fs::write(data.path().join(file), r#"{"format":99,"written_by":"footfall 99.0.0"}"#).expect("written");
        let before = contents(data.path());
        let target = data.path().with_extension("backup");
        for args in [
            &["serve", "--http", "127.0.0.1:0"][..],
            &["sql", "--project", "golden", "SELECT 1"],
            &["verify"],
            &["backup", "create", target.to_str().expect("UTF-8")],
        ] {
            let refused = run_cli(data.path(), &[], args).await;
            assert_eq!(refused.code, Some(1), "{args:?}: {refused:?}");
            let said = ["newer version", "99"].iter().all(|words| refused.stderr.contains(words));
            assert!(said, "{args:?}: {refused:?}");
        }
        let mut after = contents(data.path());
        // An empty file that says who holds the directory.
        after.retain(|path, _| before.contains_key(path) || !path.ends_with("LOCK"));
        assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>(), "{file}");
        assert!(after == before, "{file}: a file was changed");
        drop(std::fs::remove_dir_all(target));
    }
}
