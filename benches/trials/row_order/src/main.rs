//! Trial (d): in which order should a segment keep its rows, (event, user, time) or (user, time)?
//!
//! Writes the same events in both orders as segments of one shard and day, asks the same questions of both, checks that the
//! answers agree, and prints times (warm, best and median of 7) and bytes. Processor time is given beside the clock's, because
//! it says something even when the machine is not idle. Still, run it on an idle machine:
//!
//!     cargo run --release -- DIR [EVENTS_M] [USERS_K] [NAMES] [ROWS_PER_PAGE]

mod data;
mod questions;
mod read;

use std::{fmt, path::PathBuf, thread, time::Instant};

use data::{Failure, Order, SHARDS, Shape};
use questions::{Answer, Question, answer};
use read::Segment;

const RUNS: usize = 7;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("name a folder for the segments")?);
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let shape = Shape {
        events: number(20)? * 1_000_000,
        users: number(500)? * 1000,
        names: number(20)?,
        page_rows: number(4096)?,
    };
    let started = Instant::now();
    let written = data::write_all(&shape, &dir)?;
    println!(
        "\n## {} M events, {} k users, {} names, pages of {} rows (written in {:.0} s)\n",
        shape.events / 1_000_000,
        shape.users / 1000,
        shape.names,
        shape.page_rows,
        started.elapsed().as_secs_f64()
    );
    let mut layouts = Vec::new();
    for (order, shards) in [Order::EventUserTime, Order::UserTime].into_iter().zip(&written) {
        let shards: Vec<Vec<Segment>> =
            shards.iter().map(|days| days.iter().map(Segment::open).collect()).collect::<Result<_, _>>()?;
        print_bytes(order, &shape, &shards);
        layouts.push((order, shards));
    }
    println!("\n| question | rows named | order | 1 thread: best / median ms, processor ms | 2 threads: the same |");
    println!("|---|---|---|---|---|");
    for (label, question, share) in questions(&shape) {
        let mut answers: Vec<Answer> = Vec::new();
        for (order, shards) in &layouts {
            let one = measure(&question, *order, &shape, shards, 1)?;
            let two = measure(&question, *order, &shape, shards, 2)?;
            assert_eq!(one.answer, two.answer, "{label}: one thread and two threads disagree");
            println!("| {label} | {:.1} % | {order:?} | {one} | {two} |", share * 100.0);
            answers.push(one.answer);
        }
        assert_eq!(answers[0], answers[1], "{label}: the two orders disagree");
        let shown = &answers[0][..answers[0].len().min(4)];
        eprintln!("{label}: both orders answer {shown:?} …");
    }
    Ok(())
}

/// The questions, and the share of all events that each names.
fn questions(shape: &Shape) -> Vec<(&'static str, Question, f64)> {
    let shares = data::shares(shape.names);
    let named = |steps: &[Vec<usize>]| steps.iter().flatten().map(|n| shares[*n]).sum::<f64>();
    // The first three neighbours in rank that together make up at most 1.7 %.
    let rare = (0..shape.names - 2).find(|n| shares[*n..n + 3].iter().sum::<f64>() <= 0.017).unwrap_or(0);
    let selective: Vec<Vec<usize>> = (rare..rare + 3).map(|n| vec![n]).collect();
    let broad: Vec<Vec<usize>> = (0..3).map(|n| vec![n]).collect();
    let per_step = if shape.names > 100 { 20 } else { 4 };
    let unions: Vec<Vec<usize>> = (0..3).map(|step| (0..per_step).map(|i| i * 3 + step).collect()).collect();
    let one = 3;
    vec![
        ("funnel, selective", Question::Funnel(selective.clone()), named(&selective)),
        ("funnel, broad", Question::Funnel(broad.clone()), named(&broad)),
        ("funnel, steps are unions", Question::Funnel(unions.clone()), named(&unions)),
        ("count by local day, one event", Question::CountByDay(one), shares[one]),
        ("DAU, one event", Question::ActiveUsers(Some(one)), shares[one]),
        ("DAU, all events", Question::ActiveUsers(None), 1.0),
        ("sessions, all events", Question::Sessions, 1.0),
    ]
}

/// Times in milliseconds, and the answer added up over shards.
struct Measured {
    best: f64,
    median: f64,
    /// The least that all threads together spent on a processor.
    processor: f64,
    answer: Answer,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} / {:.1}, {:.1}", self.best, self.median, self.processor)
    }
}

fn measure(
    question: &Question,
    order: Order,
    shape: &Shape,
    shards: &[Vec<Segment>],
    threads: usize,
) -> Result<Measured, Failure> {
    // The first run warms the page cache.
    ask(question, order, shape, shards, threads)?;
    let (mut times, mut processor, mut answer) = (Vec::new(), f64::MAX, Vec::new());
    for _ in 0..RUNS {
        let started = Instant::now();
        let (got, spent) = ask(question, order, shape, shards, threads)?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
        processor = processor.min(spent);
        answer = got;
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(Measured { best: times[0], median: times[RUNS / 2], processor, answer })
}

/// The answer, and the milliseconds that the threads spent on a processor.
fn ask(
    question: &Question,
    order: Order,
    shape: &Shape,
    shards: &[Vec<Segment>],
    threads: usize,
) -> Result<(Answer, f64), Failure> {
    let users = shape.users_per_shard();
    let lanes: Vec<Result<(Vec<Answer>, f64), Failure>> = thread::scope(|scope| {
        let lane = |lane: usize| {
            move || {
                let mine = shards.iter().skip(lane).step_by(threads);
                let answers: Result<Vec<_>, _> = mine.map(|days| answer(question, order, users, days)).collect();
                Ok((answers?, on_processor()))
            }
        };
        let handles: Vec<_> = (0..threads).map(|n| scope.spawn(lane(n))).collect();
        handles.into_iter().map(|h| h.join().expect("a reader does not panic")).collect()
    });
    let (mut total, mut spent): (Answer, f64) = (Vec::new(), 0.0);
    for lane in lanes {
        let (answers, milliseconds) = lane?;
        spent += milliseconds;
        for answer in answers {
            total.resize(total.len().max(answer.len()), 0);
            total.iter_mut().zip(answer).for_each(|(sum, part)| *sum += part);
        }
    }
    Ok((total, spent))
}

/// Milliseconds that this thread has spent on a processor.
fn on_processor() -> f64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    spent.tv_sec as f64 * 1e3 + spent.tv_nsec as f64 / 1e6
}

fn print_bytes(order: Order, shape: &Shape, shards: &[Vec<Segment>]) {
    let segments: Vec<&Segment> = shards.iter().flatten().collect();
    let per_event = |bytes: f64| bytes / shape.events as f64;
    let files: u64 = segments.iter().map(|s| s.file_bytes).sum();
    let columns: Vec<String> = ["uid", "time", "event", "country", "path", "amount"]
        .iter()
        .enumerate()
        .map(|(c, name)| {
            format!("{name} {:.2}", per_event(segments.iter().map(|s| s.column_bytes(c)).sum::<i64>() as f64))
        })
        .collect();
    println!(
        "{order:?}: {:.2} bytes per event in {} files of {SHARDS} shards ({})",
        per_event(files as f64),
        segments.len(),
        columns.join(", ")
    );
}
