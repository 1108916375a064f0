//! The copies of events that lost, newest loss first, a page at a time.

use footfall_storage::journal::{JournalView, RejectReason, RejectedEvent, Wanted};

use crate::error::QueryError;

/// Which copies, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedSpec {
    pub reason: Option<RejectReason>,
    pub event: Option<String>,
    pub distinct_id: Option<String>,
    /// Only copies that lost before this time, in microseconds since the epoch: the `next` of the page before.
    pub before: Option<i64>,
    pub limit: usize,
}

/// A page.
#[derive(Clone, Debug, PartialEq)]
pub struct RejectedPage {
    pub rejected: Vec<RejectedEvent>,
    /// The `before` of the next page; `None` at the end. Copies that lose later do not shift pages.
    pub next: Option<i64>,
}

/// Reads no more files than the page needs, newest first.
pub async fn rejected_page(view: &JournalView<RejectedEvent>, spec: &RejectedSpec) -> Result<RejectedPage, QueryError> {
    let mut page = RejectedPage { rejected: Vec::new(), next: None };
    let wanted = |copy: RejectedEvent| {
        if !spec.matches(&copy) {
            return Wanted::More;
        }
        if page.rejected.len() == spec.limit {
            // There is one more: the page ends with the one before it.
            page.next = page.rejected.last().map(RejectedEvent::rejected_at);
            return Wanted::Enough;
        }
        page.rejected.push(copy);
        Wanted::More
    };
    view.newest_before(spec.before.unwrap_or(i64::MAX), wanted).await?;
    Ok(page)
}

impl RejectedSpec {
    fn matches(&self, copy: &RejectedEvent) -> bool {
        self.reason.is_none_or(|reason| reason == copy.reason)
            && self.event.as_ref().is_none_or(|event| *event == copy.event)
            && self.distinct_id.as_ref().is_none_or(|id| *id == copy.distinct_id)
    }
}
