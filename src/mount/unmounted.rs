//! A core without a mount: for tests, and for programs that serve a view in another way than FUSE.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, unbounded};

use super::core::Core;
use super::indexer::Request;
use super::keeper::{Keeper, KeeperHandle, Shared};
use super::notify::{Invalidate, NoKernel};
use super::remembered::Remembered;
use super::session::MountError;
use super::status::Facts;
use crate::archive::ArchiveRoot;
use crate::classify::Ensemble;
use crate::rules::Vocabulary;
use crate::store::Store;

/// The operations of a view and the thread that changes it, with no kernel to serve and nobody who listens: what was
/// heard is handed over by [`KeeperHandle::heard`]. Dropping it ends the thread when everything sent before is done.
#[derive(Debug)]
pub struct Unmounted {
    core: Arc<Core>,
    shared: Arc<Shared>,
    keeper: KeeperHandle,
    thread: Option<JoinHandle<()>>,
    requests: Receiver<Request>,
}

impl Unmounted {
    /// Reads the store, makes the first view and starts the thread.
    ///
    /// # Errors
    /// [`MountError::Store`] where the store can't be read, [`MountError::Thread`] where no thread can be started.
    pub fn start(
        root: Arc<ArchiveRoot>,
        store: Arc<Store>,
        ensemble: Arc<Ensemble>,
        vocabulary: Vocabulary,
    ) -> Result<Self, MountError> {
        Self::start_with(root, store, ensemble, vocabulary, Arc::new(NoKernel))
    }

    /// The same with somebody to be told of what changed.
    ///
    /// # Errors
    /// The same.
    pub fn start_with(
        root: Arc<ArchiveRoot>,
        store: Arc<Store>,
        ensemble: Arc<Ensemble>,
        vocabulary: Vocabulary,
        kernel: Arc<dyn Invalidate>,
    ) -> Result<Self, MountError> {
        let facts = Facts {
            archive: root.path().to_owned(),
            store: store.folder().to_owned(),
            backend: String::new(),
            model: ensemble.id().to_owned(),
            features: ensemble.leading().description().features.clone(),
            first_rules: None,
            user: None,
        };
        let loaded = Keeper::load(Arc::clone(&root), store, ensemble, vocabulary, facts)?;
        let shared = loaded.shared();
        let (keeper, messages) = Keeper::channel();
        let (indexer, requests) = unbounded();
        let (remembered, watched) = (Arc::new(Remembered::default()), Arc::new(AtomicBool::new(false)));
        let core = Core::new(Arc::clone(&shared), keeper.clone(), root, indexer, remembered, watched);
        let thread = loaded.start(kernel, messages).map_err(MountError::Thread)?;
        Ok(Self { core: Arc::new(core), shared, keeper, thread: Some(thread), requests })
    }

    /// The operations.
    pub fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// What is shown.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Where what was heard is handed over.
    pub fn keeper(&self) -> &KeeperHandle {
        &self.keeper
    }

    /// What an indexer was asked for since the last call.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.try_iter().collect()
    }
}

impl Drop for Unmounted {
    fn drop(&mut self) {
        self.keeper.stop();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
