//! The keeper's way to the kernel: a thread that tells it things while the keeper goes on answering moves.
//!
//! A program that moves a sample holds the locks of both folders until it is answered, and to tell the kernel of a name
//! takes the folder's lock. So a keeper that told by itself could wait for the mover that waits for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::mount::notify::Invalidate;

/// Something to be told.
pub(super) type Telling = Box<dyn FnOnce(&dyn Invalidate) + Send>;

/// The thread that tells. It ends when this is dropped and everything was told.
pub(super) struct Teller {
    jobs: Option<Sender<(Telling, Sender<()>)>>,
    thread: Option<JoinHandle<()>>,
}

impl Teller {
    /// Starts the thread.
    pub fn start(kernel: Arc<dyn Invalidate>) -> std::io::Result<Self> {
        let (jobs, taken) = unbounded::<(Telling, Sender<()>)>();
        let work = move || {
            for (job, done) in taken {
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| job(&*kernel))) {
                    log::error!("the kernel was not told: {}", crate::panic_message(payload.as_ref()));
                }
                drop(done);
            }
        };
        let thread = std::thread::Builder::new().name("teller".to_owned()).spawn(work)?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Has something told. The channel is closed when that is done.
    pub fn begin(&self, job: Telling) -> Receiver<()> {
        let (done, wait) = bounded(0);
        if let Some(jobs) = &self.jobs {
            // Where the thread is gone `done` is dropped with the job.
            drop(jobs.send((job, done)));
        }
        wait
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.jobs.take();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
