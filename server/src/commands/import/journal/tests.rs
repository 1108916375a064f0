use proptest::prelude::*;

use super::*;
use crate::commands::import::tally::Spot;

fn stamp() -> impl Strategy<Value = Stamp> {
    (".{0,9}", any::<u64>(), any::<i64>(), prop::option::of(".{0,4}"))
        .prop_map(|(address, bytes, modified, etag)| Stamp { address, bytes, modified, etag })
}

fn tally() -> impl Strategy<Value = Tally> {
    (any::<u32>(), prop::collection::vec((".{0,4}", ".{0,4}", prop::option::of(any::<u64>())), 0..4)).prop_map(
        |(read, rejected)| {
            let mut tally = Tally { read: read.into(), ..Tally::default() };
            for (reason, file, line) in rejected {
                tally.reject(&reason, Spot { file, line, row: None, column: None });
            }
            tally
        },
    )
}

fn loaded() -> impl Strategy<Value = Loaded> {
    any::<[u64; 5]>().prop_map(|[events, stored, duplicates, superseded, uncounted]| Loaded {
        events,
        stored,
        duplicates,
        superseded,
        uncounted,
    })
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let begun = (any::<u32>(), any::<i64>(), ".{0,9}", prop::collection::vec(stamp(), 0..3)).prop_map(
        |(project, at, import, sources)| {
            Entry::Begun(Begun { version: VERSION, import, project: ProjectId(project), at, sources })
        },
    );
    let block = any::<(i32, u8, u64, u32, u32, u32)>().prop_map(Block::from);
    let read = (0..9usize, any::<u64>(), any::<u32>(), prop::collection::vec(block, 0..5), tally(), any::<bool>())
        .prop_map(|(source, records, run, blocks, tally, complete)| {
            Entry::Read(Checkpoint { source, records, run, blocks, tally, complete })
        });
    let batch = (any::<u8>(), any::<u64>(), loaded()).prop_map(|(lane, sequence, loaded)| Entry::Loaded {
        lane,
        sequence,
        loaded,
    });
    let finished = (loaded(), any::<Option<(i32, i32)>>()).prop_map(|(loaded, days)| Entry::Finished { loaded, days });
    prop::collection::vec(prop_oneof![begun, read, batch, finished], 1..6)
}

fn bytes(entries: &[Entry]) -> Vec<u8> {
    entries.iter().flat_map(|entry| encode(entry).unwrap()).collect()
}

proptest! {
    #[test]
    fn entries_come_back(entries in entries()) {
        let bytes = bytes(&entries);
        prop_assert_eq!(decode(&bytes).unwrap(), (entries, bytes.len()));
    }

    /// A kill while an entry is written costs that entry and no other.
    #[test]
    fn a_torn_tail_is_cut_off(entries in entries(), at in any::<prop::sample::Index>()) {
        let (_, before) = entries.split_last().unwrap();
        let (whole, all) = (bytes(before).len(), bytes(&entries));
        let cut = whole + at.index(all.len() - whole);
        prop_assert_eq!(decode(&all[..cut]).unwrap(), (before.to_vec(), whole));
    }

    #[test]
    fn damage_before_the_last_line_is_refused(entries in entries(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (last, before) = entries.split_last().unwrap();
        prop_assume!(!before.is_empty());
        let mut damaged = bytes(before);
        let at = at.index(damaged.len());
        // Without the line feed before the last line, it is the last line that is damaged.
        prop_assume!(at + 1 < damaged.len());
        damaged[at] ^= 1u8 << bit;
        damaged.extend(bytes(std::slice::from_ref(last)));
        prop_assert!(matches!(decode(&damaged), Err(JournalError::Damaged { .. })), "byte {}", at);
    }
}

#[test]
fn what_was_appended_is_there_after_a_torn_write() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Journal::open(dir.path()).unwrap().is_none());
    let begun = Begun { version: VERSION, import: "i".into(), project: ProjectId(1), at: 5, sources: Vec::new() };
    let mut journal = Journal::create(dir.path()).unwrap();
    assert!(Journal::open(dir.path()).unwrap().is_none());
    journal.append(&Entry::Begun(begun.clone())).unwrap();
    let block = Block { day: 1, lane: 0, offset: 0, bytes: 9, raw: 20, events: 3 };
    let checkpoint = Checkpoint { source: 1, records: 2, run: 7, blocks: vec![block], ..Checkpoint::default() };
    journal.append(&Entry::Read(checkpoint.clone())).unwrap();
    journal.file.write_all(b"0123456789abcdef {\"entry\"").unwrap();

    let (mut journal, history) = Journal::open(dir.path()).unwrap().unwrap();
    assert_eq!(history.begun, Some(begun));
    assert_eq!(history.blocks, [(7, block)]);
    assert_eq!((history.checkpoint.source, history.checkpoint.records), (1, 2));
    journal.append(&Entry::Finished { loaded: Loaded::default(), days: None }).unwrap();
    let (_, history) = Journal::open(dir.path()).unwrap().unwrap();
    assert_eq!(history.finished, Some((Loaded::default(), None)));
}
