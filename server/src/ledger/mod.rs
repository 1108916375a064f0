//! What became of every record that was received, so that nothing is lost without being counted.
//!
//! - B1: for each kind of record, at any moment, received = stored + duplicate + rejected + dropped + in flight.
//!
//! All of it is one book under one short lock: a request is entered once when its records are known and once for each
//! outcome, and a scrape copies the book whole. What is in flight is a count of its own and not the difference, so that
//! B1 can fail, and [`Receipt`] sees to it that whatever ends a request ends its records too.

mod caches;
mod exposition;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use footfall_model::ProjectId;
use parking_lot::Mutex;

pub use caches::render_caches;
pub use exposition::render;

/// Kinds of records that clients send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Event,
    /// An update of a person's profile.
    People,
    /// An update of a group's profile.
    Group,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Event, Self::People, Self::Group];

    /// The word in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::People => "people",
            Self::Group => "group",
        }
    }
}

/// Where a request comes from, as far as it may be told without a label that has no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// The route's pattern.
    pub route: &'static str,
    /// Whether it names a project that exists.
    pub known: bool,
}

/// What became of some records of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// New rows, those included that replace an earlier copy.
    pub stored: u64,
    /// Identical copies of what was there already.
    pub duplicates: u64,
    /// Earlier copies that were replaced: they had been counted as stored when they came, so they are in no sum.
    pub superseded: u64,
    /// By the words of `Fault::code` and `ProfileFault::code`, and those of failures to store.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Accepted, and stored nowhere.
    pub dropped: BTreeMap<&'static str, u64>,
}

impl Settled {
    /// All `records` were refused for the same reason.
    pub fn rejected(reason: &'static str, records: u64) -> Self {
        Self { rejected: counts(reason, records), ..Self::default() }
    }

    /// All `records` were dropped for the same reason.
    pub fn dropped(reason: &'static str, records: u64) -> Self {
        Self { dropped: counts(reason, records), ..Self::default() }
    }

    /// One more was refused.
    pub fn reject(&mut self, reason: &'static str) {
        *self.rejected.entry(reason).or_default() += 1;
    }

    /// One more was dropped.
    pub fn drop_one(&mut self, reason: &'static str) {
        *self.dropped.entry(reason).or_default() += 1;
    }

    /// Records this accounts for.
    pub fn records(&self) -> u64 {
        let of = |counts: &BTreeMap<_, u64>| counts.values().sum::<u64>();
        self.stored + self.duplicates + of(&self.rejected) + of(&self.dropped)
    }
}

fn counts(reason: &'static str, records: u64) -> BTreeMap<&'static str, u64> {
    (records > 0).then_some((reason, records)).into_iter().collect()
}

/// The books of a server. Share it in an `Arc`.
#[derive(Debug, Default)]
pub struct Ledger {
    book: Mutex<Book>,
}

/// Every count at one moment.
#[derive(Clone, Debug, Default)]
pub struct Book {
    records: BTreeMap<Kind, Records>,
    traffic: BTreeMap<Source, Traffic>,
    /// Records of each project of which something has become.
    projects: HashMap<ProjectId, u64>,
}

#[derive(Clone, Debug, Default)]
struct Records {
    received: u64,
    in_flight: u64,
    settled: Settled,
}

#[derive(Clone, Debug, Default)]
struct Traffic {
    requests: u64,
    bytes: u64,
    refused: BTreeMap<&'static str, u64>,
}

impl Ledger {
    /// Enters records that have just been read.
    pub fn receive(self: &Arc<Self>, kind: Kind, records: usize) -> Receipt {
        let open = records as u64;
        let mut book = self.book.lock();
        let of_kind = book.records.entry(kind).or_default();
        of_kind.received += open;
        of_kind.in_flight += open;
        Receipt { ledger: self.clone(), kind, open }
    }

    /// Counts a request and the bytes of its body.
    pub fn count_request(&self, source: Source, bytes: usize) {
        let mut book = self.book.lock();
        let traffic = book.traffic.entry(source).or_default();
        traffic.requests += 1;
        traffic.bytes += bytes as u64;
    }

    /// Counts a request that was refused as a whole, before its records were known.
    pub fn count_refused(&self, source: Source, reason: &'static str) {
        *self.book.lock().traffic.entry(source).or_default().refused.entry(reason).or_default() += 1;
    }

    /// Every count, as of one moment (B1).
    pub fn book(&self) -> Book {
        self.book.lock().clone()
    }
}

/// Records of one request on their way. Dropped early, because the client went away or the request failed, it enters
/// what is left as dropped.
#[derive(Debug)]
#[must_use = "dropping it counts its records as dropped"]
pub struct Receipt {
    ledger: Arc<Ledger>,
    kind: Kind,
    open: u64,
}

impl Receipt {
    /// Enters what became of some of the records; `project` is whose they were.
    pub fn settle(&mut self, project: Option<ProjectId>, settled: &Settled) {
        let records = settled.records();
        assert!(records <= self.open, "B1: more records end than were received, {records} of {}", self.open);
        self.open -= records;
        let mut book = self.ledger.book.lock();
        let of_kind = book.records.entry(self.kind).or_default();
        of_kind.in_flight -= records;
        of_kind.settled.stored += settled.stored;
        of_kind.settled.duplicates += settled.duplicates;
        of_kind.settled.superseded += settled.superseded;
        for (reason, count) in &settled.rejected {
            *of_kind.settled.rejected.entry(reason).or_default() += count;
        }
        for (reason, count) in &settled.dropped {
            *of_kind.settled.dropped.entry(reason).or_default() += count;
        }
        if let Some(project) = project {
            *book.projects.entry(project).or_default() += records;
        }
    }

    /// Records that nothing has become of yet.
    pub fn open(&self) -> u64 {
        self.open
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if self.open > 0 {
            let left = Settled::dropped("abandoned", self.open);
            self.settle(None, &left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(ledger: &Ledger, kind: Kind) -> (u64, u64, u64) {
        let book = ledger.book();
        let of_kind = &book.records[&kind];
        (of_kind.received, of_kind.settled.records(), of_kind.in_flight)
    }

    #[test]
    fn every_record_is_in_flight_until_something_becomes_of_it() {
        let ledger = Arc::new(Ledger::default());
        let mut receipt = ledger.receive(Kind::Event, 10);
        assert_eq!(sums(&ledger, Kind::Event), (10, 0, 10));
        receipt.settle(Some(ProjectId(1)), &Settled { stored: 4, duplicates: 1, superseded: 3, ..Settled::default() });
        receipt.settle(None, &Settled::rejected("too_big", 2));
        assert_eq!(sums(&ledger, Kind::Event), (10, 7, 3));
        drop(receipt);
        assert_eq!(sums(&ledger, Kind::Event), (10, 10, 0));
        assert_eq!(ledger.book().records[&Kind::Event].settled.dropped["abandoned"], 3);
        assert_eq!(ledger.book().projects[&ProjectId(1)], 5);
    }

    #[test]
    #[should_panic(expected = "B1")]
    fn nothing_ends_twice() {
        let ledger = Arc::new(Ledger::default());
        let mut receipt = ledger.receive(Kind::People, 1);
        receipt.settle(None, &Settled::rejected("too_big", 2));
    }
}
