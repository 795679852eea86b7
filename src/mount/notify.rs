//! Telling the kernel what it must not remember any longer.
//!
//! Only the keeper's thread comes here, and threads that work for it: a thread that serves requests and tells the kernel
//! to forget can wait for itself, beyond what kill -9 ends.
//!
//! After a swap the kernel is told, name by name, what stands for something else now (FUSE_NOTIFY_INVAL_ENTRY with
//! FUSE_EXPIRE_ONLY): it asks for such a name before it uses it again. To be told, it takes the folder's lock, which a
//! program holds from before it asks for a name or a part of a listing until it has worked in the answer. So an
//! answer from the old view is worked in before, and is expired with the rest.
//!
//! One kind of answer is worked in with no lock held: that for a name which the kernel holds and was told to ask for
//! again. Where such a one may be on its way ([`Remembered::may_be_undone`]) everything given before is called back as
//! well (FUSE_NOTIFY_INC_EPOCH), which makes the next look at each folder slower.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rayon::prelude::*;

use super::passthrough::IoModes;
use super::remembered::Remembered;
use super::watchdog::Watchdog;
use crate::view::{DirId, Ino, Node, View, changed_names_in};

/// Where the keeper says that something changed.
pub trait Invalidate: Send + Sync {
    /// The view was swapped: no name that changed may be answered from memory any longer.
    fn view_changed(&self, before: &View, after: &View);
    /// The same, but for names in folders that a program holds whose move is not answered yet.
    fn view_changed_but(&self, before: &View, after: &View, _held: &HashSet<Ino>) {
        self.view_changed(before, after);
    }
    /// These names, by folder, stand for something else than before.
    fn names_changed(&self, _names: &[(Ino, Vec<u8>)]) {}
    /// No name at all that was given so far may be answered from memory any longer. Waits for nobody. Whether that was
    /// possible.
    fn call_all_back(&self) -> bool {
        false
    }
    /// A sample of the current view is about to be shown with other bytes; `original` looks at which original it is now.
    fn sample_changes(&self, _view: &View, _id: u32, _original: &dyn Fn() -> Option<(u64, u64)>) {}
    /// A sample has new bytes.
    fn sample_changed(&self, ino: Ino);
}

/// Nobody remembers anything: for a core without a mount.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoKernel;

impl Invalidate for NoKernel {
    fn view_changed(&self, _: &View, _: &View) {}
    fn sample_changed(&self, _: Ino) {}
}

// Of include/uapi/linux/fuse.h. fuser has no call for the first two.

/// Every name given so far is asked for again (Linux 6.16).
const NOTIFY_INC_EPOCH: i32 = 8;
/// A name is asked for again before it is used (Linux 6.2; before, it is forgotten, which takes four times as long).
const EXPIRE_ONLY: u32 = 1;
const NOTIFY_INVAL_ENTRY: i32 = 3;

/// So many names that the kernel may hold and asks for again are kept in mind (9 bytes each).
const EXPIRED_MAX: usize = 2_000_000;

/// So many folders are told of at a time.
const TELLERS: usize = 2;

/// So many names of a folder are told before others who want its lock are let in, and for how long. Without that one
/// open has waited 1.7 s while 400,000 names were told (`benches/rules_save.py --samples 1000000`).
const AT_A_TIME: usize = 512;
const LETS_IN: Duration = Duration::from_micros(20);

/// Where nothing given can be called back at once: an answer that is on its way has been worked in after this long.
const SETTLES: Duration = Duration::from_millis(100);

/// The kernel of a mount.
pub struct Kernel {
    device: RwLock<Option<File>>,
    notifier: fuser::Notifier,
    has_epochs: AtomicBool,
    remembered: Arc<Remembered>,
    modes: Arc<IoModes>,
    watchdog: Watchdog,
    /// Threads that tell the kernel, and do nothing else: one that waits in the kernel for a program must not be one that
    /// this program's request waits for.
    tellers: rayon::ThreadPool,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").field("has_epochs", &self.has_epochs).finish_non_exhaustive()
    }
}

