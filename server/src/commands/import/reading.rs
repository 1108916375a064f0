//! The first pass: every record of every source, judged and put into the spill by day.
//!
//! ```text
//! cut into chunks ─▶ judge, one thread a core ─▶ collect, in the order of the chunks ─▶ blocks, checkpoints
//! ```
//!
//! Chunks go round the judging threads in turn and are collected in the same turn, so their order is kept without
//! anything waiting to be sorted. Every queue is short: memory is bounded by chunks on their way and by the spill's
//! buffers.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use footfall_ingest::MergeMode;
use indicatif::HumanCount;

use super::formats::{Chunk, Chunks, Mapping, Opening};
use super::journal::{Checkpoint, Entry, Journal};
use super::judge::{Judge, Portion};
use super::pass;
use super::sources::Source;
use super::spill::Writer;
use super::tally::Tally;
use crate::commands::{CommandError, Progress, Quantity};
use crate::config::ImportFormat;

/// Chunks between two threads that are not taken yet.
const QUEUE: usize = 2;
/// How much work a kill may cost: a checkpoint is due after so long, between two sources much sooner.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);
const CHECKPOINT_BETWEEN: Duration = Duration::from_secs(1);
/// Bounds what a checkpoint has to wait for.
const RUN_BYTES_MAX: u64 = 512 << 20;
/// Bad records that are named while reading; the summary counts them all.
const NAMED_MAX: u64 = 10;

/// What there is to read, and how.
pub struct Reading<'a> {
    pub sources: &'a [Source],
    pub format: Option<ImportFormat>,
    pub mapping: &'a Mapping,
    pub merge: MergeMode,
    /// When the import began.
    pub begun_ms: i64,
    pub strict: bool,
    pub folder: &'a Path,
    pub runtime: tokio::runtime::Handle,
}

/// What goes from thread to thread.
enum Piece<C> {
    Some { source: usize, content: C, records: u64, consumed: u64 },
    SourceRead { source: usize },
    Note(String),
    End,
}

type Cut = Result<Piece<Chunk>, CommandError>;
type Judged = Result<Piece<Portion>, CommandError>;

impl Reading<'_> {
    /// Reads on from `from`, notes checkpoints in the journal, and answers the last one. With `strict` the first bad
    /// record ends it, which the tally tells.
    pub fn run(&self, from: Checkpoint, journal: &mut Journal) -> Result<Checkpoint, CommandError> {
        let threads = thread::available_parallelism().map_or(2, usize::from);
        thread::scope(|scope| {
            let (mut cut, mut judged) = (Vec::new(), Vec::new());
            let mut running = Vec::new();
            for _ in 0..threads {
                let (to_judge, chunks) = sync_channel(QUEUE);
                let (to_collect, portions) = sync_channel(QUEUE);
                running.push(scope.spawn(move || self.judge(&chunks, &to_collect)));
                cut.push(to_judge);
                judged.push(portions);
            }
            let (source, records) = (from.source, from.records);
            running.push(scope.spawn(move || self.cut(source, records, &cut)));
            let collected = self.collect(from, &judged, journal);
            // Whoever still has something to say finds nobody listening, and ends.
            drop(judged);
            // A reader of a malformed file may have panicked; that is then the reason why `collect` found no end.
            running.into_iter().for_each(|thread| drop(thread.join()));
            collected
        })
    }

    fn cut(&self, from: usize, records: u64, judges: &[SyncSender<Cut>]) {
        let mut turn = judges.iter().cycle();
        let mut send = |piece: Cut| turn.next().is_some_and(|judge| judge.send(piece).is_ok());
        for (number, source) in self.sources.iter().enumerate().skip(from) {
            let skip = if number == from { records } else { 0 };
            match self.cut_source(number, source, skip, &mut send) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    send(Err(error));
                    return;
                }
            }
        }
        send(Ok(Piece::End));
    }

    /// False: nobody wants more.
    fn cut_source(
        &self,
        source: usize,
        opened: &Source,
        skip: u64,
        send: &mut impl FnMut(Cut) -> bool,
    ) -> Result<bool, CommandError> {
        let opening =
            Opening { format: self.format, mapping: self.mapping, scratch: self.folder, runtime: &self.runtime };
        let mut chunks = Chunks::open(opened, &opening, skip)?;
        for note in std::mem::take(&mut chunks.notes) {
            if !send(Ok(Piece::Note(format!("{}: {note}", opened.stamp.address)))) {
                return Ok(false);
            }
        }
        let mut records = skip;
        while let Some(content) = chunks.next_chunk()? {
            records += content.records();
            if !send(Ok(Piece::Some { source, content, records, consumed: chunks.consumed() })) {
                return Ok(false);
            }
        }
        Ok(send(Ok(Piece::SourceRead { source })))
    }

    fn judge(&self, chunks: &Receiver<Cut>, portions: &SyncSender<Judged>) {
        let judge = Judge::new(self.format, self.merge, self.begun_ms);
        for piece in chunks {
            let piece = piece.map(|piece| match piece {
                Piece::Some { source, content, records, consumed } => {
                    let name = self.sources.get(source).map_or("", |source| source.name.as_str());
                    Piece::Some { source, content: judge.portion(name, &content), records, consumed }
                }
                Piece::SourceRead { source } => Piece::SourceRead { source },
                Piece::Note(note) => Piece::Note(note),
                Piece::End => Piece::End,
            });
            if portions.send(piece).is_err() {
                return;
            }
        }
    }

    fn collect(
        &self,
        from: Checkpoint,
        judged: &[Receiver<Judged>],
        journal: &mut Journal,
    ) -> Result<Checkpoint, CommandError> {
        let mut collecting = Collecting::new(self, from, journal)?;
        for portions in judged.iter().cycle() {
            let piece = portions.recv().map_err(|_| CommandError::failed("reading stopped unexpectedly"))??;
            match piece {
                Piece::Note(note) => collecting.progress.say(&note),
                Piece::Some { source, content, records, consumed } => {
                    collecting.add(source, content, records, consumed)?;
                    if self.strict && collecting.at.tally.rejected() > 0 {
                        break;
                    }
                }
                Piece::SourceRead { source } => collecting.source_read(source)?,
                Piece::End => {
                    collecting.at.complete = true;
                    break;
                }
            }
        }
        collecting.finish()
    }
}

