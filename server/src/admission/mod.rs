//! Who may when: what stands between a request and the engine so that nobody's flood is another's delay.
//!
//! ```text
//! body ─ memory bound (all, tenant) ─▶ turn to compute (fair by bytes) ─ unzip, decode, validate ─▶ rate of the project
//!      ─▶ share of the log's queue (fair by bytes) ─▶ Engine::ingest, in the turn until it waits for the disk
//! ```
//!
//! - A *tenant* is a known project, or all senders of what names none: garbage waits behind garbage only.
//! - A *turn* is the right to compute, one per core, given up for every wait. Short and long requests have turns of their
//!   own, and shares of the log of their own: a short one never waits for a long one. A short one runs where it is; all
//!   that is computed for a long one runs on threads that give way ([`Engine::nice`](footfall_engine::Engine::nice)), and
//!   passes its turn on every [`SLICE_BYTES`].
//! - The log writes groups of what is queued, so a record waits for all bytes before it: those are bounded, and shared
//!   fairly, before the log sees them.
//!
//! Past a bound the answer is a refusal at once, which the caller turns into 429: nothing waits without end.

mod fair;
mod memory;
mod rate;

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use footfall_model::ProjectId;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

pub use fair::Permit;
pub use memory::{Held, OutOfMemory};
pub use rate::TooFast;

use fair::{FairQueue, Shape};
use memory::Memory;
use rate::Rates;

use crate::config::IngestSettings;

/// What a tenant may do before the next one's turn. About half a millisecond of decoding and validating.
pub const SLICE_BYTES: usize = 64 << 10;
/// Text above this takes longer to read than other connections should wait for an async thread.
const LONG_BYTES_MIN: usize = 128 << 10;
/// Even an empty request costs its share of looking up and replying.
const COST_MIN: usize = 1 << 10;
/// Bytes of requests of one length on their way to the log at once. The log needs about 1 MiB under way to be busy (70 MB/s
/// at 10 ms a group).
const LOG_BYTES: usize = 2 << 20;

/// How long a request keeps a thread busy, told from the bytes of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Short,
    Long,
}

impl Length {
    pub fn of(bytes: usize) -> Self {
        if bytes < LONG_BYTES_MIN { Self::Short } else { Self::Long }
    }

    /// The word in metrics.
    fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Long => "long",
        }
    }
}

/// Whose work it is, as far as one can tell before any of it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tenant {
    Project(ProjectId),
    /// What names no project that exists.
    Unknown,
}

/// Why a request has to come again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// No room for its bytes.
    Memory,
    /// Too many requests of the tenant wait.
    Queue,
    /// The project sends faster than it may.
    Rate { wait: Duration },
}

impl Busy {
    /// The word in metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Queue => "queue",
            Self::Rate { .. } => "rate",
        }
    }

    /// How long the client should wait. Memory and queues empty within moments.
    pub fn wait(self) -> Duration {
        match self {
            Self::Rate { wait } => wait,
            Self::Memory | Self::Queue => Duration::from_secs(1),
        }
    }
}

impl From<OutOfMemory> for Busy {
    fn from(_: OutOfMemory) -> Self {
        Self::Memory
    }
}

impl From<fair::LaneFull> for Busy {
    fn from(_: fair::LaneFull) -> Self {
        Self::Queue
    }
}

impl From<TooFast> for Busy {
    fn from(refused: TooFast) -> Self {
        Self::Rate { wait: refused.wait }
    }
}

/// All bounds and queues of a server. Share it in an `Arc`.
#[derive(Debug)]
pub struct Admission {
    memory: Arc<Memory>,
    short: Queues,
    long: Queues,
    rates: Rates,
    /// Where long requests are worked on.
    nice: Handle,
}

/// What requests of one length wait for.
#[derive(Debug)]
struct Queues {
    turns: Arc<FairQueue>,
    log: Arc<FairQueue>,
}

