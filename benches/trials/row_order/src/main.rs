//! Trial (d): in which order should a segment keep its rows, (event, user, time) or (user, time)?
//!
//! Writes the same events in both orders as segments of one shard and day, asks the same questions of both, checks that the
//! answers agree, and prints times (warm, best and median of 7) and bytes. Run it on an idle machine:
//!
//!     cargo run --release -- DIR [EVENTS_M] [USERS_K] [NAMES] [ROWS_PER_PAGE]

mod data;
mod questions;
mod read;

use std::{path::PathBuf, thread, time::Instant};

use data::{Failure, Order, SHARDS, Shape};
use questions::{Answer, Question};
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
    println!("\n| question | rows named | order | 1 thread best / median ms | 2 threads best / median ms |");
    println!("|---|---|---|---|---|");
    for (label, question, share) in questions(&shape) {
        let mut answers: Vec<Answer> = Vec::new();
        for (order, shards) in &layouts {
            let (one, answer) = time(&question, *order, &shape, shards, 1)?;
            let (two, again) = time(&question, *order, &shape, shards, 2)?;
            assert_eq!(answer, again, "{label}: one thread and two threads disagree");
            println!(
                "| {label} | {:.1} % | {order:?} | {:.1} / {:.1} | {:.1} / {:.1} |",
                share * 100.0,
                one.0,
                one.1,
                two.0,
                two.1
            );
            answers.push(answer);
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

/// Best and median milliseconds, and the answer added up over shards.
fn time(
    question: &Question,
    order: Order,
    shape: &Shape,
    shards: &[Vec<Segment>],
    threads: usize,
) -> Result<((f64, f64), Answer), Failure> {
    let mut times = Vec::new();
    let mut answer = Vec::new();
    for run in 0..=RUNS {
        let started = Instant::now();
        answer = ask(question, order, shape, shards, threads)?;
        // The first run warms the page cache.
        if run > 0 {
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(((times[0], times[RUNS / 2]), answer))
}

fn ask(
    question: &Question,
    order: Order,
    shape: &Shape,
    shards: &[Vec<Segment>],
    threads: usize,
) -> Result<Answer, Failure> {
    let users = shape.users_per_shard();
    let lanes: Vec<Result<Vec<Answer>, Failure>> = thread::scope(|scope| {
        let lane = |lane: usize| {
            move || {
                let mine = shards.iter().skip(lane).step_by(threads);
                mine.map(|days| questions::answer(question, order, users, days)).collect()
            }
        };
        let handles: Vec<_> = (0..threads).map(|n| scope.spawn(lane(n))).collect();
        handles.into_iter().map(|h| h.join().expect("a reader does not panic")).collect()
    });
    let mut total: Answer = Vec::new();
    for answer in lanes.into_iter().collect::<Result<Vec<_>, _>>()?.concat() {
        total.resize(total.len().max(answer.len()), 0);
        total.iter_mut().zip(answer).for_each(|(sum, part)| *sum += part);
    }
    Ok(total)
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