impl Kernel {
    /// The kernel behind a session: `device` is a duplicate of the session's descriptor.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn new(
        device: OwnedFd,
        notifier: fuser::Notifier,
        remembered: Arc<Remembered>,
        modes: Arc<IoModes>,
        watchdog: Watchdog,
    ) -> io::Result<Self> {
        let tellers =
            rayon::ThreadPoolBuilder::new().num_threads(TELLERS).thread_name(|number| format!("tell-{number}"));
        let kernel = Self {
            device: RwLock::new(Some(File::from(device))),
            notifier,
            has_epochs: AtomicBool::new(false),
            remembered,
            modes,
            watchdog,
            tellers: tellers.build().map_err(io::Error::other)?,
        };
        // A code it does not know is answered EINVAL.
        kernel.has_epochs.store(kernel.next_epoch(), Ordering::Release);
        Ok(kernel)
    }

    /// Lets go of the device, without which the connection can't end.
    pub fn close(&self) {
        self.device.write().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Sends a notification. Nothing is to be told where the mount has ended.
    fn send(&self, code: i32, body: &[&[u8]]) -> io::Result<()> {
        // struct fuse_out_header: u32 len, i32 error (the code of a notification), u64 unique (0: not a reply).
        let len = 16 + body.iter().map(|part| part.len()).sum::<usize>();
        let mut message = Vec::with_capacity(len);
        message.extend_from_slice(&(len as u32).to_ne_bytes());
        message.extend_from_slice(&code.to_ne_bytes());
        message.extend_from_slice(&[0; 8]);
        body.iter().for_each(|part| message.extend_from_slice(part));
        let device = self.device.read().unwrap_or_else(PoisonError::into_inner);
        let Some(mut device) = device.as_ref() else { return Ok(()) };
        device.write_all(&message).or_else(|error| match error.raw_os_error() {
            // It holds no such name, or nobody is there any more.
            Some(libc::ENOENT | libc::ENOTDIR | libc::ENODEV | libc::ENOTCONN) => Ok(()),
            _ => Err(error),
        })
    }

    fn next_epoch(&self) -> bool {
        cfg!(target_os = "linux") && self.send(NOTIFY_INC_EPOCH, &[]).is_ok()
    }

    fn expire_name(&self, folder: Ino, name: &[u8]) -> io::Result<()> {
        // struct fuse_notify_inval_entry_out: u64 parent, u32 namelen, u32 flags; then the name and a NUL.
        let mut out = [0u8; 16];
        out[..8].copy_from_slice(&folder.to_ne_bytes());
        out[8..12].copy_from_slice(&(name.len() as u32).to_ne_bytes());
        out[12..].copy_from_slice(&EXPIRE_ONLY.to_ne_bytes());
        self.send(NOTIFY_INVAL_ENTRY, &[&out, name, b"\0"])
    }

    /// Tells the kernel the names that changed: folder by folder, several at a time; but for those that are held.
    fn expire_changed(&self, before: &View, after: &View, held: Option<&HashSet<Ino>>) {
        let told = |folder| !held.is_some_and(|held| held.contains(&folder)) && self.remembered.is_given(folder);
        let dirs: Vec<DirId> = before.dirs().filter(|dir| told(before.ino(Node::Dir(*dir)))).collect();
        let failed = dirs.par_iter().with_max_len(1).filter_map(|&dir| {
            let folder = before.ino(Node::Dir(dir));
            let (mut names, mut failed): (Vec<Vec<u8>>, _) = (Vec::new(), None);
            changed_names_in(before, after, dir, |name| {
                names.push(name.to_vec());
                if names.len() == AT_A_TIME {
                    failed = self.expire_names(folder, &std::mem::take(&mut names)).or(failed.take());
                }
            });
            self.expire_names(folder, &names).or(failed)
        });
        if let Some(error) = self.tellers.install(|| failed.reduce_with(|first, _| first)) {
            log::error!("the kernel was not told of every name that has changed, old ones may be seen: {error}");
        }
    }

    /// The last of the errors, where there are any.
    fn expire_names(&self, folder: Ino, names: &[Vec<u8>]) -> Option<io::Error> {
        self.remembered.expire_all(folder, names.iter().map(|name| &name[..]));
        let watched = self.watchdog.watch();
        let failed = names.iter().filter_map(|name| self.expire_name(folder, name).err()).last();
        drop(watched);
        if names.len() == AT_A_TIME {
            // The folder's lock is let go of between two names for less time than whoever waits for it needs to wake up.
            std::thread::sleep(LETS_IN);
        }
        failed
    }

    /// Tells, and sees to it that no answer from before undoes it.
    fn tell_for_good(&self, tell: impl Fn()) {
        tell();
        let undone = self.remembered.may_be_undone();
        if !undone && self.remembered.expired() < EXPIRED_MAX {
            return;
        }
        if !self.call_all_back() && undone {
            std::thread::sleep(SETTLES);
            tell();
        }
    }
}

