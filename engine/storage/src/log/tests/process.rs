//! What needs a process of its own: a disk that is full and a sync that fails. The test binary runs itself again, with
//! a limit on file sizes or under strace.

use std::process::{Command, Output};

use super::*;

const CHILD_DIR: &str = "FOOTFALL_LOG_CHILD_DIR";

/// The body of the child: 100-byte appends, one group each, a line per outcome. Does nothing in an ordinary run.
#[test]
fn child() {
    let Ok(dir) = std::env::var(CHILD_DIR) else { return };
    let (log, _, _) = open(LogOptions::new(dir)).unwrap();
    for _ in 0..40 {
        let (tell, told) = mpsc::channel();
        match log.append(entry(&[1; 100]), Box::new(move |outcome| tell.send(outcome).unwrap())) {
            Ok(lsn) => match told.recv().unwrap() {
                Ok(_) => println!("acked={lsn}"),
                Err(error) => println!("failed={lsn} {error:?}"),
            },
            Err(error) => println!("refused {error:?}"),
        }
    }
    println!("alive");
}

fn run_child(dir: &Path, wrapper: &[&str]) -> Output {
    let program = std::env::current_exe().unwrap();
    let (_, module) = module_path!().split_once("::").unwrap();
    let mut command = Command::new(wrapper[0]);
    command.args(&wrapper[1..]).arg(program).args(["--exact", &format!("{module}::child"), "--nocapture"]);
    command.env(CHILD_DIR, dir).output().unwrap()
}

fn acked(output: &Output) -> usize {
    String::from_utf8_lossy(&output.stdout).matches("acked=").count()
}

#[test]
fn l10_a_write_that_fails_is_not_acknowledged_and_stalls_the_log() {
    let dir = TempDir::new().unwrap();
    // 2 blocks of 1024 bytes hold the header and 15 records of 129 bytes; the next write is cut short with an error.
    let output = run_child(dir.path(), &["bash", "-c", "trap '' XFSZ; ulimit -f 2; exec \"$0\" \"$@\""]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && stdout.contains("alive"), "{stdout}");
    assert_eq!((acked(&output), stdout.matches("failed=").count()), (15, 1), "{stdout}");
    assert_eq!(stdout.matches("refused Stalled").count(), 24, "{stdout}");

    let file = &segment_files(dir.path())[0];
    assert_eq!(file.metadata().unwrap().len(), (HEADER_BYTES + 15 * 129) as u64, "cut back to the last good byte");
    let (_, recovery, found) = open(LogOptions::new(dir.path())).unwrap();
    assert_eq!((found.len(), recovery.truncated_tail_bytes), (15, 0));
}

#[test]
fn l5_a_segment_and_its_name_are_durable_before_its_first_record_and_each_group_before_its_answer() {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("SKIPPED l5_a_segment_and_its_name_are_durable: strace is not installed");
        return;
    }
    let dir = TempDir::new().unwrap();
    let (log_dir, trace) = (dir.path().join("log"), dir.path().join("trace"));
    std::fs::create_dir(&log_dir).unwrap();
    let calls = "trace=pwrite64,fsync,fdatasync,write";
    let output = run_child(&log_dir, &["strace", "-f", "-y", "-e", calls, "-o", trace.to_str().unwrap()]);
    if !output.status.success() {
        eprintln!("SKIPPED l5_a_segment_and_its_name_are_durable: {}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let trace = std::fs::read_to_string(trace).unwrap();
    let mut steps: Vec<String> = trace.lines().filter_map(|line| step(line, log_dir.to_str().unwrap())).collect();
    // With failpoints a group is written in two steps.
    steps.dedup_by(|next, step| next == step && step.starts_with("pwrite64"));
    let segment = "/00000000000000000001.log";
    // The last of them makes the name durable that says how far the log was released.
    let begin = [format!("pwrite64 {segment}"), format!("fsync {segment}"), "fsync ".to_owned(), "fsync ".to_owned()];
    assert_eq!(steps[..4], begin);
    let groups = &steps[4..];
    assert_eq!(groups.len(), 3 * 40);
    for group in groups.chunks(3) {
        assert_eq!(group, [format!("pwrite64 {segment}"), format!("fdatasync {segment}"), "acked".to_owned()]);
    }
}

/// `call file` of a line of strace about the log, or `acked`.
fn step(line: &str, log_dir: &str) -> Option<String> {
    // A call that was preempted has a second line, which says nothing new.
    if line.contains("resumed>") {
        return None;
    }
    if line.contains("\"acked=") {
        return Some("acked".to_owned());
    }
    let (call, rest) = line.split_once(' ')?.1.trim_start().split_once('(')?;
    let (path, _) = rest.split_once('<')?.1.split_once('>')?;
    Some(format!("{call} {}", path.strip_prefix(log_dir)?))
}

#[test]
fn l9_a_sync_that_fails_ends_the_process() {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("SKIPPED l9_a_sync_that_fails_ends_the_process: strace is not installed");
        return;
    }
    let dir = TempDir::new().unwrap();
    // The third fdatasync of the log thread is the third group.
    let inject = "inject=fdatasync:error=EIO:when=3";
    let output = run_child(dir.path(), &["strace", "-f", "-o", "/dev/null", "-e", inject]);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if stderr.contains("ptrace") || stderr.contains("PTRACE") {
        eprintln!("SKIPPED l9_a_sync_that_fails_ends_the_process: tracing is not allowed here");
        return;
    }
    assert!(!output.status.success() && !stdout.contains("alive"), "{stdout}{stderr}");
    assert!(stderr.contains("cannot sync the log, aborting"), "{stderr}");
    assert_eq!(acked(&output), 2, "{stdout}");
    // The record whose sync failed may be there or not; it was never acknowledged.
    assert!((2..=3).contains(&open(LogOptions::new(dir.path())).unwrap().2.len()));
}
