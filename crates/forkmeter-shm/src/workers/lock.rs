//! The directory lock: a range of the worker file that the kernel frees when its holder dies, and a word in it that
//! who only appends takes without a system call.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use super::word::{self, HeldWord, Holder, WORD_AT};
use super::{Claim, HEADER_BYTES, WorkersFile};
use crate::map::Mapping;
use crate::sys;

/// How long to wait for the directory lock while nobody else gets it either, before values are kept in memory instead:
/// longer than any holder works, short enough for a request that meets a stopped holder.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
/// How long to wait at all: on a machine that has too much to do others get it all the while.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

const FIRST_PAUSE: Duration = Duration::from_micros(20);
const LAST_PAUSE: Duration = Duration::from_millis(2);

/// How often who only appends looks whether the word is free: as long as another one takes to append.
const APPEND_LOOKS: u32 = 100;

/// Holds the directory lock until it is dropped.
#[derive(Debug)]
pub(crate) struct DirectoryLock<'a> {
    /// None where the file has no header: then nobody can take the word.
    word: Option<HeldWord>,
    file: &'a WorkersFile,
    _threads: MutexGuard<'a, ()>,
}

/// Holds the directory lock for an append to a segment, in memory alone: who has it makes no system call, so that
/// nobody is stopped or killed in one and leaves others waiting.
#[derive(Debug)]
pub(crate) struct AppendLock<'a> {
    _word: HeldWord,
    _threads: MutexGuard<'a, ()>,
}

/// Is how long somebody has waited for the lock.
#[derive(Debug)]
struct Wait {
    start: Instant,
    /// When the word was seen to be another one than before, or the start.
    moved: Instant,
    turn: Option<u64>,
    pause: Duration,
}

impl Wait {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            start: now,
            moved: now,
            turn: None,
            pause: FIRST_PAUSE,
        }
    }

    fn has_slept(&self) -> bool {
        self.pause != FIRST_PAUSE
    }

    /// Tells whether that was long enough; `turn` says how often the word was taken.
    fn is_over(&mut self, turn: Option<u64>) -> bool {
        if self.turn != turn {
            // The first look says nothing of what was before it.
            if self.turn.is_some() {
                self.moved = Instant::now();
            }
            self.turn = turn;
        }
        self.moved.elapsed() > LOCK_PATIENCE || self.start.elapsed() > LONGEST_WAIT
    }
}

impl Drop for DirectoryLock<'_> {
    fn drop(&mut self) {
        // Before the range: whoever has that one takes the word from a holder who is gone.
        self.word = None;
        // It can only fail for a bad descriptor, and then there is no lock to give back.
        let _ = sys::unlock_range(&self.file.file, 0, HEADER_BYTES);
    }
}

