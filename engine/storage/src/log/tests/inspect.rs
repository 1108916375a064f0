//! Reading past damage, and copying what is sound.

use std::fs;

use super::corruption::write_groups;
use super::*;

const LARGE: &[u8] = &[5; 190];

/// Four segments with the lsns 1–2, 3–4, 5–6 and 7.
fn fixture() -> (TempDir, Vec<PathBuf>, Vec<Owned>) {
    let dir = TempDir::new().unwrap();
    let written = write_groups(small(dir.path()), &[&[LARGE] as &[&[u8]]; 7]);
    let files = segment_files(dir.path());
    assert_eq!(files.len(), 4);
    (dir, files, written)
}

/// Lsns of sound records, damages, and bytes of a torn tail.
fn read(dir: &Path) -> (Vec<u64>, Vec<Damage>, u64) {
    let (mut lsns, mut damages, mut torn) = (Vec::new(), Vec::new(), 0);
    let found = inspect(dir, |finding| {
        match finding {
            Finding::Record(found) => lsns.push(found.record.lsn.0),
            Finding::Damage(damage) => damages.push(damage),
            Finding::TornTail { bytes, .. } => torn = bytes,
        }
        Ok::<_, LogError>(())
    });
    assert_eq!(found.unwrap().records as usize, lsns.len());
    (lsns, damages, torn)
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}

const RECORD: u64 = (RECORD_HEADER_BYTES + LARGE.len()) as u64;

#[test]
fn a_sound_log_has_no_findings_but_its_records_where_they_are() {
    let (dir, files, written) = fixture();
    let mut places = Vec::new();
    inspect(dir.path(), |finding| {
        let Finding::Record(found) = finding else { panic!("{finding:?}") };
        let payload = &fs::read(found.file).unwrap()[found.offset as usize + RECORD_HEADER_BYTES..][..LARGE.len()];
        assert_eq!(payload, found.record.payload);
        places.push((found.file.to_path_buf(), found.offset));
        Ok::<_, LogError>(())
    })
    .unwrap();
    assert_eq!(places.len(), written.len());
    assert_eq!(places[3], (files[1].clone(), HEADER_BYTES as u64 + RECORD));
}

#[test]
fn damage_is_named_and_reading_goes_on_behind_it() {
    let (dir, files, _) = fixture();
    flip(&files[1], HEADER_BYTES + 50);
    let (lsns, damages, _) = read(dir.path());
    assert_eq!(lsns, [1, 2, 4, 5, 6, 7]);
    let what = "the bytes are no record";
    let (file, offset) = (files[1].clone(), HEADER_BYTES as u64);
    assert_eq!(damages, [Damage { file, offset, bytes: RECORD, lsns: Some(3..4), what }]);

    // The end of a finished segment: what is lost shows in the next one.
    let (dir, files, _) = fixture();
    flip(&files[1], HEADER_BYTES + RECORD as usize + 50);
    let (lsns, damages, _) = read(dir.path());
    assert_eq!(lsns, [1, 2, 3, 5, 6, 7]);
    assert_eq!((damages.len(), damages[0].bytes, &damages[1].lsns), (2, RECORD, &Some(4..5)));
}

#[test]
fn a_damaged_header_and_a_missing_segment_cost_no_other_record() {
    let (dir, files, _) = fixture();
    flip(&files[0], 20);
    flip(&files[2], 20);
    let (lsns, damages, _) = read(dir.path());
    assert_eq!(lsns, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(damages.iter().map(|damage| damage.what).collect::<Vec<_>>(), ["the segment header is damaged"; 2]);

    let (dir, files, _) = fixture();
    fs::remove_file(&files[1]).unwrap();
    let (lsns, damages, _) = read(dir.path());
    assert_eq!((lsns, &damages[0].lsns), (vec![1, 2, 5, 6, 7], &Some(3..5)));
}

#[test]
fn a_torn_tail_is_no_damage() {
    let (dir, files, _) = fixture();
    let bytes = fs::read(&files[3]).unwrap();
    fs::write(&files[3], &bytes[..bytes.len() - 3]).unwrap();
    let (lsns, damages, torn) = read(dir.path());
    assert_eq!((lsns.len(), damages, torn), (6, vec![], RECORD - 3));
}

#[test]
fn a_salvaged_log_opens_has_every_sound_record_and_leaves_the_source_alone() {
    let (dir, files, written) = fixture();
    flip(&files[0], 9);
    flip(&files[1], HEADER_BYTES + 50);
    fs::remove_file(&files[2]).unwrap();
    let before: Vec<_> = segment_files(dir.path()).iter().map(|file| fs::read(file).unwrap()).collect();
    let to = TempDir::new().unwrap();
    let copy = to.path().join("new");
    let report = salvage(dir.path(), &copy, Lsn(0)).unwrap();
    let after: Vec<_> = segment_files(dir.path()).iter().map(|file| fs::read(file).unwrap()).collect();
    assert_eq!(before, after);
    assert_eq!((report.source.records, report.lost, report.skipped.len()), (4, 3, 3));

    let (_, recovery, found) = open(small(&copy)).unwrap();
    let sound = [1, 2, 4, 7].map(|lsn: usize| written[lsn - 1].clone());
    assert_eq!(found, sound);
    assert_eq!(recovery.next_lsn, Lsn(8), "lsns stay: the tables know records by them");
    assert_eq!(Some(recovery.node), report.source.node);
    assert_eq!(read(&copy).0, [1, 2, 3, 4, 5, 6, 7], "lost records have a place");
    assert!(matches!(salvage(dir.path(), &copy, Lsn(0)), Err(LogError::NotEmpty { .. })));
}

#[test]
fn a_copy_may_go_on_past_what_the_tables_hold() {
    let (dir, files, _) = fixture();
    fs::remove_file(&files[3]).unwrap();
    let to = TempDir::new().unwrap();
    salvage(dir.path(), to.path(), Lsn(9)).unwrap();
    let (log, recovery, found) = open(small(to.path())).unwrap();
    assert_eq!((found.len(), recovery.next_lsn), (6, Lsn(9)));
    assert_eq!(append_durable(&log, entry(b"on")), Lsn(9));
}

#[test]
fn l11_a_first_segment_that_was_not_released_is_missed() {
    let (dir, files, _) = fixture();
    fs::remove_file(&files[0]).unwrap();
    match open(small(dir.path())) {
        Err(LogError::Corrupt { file, offset: 40, .. }) => assert_eq!(file, files[1]),
        other => panic!("{other:?}"),
    }
    files.iter().for_each(|file| drop(fs::remove_file(file)));
    drop(open(small(dir.path())).unwrap());

    let (dir, _, _) = fixture();
    let (log, _, _) = open(small(dir.path())).unwrap();
    log.release(Lsn(4)).unwrap();
    drop(log);
    assert_eq!(open(small(dir.path())).unwrap().1.oldest_lsn, Lsn(5));
    let files = segment_files(dir.path());
    files.iter().for_each(|file| fs::remove_file(file).unwrap());
    assert!(matches!(open(small(dir.path())), Err(LogError::Corrupt { .. })), "all are gone");
}
