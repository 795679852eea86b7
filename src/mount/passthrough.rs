//! How the kernel gets the bytes of an open original: through its own memory (cached), or from the original itself
//! without asking anybody (passthrough, Linux 6.9, where the process may).
//!
//! The kernel refuses to mix the two on one inode number, and to read one from two originals, for as long as anything is
//! open. So what is open is counted here, and a newcomer is read in a way that goes with the others, or is told that it
//! needs a number of its own.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use crate::archive::discover::mtime_ns;
use crate::view::Ino;

/// Originals of so many bytes and more are handed over: one read less pays for the handing over of a large file, while
/// small files are read at once and are faster from the kernel's own memory the second time
/// (`benches/side_by_side.py`).
const HANDED_OVER_FROM: u64 = 1 << 20;

/// Hands originals to the kernel.
pub trait Register: Send + Sync {
    /// The number by which the kernel knows the file.
    ///
    /// # Errors
    /// EPERM where the process may not, and what else the kernel says.
    fn register(&self, file: &File) -> io::Result<u32>;
    /// Takes it back.
    fn take_back(&self, id: u32);
    /// Gives the kernel all bytes of a small file to keep.
    ///
    /// # Errors
    /// What the kernel says.
    fn fill(&self, ino: Ino, data: &[u8]) -> io::Result<()>;
}

/// An original that is open.
#[derive(Debug)]
struct Original {
    file: Arc<File>,
    /// Device and inode number.
    identity: (u64, u64),
    /// Size and time of last modification (ns since 1970) when it was opened.
    stamp: (u64, i64),
}

/// Device and inode number of a file.
pub fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// An original that the kernel reads by itself. Taken back when dropped.
pub struct Backing {
    id: u32,
    original: Original,
    register: Arc<dyn Register>,
}

impl Backing {
    /// The number by which the kernel knows it.
    pub fn id(&self) -> u32 {
        self.id
    }
}

impl std::fmt::Debug for Backing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backing").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Drop for Backing {
    fn drop(&mut self) {
        self.register.take_back(self.id);
    }
}

/// Whether originals are handed to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passthrough {
    /// Nothing was large enough yet to try.
    Untried,
    /// They are.
    Used,
    /// The process may not, or the kernel can't.
    Refused,
}

/// How originals are read, as status.json tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Each is opened first.
    Opened(Passthrough),
    /// With no message at open.
    WithoutOpen,
}

impl Reading {
    /// The name in status.json.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opened(Passthrough::Untried) => "untried",
            Self::Opened(Passthrough::Used) => "used",
            Self::Opened(Passthrough::Refused) => "unavailable",
            Self::WithoutOpen => "off: no open messages",
        }
    }
}

/// How one open handle is read; what it holds on to ends with it.
#[derive(Debug)]
pub enum IoMode {
    /// Through the kernel's memory.
    Cached(Arc<Cached>),
    /// By asking.
    Direct,
    /// By the kernel itself.
    Passthrough(Arc<Backing>),
}

impl IoMode {
    fn original(&self) -> Option<&Original> {
        match self {
            Self::Cached(open) => Some(&open.original),
            Self::Passthrough(open) => Some(&open.original),
            Self::Direct => None,
        }
    }
}

/// An original is open through the kernel's memory for as long as this is there.
#[derive(Debug)]
pub struct Cached {
    original: Original,
}

#[derive(Debug)]
enum Open {
    Cached(Weak<Cached>),
    Passthrough(Weak<Backing>),
}

impl Open {
    fn is_over(&self) -> bool {
        match self {
            Self::Cached(open) => open.strong_count() == 0,
            Self::Passthrough(open) => open.strong_count() == 0,
        }
    }

    fn mode(&self) -> Option<IoMode> {
        match self {
            Self::Cached(open) => open.upgrade().map(IoMode::Cached),
            Self::Passthrough(open) => open.upgrade().map(IoMode::Passthrough),
        }
    }
}

/// What is open, by inode number.
#[derive(Default)]
pub struct IoModes {
    register: OnceLock<Arc<dyn Register>>,
    state: AtomicU8,
    open: Mutex<HashMap<Ino, Open>>,
}

const USED: u8 = 1;
const REFUSED: u8 = 2;

/// So many files that were open are kept in mind before those that are closed are thrown out.
const SWEEP_FROM: usize = 1024;

impl IoModes {
    /// Originals can be handed over from now on.
    pub fn hand_over(&self, register: Arc<dyn Register>) {
        drop(self.register.set(register));
    }

    /// Gives the kernel all bytes of a small file to keep; whether it took them.
    pub fn fill(&self, ino: Ino, data: &[u8]) -> bool {
        self.register.get().is_some_and(|register| match register.fill(ino, data) {
            Ok(()) => true,
            Err(error) => {
                log::debug!("the kernel did not take the bytes of a file: {error}");
                false
            }
        })
    }

