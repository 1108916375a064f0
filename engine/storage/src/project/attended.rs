//! The lock around a project's state, and why the log's thread never waits for it.
//!
//! The log's thread says what is durable, in the order of the log, and that makes it visible. But the lock is held for
//! milliseconds while a long request is taken in, and by a thread that [gives way](crate::NiceThreads): were the log's
//! thread to wait for it, every project's records would wait behind one project's flood. So the log leaves *word*: if the
//! lock is free, it acts on the word at once, else whoever holds the lock does before letting go.
//!
//! - A1: words are acted on in the order in which they were left, each once.
//! - A2: whoever has taken the lock sees the effect of every word left before.
//! - A3: while nobody holds the lock and nobody is leaving word, no word is left: it does not wait for the next request.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};

use parking_lot::{Mutex, MutexGuard};

type Word<S> = Box<dyn FnOnce(&mut S) + Send>;

pub(super) struct Attended<S> {
    state: Mutex<S>,
    words: Mutex<VecDeque<Word<S>>>,
}

/// The state, locked.
pub(super) struct Held<'a, S> {
    owner: &'a Attended<S>,
    /// `None` only while it is being dropped.
    state: Option<MutexGuard<'a, S>>,
}

impl<S> Attended<S> {
    pub fn new(state: S) -> Self {
        Self { state: Mutex::new(state), words: Mutex::default() }
    }

    pub fn lock(&self) -> Held<'_, S> {
        let mut state = self.state.lock();
        self.act(&mut state);
        Held { owner: self, state: Some(state) }
    }

    /// Leaves word. Never waits for whoever holds the lock.
    pub fn tell(&self, word: impl FnOnce(&mut S) + Send + 'static) {
        self.words.lock().push_back(Box::new(word));
        self.attend();
    }

    /// Acts on words unless somebody holds the lock, who will (A3).
    fn attend(&self) {
        while !self.words.lock().is_empty() {
            let Some(mut state) = self.state.try_lock() else { return };
            self.act(&mut state);
        }
    }

    fn act(&self, state: &mut S) {
        // Not in the loop's head: a word may leave word itself.
        let next = || self.words.lock().pop_front();
        while let Some(word) = next() {
            word(state);
        }
    }
}

impl<S> Deref for Held<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        self.state.as_deref().expect("taken only by drop")
    }
}

impl<S> DerefMut for Held<'_, S> {
    fn deref_mut(&mut self) -> &mut S {
        self.state.as_deref_mut().expect("taken only by drop")
    }
}

impl<S> Drop for Held<'_, S> {
    fn drop(&mut self) {
        if let Some(mut state) = self.state.take() {
            self.owner.act(&mut state);
        }
        // Word that was left since could not get the lock, and relies on this second look.
        self.owner.attend();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn word_is_acted_on_at_once_or_by_whoever_holds_the_lock() {
        let state = Attended::new(Vec::new());
        state.tell(|seen| seen.push(1));
        let held = state.lock();
        state.tell(|seen| seen.push(2));
        assert_eq!(*held, [1], "not from under somebody's feet");
        drop(held);
        assert_eq!(*state.state.try_lock().unwrap(), [1, 2], "nobody has to come by for it");
    }

    /// Threads that lock and threads that leave word: nothing is lost, doubled or out of order, and nothing is left.
    #[test]
    fn no_word_is_lost_between_a_last_look_and_letting_go() {
        const WORDS: usize = 20_000;
        let state = Arc::new(Attended::new(Vec::new()));
        let told_all = Arc::new(AtomicBool::new(false));
        let lockers: Vec<_> = (0..3)
            .map(|_| {
                let (state, told_all) = (state.clone(), told_all.clone());
                thread::spawn(move || {
                    while !told_all.load(Ordering::Acquire) {
                        std::hint::black_box(state.lock().len());
                    }
                })
            })
            .collect();
        for word in 0..WORDS {
            state.tell(move |seen: &mut Vec<usize>| seen.push(word));
        }
        told_all.store(true, Ordering::Release);
        lockers.into_iter().for_each(|locker| locker.join().unwrap());
        assert!(state.words.lock().is_empty());
        assert!(state.state.lock().iter().copied().eq(0..WORDS));
    }
}
