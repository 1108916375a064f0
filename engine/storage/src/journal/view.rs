//! A fixed view of a journal, read from either end.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store::path::Path;

use super::JournalRow;
use super::file::{JournalFile, micros};
use crate::error::StorageError;

/// A journal as of one moment.
#[derive(Clone)]
pub struct JournalView<R> {
    files: Arc<[JournalFile]>,
    live: Vec<Arc<Vec<R>>>,
    store: Arc<dyn ObjectStore>,
    root: Path,
}

impl<R: JournalRow> JournalView<R> {
    pub(super) fn new(
        files: Arc<[JournalFile]>,
        live: Vec<Arc<Vec<R>>>,
        store: Arc<dyn ObjectStore>,
        root: Path,
    ) -> Self {
        Self { files, live, store, root }
    }

    pub fn schema(&self) -> SchemaRef {
        R::schema()
    }

    /// All rows as columns, oldest first. Files are read one at a time, as the stream is asked.
    pub fn batches(&self) -> BoxStream<'static, Result<RecordBatch, StorageError>> {
        let (store, root, files) = (self.store.clone(), self.root.clone(), self.files.clone());
        let flushed = stream::iter(0..files.len()).then(move |at| {
            let (store, root, file) = (store.clone(), root.clone(), files.get(at).cloned());
            async move {
                let Some(file) = file else { return Ok(stream::iter(Vec::new().into_iter()).boxed()) };
                let bytes = file.read(&*store, &root).await?;
                Ok::<_, StorageError>(stream::iter(file.decode(bytes)?).boxed())
            }
        });
        let live = self.live.clone();
        let live = stream::iter(live).map(|block| R::to_batch(block.iter()).map_err(StorageError::from));
        flushed.try_flatten().chain(live).boxed()
    }

    /// Rows before a value of the order column, newest first, until `wanted` says that it has enough.
    pub async fn newest_before(&self, order: i64, mut wanted: impl FnMut(R) -> Wanted) -> Result<(), StorageError> {
        for row in self.live.iter().rev().flat_map(|block| block.iter().rev()).filter(|row| row.order() < order) {
            if wanted(row.clone()) == Wanted::Enough {
                return Ok(());
            }
        }
        for file in self.files.iter().rev().filter(|file| file.first < order) {
            let bytes = file.read(&*self.store, &self.root).await?;
            let batches = file.decode(bytes)?.collect::<Result<Vec<_>, _>>()?;
            for batch in batches.into_iter().rev() {
                let before = micros(&batch, R::ORDER).map_or(0, |column| column.partition_point(|at| *at < order));
                for row in R::from_batch(&batch.slice(0, before))?.into_iter().rev() {
                    if wanted(row) == Wanted::Enough {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

/// What a reader says after each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    More,
    Enough,
}
