//! A mount from beginning to end: the mount point, the threads, and taking it down with nothing lost.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use fuser::{Config, MountOption, SessionACL};
use thiserror::Error;

use super::core::Core;
use super::fuse::Adapter;
use super::indexer::{Indexer, Reporter, Request};
use super::keeper::{Keeper, KeeperHandle, Shared};
use super::near::NearSearch;
use super::notify::Kernel;
use super::opened::{self, OpenedPaths};
#[cfg(target_os = "linux")]
use super::passthrough::device::Device;
use super::permissions::Permissions;
use super::platform::{self, State};
use super::remembered::Remembered;
use super::status::Facts;
use super::watchdog::{self, Watchdog, Watching};
use crate::archive::{ArchiveRoot, HashAlgorithm};
use crate::classify::Ensemble;
use crate::index::PassOptions;
use crate::rules::Vocabulary;
use crate::store::{Store, StoreError};

/// Why a mount could not be made.
#[derive(Debug, Error)]
pub enum MountError {
    /// The system has no FUSE.
    #[error(
        "there is no /dev/fuse, so nothing can be mounted. Load it with `sudo modprobe fuse`; in a container, start it \
         with --device /dev/fuse; on macOS, install macFUSE"
    )]
    NoFuseDevice,
    /// /dev/fuse can't be opened.
    #[error("/dev/fuse can't be opened ({source}). Give yourself access with `sudo chmod 666 /dev/fuse`")]
    FuseDevice {
        /// What the system said.
        source: io::Error,
    },
    /// An ordinary user needs a helper that is not installed.
    #[error(
        "fusermount3 is missing, which ordinary users need to mount. Install it with `sudo apt-get install fuse3` (or \
         `sudo dnf install fuse3`, `sudo pacman -S fuse3`)"
    )]
    NoFusermount,
    /// Other users can't be let in by an ordinary user.
    #[error(
        "an ordinary user may let others into a mount only where /etc/fuse.conf says so: have root add the line \
         `user_allow_other` to it, or mount without --allow-other"
    )]
    OthersNotAllowed,
    /// Other users can't be let in on this system.
    #[error("--allow-other works on Linux alone: elsewhere drumfs can't see all that decides who may read an original")]
    OthersOnlyOnLinux,
    /// The mount point can't be made or looked at.
    #[error("the mount point {path} can't be used: {source}")]
    MountPoint {
        /// The mount point.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The mount point is a file.
    #[error("the mount point {path} is not a folder: give an empty folder, or a name that is free")]
    NotAFolder {
        /// The mount point.
        path: PathBuf,
    },
    /// The mount point has something in it.
    #[error("the mount point {path} is not empty, and a mount would hide what is in it: give an empty folder")]
    NotEmpty {
        /// The mount point.
        path: PathBuf,
    },
    /// drumfs is mounted there already.
    #[error("drumfs is already mounted at {path}: use it, or end it with `umount {path}`")]
    AlreadyMounted {
        /// The mount point.
        path: PathBuf,
    },
    /// Something else is mounted there and does not answer.
    #[error("a {kind} mount at {path} does not answer and is not drumfs's to clear: end it with `umount -l {path}`")]
    SomebodyElses {
        /// The mount point.
        path: PathBuf,
        /// Its type.
        kind: String,
    },
    /// Mount point and archive lie in each other.
    #[error("the mount point {path} and the archive {archive} lie in each other: give a folder outside the archive")]
    Inside {
        /// The mount point.
        path: PathBuf,
        /// The archive.
        archive: PathBuf,
    },
    /// The system refused.
    #[error("{path} could not be mounted: {source}")]
    Mount {
        /// The mount point.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A thread could not be started.
    #[error("a thread could not be started: {0}")]
    Thread(io::Error),
}

/// What to mount, and how.
pub struct MountOptions {
    /// The archive.
    pub root: Arc<ArchiveRoot>,
    /// Where; made if it is missing.
    pub at: PathBuf,
    /// What is known of the archive.
    pub store: Arc<Store>,
    /// What listens.
    pub ensemble: Arc<Ensemble>,
    /// The labels rules may speak of.
    pub vocabulary: Vocabulary,
    /// The rules that hold where none were ever saved; none where those are the usual ones.
    pub first_rules: Option<String>,
    /// Who says so where a sample is moved; none where that is not known.
    pub user: Option<String>,
    /// What runs the model, in words.
    pub backend: String,
    /// How many files are heard at a time.
    pub threads: usize,
    /// How contents are named.
    pub algorithm: HashAlgorithm,
    /// Whether the kernel opens files without a message: faster for many small files, and less is promised.
    pub without_open: bool,
    /// Whether other users are let in, to what they may read of the originals.
    pub allow_other: bool,
    /// Told of the progress of passes.
    pub report: Reporter,
}

/// How many requests are served at a time: a reader that waits for a disk must not hold up those that don't.
const SERVING_THREADS: usize = 4;

/// How long open files may keep a mount that was asked to end.
const PATIENCE: Duration = Duration::from_secs(3);

/// A running mount.
pub struct Mounted {
    at: PathBuf,
    closed_at: Option<PathBuf>,
    store: Arc<Store>,
    shared: Arc<Shared>,
    kernel: Arc<Kernel>,
    keeper: KeeperHandle,
    keeper_thread: JoinHandle<()>,
    indexer: Sender<Request>,
    indexer_thread: JoinHandle<()>,
    near_thread: JoinHandle<()>,
    cancel: Arc<AtomicBool>,
    ended: Receiver<io::Result<()>>,
    #[cfg(target_os = "linux")]
    originals: Arc<Device>,
    watching: Watching,
    noting: opened::Writing,
}

/// Looks at a mount point, makes it where it is missing, and clears a dead mount of drumfs there. Gives its absolute
/// path and what a person should be told.
///
/// # Errors
/// As [`MountError`] tells.
pub fn prepare(at: &Path, archive: &Path) -> Result<(PathBuf, Option<String>), MountError> {
    let failed = |source| MountError::MountPoint { path: at.to_owned(), source };
    let absolute = std::path::absolute(at).map_err(failed)?;
    // The last part may be a dead mount, which can't be looked at: the folder above it can.
    let path = match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) => match parent.canonicalize() {
            Ok(parent) => parent.join(name),
            Err(_) => absolute.clone(),
        },
        _ => absolute.clone(),
    };
    let mut notice = None;
    match platform::state(&path).map_err(failed)? {
        State::Free => {}
        State::Live => return Err(MountError::AlreadyMounted { path }),
        State::OtherDead(kind) => return Err(MountError::SomebodyElses { path, kind }),
        State::Dead => {
            platform::unmount(&path).map_err(failed)?;
            notice = Some(format!("cleared a mount at {} whose process had gone", path.display()));
        }
    }
    std::fs::create_dir_all(&path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => MountError::NotAFolder { path: path.clone() },
        _ => failed(source),
    })?;
    let path = path.canonicalize().map_err(failed)?;
    if path.starts_with(archive) || archive.starts_with(&path) {
        return Err(MountError::Inside { path, archive: archive.to_owned() });
    }
    if std::fs::read_dir(&path).map_err(failed)?.next().is_some() {
        return Err(MountError::NotEmpty { path });
    }
    Ok((path, notice))
}

