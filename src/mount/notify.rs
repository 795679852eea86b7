//! Telling the kernel what it must not remember any longer.
//!
//! Only the keeper's thread comes here: a thread that serves requests and tells the kernel to forget can wait for
//! itself, beyond what kill -9 ends.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::view::Ino;

/// Where the keeper says that something changed.
pub trait Invalidate: Send + Sync {
    /// The view was swapped: no name may be answered from memory any longer.
    fn view_changed(&self);
    /// A sample has new bytes.
    fn sample_changed(&self, ino: Ino);
}

/// Nobody remembers anything: for a core without a mount.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoKernel;

impl Invalidate for NoKernel {
    fn view_changed(&self) {}
    fn sample_changed(&self, _: Ino) {}
}

/// FUSE_NOTIFY_INC_EPOCH of include/uapi/linux/fuse.h (Linux 6.16): every name given so far is asked for again. fuser
/// has no call for it.
const NOTIFY_INC_EPOCH: i32 = 8;

/// A program that was answered a part of a listing has had it worked into the kernel's memory after this long, even
/// where it does not ask for the next part.
const LISTING_SETTLES: Duration = Duration::from_millis(50);

/// The longest that a swap waits for listings.
const PATIENCE: Duration = Duration::from_millis(200);

/// The kernel of a mount.
pub struct Kernel {
    device: Mutex<Option<File>>,
    notifier: fuser::Notifier,
    has_epochs: AtomicBool,
    listings: Arc<Listings>,
}

/// READDIRPLUS answers fill the kernel's memory of names, stamped with the epoch in which they are worked in, not the
/// one in which they were asked for. That is done by the program that lists, which may have to wait for a processor. So
/// a swap waits for every answer given before it: until the same handle is used again or closed, which comes after,
/// or for a while.
#[derive(Debug, Default)]
pub struct Listings(Mutex<Answers>);

#[derive(Debug, Default)]
struct Answers {
    last: u64,
    /// By handle: the last answer that may be remembered.
    given: HashMap<u64, Answer>,
}

#[derive(Debug)]
struct Answer {
    number: u64,
    /// When it was given; none while it is being made.
    at: Option<Instant>,
    /// A swap has not waited for it any longer.
    overtaken: bool,
}

impl Listings {
    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A handle is used again or closed: its last answer has been worked in. Whether a swap came before that, so that
    /// what was worked in may be old.
    #[must_use]
    pub fn followed(&self, handle: u64) -> bool {
        self.answers().given.remove(&handle).is_some_and(|answer| answer.overtaken)
    }

    /// A part of a listing is being answered until the guard is dropped.
    pub fn begin(&self, handle: u64) -> ListingGuard<'_> {
        let mut answers = self.answers();
        answers.last += 1;
        let number = answers.last;
        answers.given.insert(handle, Answer { number, at: None, overtaken: false });
        ListingGuard { listings: self, handle, number, remembered: false }
    }

    /// Waits for the answers that were given up to now.
    fn settle(&self) {
        let deadline = Instant::now() + PATIENCE;
        let last = self.answers().last;
        loop {
            let mut answers = self.answers();
            let late = Instant::now() >= deadline;
            let mut waiting = false;
            for answer in answers.given.values_mut().filter(|answer| answer.number <= last) {
                if !late && answer.at.is_none_or(|at| at.elapsed() < LISTING_SETTLES) {
                    waiting = true;
                } else {
                    answer.overtaken = true;
                }
            }
            drop(answers);
            if !waiting {
                return;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

/// See [`Listings::begin`].
#[derive(Debug)]
pub struct ListingGuard<'a> {
    listings: &'a Listings,
    handle: u64,
    number: u64,
    remembered: bool,
}

impl ListingGuard<'_> {
    /// The answer has names that the kernel may remember.
    pub fn remembered(&mut self) {
        self.remembered = true;
    }
}

impl Drop for ListingGuard<'_> {
    fn drop(&mut self) {
        let mut answers = self.listings.answers();
        // Answered already and used again, or not to be waited for.
        if let Some(answer) = answers.given.get_mut(&self.handle).filter(|answer| answer.number == self.number) {
            if self.remembered {
                answer.at = Some(Instant::now());
            } else {
                answers.given.remove(&self.handle);
            }
        }
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").field("has_epochs", &self.has_epochs).finish_non_exhaustive()
    }
}

impl Kernel {
    /// The kernel behind a session: `device` is a duplicate of the session's descriptor.
    pub fn new(device: OwnedFd, notifier: fuser::Notifier, listings: Arc<Listings>) -> Self {
        let kernel = Self {
            device: Mutex::new(Some(File::from(device))),
            notifier,
            has_epochs: AtomicBool::new(false),
            listings,
        };
        // A code it does not know is answered EINVAL.
        kernel.has_epochs.store(kernel.next_epoch(), Ordering::Release);
        kernel
    }

    /// Whether names given before can be called back all at once. Without it no name is given for longer than one
    /// use.
    pub fn has_epochs(&self) -> bool {
        self.has_epochs.load(Ordering::Acquire)
    }

    /// Lets go of the device, without which the connection can't end.
    pub fn close(&self) {
        self.device.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn next_epoch(&self) -> bool {
        if !cfg!(target_os = "linux") {
            return false;
        }
        // struct fuse_out_header: u32 len, i32 error (the code of a notification), u64 unique (0: not a reply).
        let mut message = [0u8; 16];
        message[..4].copy_from_slice(&16u32.to_ne_bytes());
        message[4..8].copy_from_slice(&NOTIFY_INC_EPOCH.to_ne_bytes());
        let mut device = self.device.lock().unwrap_or_else(PoisonError::into_inner);
        device.as_mut().is_some_and(|device| device.write_all(&message).is_ok())
    }
}

impl Invalidate for Kernel {
    fn view_changed(&self) {
        if self.has_epochs() {
            self.listings.settle();
            if !self.next_epoch() {
                log::error!("the kernel was not told that the view has changed: old names may be seen");
            }
        }
    }

    fn sample_changed(&self, ino: Ino) {
        if let Err(error) = self.notifier.inval_inode(fuser::INodeNo(ino), 0, 0) {
            log::debug!("the kernel was not told of a changed file: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long a swap waits.
    fn waits(listings: &Listings) -> Duration {
        let started = Instant::now();
        listings.settle();
        started.elapsed()
    }

    #[test]
    fn a_swap_waits_until_a_listing_goes_on() {
        let listings = Listings::default();
        let mut answer = listings.begin(1);
        answer.remembered();
        drop(answer);
        std::thread::scope(|scope| {
            let swap = scope.spawn(|| waits(&listings));
            assert!(!listings.followed(1), "not overtaken");
            assert!(swap.join().unwrap() < PATIENCE);
        });
    }

    #[test]
    fn a_listing_that_is_not_gone_on_with_is_overtaken_and_then_known_to_be() {
        let listings = Listings::default();
        let mut answer = listings.begin(1);
        answer.remembered();
        drop(answer);
        assert!(waits(&listings) <= PATIENCE * 2);
        assert!(listings.followed(1));
        assert!(!listings.followed(1), "said once");
    }

    #[test]
    fn answers_without_names_are_not_waited_for() {
        let listings = Listings::default();
        drop(listings.begin(1));
        assert!(listings.answers().given.is_empty());
    }
}
