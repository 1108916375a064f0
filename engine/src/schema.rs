//! What a project's events look like, as far as it has seen.

use chrono::NaiveDate;
use footfall_model::ProjectId;
use footfall_query::QueryError;
use footfall_storage::census::Census;
use footfall_storage::segment::day_of;

use crate::{Engine, Error, snapshot_of};

impl Engine {
    /// Events and properties of the UTC days from `from` to `to`, inclusive; `None` is any day.
    pub async fn census(
        &self,
        project: ProjectId,
        from: Option<NaiveDate>,
        to: Option<NaiveDate>,
    ) -> Result<Census, Error> {
        let project = self.project(project)?;
        let day = |date: NaiveDate| day_of(date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis());
        let days = from.map_or(i32::MIN, day)..=to.map_or(i32::MAX, day);
        let census = self.pool.run(async move { Ok::<_, QueryError>(snapshot_of(&project)?.census(days).await?) });
        Ok(census.await?)
    }
}
