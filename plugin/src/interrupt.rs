//! The keyboard interrupt, counted in addition to the handlers that are there.
//!
//! Python's own handler only sets a flag, which is read when Python runs next: after the query.
//! This one counts interrupts where a running call can see them, and passes them on, so that Python
//! still raises `KeyboardInterrupt`. A notebook sets its handler anew before every cell, so every
//! call checks that this one is still in place.

use std::sync::atomic::{AtomicUsize, Ordering};

static INTERRUPTS: AtomicUsize = AtomicUsize::new(0);

/// Interrupts so far.
pub fn count() -> usize {
    INTERRUPTS.load(Ordering::Relaxed)
}

#[cfg(unix)]
pub use unix::listen;

/// There is no such signal here: a call runs to its end.
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

    /// Installs the counter before the handlers that are there.
    pub fn listen() {
        // SAFETY: `sigaction` reads and writes the structs that it is given; the handler does what
        // is allowed in one.
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
        // A handler that was installed before this one and again after it calls it again.
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
