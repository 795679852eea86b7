//! A watch over the one thing that could hang a machine: telling the kernel something while it waits for us.
//!
//! That can't happen by design: who tells never serves. Should a kernel see it differently, the connection is cut
//! after a while, which ends the mount and lets everybody who waits for it go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};

/// How long telling the kernel may take. It takes microseconds, or as long as a program needs to work in an answer.
pub const LIMIT: Duration = Duration::from_secs(30);

/// The watch; clones watch over the same.
#[derive(Debug, Clone, Default)]
pub struct Watchdog {
    since: Arc<Mutex<HashMap<ThreadId, Instant>>>,
}

/// Something is being told until this is dropped.
#[derive(Debug)]
pub struct Watched<'a>(&'a Watchdog);

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.0.since.lock().unwrap_or_else(PoisonError::into_inner).remove(&std::thread::current().id());
    }
}

/// Ends the watch when dropped.
#[derive(Debug)]
pub struct Watching {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Watchdog {
    /// Begins to tell the kernel something.
    pub fn watch(&self) -> Watched<'_> {
        let this = std::thread::current().id();
        self.since.lock().unwrap_or_else(PoisonError::into_inner).insert(this, Instant::now());
        Watched(self)
    }

    /// Starts the thread that looks, and calls `cut` once where something takes longer than `limit`.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start(&self, limit: Duration, cut: impl FnOnce() + Send + 'static) -> std::io::Result<Watching> {
        let since = Arc::clone(&self.since);
        let (stop, stopped) = mpsc::channel::<()>();
        let look = move || {
            while stopped.recv_timeout(limit / 4) == Err(mpsc::RecvTimeoutError::Timeout) {
                let oldest = since.lock().unwrap_or_else(PoisonError::into_inner).values().min().copied();
                if oldest.is_some_and(|since| since.elapsed() > limit) {
                    return cut();
                }
            }
        };
        let thread = std::thread::Builder::new().name("watchdog".to_owned()).spawn(look)?;
        Ok(Watching { stop: Some(stop), thread: Some(thread) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_is_cut_and_nothing_else_is() {
        let watchdog = Watchdog::default();
        let (cut, was_cut) = mpsc::channel();
        let watching = watchdog.start(Duration::from_millis(40), move || _ = cut.send(())).unwrap();
        for _ in 0..20 {
            let _watched = watchdog.watch();
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(was_cut.try_recv().is_err(), "each took five milliseconds");
        let watched = watchdog.watch();
        assert!(was_cut.recv_timeout(Duration::from_secs(10)).is_ok());
        drop(watched);
        drop(watching);
    }
}
