//! An object's bytes as they arrive, all of them or an error.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, GetResult, GetResultPayload, Result};

use super::bucket::{Asking, NAME, Patience};

/// A read under way. A connection that breaks is made again where it broke, for the same content only (B3).
struct Reading {
    asking: Arc<Asking>,
    location: Path,
    options: GetOptions,
    e_tag: Option<String>,
    position: u64,
    end: u64,
    pieces: BoxStream<'static, Result<Bytes>>,
}

#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the object ends early, path={path} position={position} end={end}")]
    Early { path: Path, position: u64, end: u64 },
    #[error("more bytes than were asked for, path={path} end={end}")]
    Late { path: Path, end: u64 },
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Self {
        Self::Generic { store: NAME, source: broken.into() }
    }
}

/// `found`, with bytes that are complete or end in an error.
pub(super) fn complete(asking: &Arc<Asking>, location: &Path, options: GetOptions, found: GetResult) -> GetResult {
    let (meta, range, attributes) = (found.meta.clone(), found.range.clone(), found.attributes.clone());
    let reading = Reading {
        asking: asking.clone(),
        location: location.clone(),
        options,
        e_tag: meta.e_tag.clone(),
        position: range.start,
        end: range.end,
        pieces: found.into_stream(),
    };
    let pieces =
        stream::try_unfold(reading, async |mut reading| Ok(reading.next().await?.map(|piece| (piece, reading))));
    GetResult { payload: GetResultPayload::Stream(pieces.boxed()), meta, range, attributes }
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let mut patience = Patience::new();
        loop {
            let error = match self.pieces.next().await {
                Some(Ok(piece)) => {
                    self.position += piece.len() as u64;
                    if self.position > self.end {
                        return Err(Broken::Late { path: self.location.clone(), end: self.end }.into());
                    }
                    return Ok(Some(piece));
                }
                None if self.position == self.end => return Ok(None),
                None => {
                    let (path, position, end) = (self.location.clone(), self.position, self.end);
                    Broken::Early { path, position, end }.into()
                }
                Some(Err(error)) => error,
            };
            // Without a name for the content the rest might be another object's.
            if self.e_tag.is_none() {
                return Err(error);
            }
            self.asking.wait(&mut patience, error).await?;
            let rest = GetOptions {
                range: Some(GetRange::Bounded(self.position..self.end)),
                if_match: self.e_tag.clone(),
                ..self.options.clone()
            };
            self.pieces = self.asking.get(&self.location, &rest).await?.into_stream();
        }
    }
}
