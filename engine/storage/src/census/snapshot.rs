//! The census of a whole snapshot.

use std::ops::RangeInclusive;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use super::Census;
use crate::error::StorageError;
use crate::project::Snapshot;
use crate::segment::{Segment, day_of};

/// Segments asked at once: a store answers each in tens of milliseconds.
const READS_AT_ONCE: usize = 16;

impl Snapshot {
    /// What the rows of these UTC days say about the project's schema. Exact: copies that a later arrival has replaced
    /// are not counted.
    pub async fn census(&self, days: RangeInclusive<i32>) -> Result<Census, StorageError> {
        let mut census = Census::default();
        for chunk in &self.live {
            let keeps = |row: usize| {
                days.contains(&day_of(chunk.time(row))) && !self.is_live_row_masked(chunk.first + row as u64)
            };
            census.add(Census::of(&chunk.batch, keeps)?);
        }
        let segments: Vec<Arc<Segment>> = self.segments.of_days(days).cloned().collect();
        let mut parts = stream::iter(segments).map(|s| self.census_of(s)).buffered(READS_AT_ONCE);
        while let Some(part) = parts.try_next().await? {
            census.add(part);
        }
        Ok(census)
    }

    async fn census_of(&self, segment: Arc<Segment>) -> Result<Census, StorageError> {
        let masked = self.masked_rows(&segment).filter(|masked| !masked.is_empty());
        if masked.is_none()
            && let Some(census) = self.files.read_census(&segment).await?
        {
            return Ok(census);
        }
        // Some of its rows do not count any more, or it was written before there were censuses.
        let rows = self.files.read_all(&segment).await?;
        Ok(Census::of(&rows, |row| masked.is_none_or(|masked| !masked.contains(row as u32)))?)
    }
}
