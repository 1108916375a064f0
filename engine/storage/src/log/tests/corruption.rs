//! Damaged files: healed if a crash can explain the damage, refused with file and offset if not, and never a record
//! that was not written.

use std::fs;

use proptest::prelude::*;

use super::super::record;
use super::*;

/// A log of `groups`, each written under one sync, in as many segments as its options ask for.
pub(super) fn write_groups(options: LogOptions, groups: &[&[&[u8]]]) -> Vec<Owned> {
    let (log, recovery, _) = open(options).unwrap();
    let mut lsn = recovery.next_lsn.0;
    let mut written = Vec::new();
    for group in groups {
        // The barrier's callback holds the thread while the group gathers behind it.
        let (go, wait) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        log.barrier(Box::new(move |_| {
            tell.send(()).unwrap();
            let _ = wait.recv();
        }))
        .unwrap();
        told.recv().unwrap();
        for payload in *group {
            log.append(entry(payload), ignore()).unwrap();
            written.push(owned(lsn, payload));
            lsn += 1;
        }
        go.send(()).unwrap();
        let (tell, told) = mpsc::channel();
        log.barrier(Box::new(move |_| tell.send(()).unwrap())).unwrap();
        told.recv().unwrap();
    }
    written
}

/// Where each record of `payloads` ends in its segment.
fn ends(payloads: &[&[u8]]) -> Vec<u64> {
    let mut end = HEADER_BYTES as u64;
    let lens = payloads.iter().map(|payload| (RECORD_HEADER_BYTES + payload.len()) as u64);
    lens.map(|len| {
        end += len;
        end
    })
    .collect()
}

fn expect_corrupt(dir: &Path, file: &Path, offset: u64) {
    let before: Vec<_> = segment_files(dir).iter().map(|path| fs::read(path).unwrap()).collect();
    match open(small(dir)) {
        Err(LogError::Corrupt { file: named, offset: at, .. }) => assert_eq!((named.as_path(), at), (file, offset)),
        other => panic!("expected corruption at {offset} of {file:?}, got {other:?}"),
    }
    let after: Vec<_> = segment_files(dir).iter().map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(before, after, "L7: a refused log is left as it was");
}

const PAYLOADS: [&[u8]; 5] = [b"", b"one", b"two two", b"three three three", b"4"];

#[test]
fn a_tail_torn_at_any_byte_is_cut_to_the_last_whole_record() {
    let dir = TempDir::new().unwrap();
    let written = write_groups(small(dir.path()), &[&PAYLOADS]);
    let file = &segment_files(dir.path())[0];
    let whole = fs::read(file).unwrap();
    let ends = ends(&PAYLOADS);
    assert_eq!(*ends.last().unwrap(), whole.len() as u64);
    for cut in 0..=whole.len() {
        let torn = TempDir::new().unwrap();
        fs::write(torn.path().join(file.file_name().unwrap()), &whole[..cut]).unwrap();
        let (log, recovery, found) = open(small(torn.path())).unwrap();
        let survivors = ends.iter().filter(|end| **end <= cut as u64).count();
        let good = if survivors == 0 { HEADER_BYTES as u64 } else { ends[survivors - 1] };
        assert_eq!(found, written[..survivors], "cut={cut}");
        assert_eq!(recovery.truncated_tail_bytes, (cut as u64).saturating_sub(good), "cut={cut}");
        assert_eq!(append_durable(&log, entry(b"new")), Lsn(survivors as u64 + 1));
        drop(log);
        let (_, recovery, found) = open(small(torn.path())).unwrap();
        assert_eq!((recovery.truncated_tail_bytes, found.len()), (0, survivors + 1), "cut={cut}");
    }
}

#[test]
fn a_tail_of_zeros_or_noise_is_torn() {
    for tail in [vec![0; 300], (0..300).map(|n| (n * 37 % 251) as u8).collect()] {
        let dir = TempDir::new().unwrap();
        let written = write_groups(small(dir.path()), &[&PAYLOADS]);
        let file = &segment_files(dir.path())[0];
        fs::write(file, [fs::read(file).unwrap(), tail].concat()).unwrap();
        let (_, recovery, found) = open(small(dir.path())).unwrap();
        assert_eq!((found, recovery.truncated_tail_bytes), (written, 300));
    }
}