    /// Whether they are.
    pub fn passthrough(&self) -> Passthrough {
        match (self.state.load(Ordering::Relaxed), self.register.get()) {
            (USED, _) => Passthrough::Used,
            (0, Some(_)) => Passthrough::Untried,
            _ => Passthrough::Refused,
        }
    }

    /// How a file that was just opened under an inode number is to be read; none where another original is open under
    /// that number, so that it needs another: the kernel keeps one set of bytes for each number, and would give those of
    /// one to who has opened the other.
    pub fn enter(&self, ino: Ino, file: &Arc<File>, metadata: &Metadata) -> Option<IoMode> {
        let identity = identity(metadata);
        let mut all = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mode) = all.get(&ino).and_then(Open::mode) {
            return mode.original().is_some_and(|open| open.identity == identity).then_some(mode);
        }
        let original = || Original { file: Arc::clone(file), identity, stamp: (metadata.len(), mtime_ns(metadata)) };
        if all.len() >= SWEEP_FROM && all.len().is_power_of_two() {
            all.retain(|_, open| !open.is_over());
        }
        if metadata.len() >= HANDED_OVER_FROM
            && let Some(backing) = self.register(original())
        {
            all.insert(ino, Open::Passthrough(Arc::downgrade(&backing)));
            return Some(IoMode::Passthrough(backing));
        }
        let cached = Arc::new(Cached { original: original() });
        all.insert(ino, Open::Cached(Arc::downgrade(&cached)));
        Some(IoMode::Cached(cached))
    }

    /// Whether another original than this one, which is looked at where any is open, is open under an inode number.
    pub fn holds_another(&self, ino: Ino, than: impl Fn() -> Option<(u64, u64)>) -> bool {
        let Some(mode) = self.mode(ino) else { return false };
        mode.original().zip(than()).is_some_and(|(open, identity)| open.identity != identity)
    }

    /// What an original that is open under an inode number is like now, where it was opened with another size or time
    /// than the one that is shown. It may have been replaced, and whoever holds it reads up to its own end.
    pub fn held(&self, ino: Ino, shown: Option<(u64, i64)>) -> Option<(u64, i64)> {
        let mode = self.mode(ino)?;
        let open = mode.original().filter(|open| Some(open.stamp) != shown)?;
        open.file.metadata().ok().map(|now| (now.len(), mtime_ns(&now)))
    }

    fn mode(&self, ino: Ino) -> Option<IoMode> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&ino)?.mode()
    }

    fn register(&self, original: Original) -> Option<Arc<Backing>> {
        let register = self.register.get().filter(|_| self.state.load(Ordering::Relaxed) != REFUSED)?;
        match register.register(&original.file) {
            Ok(id) => {
                self.state.store(USED, Ordering::Relaxed);
                Some(Arc::new(Backing { id, original, register: Arc::clone(register) }))
            }
            Err(error) => {
                // An ordinary user may not; a file of a stacked file system can't be, and another may.
                if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EOPNOTSUPP | libc::ENOTTY)) {
                    log::info!("the kernel does not read originals by itself ({error}): they are read for it");
                    self.state.store(REFUSED, Ordering::Relaxed);
                } else {
                    log::debug!("an original could not be handed to the kernel: {error}");
                }
                None
            }
        }
    }
}

/// The kernel behind a session.
#[cfg(target_os = "linux")]
pub mod device {
    use std::fs::File;
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::sync::{Mutex, PoisonError};

    use super::Register;
    use crate::view::Ino;

    /// A duplicate of a session's descriptor, until it is let go of.
    pub struct Device {
        device: Mutex<Option<OwnedFd>>,
        notifier: Mutex<Option<fuser::Notifier>>,
    }

    /// _IOW(229, 2, u32) of include/uapi/linux/fuse.h: FUSE_DEV_IOC_BACKING_CLOSE.
    const BACKING_CLOSE: libc::c_ulong = 0x4004_E502;

    impl Device {
        /// Of a duplicate of the session's descriptor.
        pub fn new(device: OwnedFd, notifier: fuser::Notifier) -> Self {
            Self { device: Mutex::new(Some(device)), notifier: Mutex::new(Some(notifier)) }
        }

        /// Lets go of it, without which the connection can't end.
        pub fn close(&self) {
            self.device.lock().unwrap_or_else(PoisonError::into_inner).take();
            self.notifier.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }

    impl Register for Device {
        fn register(&self, file: &File) -> io::Result<u32> {
            let device = self.device.lock().unwrap_or_else(PoisonError::into_inner);
            let device = device.as_ref().ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?;
            fuser::BackingId::create_raw(device, file)
        }

        fn take_back(&self, id: u32) {
            let device = self.device.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(device) = device.as_ref() {
                // SAFETY: the descriptor is open, and the request reads one u32, which outlives the call.
                let done = unsafe { libc::ioctl(device.as_raw_fd(), BACKING_CLOSE as _, &raw const id) };
                if done < 0 {
                    log::debug!("an original could not be taken back: {}", io::Error::last_os_error());
                }
            }
        }

