//! How much of the log the tables do not hold yet, and what a flush under way has taken on.

use crate::log::Lsn;

#[derive(Debug, Default)]
pub(super) struct Unflushed {
    /// The events table's transaction that the live rows rest on; `None` if this log never flushed.
    flushed: Option<Lsn>,
    /// The last record queued.
    last: Lsn,
    /// The last record that the log has. Numbers between it and the next one are other projects'.
    durable: Lsn,
    /// The oldest record not in tables, and when it arrived, in microseconds since the epoch.
    oldest: Option<(Lsn, i64)>,
    cut: Option<Cut>,
}

#[derive(Debug)]
struct Cut {
    position: u64,
    lsn: Lsn,
    /// The first record queued since.
    oldest_after: Option<(Lsn, i64)>,
}

impl Unflushed {
    pub fn since(flushed: Option<Lsn>) -> Self {
        let durable = flushed.unwrap_or_default();
        Self { flushed, last: durable, durable, ..Self::default() }
    }

    pub fn queued(&mut self, lsn: Lsn, received_at: i64) {
        self.last = lsn;
        self.oldest.get_or_insert((lsn, received_at));
        if let Some(cut) = &mut self.cut {
            cut.oldest_after.get_or_insert((lsn, received_at));
        }
    }

    /// The log has the record, and all before it.
    pub fn logged(&mut self, lsn: Lsn) {
        self.durable = lsn;
    }

    pub fn flushed(&self) -> Option<Lsn> {
        self.flushed
    }

    pub fn oldest(&self) -> Option<Lsn> {
        self.oldest.map(|(lsn, _)| lsn)
    }

    pub fn oldest_received_at(&self) -> Option<i64> {
        self.oldest.map(|(_, at)| at)
    }

    /// A flush takes on every record queued so far, and live rows below `position`; false if there is nothing to flush.
    pub fn begin_flush(&mut self, position: u64) -> bool {
        if self.oldest.is_some() {
            self.cut = Some(Cut { position, lsn: self.last, oldest_after: None });
        }
        self.oldest.is_some()
    }

    /// The last record that the flush has taken on; `None` if all of them failed.
    pub fn cut_lsn(&self) -> Option<Lsn> {
        self.oldest.and(self.cut.as_ref()).map(|cut| cut.lsn)
    }

    /// Live rows below this position are being written; nobody may replace them.
    pub fn cut_position(&self) -> Option<u64> {
        self.cut.as_ref().map(|cut| cut.position)
    }

    /// Records that the log does not have, with the live rows from `position` on, have never been; their numbers are given
    /// anew, to whichever project comes first. So nothing may name a number past the last record that the log has: not even
    /// the one before ours that failed, for that may be another project's that failed, too.
    pub fn roll_back(&mut self, position: u64) {
        let durable = self.durable;
        self.last = durable;
        self.oldest = self.oldest.filter(|(lsn, _)| *lsn <= durable);
        if let Some(cut) = &mut self.cut {
            cut.position = cut.position.min(position);
            cut.lsn = cut.lsn.min(durable);
            cut.oldest_after = cut.oldest_after.filter(|(lsn, _)| *lsn <= durable);
        }
    }

    /// The flush has not happened.
    pub fn abandon_flush(&mut self) {
        self.cut = None;
    }

    /// Records up to `lsn`, which the flush began with, are in tables.
    pub fn end_flush(&mut self, lsn: Lsn) {
        self.flushed = Some(lsn);
        self.oldest = self.cut.take().and_then(|cut| cut.oldest_after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_queued_during_a_flush_is_left_for_the_next() {
        let mut unflushed = Unflushed::since(None);
        assert!(!unflushed.begin_flush(0));
        unflushed.queued(Lsn(3), 30);
        unflushed.queued(Lsn(4), 40);
        assert!(unflushed.begin_flush(9));
        assert_eq!(unflushed.cut_lsn(), Some(Lsn(4)));
        unflushed.queued(Lsn(7), 70);
        unflushed.queued(Lsn(8), 80);
        unflushed.abandon_flush();
        assert_eq!((unflushed.oldest(), unflushed.flushed(), unflushed.cut_position()), (Some(Lsn(3)), None, None));
        assert!(unflushed.begin_flush(12));
        unflushed.queued(Lsn(9), 90);
        unflushed.end_flush(Lsn(8));
        assert_eq!((unflushed.oldest(), unflushed.oldest_received_at()), (Some(Lsn(9)), Some(90)));
        assert_eq!((unflushed.flushed(), unflushed.cut_position()), (Some(Lsn(8)), None));
        assert!(unflushed.begin_flush(13));
        unflushed.end_flush(Lsn(9));
        assert!(!unflushed.begin_flush(13) && unflushed.oldest().is_none());
    }

    #[test]
    fn what_failed_is_not_flushed_and_its_numbers_are_free() {
        let mut unflushed = Unflushed::since(Some(Lsn(2)));
        unflushed.queued(Lsn(3), 30);
        unflushed.logged(Lsn(3));
        // 4 and 5 are another project's, and fail as well.
        unflushed.queued(Lsn(6), 50);
        unflushed.begin_flush(9);
        unflushed.queued(Lsn(7), 60);
        unflushed.roll_back(7);
        assert_eq!((unflushed.cut_lsn(), unflushed.cut_position()), (Some(Lsn(3)), Some(7)));
        unflushed.queued(Lsn(4), 70);
        unflushed.end_flush(Lsn(3));
        assert_eq!(unflushed.oldest(), Some(Lsn(4)), "the number is another record's now");
        unflushed.begin_flush(9);
        unflushed.roll_back(8);
        assert_eq!((unflushed.cut_lsn(), unflushed.oldest()), (None, None), "nothing is left to flush");
    }
}
