//! Threads that give way, for work that nobody awaits by the millisecond: long requests, sealing, flushing.
//!
//! They are an async runtime of their own. Whatever is spawned there stays there, its blocking work included, so it is
//! enough to begin something on these threads. The kernel is told that they are *nice*: where others want the same core,
//! those get nine times their share and are woken at once; a core that is idle is theirs. They are not starved, for what
//! is flushed too slowly ends as backpressure for everybody.

use std::io;

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use tokio::runtime::{Builder, Handle, Runtime};

/// Of 0 to 99, as `thread_priority` counts: a niceness of 10. Each step of that is a factor of 1.25 in the share of a core.
const PRIORITY: u8 = 22;

/// The threads. Dropping it lets what runs there end in the background.
#[derive(Debug)]
pub struct NiceThreads {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl NiceThreads {
    pub fn start(threads: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("footfall-nice")
            .on_thread_start(give_way)
            .enable_all()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for NiceThreads {
    fn drop(&mut self) {
        // A runtime must not be dropped by blocking within another.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Makes the calling thread nice. Without it everything works, only less evenly, so a refusal is no error.
fn give_way() {
    if !cfg!(target_os = "linux") {
        // Elsewhere niceness is of processes.
        return;
    }
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
    let made_nice = ThreadPriority::try_from(PRIORITY).map_err(str::to_owned).and_then(|priority| {
        set_thread_priority_and_policy(thread_native_id(), priority, policy).map_err(|e| e.to_string())
    });
    if let Err(error) = made_nice {
        tracing::debug!(error, "a thread cannot be made nice");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn niceness() -> i64 {
        // `pid (name) state …`: the 17th field after the name is the niceness of the thread.
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let fields = stat.rsplit_once(')').unwrap().1;
        fields.split_whitespace().nth(16).unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn tasks_and_blocking_work_give_way_and_nobody_else_does() {
        let before = niceness();
        let nice = NiceThreads::start(1).unwrap();
        let task = nice.handle().spawn(async {
            let blocking = tokio::task::spawn_blocking(niceness).await.unwrap();
            (niceness(), blocking)
        });
        assert_eq!(task.await.unwrap(), (10, 10));
        assert_eq!(niceness(), before);
    }
}