impl Invalidate for Kernel {
    fn view_changed(&self, before: &View, after: &View) {
        self.tell_for_good(|| self.expire_changed(before, after, None));
    }

    fn view_changed_but(&self, before: &View, after: &View, held: &HashSet<Ino>) {
        self.tell_for_good(|| self.expire_changed(before, after, Some(held)));
    }

    fn names_changed(&self, names: &[(Ino, Vec<u8>)]) {
        self.tell_for_good(|| {
            for (folder, name) in names {
                if let Some(error) = self.expire_names(*folder, std::slice::from_ref(name)) {
                    log::error!("the kernel was not told of a name that has changed, an old one may be seen: {error}");
                }
            }
        });
    }

    fn call_all_back(&self) -> bool {
        if !self.has_epochs.load(Ordering::Acquire) {
            return false;
        }
        // First: what somebody else tells from here on is kept in mind.
        self.remembered.all_forgotten();
        self.next_epoch()
    }

    /// Where somebody holds the one before open, what comes is shown under a number of its own, and whoever looks at the
    /// name from now on finds that.
    fn sample_changes(&self, view: &View, id: u32, original: &dyn Fn() -> Option<(u64, u64)>) {
        let own = view.ino(Node::Sample(id));
        if !self.modes.holds_another(self.remembered.shown(own), original) {
            return;
        }
        self.remembered.stand_in_for(view, own, view.sample(id).path);
        // This happens rarely: every folder is looked at.
        for dir in view.dirs().filter(|dir| self.remembered.is_given(view.ino(Node::Dir(*dir)))) {
            for (name, _) in view.entries(dir).filter(|(_, node)| *node == Node::Sample(id)) {
                if let Some(error) = self.expire_names(view.ino(Node::Dir(dir)), &[name.into_owned()]) {
                    log::debug!("the kernel was not told of a replaced file: {error}");
                }
            }
        }
    }

