//! Parquet's reads, answered from whole column chunks, which are fetched and checked once and cached: queries ask for
//! the same columns again and again, and for ever other row ranges of them.
//!
//! A chunk is fetched whole even where a query needs some of its pages: only then can its sum be checked, and a chunk is
//! the columns' share of one shard and day.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use super::{OpenSegment, Segment, SegmentFiles};
use crate::StorageError;

pub(super) struct ChunkReader {
    pub files: SegmentFiles,
    pub segment: Segment,
    pub open: Arc<OpenSegment>,
}

impl ChunkReader {
    async fn get(&self, range: Range<u64>) -> Result<Bytes, StorageError> {
        let chunk = self.open.chunks.holding(&range);
        let chunk = chunk.ok_or_else(|| self.files.corrupt(&self.segment, "a page lies outside of its column"))?;
        let what = || format!("column {}", self.open.column_of(chunk));
        let whole = self.files.part(&self.segment, chunk.range.clone(), chunk.crc32c, what).await?;
        // Within the chunk, which has been found to be as long as the footer says.
        Ok(whole.slice((range.start - chunk.range.start) as usize..(range.end - chunk.range.start) as usize))
    }
}

impl AsyncFileReader for ChunkReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move { self.get(range).await.map_err(external) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        let all = ranges.into_iter().map(|range| self.get(range));
        futures::future::try_join_all(all).map(|all| all.map_err(external)).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        std::future::ready(Ok(self.open.metadata.metadata().clone())).boxed()
    }
}

fn external(error: StorageError) -> ParquetError {
    ParquetError::External(Box::new(error))
}
