//! Telling the kernel what it must not remember any longer.
//!
//! Only the keeper's thread comes here: a thread that serves requests and tells the kernel to forget can wait for
//! itself, beyond what kill -9 ends.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
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

/// How long a listing that was answered just before a swap may take to be worked into the kernel's memory.
const LISTING_SETTLES: Duration = Duration::from_millis(3);

/// The kernel of a mount.
pub struct Kernel {
    device: Mutex<Option<File>>,
    notifier: fuser::Notifier,
    has_epochs: AtomicBool,
    listings: Arc<Listings>,
}

/// READDIRPLUS answers fill the kernel's memory of names, stamped with the epoch in which they are worked in, not the
/// one in which they were asked for. Those under way during a swap are waited for.
#[derive(Debug, Default)]
pub struct Listings {
    under_way: AtomicU64,
    last: Mutex<Option<Instant>>,
}

impl Listings {
    /// A listing with attributes is being answered until the guard is dropped.
    pub fn begin(&self) -> ListingGuard<'_> {
        self.under_way.fetch_add(1, Ordering::AcqRel);
        ListingGuard(self)
    }

    /// Waits until every answer made from an older view has reached the kernel; whether there was one.
    fn settle(&self) -> bool {
        let deadline = Instant::now() + Duration::from_millis(200);
        while self.under_way.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        let last = *self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(rest) = last.and_then(|last| LISTING_SETTLES.checked_sub(last.elapsed())) else { return false };
        std::thread::sleep(rest);
        true
    }
}

/// See [`Listings::begin`].
pub struct ListingGuard<'a>(&'a Listings);

impl Drop for ListingGuard<'_> {
    fn drop(&mut self) {
        *self.0.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Instant::now());
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
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
        self.device.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    }

    fn next_epoch(&self) -> bool {
        if !cfg!(target_os = "linux") {
            return false;
        }
        // struct fuse_out_header: u32 len, i32 error (the code of a notification), u64 unique (0: not a reply).
        let mut message = [0u8; 16];
        message[..4].copy_from_slice(&16u32.to_ne_bytes());
        message[4..8].copy_from_slice(&NOTIFY_INC_EPOCH.to_ne_bytes());
        let mut device = self.device.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        device.as_mut().is_some_and(|device| device.write_all(&message).is_ok())
    }
}

impl Invalidate for Kernel {
    fn view_changed(&self) {
        if self.has_epochs() {
            self.listings.settle();
            self.next_epoch();
        }
    }

    fn sample_changed(&self, ino: Ino) {
        if let Err(error) = self.notifier.inval_inode(fuser::INodeNo(ino), 0, 0) {
            log::debug!("the kernel was not told of a changed file: {error}");
        }
    }
}
