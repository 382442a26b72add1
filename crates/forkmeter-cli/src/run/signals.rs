//! Signals while a command runs: they are read from a descriptor, one by one, and passed on.
//!
//! They are blocked and not handled, so whether a signal is ignored (as under `nohup`) is left as it was and is
//! the same for the command. The command must be started with the signal mask from before.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid, getsid};
use signal_hook::SigId;

/// What is passed on; the servers of the Python world act on all of these.
const PASSED_ON: [Signal; 9] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGWINCH,
];

/// Holds the signals that are sent to this process back, until it is dropped.
#[derive(Debug)]
pub(crate) struct Signals {
    descriptor: SignalFd,
    mask_before: SigSet,
    child_handler: SigId,
}

/// What to do about a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    PassOn,
    /// The command has it already.
    Nothing,
    /// The terminal stopped the command, and this process stops with it.
    Stop,
}

impl Signals {
    /// Holds signals back from here on. Called before any other thread is started.
    pub(crate) fn take() -> io::Result<Self> {
        // Where SIGCHLD is ignored, the kernel keeps no exit code and sends nothing. A handler is the way out
        // of that; what it does makes no difference.
        let child_handler =
            signal_hook::flag::register(libc::SIGCHLD, Arc::new(AtomicBool::new(false)))?;
        let held = held();
        let mask_before = SigSet::thread_get_mask()?;
        held.thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let descriptor = SignalFd::with_flags(&held, flags)?;
        Ok(Self {
            descriptor,
            mask_before,
            child_handler,
        })
    }

    /// Returns the signals that were not blocked before, by number.
    pub(crate) fn held(&self) -> Vec<i32> {
        let was_open = |signal: &Signal| !self.mask_before.contains(*signal);
        let held = held();
        held.iter()
            .filter(was_open)
            .map(|signal| signal as i32)
            .collect()
    }

    /// Passes signals on to a child of this process until it ends.
    pub(crate) fn attend(&self, child: u32) -> io::Result<ExitStatus> {
        let child = Pid::from_raw(i32::try_from(child).map_err(io::Error::other)?);
        loop {
            // Asked before the first wait, for the child may have ended before the signal was looked for.
            if let Some(status) = ended(child)? {
                return Ok(status);
            }
            let mut descriptors = [PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN)];
            match poll(&mut descriptors, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            while let Some(info) = self.descriptor.read_signal()? {
                let number = i32::try_from(info.ssi_signo).map_err(io::Error::other)?;
                let signal = Signal::try_from(number)?;
                match action(signal, info.ssi_code, is_session_leader()) {
                    // It may end at any moment; its id is its own until its exit code is asked for.
                    Action::PassOn => match kill(child, signal) {
                        // Where it changed its user, nothing can be done for the sender.
                        Ok(()) | Err(Errno::ESRCH | Errno::EPERM) => {}
                        Err(error) => return Err(error.into()),
                    },
                    Action::Stop => raise(Signal::SIGSTOP)?,
                    Action::Nothing => {}
                }
            }
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // What came too late to be passed on is dropped with the rest; without the next lines it would end this
        // process before it can return the exit code.
        while let Ok(Some(_)) = self.descriptor.read_signal() {}
        // It can only fail for a bad argument.
        let _ = self.mask_before.thread_set_mask();
        signal_hook::low_level::unregister(self.child_handler);
    }
}

fn held() -> SigSet {
    let mut held = SigSet::from_iter(PASSED_ON);
    held.add(Signal::SIGCHLD);
    held
}

/// Says what to do about a signal that came with the cause `code`.
///
/// What the kernel sends of its own accord comes from the terminal and goes to the whole process group, the
/// command included: passing it on too would turn one Ctrl-C into two, which many servers take for "at once".
/// Only of a hang-up a session's leader may be told alone.
fn action(signal: Signal, code: i32, leads_session: bool) -> Action {
    let from_terminal = code == libc::SI_KERNEL;
    match signal {
        Signal::SIGCHLD => Action::Nothing,
        _ if !from_terminal => Action::PassOn,
        Signal::SIGHUP if leads_session => Action::PassOn,
        Signal::SIGTTIN | Signal::SIGTTOU => Action::Stop,
        _ => Action::Nothing,
    }
}

fn is_session_leader() -> bool {
    getsid(None).is_ok_and(|leader| leader == getpid())
}

/// Returns how the child ended, if it has.
fn ended(child: Pid) -> io::Result<Option<ExitStatus>> {
    // As the first process of a container this one is given all orphans, and has to bury them.
    let whom = (getpid().as_raw() != 1).then_some(child);
    loop {
        let (pid, raw_status) = match waitpid(whom, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => (pid, code << 8),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, signal as i32),
            Ok(_) => return Ok(None),
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        if pid == child {
            return Ok(Some(ExitStatus::from_raw(raw_status)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_of_the_terminal_are_not_doubled() {
        const USER: i32 = libc::SI_USER;
        const KERNEL: i32 = libc::SI_KERNEL;
        for signal in PASSED_ON {
            assert_eq!(action(signal, USER, false), Action::PassOn, "{signal}");
            assert_eq!(action(signal, USER, true), Action::PassOn, "{signal}");
        }
        for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGWINCH] {
            assert_eq!(action(signal, KERNEL, false), Action::Nothing, "{signal}");
            assert_eq!(action(signal, KERNEL, true), Action::Nothing, "{signal}");
        }
        for signal in [Signal::SIGTTIN, Signal::SIGTTOU] {
            assert_eq!(action(signal, KERNEL, false), Action::Stop, "{signal}");
        }
        assert_eq!(action(Signal::SIGHUP, KERNEL, true), Action::PassOn);
        assert_eq!(action(Signal::SIGHUP, KERNEL, false), Action::Nothing);
    }
}