impl WorkersFile {
    /// Waits for the directory lock, at most `LOCK_PATIENCE` in which nobody gets it, and `LONGEST_WAIT` in all.
    ///
    /// # Errors
    ///
    /// `TimedOut` when another process does not give it back, `NotFound` when the file was deleted, or cut off and is
    /// in use again.
    pub(crate) fn lock_directory(&self) -> io::Result<DirectoryLock<'_>> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.file.has_a_name() {
            return Err(self.was_deleted());
        }
        let mut wait = Wait::new();
        while !sys::try_lock_range(&self.file, 0, HEADER_BYTES)? {
            self.wait(&mut wait)?;
        }
        let mut lock = DirectoryLock {
            word: None,
            file: self,
            _threads: threads,
        };
        lock.word = self.take_word(&mut wait)?;
        // A lock on a file that was deleted keeps nobody out; it may have been while we waited.
        if !wait.has_slept() || self.file.has_a_name() {
            return Ok(lock);
        }
        Err(self.was_deleted())
    }

    /// Sleeps, longer each time, unless that took too long already.
    fn wait(&self, wait: &mut Wait) -> io::Result<()> {
        let header = self.header.get();
        // ORDERING: a look; whether the word is another one is all that is asked.
        let seen = header
            .and_then(|header| header.cell(WORD_AT))
            .map(|word| word.load(Ordering::Relaxed));
        if wait.is_over(seen.map(word::turn)) {
            let text = format!(
                "the lock of {} is held by another process",
                self.path.display()
            );
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        thread::sleep(wait.pause);
        wait.pause = (wait.pause * 2).min(LAST_PAUSE);
        Ok(())
    }

    /// Takes the word, for who has the range; nothing where the file has no header.
    fn take_word(&self, wait: &mut Wait) -> io::Result<Option<HeldWord>> {
        let Some(word) = self.word()? else {
            return Ok(None);
        };
        let mut suspect = None;
        let mut looks = 0;
        loop {
            // ORDERING: a look; the exchange decides.
            let seen = word.load(Ordering::Relaxed);
            // Whoever took the word with the range, which this process has now, is gone.
            if let Holder::Record(index) = Holder::of(seen) {
                word::want(word, seen);
                // Others wait for the range meanwhile, and an append is short: no sleep before it must be.
                if looks < APPEND_LOOKS {
                    looks += 1;
                    if looks < APPEND_LOOKS / 2 {
                        std::hint::spin_loop();
                    } else {
                        thread::yield_now();
                    }
                    continue;
                }
                let is_gone = !self.is_locked(index)?;
                // Seen twice: a program that closes our file behind our back has no lock either, but appends in
                // less than a pause.
                let is_certain = is_gone && suspect == Some(seen);
                suspect = is_gone.then_some(seen);
                if !is_certain {
                    self.wait(wait)?;
                    continue;
                }
            }
            if let Some(held) = HeldWord::take(word, seen, Holder::Range) {
                return Ok(Some(held));
            }
        }
    }

    /// Returns the word, mapping it if it is not yet; nothing where the file has no header.
    fn word(&self) -> io::Result<Option<&'static AtomicU64>> {
        if self.file.metadata()?.len() < HEADER_BYTES {
            return Ok(None);
        }
        let header = if let Some(header) = self.header.get() {
            header
        } else {
            let mapping = Mapping::new();
            mapping.cover(&self.file, HEADER_BYTES)?;
            self.header.get_or_init(|| mapping)
        };
        let word = header.cell(WORD_AT).ok_or(io::ErrorKind::UnexpectedEof)?;
        // Touches the page: what was cut off is seen here, and is memory of this process alone.
        let _ = word.load(Ordering::Relaxed);
        if header.is_cut_off_before(HEADER_BYTES) {
            return Err(self.was_deleted());
        }
        Ok(Some(word))
    }

    /// Takes the lock for an append in memory, without a system call; nothing where that does not go at once.
    pub(crate) fn lock_to_append(&self, claim: &Claim) -> Option<AppendLock<'_>> {
        let header = self.header.get().filter(|_| claim.is_of_this_process())?;
        let word = header.cell(WORD_AT)?;
        let threads = match self.threads.try_lock() {
            Ok(threads) => threads,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        for _ in 0..APPEND_LOOKS {
            // ORDERING: a look; the exchange decides.
            let seen = word.load(Ordering::Relaxed);
            if Holder::of(seen) == Holder::Nobody
                && let Some(held) = HeldWord::take(word, seen, Holder::with(claim))
            {
                // Where the file was cut off this is memory of this process alone.
                return (!header.is_cut_off_before(HEADER_BYTES)).then_some(AppendLock {
                    _word: held,
                    _threads: threads,
                });
            }
            std::hint::spin_loop();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(10);

    #[test]
    fn who_waits_while_others_get_the_lock_goes_on_waiting_for_a_while() {
        let patience_ago = Instant::now().checked_sub(LOCK_PATIENCE + MOMENT).unwrap();
        let mut wait = Wait::new();
        assert!(!wait.is_over(Some(7)));
        wait.moved = patience_ago;
        assert!(!wait.is_over(Some(8)), "somebody got it");
        wait.moved = patience_ago;
        assert!(wait.is_over(Some(8)), "nobody did");
        wait.start = Instant::now().checked_sub(LONGEST_WAIT + MOMENT).unwrap();
        assert!(wait.is_over(Some(9)), "that was long enough");
    }
}
