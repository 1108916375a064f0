//! Trial (a): the power fails while the log and the objects are being written.
//!
//! The log and a [`DurableLocal`] live on an ext4 image. A cut is a copy of that image taken at one instant under full
//! load: it holds what reached the disk and nothing of what the kernel still kept in memory. The copy is mounted and
//! recovered, and must hold everything that was acknowledged before the instant, and nothing that was never sent.
//!
//! Needs root and loop mounts; says so and passes where it cannot run, unless `FOOTFALL_POWER_CUTS` asks for a number
//! of cuts. Plain `LocalFileSystem` takes the same load beside it, and what it loses is printed, not judged.

mod disk;
mod load;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::Path;

use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt};

use super::tests::append_durable;
use super::{Entry, Log};
use crate::durable::DurableLocal;
use disk::Disk;
use load::{Load, Objects, object_bytes, payload};

const CUTS: usize = 10;

#[derive(Debug, Default)]
struct Tally {
    records: u64,
    unacked_records: u64,
    torn_bytes: u64,
    objects: usize,
    plain_acked: usize,
    plain_lost: usize,
    plain_short: usize,
}

#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    let asked: Option<usize> = std::env::var("FOOTFALL_POWER_CUTS").ok().map(|cuts| cuts.parse().unwrap());
    let disk = match Disk::mount() {
        Ok(disk) => disk,
        Err(reason) => {
            assert!(asked.is_none(), "cannot cut the power as FOOTFALL_POWER_CUTS asks: {reason}");
            eprintln!("SKIPPED what_was_acknowledged_survives_a_power_cut: {reason}");
            return;
        }
    };
    let load = Load::start(disk.path());
    let mut tally = Tally::default();
    let cuts = asked.unwrap_or(CUTS);
    for cut in 0..cuts {
        load.run_for_acks(10 + 37 * (cut as u64 % 7));
        let before = load.snapshot();
        let image = disk.cut();
        let after = load.snapshot();
        let copy = disk.mount_copy(&image);
        check_log(copy.path(), &before, &after, &mut tally);
        check_objects(copy.path(), &before.durable, &after.durable, &mut tally);
        observe_plain(copy.path(), &before.plain, &after.plain, &mut tally);
    }
    load.stop();
    println!("power cuts={cuts} {tally:?}");
}

/// Under load every sync carries the names of everybody else's files to the disk as well. Here each write is alone.
#[test]
fn each_way_to_write_an_object_is_durable_by_itself() {
    let disk = match Disk::mount() {
        Ok(disk) => disk,
        Err(reason) => {
            eprintln!("SKIPPED each_way_to_write_an_object_is_durable_by_itself: {reason}");
            return;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = DurableLocal::new(disk.path().join(load::DURABLE_DIR)).unwrap();
    let mut names: Vec<String> = Vec::new();
    for n in 0..load::WAYS_TO_PUT {
        let name = format!("way/{n}/object");
        runtime.block_on(load::put(&store, &name, n));
        names.push(name);
        expect_objects(&disk, &names);
    }
    let (first, copy) = (names[0].clone(), "copied/there/object".to_owned());
    runtime.block_on(store.copy(&first.as_str().into(), &copy.as_str().into())).unwrap();
    runtime.block_on(store.delete(&first.as_str().into())).unwrap();
    names[0] = copy;
    expect_names(&disk, &names);
}

fn expect_objects(disk: &Disk, names: &[String]) {
    for (name, bytes) in expect_names(disk, names) {
        assert!(bytes == object_bytes(&name), "D1: {name} is there with {} bytes that are not it", bytes.len());
    }
}

fn expect_names(disk: &Disk, names: &[String]) -> Vec<(String, Vec<u8>)> {
    let image = disk.cut();
    let copy = disk.mount_copy(&image);
    let visible = read_all(&DurableLocal::new(copy.path().join(load::DURABLE_DIR)).unwrap());
    let found: BTreeSet<&String> = visible.iter().map(|(name, _)| name).collect();
    assert_eq!(found, names.iter().collect(), "D2, D4: exactly the names that were answered");
    visible
}

fn check_log(root: &Path, before: &load::Snapshot, after: &load::Snapshot, tally: &mut Tally) {
    let options = load::log_options(root);
    let mut expected = None;
    let (log, recovery) = Log::open(options.clone(), |record| {
        assert_eq!(record.lsn.0, *expected.get_or_insert(record.lsn.0), "L1: lsns are contiguous");
        assert!(record.payload == payload(record.lsn.0), "record {} is not what was sent", record.lsn);
        expected = expected.map(|lsn| lsn + 1);
        Ok::<_, Infallible>(())
    })
    .expect("a power cut is no corruption");
    let recovered = recovery.next_lsn.0 - 1;
    assert!(before.acked_lsn <= recovered, "L2: acked {} but recovered {recovered}", before.acked_lsn);
    assert!(recovered <= after.sent_lsn, "recovered {recovered} but sent {}", after.sent_lsn);
    assert!(recovery.oldest_lsn.0 <= after.released_lsn + 1, "L8: a record that was not released is gone");
    tally.records += recovery.records;
    tally.unacked_records += recovered - before.acked_lsn;
    tally.torn_bytes += recovery.truncated_tail_bytes;

    let on = append_durable(&log, Entry { project: 1, kind: 1, payload: payload(recovered + 1) });
    assert_eq!(on.0, recovered + 1);
    drop(log);
    let again = Log::open(options, |_| Ok::<_, Infallible>(())).unwrap().1;
    assert_eq!(again.next_lsn.0, recovered + 2);
}

fn check_objects(root: &Path, before: &Objects, after: &Objects, tally: &mut Tally) {
    let store = DurableLocal::new(root.join(load::DURABLE_DIR)).unwrap();
    store.remove_staged().unwrap();
    let visible = read_all(&store);
    for (name, bytes) in &visible {
        assert!(*bytes == object_bytes(name), "D1: {name} is there with {} bytes that are not it", bytes.len());
    }
    let names: BTreeSet<_> = visible.iter().map(|(name, _)| name.clone()).collect();
    for name in before.kept.difference(&after.deleting) {
        assert!(names.contains(name), "D2: {name} was acknowledged and is gone");
    }
    for name in &before.deleted {
        assert!(!names.contains(name), "D4: {name} was deleted and is back");
    }
    tally.objects += names.len();
}

fn observe_plain(root: &Path, before: &Objects, after: &Objects, tally: &mut Tally) {
    // The directory itself may be among what was lost.
    std::fs::create_dir_all(root.join(load::PLAIN_DIR)).unwrap();
    let visible = read_all(&LocalFileSystem::new_with_prefix(root.join(load::PLAIN_DIR)).unwrap());
    for name in before.kept.difference(&after.deleting) {
        tally.plain_acked += 1;
        match visible.iter().find(|(found, _)| found == name) {
            None => tally.plain_lost += 1,
            Some((_, bytes)) if *bytes != object_bytes(name) => tally.plain_short += 1,
            Some(_) => {}
        }
    }
}

fn read_all(store: &dyn ObjectStore) -> Vec<(String, Vec<u8>)> {
    use futures::TryStreamExt;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
        let mut found = Vec::new();
        for meta in listed {
            let bytes = store.get(&meta.location).await.unwrap().bytes().await.unwrap();
            found.push((meta.location.to_string(), bytes.to_vec()));
        }
        found
    })
}
