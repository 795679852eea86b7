//! Several threads that answer, and one that keeps the order.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded, select};
use thiserror::Error;

use super::{Answerer, Input, Line, Shard};

/// So many lines for each thread are read before the first of them is written: one long file does not hold up the other
/// threads, and memory stays bounded.
const AHEAD: usize = 32;

/// How often somebody who waits for input looks whether to stop.
const LOOK: Duration = Duration::from_millis(100);

/// How to answer.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many files are heard at a time.
    pub threads: usize,
    /// The part of the list that is answered.
    pub shard: Shard,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answered {
    /// Lines that were answered.
    pub lines: u64,
    /// Whether it was stopped before the end of the list.
    pub interrupted: bool,
}

/// Why not all could be answered.
#[derive(Debug, Error)]
pub enum Error {
    /// The list can't be read any further.
    #[error("the list on standard input can't be read: {0}")]
    Input(io::Error),
    /// The answers can't be written.
    #[error("the records can't be written: {0}")]
    Output(#[source] io::Error),
    /// A thread can't be started.
    #[error("a thread can't be started: {0}")]
    Thread(io::Error),
}

/// A line and where its answer goes.
type Job = (Line, Sender<Vec<u8>>);

/// What comes next in the output.
enum Next {
    /// The answer to a line.
    Answer(Line, Receiver<Vec<u8>>),
    /// The end of a list that can't be read any further.
    Failed(io::Error),
}

/// Answers every line of `input` that the shard takes with one record on `output`, in the order of the input. A record
/// that is ready is never held back: what was written is flushed before anything is waited for. `tell` is called once a
/// record. When `cancel` is set no more lines are taken; those that were are answered.
///
/// # Errors
/// [`Error`]. What is wrong with single files is in their records.
pub fn run<R: BufRead + Send + 'static>(
    answerer: &Arc<Answerer>,
    input: Input<R>,
    output: &mut dyn Write,
    options: Options,
    cancel: &Arc<AtomicBool>,
    tell: &mut dyn FnMut(),
) -> Result<Answered, Error> {
    let threads = options.threads.max(1);
    let (ordered, next) = bounded::<Next>(threads * AHEAD);
    let (jobs, work) = bounded::<Job>(threads * AHEAD);
    // Dropped at the end: threads that wait for work wait for this, too.
    let (alive, ended) = bounded::<()>(0);
    let mut workers = Vec::with_capacity(threads);
    for number in 0..threads {
        let (answerer, work, ended) = (Arc::clone(answerer), work.clone(), ended.clone());
        let builder = std::thread::Builder::new().name(format!("listen-{number}"));
        workers.push(builder.spawn(move || answer_all(&answerer, &work, &ended)).map_err(Error::Thread)?);
    }
    let stop = Arc::clone(cancel);
    // Nobody waits for this one: it may be reading a list that never goes on.
    let reader = std::thread::Builder::new().name("list".to_owned());
    reader.spawn(move || read_all(input, options.shard, &ordered, &jobs, &stop)).map_err(Error::Thread)?;
    let result = write_all(answerer, &next, output, cancel, tell);
    drop((alive, next));
    for worker in workers {
        if worker.join().is_err() {
            log::warn!("a thread ended unexpectedly");
        }
    }
    result
}

fn read_all<R: BufRead>(
    mut input: Input<R>,
    shard: Shard,
    ordered: &Sender<Next>,
    jobs: &Sender<Job>,
    cancel: &AtomicBool,
) {
    loop {
        let line = match input.read() {
            Ok(Some(line)) => line,
            Ok(None) => return,
            Err(error) => return drop(ordered.send(Next::Failed(error))),
        };
        if cancel.load(Ordering::Relaxed) {
            return;
        }
        if shard.takes(line.path()) {
            let (sender, receiver) = bounded(1);
            // Either fails only when nobody writes any more.
            let sent = ordered.send(Next::Answer(line.clone(), receiver)).is_ok() && jobs.send((line, sender)).is_ok();
            if !sent {
                return;
            }
        }
    }
}

fn answer_all(answerer: &Answerer, work: &Receiver<Job>, ended: &Receiver<()>) {
    let mut listener = None;
    loop {
        let (line, sender) = select! {
            recv(work) -> job => match job {
                Ok(job) => job,
                Err(_) => return,
            },
            recv(ended) -> _ => return,
        };
        // Nobody waits for it any more where the output has failed.
        drop(sender.send(answerer.answer(&line, &mut listener)));
    }
}

fn write_all(
    answerer: &Answerer,
    next: &Receiver<Next>,
    output: &mut dyn Write,
    cancel: &AtomicBool,
    tell: &mut dyn FnMut(),
) -> Result<Answered, Error> {
    let mut done = Answered::default();
    loop {
        let (line, answer) = match take(next, output, cancel)? {
            Some(Next::Answer(line, answer)) => (line, answer),
            Some(Next::Failed(error)) => {
                output.flush().map_err(Error::Output)?;
                return Err(Error::Input(error));
            }
            None => break,
        };
        let record = match answer.try_recv() {
            Err(TryRecvError::Empty) => {
                output.flush().map_err(Error::Output)?;
                answer.recv().ok()
            }
            record => record.ok(),
        };
        let record = record.unwrap_or_else(|| answerer.failed(&line, "the thread that listened has ended"));
        output.write_all(&record).map_err(Error::Output)?;
        done.lines += 1;
        tell();
    }
    output.flush().map_err(Error::Output)?;
    done.interrupted = cancel.load(Ordering::Relaxed);
    Ok(done)
}

/// The next line that is to be answered; none at the end, or when nothing more is taken.
fn take(next: &Receiver<Next>, output: &mut dyn Write, cancel: &AtomicBool) -> Result<Option<Next>, Error> {
    if let Ok(next) = next.try_recv() {
        return Ok(Some(next));
    }
    output.flush().map_err(Error::Output)?;
    loop {
        match next.recv_timeout(LOOK) {
            Ok(next) => return Ok(Some(next)),
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) if cancel.load(Ordering::Relaxed) => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}