#[test]
fn l6_a_hole_within_the_last_group_is_torn() {
    let dir = TempDir::new().unwrap();
    let written = write_groups(small(dir.path()), &[&[b"first"], &[b"lost", b"kept by the disk", b"kept too"]]);
    let file = &segment_files(dir.path())[0];
    let mut bytes = fs::read(file).unwrap();
    let hole = ends(&[b"first"])[0] as usize;
    bytes[hole..hole + RECORD_HEADER_BYTES + 4].fill(0);
    fs::write(file, bytes).unwrap();
    let (_, recovery, found) = open(small(dir.path())).unwrap();
    assert_eq!(found, written[..1]);
    assert!(recovery.truncated_tail_bytes > 0);
}

#[test]
fn l6_a_hole_before_a_later_group_is_corruption() {
    let dir = TempDir::new().unwrap();
    write_groups(small(dir.path()), &[&[b"first"], &[b"lost", b"whole"], &[b"later"]]);
    let file = segment_files(dir.path()).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    let hole = ends(&[b"first"])[0];
    bytes[hole as usize + RECORD_HEADER_BYTES] ^= 1;
    fs::write(&file, bytes).unwrap();
    expect_corrupt(dir.path(), &file, hole);
}

#[test]
fn a_payload_that_looks_like_later_records_does_not_make_a_torn_tail_corrupt() {
    let forged_record = Record { lsn: Lsn(9), project: 7, kind: 3, payload: b"forged" };
    let mut forged = Vec::new();
    record::encode(&mut forged, 0, 1, 0, forged_record);
    let dir = TempDir::new().unwrap();
    write_groups(small(dir.path()), &[&[b"first"], &[&[forged, vec![7; 60]].concat()]]);
    let file = &segment_files(dir.path())[0];
    let bytes = fs::read(file).unwrap();
    fs::write(file, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(open(small(dir.path())).unwrap().2.len(), 1);
}

#[test]
fn damage_in_a_finished_segment_is_refused() {
    let dir = TempDir::new().unwrap();
    write_groups(small(dir.path()), &[&PAYLOADS]);
    write_groups(small(dir.path()), &[&PAYLOADS]);
    let file = segment_files(dir.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    let ends = ends(&PAYLOADS);

    fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    expect_corrupt(dir.path(), &file, ends[3]);
    fs::write(&file, &whole[..10]).unwrap();
    expect_corrupt(dir.path(), &file, 0);
    fs::write(&file, [whole.as_slice(), &[0]].concat()).unwrap();
    expect_corrupt(dir.path(), &file, ends[4]);
    // Cut between records: the file itself is sound, but the next segment begins later.
    fs::write(&file, &whole[..ends[2] as usize]).unwrap();
    let next = segment_files(dir.path()).remove(1);
    expect_corrupt(dir.path(), &next, 40);
}

#[test]
fn a_missing_segment_a_stranger_and_a_renamed_one_are_refused() {
    let build = || {
        let dir = TempDir::new().unwrap();
        (0..4).for_each(|_| drop(write_groups(small(dir.path()), &[&PAYLOADS])));
        let files = segment_files(dir.path());
        (dir, files)
    };
    let (dir, files) = build();
    fs::remove_file(&files[1]).unwrap();
    expect_corrupt(dir.path(), &files[2], 32);

    let (dir, files) = build();
    let (_other, other_files) = build();
    fs::copy(&other_files[2], &files[2]).unwrap();
    expect_corrupt(dir.path(), &files[2], 16);

    let (dir, files) = build();
    fs::copy(&files[2], &files[3]).unwrap();
    expect_corrupt(dir.path(), &files[3], 32);
}

#[test]
fn a_segment_without_a_header_is_removed_unless_lsns_would_be_forgotten() {
    for len in [0, 1, HEADER_BYTES - 1, HEADER_BYTES] {
        let dir = TempDir::new().unwrap();
        let written = write_groups(small(dir.path()), &[&PAYLOADS]);
        let headless = segment::segment_path(dir.path(), 2);
        fs::write(&headless, vec![0; len]).unwrap();
        let (log, recovery, found) = open(small(dir.path())).unwrap();
        assert_eq!((found, recovery.epoch), (written, 2));
        drop(log);
        assert_eq!(open(small(dir.path())).unwrap().1.next_lsn, Lsn(6));
    }

    let dir = TempDir::new().unwrap();
    let alone = segment::segment_path(dir.path(), 9);
    fs::write(&alone, b"").unwrap();
    expect_corrupt(dir.path(), &alone, 0);

    let dir = TempDir::new().unwrap();
    write_groups(small(dir.path()), &[&PAYLOADS]);
    let long = segment::segment_path(dir.path(), 2);
    fs::write(&long, [0; HEADER_BYTES + 1]).unwrap();
    expect_corrupt(dir.path(), &long, 0);
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let dir = TempDir::new().unwrap();
    write_groups(small(dir.path()), &[&PAYLOADS]);
    let file = segment_files(dir.path()).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    fs::write(&file, &bytes).unwrap();
    assert!(matches!(open(small(dir.path())), Err(LogError::Version { version: 2, .. })));
    assert_eq!(fs::read(&file).unwrap(), bytes);
}

#[test]
fn other_files_in_the_directory_are_not_touched() {
    let dir = TempDir::new().unwrap();
    for name in ["LOCK", "1.log", "+0000000000000000001.log", "00000000000000000001.log.bak"] {
        fs::write(dir.path().join(name), b"mine").unwrap();
    }
    open(small(dir.path())).unwrap();
    assert_eq!(fs::read(dir.path().join("1.log")).unwrap(), b"mine");
}

/// Two epochs, the second over several segments and groups; the shape every flipped bit is tried on.
fn flip_fixture() -> (TempDir, Vec<Owned>) {
    let dir = TempDir::new().unwrap();
    let mut written = write_groups(small(dir.path()), &[&PAYLOADS]);
    let large: &[u8] = &[5; 200];
    written
        .extend(write_groups(small(dir.path()), &[&[large], &[large], &PAYLOADS, &[b"x", b"y"], &[b"a", b"b", b"c"]]));
    (dir, written)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    /// R5 for the log: 64 flips a case. A flip is refused with its file and an offset at or before it, or it lies in
    /// the last group and is healed as a torn tail.
    #[test]
    fn a_flipped_bit_never_yields_a_wrong_record(flips in prop::collection::vec(any::<prop::sample::Index>(), 64)) {
        let (dir, written) = flip_fixture();
        let files = segment_files(dir.path());
        prop_assert!(files.len() >= 3);
        let images: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
        let bits: usize = images.iter().map(|image| image.len() * 8).sum();
        for flip in flips {
            let mut bit = flip.index(bits);
            let mut file = 0;
            while bit >= images[file].len() * 8 {
                bit -= images[file].len() * 8;
                file += 1;
            }
            let (flipped, at) = (file, (bit / 8) as u64);
            let copy = TempDir::new().unwrap();
            for (index, image) in images.iter().enumerate() {
                let mut image = image.clone();
                if index == flipped {
                    image[bit / 8] ^= 1 << (bit % 8);
                }
                fs::write(copy.path().join(files[index].file_name().unwrap()), image).unwrap();
            }
            match open(small(copy.path())) {
                Err(LogError::Corrupt { file, offset, .. }) => {
                    prop_assert_eq!(file.file_name(), files[flipped].file_name());
                    prop_assert!(offset <= at, "offset {} is past the flipped byte {}", offset, at);
                }
                Err(other) => prop_assert!(false, "unexpected error {other:?}"),
                Ok((_, recovery, found)) => {
                    prop_assert!(recovery.truncated_tail_bytes > 0, "a flip at {} went unnoticed", at);
                    prop_assert_eq!(&found[..], &written[..found.len()]);
                    prop_assert!(written.len() - found.len() <= 3, "more than the last group was cut");
                }
            }
        }
    }
}