impl Mounted {
    /// Mounts. When this returns the view is up; what is not known yet is being heard.
    ///
    /// # Errors
    /// As [`MountError`] tells; nothing stays mounted then.
    pub fn start(options: MountOptions) -> Result<Self, MountError> {
        let MountOptions { allow_other, without_open, .. } = options;
        let MountOptions { root, at, store, ensemble, vocabulary, first_rules, user, backend, .. } = options;
        let MountOptions { threads, algorithm, report, .. } = options;
        let facts = Facts {
            archive: root.path().to_owned(),
            store: store.folder().to_owned(),
            backend,
            model: ensemble.id().to_owned(),
            features: ensemble.leading().description().features.clone(),
            first_rules,
            user,
        };
        let keeper = Keeper::load(Arc::clone(&root), Arc::clone(&store), Arc::clone(&ensemble), vocabulary, facts)?;
        let shared = keeper.shared();
        let (handle, messages) = Keeper::channel();
        let (requests, asked) = unbounded();
        let (remembered, watched) = (Arc::new(Remembered::default()), Arc::new(AtomicBool::new(false)));
        let core = Core::new(
            Arc::clone(&shared),
            handle.clone(),
            Arc::clone(&root),
            requests.clone(),
            Arc::clone(&remembered),
            Arc::clone(&watched),
        );
        let permissions = allow_other.then(|| Permissions::new(Arc::clone(&root)));
        let closed_at = permissions.as_ref().and_then(Permissions::closed_at);
        let opened = Arc::new(OpenedPaths::load(store.folder()));
        let noting = opened::Writing::start(Arc::clone(&opened)).map_err(MountError::Thread)?;
        let core = Arc::new(core.letting_in(permissions).keeping(opened));
        // Others are asked who they are when they open.
        core.set_without_open(without_open && !allow_other);
        let mut config = Config::default();
        config.acl = if allow_other { SessionACL::All } else { SessionACL::Owner };
        config.mount_options = vec![MountOption::NoSuid, MountOption::NoDev, MountOption::NoExec, MountOption::NoAtime];
        config.n_threads = Some(SERVING_THREADS);
        config.clone_fd = true;
        let session = platform::mount(Adapter::new(Arc::clone(&core)), &at, config)?;
        let failed = |source| {
            drop(platform::unmount(&at));
            MountError::Mount { path: at.clone(), source }
        };
        let device = || session.as_fd().try_clone_to_owned().map_err(failed);
        #[cfg(target_os = "linux")]
        let originals = {
            let originals = Arc::new(Device::new(device()?, session.notifier()));
            core.hand_over_originals(Arc::clone(&originals) as _);
            originals
        };
        let dog = Watchdog::default();
        let hung = at.clone();
        let watching = dog.start(watchdog::LIMIT, move || {
            log::error!("the kernel has not answered for {:?}: the mount is cut off", watchdog::LIMIT);
            if let Err(error) = platform::cut(&hung) {
                log::error!("{} could not be cut off: {error}", hung.display());
            }
        });
        let watching = watching.map_err(failed)?;
        let kernel =
            Kernel::new(device()?, session.notifier(), remembered, Arc::clone(core.modes()), dog).map_err(failed)?;
        let kernel = Arc::new(kernel);
        if let Err(error) = platform::read_further_ahead(&at) {
            log::debug!("the kernel reads ahead as far as it does by itself: {error}");
        }
        drop(core);
        let keeper_thread = keeper.start(Arc::clone(&kernel) as _, messages).map_err(failed)?;
        let (done, ended) = bounded(1);
        let serve = move || drop(done.send(session.run()));
        std::thread::Builder::new().name("serve".to_owned()).spawn(serve).map_err(failed)?;
        let cancel = Arc::new(AtomicBool::new(false));
        let mut exclude: Vec<PathBuf> = platform::own_mounts().into_iter().map(|mount| mount.path).collect();
        exclude.push(at.clone());
        let near = NearSearch {
            root: Arc::clone(&root),
            store: Arc::clone(&store),
            keeper: handle.clone(),
            shared: Arc::clone(&shared),
            cancel: Arc::clone(&cancel),
            threads,
        };
        let near_thread = near.start().map_err(failed)?;
        let indexer = Indexer {
            root,
            store: Arc::clone(&store),
            ensemble,
            options: PassOptions { threads, algorithm, exclude, forget_missing: false },
            keeper: handle.clone(),
            shared: Arc::clone(&shared),
            cancel: Arc::clone(&cancel),
            watched,
            report,
        };
        let indexer_thread = indexer.start(asked).map_err(failed)?;
        Ok(Self {
            at,
            closed_at,
            store,
            shared,
            kernel,
            keeper: handle,
            keeper_thread,
            indexer: requests,
            indexer_thread,
            near_thread,
            cancel,
            ended,
            #[cfg(target_os = "linux")]
            originals,
            watching,
            noting,
        })
    }

