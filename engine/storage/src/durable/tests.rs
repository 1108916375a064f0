//! `DurableLocal` behaves as the store it wraps; that it survives a power cut is tried in `log::power_cut`.

use std::collections::BTreeMap;
use std::process::Command;

use futures::TryStreamExt;
use object_store::{Attribute, Attributes, UpdateVersion};
use tempfile::TempDir;

use super::*;

fn store() -> (TempDir, DurableLocal) {
    let dir = TempDir::new().unwrap();
    let store = DurableLocal::new(dir.path().join("made/for/it")).unwrap();
    (dir, store)
}

fn at(name: &str) -> ObjectPath {
    ObjectPath::from(name)
}

async fn content(store: &DurableLocal, name: &str) -> Vec<u8> {
    store.get(&at(name)).await.unwrap().bytes().await.unwrap().to_vec()
}

/// Every file below the root, staging files included.
fn files(store: &DurableLocal) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let mut pending = vec![store.dirs.root.clone()];
    while let Some(dir) = pending.pop() {
        for dir_entry in fs::read_dir(dir).unwrap().map(|dir_entry| dir_entry.unwrap()) {
            if dir_entry.file_type().unwrap().is_dir() {
                pending.push(dir_entry.path());
            } else {
                let name = dir_entry.path().strip_prefix(&store.dirs.root).unwrap().display().to_string();
                found.insert(name, dir_entry.metadata().unwrap().len());
            }
        }
    }
    found
}

#[tokio::test]
async fn a_put_makes_one_file_with_the_tag_a_head_answers() {
    let (_dir, store) = store();
    let put = store.put(&at("a/b/c"), vec![1; 10].into()).await.unwrap();
    assert_eq!(put.e_tag, store.head(&at("a/b/c")).await.unwrap().e_tag);
    let put = store.put(&at("a/b/c"), vec![2; 11].into()).await.unwrap();
    assert_eq!(put.e_tag, store.head(&at("a/b/c")).await.unwrap().e_tag);
    let put = store.put_opts(&at("a/d"), vec![3; 12].into(), PutMode::Create.into()).await.unwrap();
    assert_eq!(put.e_tag, store.head(&at("a/d")).await.unwrap().e_tag);
    assert_eq!(files(&store), [("a/b/c".to_owned(), 11), ("a/d".to_owned(), 12)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn d3_of_many_creates_one_wins_and_the_others_read_it() {
    let (_dir, store) = store();
    let tries = (0..20_u8).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            match store.put_opts(&at("log/1"), vec![n; 100].into(), PutMode::Create.into()).await {
                Ok(_) => Some(n),
                Err(Error::AlreadyExists { .. }) => {
                    assert_eq!(content(&store, "log/1").await.len(), 100);
                    None
                }
                Err(error) => panic!("{error}"),
            }
        })
    });
    let winners: Vec<u8> = futures::future::join_all(tries).await.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(content(&store, "log/1").await, vec![winners[0]; 100]);
    assert_eq!(files(&store).len(), 1, "no staging file is left");
}

#[tokio::test]
async fn what_files_cannot_do_is_refused_as_the_wrapped_store_does() {
    let (_dir, store) = store();
    let update = PutMode::Update(UpdateVersion { e_tag: None, version: None });
    let refused = store.put_opts(&at("a"), vec![1].into(), update.into()).await;
    assert!(matches!(refused, Err(Error::NotImplemented { .. })));
    let attributes = Attributes::from_iter([(Attribute::ContentType, "text/plain")]);
    let refused = store.put_opts(&at("a"), vec![1].into(), attributes.clone().into()).await;
    assert!(matches!(refused, Err(Error::NotImplemented { .. })));
    let refused = store.put_multipart_opts(&at("a"), attributes.into()).await;
    assert!(matches!(refused, Err(Error::NotImplemented { .. })));
    assert!(
        store.put(&ObjectPath::parse("a#1").unwrap(), vec![1].into()).await.is_err(),
        "staging names are not for objects"
    );
    assert_eq!(files(&store), BTreeMap::new());
}

#[tokio::test]
async fn parts_may_be_written_in_any_order() {
    let (_dir, store) = store();
    let mut upload = store.put_multipart(&at("x/big")).await.unwrap();
    let parts: Vec<_> = (0..5_u8).map(|n| upload.put_part(vec![n; 3].into())).collect();
    futures::future::try_join_all(parts.into_iter().rev()).await.unwrap();
    assert!(store.list(None).try_collect::<Vec<_>>().await.unwrap().is_empty(), "nothing shows before it is complete");
    let put = upload.complete().await.unwrap();
    assert_eq!(put.e_tag, store.head(&at("x/big")).await.unwrap().e_tag);
    assert_eq!(content(&store, "x/big").await, (0..5).flat_map(|n| [n; 3]).collect::<Vec<_>>());
    assert!(upload.complete().await.is_err() && upload.put_part(vec![1].into()).await.is_err());
    assert_eq!(files(&store).len(), 1);
}

#[tokio::test]
async fn an_upload_that_is_aborted_dropped_or_short_of_a_part_leaves_nothing() {
    let (_dir, store) = store();
    let mut aborted = store.put_multipart(&at("a")).await.unwrap();
    aborted.put_part(vec![1].into()).await.unwrap();
    aborted.abort().await.unwrap();
    drop(store.put_multipart(&at("b")).await.unwrap());
    let mut short = store.put_multipart(&at("c")).await.unwrap();
    drop(short.put_part(vec![1].into()));
    assert!(short.complete().await.is_err(), "the part was never polled");
    assert_eq!(files(&store), BTreeMap::new());
}