        fn fill(&self, ino: Ino, data: &[u8]) -> io::Result<()> {
            // Nothing is held while the kernel may wait.
            let notifier = self.notifier.lock().unwrap_or_else(PoisonError::into_inner).clone();
            notifier.map_or(Ok(()), |notifier| notifier.store(fuser::INodeNo(ino), 0, data))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[derive(Default)]
    struct Counting {
        last: AtomicU32,
        open: AtomicU32,
        refuses: bool,
    }

    impl Register for Counting {
        fn register(&self, _: &File) -> io::Result<u32> {
            if self.refuses {
                return Err(io::Error::from_raw_os_error(libc::EPERM));
            }
            self.open.fetch_add(1, Ordering::Relaxed);
            Ok(self.last.fetch_add(1, Ordering::Relaxed) + 1)
        }

        fn take_back(&self, _: u32) {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }

        fn fill(&self, _: Ino, _: &[u8]) -> io::Result<()> {
            Ok(())
        }
    }

    fn file(len: u64) -> (Arc<File>, Metadata) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(len).unwrap();
        let metadata = file.metadata().unwrap();
        (Arc::new(file), metadata)
    }

    #[test]
    fn what_is_open_decides_how_the_next_is_read() {
        let (register, modes) = (Arc::new(Counting::default()), IoModes::default());
        let ((small, small_meta), (large, large_meta)) = (file(10), file(HANDED_OVER_FROM));
        assert!(matches!(modes.enter(1, &large, &large_meta), Some(IoMode::Cached(_))), "nothing to hand over to");
        modes.hand_over(Arc::clone(&register) as _);
        assert_eq!(modes.passthrough(), Passthrough::Untried);
        let first = modes.enter(1, &large, &large_meta);
        let second = modes.enter(1, &large, &large_meta);
        let (Some(IoMode::Passthrough(a)), Some(IoMode::Passthrough(b))) = (&first, &second) else {
            panic!("{first:?}")
        };
        assert_eq!((a.id(), register.open.load(Ordering::Relaxed)), (b.id(), 1), "one for all handles");
        let (other, other_meta) = file(HANDED_OVER_FROM);
        assert!(modes.enter(1, &other, &other_meta).is_none(), "another original of the same name");
        assert!(matches!(modes.enter(2, &other, &other_meta), Some(IoMode::Passthrough(_))), "under another number");
        drop((first, second));
        assert_eq!(register.open.load(Ordering::Relaxed), 0);
        let cached = modes.enter(1, &small, &small_meta);
        assert!(modes.enter(1, &large, &large_meta).is_none(), "another original, through the kernel's memory as well");
        small.set_len(HANDED_OVER_FROM).unwrap();
        let grown = modes.enter(1, &small, &small.metadata().unwrap());
        assert!(matches!(grown, Some(IoMode::Cached(_))), "it has grown while it was open");
        drop((cached, grown));
        assert!(matches!(modes.enter(1, &large, &large_meta), Some(IoMode::Passthrough(_))));
    }

    #[test]
    fn who_holds_an_original_hears_of_that_one() {
        let modes = IoModes::default();
        let (file, metadata) = file(10);
        let shown = (metadata.len(), mtime_ns(&metadata));
        let held = modes.enter(1, &file, &metadata);
        assert_eq!(modes.held(1, Some(shown)), None, "it is the one that is shown");
        assert_eq!(modes.held(1, Some((20, shown.1))), Some(shown));
        assert_eq!(modes.held(1, None), Some(shown), "none is shown");
        assert!(!modes.holds_another(1, || Some(identity(&metadata))));
        assert!(!modes.holds_another(1, || None), "it is gone");
        assert!(modes.holds_another(1, || Some((0, 0))));
        drop(held);
        assert_eq!(modes.held(1, Some((20, shown.1))), None, "nobody holds it");
        assert!(!modes.holds_another(1, || Some((0, 0))));
    }

    #[test]
    fn who_may_not_hand_over_does_not_try_again() {
        let (register, modes) = (Arc::new(Counting { refuses: true, ..Counting::default() }), IoModes::default());
        modes.hand_over(Arc::clone(&register) as _);
        let (large, metadata) = file(HANDED_OVER_FROM);
        assert!(matches!(modes.enter(1, &large, &metadata), Some(IoMode::Cached(_))));
        assert_eq!(modes.passthrough(), Passthrough::Refused);
    }

    #[test]
    fn files_that_were_closed_are_not_kept_in_mind_for_ever() {
        let modes = IoModes::default();
        let (small, metadata) = file(10);
        for ino in 0..10_000 {
            drop(modes.enter(ino, &small, &metadata));
        }
        assert!(modes.open.lock().unwrap().len() <= SWEEP_FROM * 2);
    }
}
