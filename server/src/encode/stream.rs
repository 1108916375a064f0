//! A result's batches as a stream of bytes, in memory that does not grow with the result.

use bytes::Bytes;
use datafusion::execution::SendableRecordBatchStream;
use footfall_engine::{Error, ErrorKind};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};

use super::{EncodeError, Encoder, Format};

/// Rows encoded at a time: bounds one piece whatever the batch size, and lets others have the thread.
const ROWS_MAX: usize = 2048;

pub type EncodedStream = BoxStream<'static, Result<Bytes, Error>>;

/// Encodes `rows`. The first piece is made here, so that a statement that fails at once is an error and not half a reply.
pub async fn encoded(rows: SendableRecordBatchStream, format: Format) -> Result<EncodedStream, Error> {
    let mut encoder = Encoder::new(format, rows.schema()).map_err(broken)?;
    // Fused: of an empty result the end is seen here, and again behind `chain`.
    let mut rows = rows.map_err(Error::from).fuse();
    let first = rows.try_next().await?;
    let start = Bytes::from(encoder.start());
    let slices = stream::iter(first.map(Ok)).chain(rows).map_ok(|batch| {
        let starts = (0..batch.num_rows()).step_by(ROWS_MAX);
        let slice = move |start: usize| Ok::<_, Error>(batch.slice(start, ROWS_MAX.min(batch.num_rows() - start)));
        stream::iter(starts.map(slice))
    });
    let pieces =
        stream::try_unfold((Some(encoder), slices.try_flatten().boxed()), |(encoder, mut slices)| async move {
            let Some(mut encoder) = encoder else { return Ok(None) };
            match slices.try_next().await? {
                Some(slice) => {
                    // Some milliseconds of work for wide rows: not on a thread that serves connections.
                    let work = tokio::task::spawn_blocking(move || encoder.batch(&slice).map(|piece| (piece, encoder)));
                    let (piece, encoder) = work.await.map_err(stopped)?.map_err(broken)?;
                    Ok(Some((Bytes::from(piece), (Some(encoder), slices))))
                }
                None => Ok(Some((Bytes::from(encoder.finish().map_err(broken)?), (None, slices)))),
            }
        });
    Ok(stream::once(async { Ok(start) })
        .chain(pieces)
        .try_filter(|piece| futures::future::ready(!piece.is_empty()))
        .fuse()
        .boxed())
}

fn broken(error: EncodeError) -> Error {
    tracing::error!(?error, "result cannot be encoded");
    Error::new(ErrorKind::Internal, "internal", error.to_string())
}

fn stopped(_: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Internal, "internal", "encoding stopped")
}