#[tokio::test]
async fn a_finished_write_leaves_the_staging_file_of_another_alone() {
    let (_dir, store) = store();
    let mut first = store.put_multipart(&at("a")).await.unwrap();
    let part = first.put_part(vec![1].into());
    part.await.unwrap();
    let parts = first.put_part(vec![2].into());
    let second = store.put_multipart(&at("a")).await.unwrap();
    drop(parts);
    assert!(first.complete().await.is_err());
    drop(first);
    assert_eq!(files(&store), [("a#2".to_owned(), 0)].into());
    drop(second);
}

#[tokio::test]
async fn copies_renames_and_deletes_do_what_they_say() {
    let (_dir, store) = store();
    store.put(&at("a"), vec![1].into()).await.unwrap();
    store.put(&at("b"), vec![2].into()).await.unwrap();
    store.copy(&at("a"), &at("new/dir/c")).await.unwrap();
    assert!(matches!(store.copy_if_not_exists(&at("a"), &at("b")).await, Err(Error::AlreadyExists { .. })));
    assert!(matches!(store.rename_if_not_exists(&at("a"), &at("b")).await, Err(Error::AlreadyExists { .. })));
    store.rename_if_not_exists(&at("a"), &at("other/d")).await.unwrap();
    store.rename(&at("b"), &at("other/d")).await.unwrap();
    assert!(matches!(store.rename(&at("b"), &at("x")).await, Err(Error::NotFound { .. })));
    assert!(matches!(store.copy(&at("b"), &at("x")).await, Err(Error::NotFound { .. })));
    assert_eq!(content(&store, "other/d").await, [2]);
    assert_eq!(content(&store, "new/dir/c").await, [1]);

    let locations = ["other/d", "missing", "new/dir/c"].map(|name| Ok(at(name)));
    let outcomes: Vec<_> = store.delete_stream(stream::iter(locations).boxed()).collect().await;
    assert!(matches!(&outcomes[..], [Ok(_), Err(Error::NotFound { .. }), Ok(_)]), "{outcomes:?}");
    assert_eq!(files(&store), BTreeMap::new());
}

#[tokio::test]
async fn staging_files_of_a_crash_are_hidden_and_can_be_removed() {
    let (_dir, store) = store();
    store.put(&at("d/a"), vec![1].into()).await.unwrap();
    fs::write(store.dirs.root.join("d/a#1"), b"half").unwrap();
    fs::write(store.dirs.root.join("d/a#1x"), b"an object").unwrap();
    store.put(&at("d/a"), vec![2].into()).await.unwrap();
    assert_eq!(store.list(None).try_collect::<Vec<_>>().await.unwrap().len(), 2);
    assert_eq!(store.remove_staged().unwrap(), 1);
    assert_eq!(files(&store).into_keys().collect::<Vec<_>>(), ["d/a", "d/a#1x"]);
}

#[test]
fn d2_a_directory_somebody_else_just_made_is_synced_by_both() {
    let (_dir, store) = store();
    let (one, two) = (store.dirs.root.join("p/q/1"), store.dirs.root.join("p/q/2"));
    let first = store.dirs.create_parents(&one).unwrap();
    let second = store.dirs.create_parents(&two).unwrap();
    assert_eq!((first.len(), &first), (2, &second));
    store.dirs.sync_names(&one, first).unwrap();
    assert!(store.dirs.create_parents(&one).unwrap().is_empty());
    fs::remove_dir(store.dirs.root.join("p/q")).unwrap();
    assert_eq!(store.dirs.create_parents(&two).unwrap(), [store.dirs.root.join("p/q")], "made again, unnamed again");
}

/// Counts the syncs of one put, for a claim about its cost is worth only what is counted.
#[test]
fn d2_a_put_syncs_the_file_its_directory_and_the_names_above_once() {
    const CHILD: &str = "FOOTFALL_DURABLE_CHILD_DIR";
    if let Ok(dir) = std::env::var(CHILD) {
        let store = DurableLocal::new(dir).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for name in ["a/b/1", "a/b/2"] {
            runtime.block_on(store.put(&at(name), vec![1].into())).unwrap();
        }
        return;
    }
    let dir = TempDir::new().unwrap();
    let (trace, root) = (dir.path().join("trace"), dir.path().join("root"));
    fs::create_dir(&root).unwrap();
    let (_, module) = module_path!().split_once("::").unwrap();
    let test = format!("{module}::d2_a_put_syncs_the_file_its_directory_and_the_names_above_once");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-e", "trace=fsync", "-o"]).arg(&trace).arg(std::env::current_exe().unwrap());
    let Ok(output) = strace.args(["--exact", &test]).env(CHILD, &root).output() else {
        eprintln!("SKIPPED {test}: strace is not installed");
        return;
    };
    if !output.status.success() {
        eprintln!("SKIPPED {test}: {}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let trace = fs::read_to_string(trace).unwrap();
    let root = root.display().to_string();
    let synced: Vec<_> = trace.lines().filter_map(|line| Some(line.split_once('<')?.1.split_once('>')?.0)).collect();
    let synced: Vec<_> = synced.iter().filter_map(|path| path.strip_prefix(&root)).collect();
    assert_eq!(synced, ["/a/b/1#1", "", "/a", "/a/b", "/a/b/2#1", "/a/b"]);
}