    /// What is shown.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The mount point.
    pub fn at(&self) -> &Path {
        &self.at
    }

    /// Where other users are let in: a folder on the way to the archive that not everybody may enter.
    pub fn closed_at(&self) -> Option<&Path> {
        self.closed_at.as_deref()
    }

    /// Waits until somebody unmounts or `stop` gives a word; then ends everything with nothing lost.
    ///
    /// # Errors
    /// Where the connection to the kernel or the store failed.
    pub fn wait(self, stop: &Receiver<()>) -> Result<(), MountError> {
        let served = select! {
            recv(self.ended) -> result => result.unwrap_or(Ok(())),
            recv(stop) -> _ => {
                if let Err(error) = platform::unmount(&self.at) {
                    log::warn!("{} could not be unmounted: {error}", self.at.display());
                }
                // Files that are still open keep the connection; they don't keep us.
                self.ended.recv_timeout(PATIENCE).unwrap_or(Ok(()))
            }
        };
        self.cancel.store(true, Ordering::Relaxed);
        drop(self.indexer.send(Request::Stop));
        drop(self.indexer_thread.join());
        self.shared.near.ask();
        drop(self.near_thread.join());
        self.keeper.stop();
        drop(self.keeper_thread.join());
        self.kernel.close();
        #[cfg(target_os = "linux")]
        self.originals.close();
        drop(self.watching);
        drop(self.noting);
        self.store.flush()?;
        match served {
            // A request was being taken over when the mount was taken down: nothing went wrong.
            Err(error) if error.raw_os_error() == Some(libc::ECONNABORTED) => Ok(()),
            served => served.map_err(|source| MountError::Mount { path: self.at, source }),
        }
    }
}