    fn sample_changed(&self, ino: Ino) {
        for number in self.remembered.all(ino) {
            let _watched = self.watchdog.watch();
            if let Err(error) = self.notifier.inval_inode(fuser::INodeNo(number), 0, 0) {
                log::debug!("the kernel was not told of a changed file: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::os::unix::net::UnixDatagram;
    use std::sync::mpsc::channel;
    use std::time::SystemTime;

    use super::*;
    use crate::rules::{Router, Rules, Vocabulary};
    use crate::view::{Catalogue, ViewInput};

    struct Nothing;

    impl fuser::Filesystem for Nothing {}

    /// What the kernel says first. struct fuse_in_header: u32 len, u32 opcode (26: INIT), u64 unique, u64 nodeid, u32 uid,
    /// gid and pid, u32 padding; struct fuse_init_in: u32 major, minor, max_readahead, flags, flags2, then 11 of no use.
    fn init() -> Vec<u8> {
        let header = [104, 26, 1, 0, 1, 0, 0, 0, 0, 0u32];
        let init = [7, 31, 65_536, 0, 0];
        header.iter().chain(&init).chain(&[0; 11]).flat_map(|word| word.to_ne_bytes()).collect()
    }

    /// A kernel, and its end of the connection.
    fn connected(watchdog: &Watchdog) -> (Kernel, UnixDatagram, UnixDatagram) {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        theirs.send(&init()).unwrap();
        let end = || OwnedFd::from(ours.try_clone().unwrap());
        let session =
            fuser::Session::from_fd(Nothing, end(), fuser::SessionACL::All, fuser::Config::default()).unwrap();
        let kernel = Kernel::new(end(), session.notifier(), Arc::default(), Arc::default(), watchdog.clone()).unwrap();
        (kernel, ours, theirs)
    }

    /// One that listens to nothing any more.
    fn deaf(watchdog: &Watchdog) -> (Kernel, UnixDatagram) {
        let (kernel, ours, theirs) = connected(watchdog);
        ours.set_nonblocking(true).unwrap();
        while ours.send(b"no more room").is_ok() {}
        ours.set_nonblocking(false).unwrap();
        (kernel, theirs)
    }

    /// The codes of what the kernel was told since the last call: the second word of each message.
    fn told(theirs: &UnixDatagram) -> Vec<i32> {
        theirs.set_nonblocking(true).unwrap();
        let mut message = [0; 4096];
        std::iter::from_fn(|| {
            theirs.recv(&mut message).ok()?;
            message[4..].first_chunk().map(|code| i32::from_ne_bytes(*code))
        })
        .collect()
    }

    fn view() -> View {
        let vocabulary = Vocabulary::drums();
        ViewInput {
            catalogue: Arc::new(Catalogue::new(Vec::new())),
            router: Arc::new(Router::new(&Rules::defaults(&vocabulary), &vocabulary)),
            labels: vocabulary.fine().to_vec().into(),
            overrides: &HashMap::new(),
            previous: None,
            now: SystemTime::UNIX_EPOCH,
            epoch: 1,
            rules_error: None,
        }
        .build()
    }

    #[test]
    fn all_names_are_called_back_where_an_answer_from_before_may_be_on_its_way_and_else_not() {
        let (kernel, _ours, theirs) = connected(&Watchdog::default());
        let (view, remembered) = (view(), Arc::clone(&kernel.remembered));
        told(&theirs);
        kernel.view_changed(&view, &view);
        remembered.expire(1, b"kick.wav");
        remembered.look_up(1, b"snare.wav");
        kernel.view_changed(&view, &view);
        assert!(told(&theirs).is_empty(), "nobody asks for what the kernel holds");
        remembered.look_up(1, b"kick.wav");
        kernel.view_changed(&view, &view);
        assert_eq!(told(&theirs), [NOTIFY_INC_EPOCH]);
        kernel.view_changed(&view, &view);
        assert!(told(&theirs).is_empty(), "it holds no such name any more");
    }

    #[test]
    fn whatever_the_kernel_is_told_is_cut_where_it_does_not_end() {
        let names: &(dyn Fn(&Kernel) + Sync) = &|kernel| _ = kernel.expire_names(1, &[b"kick.wav".to_vec()]);
        let bytes: &(dyn Fn(&Kernel) + Sync) = &|kernel| kernel.sample_changed(5);
        for (what, tell) in [("names", names), ("bytes", bytes)] {
            let watchdog = Watchdog::default();
            let (kernel, theirs) = deaf(&watchdog);
            let (cut, was_cut) = channel();
            let watching = watchdog.start(Duration::from_millis(50), move || _ = cut.send(())).unwrap();
            std::thread::scope(|scope| {
                let telling = scope.spawn(|| tell(&kernel));
                let was_cut = was_cut.recv_timeout(Duration::from_secs(20));
                assert!(was_cut.is_err() || !telling.is_finished(), "it was over before");
                // As cutting the connection does: whoever waits for it goes on.
                drop(theirs);
                telling.join().unwrap();
                assert!(was_cut.is_ok(), "nobody watched over telling {what}");
            });
            drop(watching);
        }
    }
}