struct Collecting<'a> {
    sources: &'a [Source],
    journal: &'a mut Journal,
    writer: Writer,
    at: Checkpoint,
    /// Bytes of the sources before the current one.
    bytes_before: u64,
    last_checkpoint: Instant,
    began: Instant,
    events_before: u64,
    named: u64,
    progress: Progress,
}

impl<'a> Collecting<'a> {
    fn new(reading: &Reading<'a>, from: Checkpoint, journal: &'a mut Journal) -> Result<Self, CommandError> {
        let sources = reading.sources;
        let total = sources.iter().map(|source| source.stamp.bytes).sum();
        let bytes_before = sources.iter().take(from.source).map(|source| source.stamp.bytes).sum();
        let progress = Progress::resumed("reading", total, Quantity::Bytes, bytes_before);
        let writer = Writer::new(reading.folder, from.run + 1).map_err(|e| unwritable(&e))?;
        let named = from.tally.rejected().min(NAMED_MAX);
        Ok(Self {
            sources,
            journal,
            writer,
            bytes_before,
            last_checkpoint: Instant::now(),
            began: Instant::now(),
            events_before: from.tally.events,
            named,
            at: from,
            progress,
        })
    }

    fn add(&mut self, source: usize, portion: Portion, records: u64, consumed: u64) -> Result<(), CommandError> {
        pass("import::chunk")?;
        for fragment in portion.fragments {
            self.writer.add(fragment).map_err(|e| unwritable(&e))?;
        }
        self.name_bad_records(&portion.tally);
        self.at.tally.add(portion.tally);
        self.at.source = source;
        self.at.records = records;
        let events = self.at.tally.events;
        let rate = (events - self.events_before) as f64 / self.began.elapsed().as_secs_f64().max(0.001);
        let note = format!("{} events, {}/s", HumanCount(events), HumanCount(rate as u64));
        self.progress.set(self.bytes_before + consumed, &note);
        if self.last_checkpoint.elapsed() >= CHECKPOINT_EVERY || self.writer.run_bytes() >= RUN_BYTES_MAX {
            self.checkpoint()?;
        }
        Ok(())
    }

    fn source_read(&mut self, source: usize) -> Result<(), CommandError> {
        self.bytes_before += self.sources.get(source).map_or(0, |source| source.stamp.bytes);
        self.at.source = source + 1;
        self.at.records = 0;
        if self.last_checkpoint.elapsed() >= CHECKPOINT_BETWEEN {
            self.checkpoint()?;
        }
        Ok(())
    }

    fn name_bad_records(&mut self, tally: &Tally) {
        for (reason, rejections) in &tally.rejected {
            for place in &rejections.places {
                self.named += 1;
                if self.named <= NAMED_MAX {
                    self.progress.say(&format!("{place}: {reason}"));
                } else if self.named == NAMED_MAX + 1 {
                    self.progress.say("further bad records are counted, and listed at the end");
                }
            }
        }
    }

    fn checkpoint(&mut self) -> Result<(), CommandError> {
        let (run, blocks) = self.writer.checkpoint().map_err(|e| unwritable(&e))?;
        pass("import::checkpoint")?;
        self.at.run = run;
        let entry = Entry::Read(Checkpoint { blocks, ..self.at.clone() });
        self.journal.append(&entry).map_err(|e| CommandError::failed(e.to_string()))?;
        self.last_checkpoint = Instant::now();
        Ok(())
    }

    fn finish(mut self) -> Result<Checkpoint, CommandError> {
        // One that stopped at a bad record is not gone on with.
        if self.at.complete {
            self.checkpoint()?;
        }
        self.progress.finish();
        Ok(self.at)
    }
}

fn unwritable(error: &std::io::Error) -> CommandError {
    CommandError::failed(format!("cannot keep the events that were read: {error}"))
}
