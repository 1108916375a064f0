//! Objects read until their bytes are what was written.
//!
//! Bytes are damaged where they lie or on their way here. A checksum tells that they are, reading again tells which: what
//! happened on the way passes. Whatever is still damaged then is an error that names it, and never an answer.

use bytes::Bytes;

/// How often something is read before it counts as damaged.
pub(crate) const TRIES: usize = 4;
/// How often after the first time, where two readings have to agree.
const AGREEING_TRIES: usize = 2 * TRIES;

/// What `read` gives once `check` finds nothing wrong with it; `None` if there is no such object. The last try's damage is
/// the error.
pub(crate) async fn read_sound<T, E, F>(
    read: impl Fn() -> F,
    check: impl Fn(Bytes) -> Result<T, E>,
) -> Result<Option<T>, E>
where
    F: Future<Output = Result<Option<Bytes>, E>>,
{
    let mut tries = 1;
    loop {
        let Some(bytes) = read().await? else { return Ok(None) };
        match check(bytes) {
            Err(_) if tries < TRIES => tries += 1,
            checked => return checked.map(Some),
        }
    }
}

/// An object that has no checksum of its own: what two readings in a row agree on. The error is `damaged`'s when they
/// never do.
pub(crate) async fn read_agreed<E, F>(read: impl Fn() -> F, damaged: impl FnOnce() -> E) -> Result<Option<Bytes>, E>
where
    F: Future<Output = Result<Option<Bytes>, E>>,
{
    let mut before = read().await?;
    for _ in 0..AGREEING_TRIES {
        let again = read().await?;
        if again == before {
            return Ok(again);
        }
        before = again;
    }
    Err(damaged())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Reads that give these in turn, and then the last for ever; how often it was read.
    async fn check(pieces: &[&'static str], expect: (Result<Option<&str>, &str>, usize)) {
        let reads = Cell::new(0);
        let read = || {
            let piece = pieces.get(reads.replace(reads.get() + 1)).or(pieces.last());
            std::future::ready(Ok::<_, &str>(piece.map(|piece| Bytes::from_static(piece.as_bytes()))))
        };
        let whole = |bytes: Bytes| if bytes == "whole" { Ok("whole") } else { Err("damaged") };
        assert_eq!((read_sound(read, whole).await, reads.get()), expect, "{pieces:?}");
    }

    #[tokio::test]
    async fn damage_on_the_way_passes_and_damage_that_stays_is_told() {
        check(&["whole"], (Ok(Some("whole")), 1)).await;
        check(&["whale", "hole", "whole"], (Ok(Some("whole")), 3)).await;
        check(&["whale"], (Err("damaged"), TRIES)).await;
        check(&[], (Ok(None), 1)).await;
    }

    #[tokio::test]
    async fn without_a_checksum_two_readings_have_to_agree() {
        let reads = Cell::new(0);
        let read_of = |piece: fn(usize) -> Bytes| {
            let reads = &reads;
            move || std::future::ready(Ok::<_, &str>(Some(piece(reads.replace(reads.get() + 1)))))
        };
        let settles = |nth: usize| Bytes::from_static(["whale", "whole", "hole", "whole", "whole"][nth].as_bytes());
        assert_eq!(read_agreed(read_of(settles), || "damaged").await, Ok(Some(Bytes::from_static(b"whole"))));
        assert_eq!(reads.replace(0), 5);
        let never = |nth: usize| Bytes::from(nth.to_string());
        assert_eq!(read_agreed(read_of(never), || "damaged").await, Err("damaged"));
        assert_eq!(reads.get(), 1 + AGREEING_TRIES);
    }
}
