//! A batch's body, and what the times to acknowledgement were.

use std::{
    io::{self, BufRead},
    time::Duration,
};

/// A JSON array of the next records.
pub struct Batch {
    pub body: Vec<u8>,
    pub events: u64,
}

/// Cuts lines into batches.
pub struct Batches<R> {
    lines: R,
    batch: u64,
    left: u64,
}

impl<R: BufRead> Batches<R> {
    /// Skips `skip` lines, then takes at most `limit`.
    pub fn new(mut lines: R, batch: u64, skip: u64, limit: u64) -> io::Result<Self> {
        let mut line = Vec::new();
        for _ in 0..skip {
            line.clear();
            lines.read_until(b'\n', &mut line)?;
        }
        Ok(Self { lines, batch, left: limit })
    }
}

impl<R: BufRead> Iterator for Batches<R> {
    type Item = io::Result<Batch>;

    fn next(&mut self) -> Option<io::Result<Batch>> {
        let mut batch = Batch { body: vec![b'['], events: 0 };
        while batch.events < self.batch && self.left > 0 {
            match self.lines.read_until(b'\n', &mut batch.body) {
                Err(error) => return Some(Err(error)),
                Ok(0) => self.left = 0,
                Ok(_) => {
                    if batch.body.last() == Some(&b'\n') {
                        batch.body.pop();
                    }
                    batch.body.push(b',');
                    batch.events += 1;
                    self.left -= 1;
                }
            }
        }
        if batch.events == 0 {
            return None;
        }
        batch.body.pop();
        batch.body.push(b']');
        Some(Ok(batch))
    }
}

/// Times to acknowledgement, all kept: a bench sends thousands of batches, not billions.
#[derive(Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    pub fn push(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Milliseconds at each of the ranks (between 0 and 1), exactly.
    pub fn at(&mut self, ranks: [f64; 3]) -> [f64; 3] {
        self.0.sort_unstable();
        ranks.map(|rank| {
            let index = (rank * self.0.len().saturating_sub(1) as f64).round() as usize;
            self.0.get(index).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(batch: u64, skip: u64, limit: u64) -> Vec<String> {
        let batches = Batches::new(&b"1\n2\n3\n4\n5"[..], batch, skip, limit).expect("memory can be read");
        batches.map(|b| String::from_utf8(b.expect("memory can be read").body).expect("ASCII")).collect()
    }

    #[test]
    fn lines_become_arrays_and_the_last_one_is_shorter() {
        assert_eq!(bodies(2, 0, 99), ["[1,2]", "[3,4]", "[5]"]);
        assert_eq!(bodies(2, 1, 3), ["[2,3]", "[4]"]);
        assert_eq!(bodies(2, 5, 3), [""; 0]);
    }

    #[test]
    fn ranks_are_exact() {
        let mut latencies = Latencies((0..101).map(Duration::from_millis).collect());
        assert_eq!(latencies.at([0.5, 0.99, 1.0]), [50.0, 99.0, 100.0]);
        assert_eq!(Latencies::default().at([0.5, 0.99, 1.0]), [0.0; 3]);
    }
}
