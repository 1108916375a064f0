//! The pool that plans run on, apart from the threads that serve connections.

use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{Stream, StreamExt};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc;

use crate::error::QueryError;

/// Batches or chunks that may wait for a slow reader.
const ITEMS_AHEAD: usize = 2;

/// Threads for queries. Dropping it lets running queries finish in the background.
pub struct QueryPool {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl QueryPool {
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("footfall-query")
            .enable_all()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Runs a future on the pool. It is cancelled when the answer is no longer awaited.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, QueryError>> + Send + 'static,
    ) -> Result<T, QueryError> {
        let task = AbortOnDrop(self.handle.spawn(work));
        task.await
    }

    /// Drives a stream on the pool and hands its batches over. Dropping the answer cancels the query.
    pub fn drive(&self, mut stream: SendableRecordBatchStream) -> SendableRecordBatchStream {
        let schema = stream.schema();
        let batches = self.produce(|sender| async move {
            loop {
                tokio::select! {
                    // The reader is gone: let go of the plan at once, not at its next batch.
                    () = sender.closed() => break,
                    batch = stream.next() => match batch {
                        Some(batch) => if sender.send(batch).await.is_err() { break },
                        None => break,
                    },
                }
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }

    /// Runs a producer on the pool; what it sends is the stream. Sending fails once the reader is gone.
    pub fn produce<T: Send + 'static, F: Future<Output = ()> + Send + 'static>(
        &self,
        producer: impl FnOnce(mpsc::Sender<T>) -> F,
    ) -> impl Stream<Item = T> + Send + 'static {
        let (sender, receiver) = mpsc::channel(ITEMS_AHEAD);
        self.handle.spawn(producer(sender));
        futures::stream::unfold(receiver, |mut receiver| async move {
            let item = receiver.recv().await?;
            Some((item, receiver))
        })
    }
}

impl Drop for QueryPool {
    fn drop(&mut self) {
        // A runtime must not be dropped by blocking within another.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<Result<T, QueryError>>);

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, QueryError>;

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(context).map(|joined| joined.unwrap_or(Err(QueryError::Cancelled)))
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
