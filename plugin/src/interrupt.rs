//! Counts keyboard interrupts on top of the existing handlers.
//!
//! Python's own handler only sets a flag, which Python reads after the query. This handler counts
//! interrupts, so that a running call sees them, and forwards them, so that Python still raises
//! `KeyboardInterrupt`. A notebook replaces the handler before every cell, so every call checks
//! that this one is still installed.

use std::sync::atomic::{AtomicUsize, Ordering};

static INTERRUPTS: AtomicUsize = AtomicUsize::new(0);

/// Interrupts so far.
pub fn count() -> usize {
    INTERRUPTS.load(Ordering::Relaxed)
}

#[cfg(unix)]
pub use unix::listen;

/// Without this signal, a call runs to completion.
#[cfg(not(unix))]
pub fn listen() {}

#[cfg(unix)]
mod unix {
    use std::ffi::{c_int, c_void};
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use libc::{sigaction, siginfo_t, SA_SIGINFO, SIGINT, SIG_DFL, SIG_IGN};

    static PREVIOUS: AtomicUsize = AtomicUsize::new(SIG_DFL);
    static PREVIOUS_TAKES_INFO: AtomicBool = AtomicBool::new(false);
    static PASSING_ON: AtomicBool = AtomicBool::new(false);

    /// Installs the counter ahead of the existing handlers.
    pub fn listen() {
        // SAFETY: `sigaction` only accesses the given structs; the handler is async-signal-safe.
        unsafe {
            let mut now: sigaction = std::mem::zeroed();
            let known = sigaction(SIGINT, std::ptr::null(), &mut now) == 0;
            let ours = handle as *const () as usize;
            if !known || now.sa_sigaction == ours || now.sa_sigaction == SIG_IGN {
                return;
            }
            PREVIOUS_TAKES_INFO.store(now.sa_flags & SA_SIGINFO != 0, Ordering::Relaxed);
            PREVIOUS.store(now.sa_sigaction, Ordering::Release);
            now.sa_sigaction = ours;
            now.sa_flags |= SA_SIGINFO;
            sigaction(SIGINT, &now, std::ptr::null_mut());
        }
    }

    extern "C" fn handle(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
        super::INTERRUPTS.fetch_add(1, Ordering::Relaxed);
        // A handler that was installed both before and after this one calls it again.
        if PASSING_ON.swap(true, Ordering::Acquire) {
            return;
        }
        let previous = PREVIOUS.load(Ordering::Acquire);
        // SAFETY: the address was that of the handler of this signal, with these arguments.
        unsafe {
            if previous == SIG_DFL {
                libc::signal(signal, SIG_DFL);
                libc::raise(signal);
            } else if PREVIOUS_TAKES_INFO.load(Ordering::Relaxed) {
                let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
                    std::mem::transmute(previous);
                handler(signal, info, context);
            } else {
                let handler: extern "C" fn(c_int) = std::mem::transmute(previous);
                handler(signal);
            }
        }
        PASSING_ON.store(false, Ordering::Release);
    }
}
