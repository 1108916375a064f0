//! Events counted twice: by a query, and row by row from the files with a plain Parquet reader.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use footfall_model::ProjectId;
use futures::TryStreamExt;

use crate::{Engine, Error};

/// Events of one UTC day by name, as both ways have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recount {
    /// Days since the Unix epoch.
    pub day: i32,
    pub queried: BTreeMap<String, u64>,
    pub counted: BTreeMap<String, u64>,
}

impl Engine {
    /// Counts the events of at most `days_max` days, spread over all that a project has in segments. For an engine that
    /// nobody sends events to: live rows are in the queries' answers alone.
    pub async fn recount(&self, project: ProjectId, days_max: usize) -> Result<Vec<Recount>, Error> {
        let snapshot = self.project(project)?.store.snapshot()?;
        let days: Vec<i32> = snapshot.segments.days().collect();
        let mut recounts = Vec::new();
        for day in spread(&days, days_max) {
            let mut counted: BTreeMap<String, u64> = BTreeMap::new();
            for segment in snapshot.segments.of_days(day..=day) {
                for (event, rows) in snapshot.files.count_plainly(segment).await? {
                    *counted.entry(event).or_default() += rows;
                }
            }
            recounts.push(Recount { day, queried: self.count(project, day).await?, counted });
        }
        Ok(recounts)
    }

    async fn count(&self, project: ProjectId, day: i32) -> Result<BTreeMap<String, u64>, Error> {
        let (from, to) = (i64::from(day) * 86_400, (i64::from(day) + 1) * 86_400);
        let query = format!(
            "SELECT event, count(*) FROM events WHERE time >= to_timestamp({from}) AND time < to_timestamp({to}) GROUP BY event"
        );
        let mut batches = self.sql(project, &query, &[]).await?;
        let mut counts = BTreeMap::new();
        while let Some(batch) = batches.try_next().await? {
            let as_type = |column: usize, to: &DataType| {
                cast(batch.column(column), to)
                    .map_err(|error| Error::from(datafusion::error::DataFusionError::from(error)))
            };
            let (names, rows) = (as_type(0, &DataType::Utf8)?, as_type(1, &DataType::Int64)?);
            let pairs = names.as_string::<i32>().iter().zip(rows.as_primitive::<Int64Type>().values());
            counts.extend(pairs.map(|(name, rows)| (name.unwrap_or_default().to_owned(), rows.unsigned_abs())));
        }
        Ok(counts)
    }
}

/// At most `max` of a list, the first and the last among them.
fn spread(days: &[i32], max: usize) -> Vec<i32> {
    let (count, max) = (days.len(), max.max(2));
    if count <= max {
        return days.to_vec();
    }
    (0..max).filter_map(|nth| days.get(nth * (count - 1) / (max - 1)).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_spread_over_all_days() {
        assert_eq!(spread(&[], 4), [0; 0]);
        assert_eq!(spread(&[1, 2, 3], 4), [1, 2, 3]);
        assert_eq!(spread(&(0..101).collect::<Vec<_>>(), 5), [0, 25, 50, 75, 100]);
    }
}
