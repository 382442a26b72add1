//! Which signals a thread takes.

use std::mem::MaybeUninit;

/// Holds the signals that a thread had blocked.
#[derive(Clone, Copy)]
pub struct SignalMask(libc::sigset_t);

impl std::fmt::Debug for SignalMask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignalMask").finish_non_exhaustive()
    }
}

/// What a thread does wrong itself; blocked, they would end the process, whatever handlers there are.
const FAULTS: [libc::c_int; 4] = [libc::SIGBUS, libc::SIGSEGV, libc::SIGFPE, libc::SIGILL];

/// Blocks all signals but faults in the calling thread, and so in threads that it starts; returns what was blocked
/// before.
pub fn block_signals() -> SignalMask {
    let mut all = MaybeUninit::uninit();
    // SAFETY: the call fills the set that the pointer is for.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    for signal in FAULTS {
        // SAFETY: the set was filled above.
        unsafe { libc::sigdelset(all.as_mut_ptr(), signal) };
    }
    // SAFETY: it was filled above.
    set_mask(&SignalMask(unsafe { all.assume_init() }))
}

impl SignalMask {
    /// Has the calling thread block these signals and no others.
    pub fn restore(&self) {
        set_mask(self);
    }
}

fn set_mask(mask: &SignalMask) -> SignalMask {
    let mut before = MaybeUninit::uninit();
    // SAFETY: both pointers are for sets; the call cannot fail with this operation, and fills the second.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask.0, before.as_mut_ptr()) };
    // SAFETY: it was filled above.
    SignalMask(unsafe { before.assume_init() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks_interrupts(mask: &SignalMask) -> bool {
        // SAFETY: the set is initialised.
        unsafe { libc::sigismember(&raw const mask.0, libc::SIGINT) == 1 }
    }

    #[test]
    fn all_are_blocked_until_the_mask_is_restored() {
        let before = block_signals();
        let meanwhile = block_signals();
        before.restore();
        let after = block_signals();
        before.restore();
        assert!(blocks_interrupts(&meanwhile));
        assert_eq!(blocks_interrupts(&after), blocks_interrupts(&before));
        assert!(!blocks_interrupts(&after));
    }
}