impl Admission {
    /// `nice` are threads that give way to others.
    pub fn new(settings: &IngestSettings, nice: Handle) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, |n| n.get());
        let waiting_max = settings.waiting_max.get();
        let queues = || Queues {
            turns: FairQueue::new(Shape { capacity: cores, quantum: SLICE_BYTES, waiting_max }),
            // Whoever waits here holds memory, which is bounded.
            log: FairQueue::new(Shape { capacity: LOG_BYTES, quantum: SLICE_BYTES, waiting_max: usize::MAX }),
        };
        let (events, bytes) = (settings.events_per_second, settings.bytes_per_minute);
        Self {
            memory: Memory::new(settings.bodies_bytes_max, settings.project_bodies_bytes_max),
            short: queues(),
            long: queues(),
            rates: Rates::new(events, bytes, settings.records_max.get(), settings.body_bytes_max),
            nice,
        }
    }

    /// Starts to count the bytes of a request.
    pub fn hold(&self, tenant: Tenant, bytes: usize) -> Result<Held, Busy> {
        Ok(self.memory.hold(tenant, bytes)?)
    }

    /// For a request of which nothing is kept.
    pub fn hold_nothing(&self, tenant: Tenant) -> Held {
        self.memory.hold_nothing(tenant)
    }

    /// Counts records of a project against its rate.
    pub fn check_rate(&self, project: ProjectId, records: usize, bytes: usize) -> Result<(), Busy> {
        Ok(self.rates.check(project, records, bytes)?)
    }

    /// Runs `work` on `bytes` of input in a turn of the tenant, and answers what it made together with the turn, so that
    /// work which follows at once need not wait for another: it comes back as `turn`.
    pub async fn compute<T: Send + 'static>(
        &self,
        turn: Option<Turn>,
        tenant: Tenant,
        bytes: usize,
        work: impl FnOnce(&mut Pace<'_>) -> T + Send + 'static,
    ) -> Result<(T, Turn), Busy> {
        let mut turn = self.turn(turn, tenant, Length::of(bytes), bytes).await?;
        if turn.length == Length::Short {
            let done = work(&mut Pace(None));
            return Ok((done, turn));
        }
        let worked = self.nice.spawn_blocking(move || {
            let done = work(&mut Pace(Some(&mut turn.permit)));
            (done, turn)
        });
        Ok(ended(worked).await)
    }

    /// Runs what is left of a request to its end, whether or not somebody still waits for that: a short one here, a long
    /// one on threads that give way.
    pub async fn complete<T: Send + 'static>(
        &self,
        length: Length,
        rest: impl Future<Output = T> + Send + 'static,
    ) -> T {
        #[expect(clippy::disallowed_methods, reason = "joined on the next line; outlives its request on purpose")]
        let completed = match length {
            Length::Short => tokio::spawn(rest),
            Length::Long => self.nice.spawn(rest),
        };
        ended(completed).await
    }

    /// Runs `append`, which takes `bytes` to the log, in a turn until it waits for the disk; the bytes count as under way
    /// until it ends. Should the log be busy, no turn is held while waiting for a share of it. `length` is that of the
    /// request, of which this may be a part.
    pub async fn append<F: Future>(
        &self,
        turn: Option<Turn>,
        tenant: Tenant,
        length: Length,
        bytes: usize,
        append: F,
    ) -> Result<F::Output, Busy> {
        let log = &self.queues(length).log;
        let (share, turn) = match log.try_take(tenant, bytes) {
            Some(share) => (share, turn),
            None => {
                drop(turn);
                (waited("log", log.take(tenant, bytes.max(COST_MIN), bytes)).await?, None)
            }
        };
        let mut turn = Some(self.turn(turn, tenant, length, bytes).await?);
        let done = until_it_waits(&mut turn, append).await;
        drop(share);
        Ok(done)
    }

    /// Figures of this moment.
    pub fn gauges(&self) -> Gauges {
        Gauges {
            bodies_bytes: self.memory.bytes(),
            waiting: [
                ("short", self.short.turns.waiting()),
                ("long", self.long.turns.waiting()),
                ("log", self.short.log.waiting() + self.long.log.waiting()),
            ],
        }
    }

    /// `turn` if it is of the kind that is needed, else another.
    async fn turn(&self, turn: Option<Turn>, tenant: Tenant, length: Length, bytes: usize) -> Result<Turn, Busy> {
        if let Some(turn) = turn.filter(|turn| turn.length == length) {
            return Ok(turn);
        }
        let turns = &self.queues(length).turns;
        let permit = match turns.try_take(tenant, 1) {
            Some(permit) => permit,
            None => waited(length.name(), turns.take(tenant, bytes.clamp(COST_MIN, SLICE_BYTES), 1)).await?,
        };
        Ok(Turn { permit, length })
    }

    fn queues(&self, length: Length) -> &Queues {
        match length {
            Length::Short => &self.short,
            Length::Long => &self.long,
        }
    }
}

/// What a task came to. A panic goes on where it would have been.
async fn ended<T>(task: JoinHandle<T>) -> T {
    match task.await {
        Ok(done) => done,
        Err(stopped) => match stopped.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only while the runtime shuts down.
            Err(_) => std::future::pending().await,
        },
    }
}

/// What is held and who waits at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Gauges {
    pub bodies_bytes: usize,
    pub waiting: [(&'static str, usize); 3],
}

/// The right to compute.
#[derive(Debug)]
pub struct Turn {
    permit: Permit,
    length: Length,
}

/// Where long work says how far it has got.
pub struct Pace<'t>(Option<&'t mut Permit>);

impl Pace<'_> {
    /// A slice is done: others may go first. Does nothing within short work.
    pub fn slice_done(&mut self) {
        if let Some(permit) = &mut self.0 {
            permit.pass(SLICE_BYTES);
        }
    }
}

/// Polls `work` within the turn up to its first wait, and gives the turn up there: who waits needs no processor.
pub async fn until_it_waits<F: Future>(turn: &mut Option<Turn>, work: F) -> F::Output {
    let mut work = pin!(work);
    std::future::poll_fn(move |context| {
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            drop(turn.take());
        }
        polled
    })
    .await
}

async fn waited<T>(queue: &'static str, taking: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let taken = taking.await;
    metrics::histogram!("footfall_ingest_wait_seconds", "queue" => queue).record(began.elapsed().as_secs_f64());
    taken
}
