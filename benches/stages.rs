//! What an indexing pass is made of: the same files through its stages, each more than the one before, on several threads.
//!
//!     cargo bench --bench stages -- DIR [--threads N] [--rounds N] [--json]
//!
//! - `read and hash`: the wall, since every file must be read and its content named
//! - `read and decode`: to mono samples, without naming the content
//! - `features`: read, hash, decode, features and attributes
//! - `model`: that, and the model's answer: everything of a pass but the store
//!
//! A round does all of them, one after the other. Files are read from the page cache: the first round, which fills it, is
//! not counted. `benches/indexing.py` runs this between whole passes.

#![allow(clippy::expect_used, clippy::print_stdout)] // a bench may

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::Parser;
use drumfs::archive::{ArchiveRoot, ContentHash, HashAlgorithm, discover};
use drumfs::audio::{Decoder, Extractor, Features, Source};
use drumfs::classify::{Backend, Classifier, Session};
use rayon::prelude::*;
use serde::Serialize;

#[derive(Parser)]
struct Options {
    /// The files
    folder: PathBuf,
    /// Files at a time
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Times that each stage is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Print files a second of every round as JSON
    #[arg(long)]
    json: bool,
    /// What cargo says
    #[arg(long, hide = true)]
    bench: bool,
}

const STAGES: [&str; 4] = ["read and hash", "read and decode", "features", "model"];

/// Files that are prepared before the model hears them, as in `src/index/pass.rs`.
const TOGETHER: usize = 16;

/// Of every round.
#[derive(Default, Serialize)]
struct Rates {
    files_per_sec: Vec<f64>,
    files_per_cpu_sec: Vec<f64>,
}

/// What a thread hears with.
struct Ear {
    decoder: Decoder,
    extractor: Extractor,
    session: Session,
}

/// How far a stage goes with some files; how many were heard that far. As a pass does, the model hears them when all are
/// prepared.
fn hear(ear: &mut Ear, paths: &[PathBuf], stage: &str) -> usize {
    let mut heard = 0;
    let mut prepared = Vec::with_capacity(TOGETHER);
    for path in paths {
        let Ok(bytes) = std::fs::read(path) else { continue };
        if stage != "read and decode" {
            std::hint::black_box(ContentHash::of(HashAlgorithm::Xxh3, &bytes));
        }
        if stage == "read and hash" {
            heard += 1;
            continue;
        }
        let extension = path.extension().and_then(|extension| extension.to_str());
        let source = Source::Bytes(&bytes);
        let Ok(decoded) = ear.decoder.decode(source, bytes.len() as u64, extension) else { continue };
        if stage == "read and decode" {
            std::hint::black_box(decoded.samples);
            heard += 1;
            continue;
        }
        let sound = ear.extractor.extract(decoded.samples, decoded.sample_rate);
        prepared.extend(std::hint::black_box(sound).features);
    }
    let mut listens = |features: &Features| stage != "model" || ear.session.logits(features.as_slice()).is_ok();
    heard + prepared.iter().filter(|features| listens(features)).count()
}

/// Processor time of this process so far, in s.
fn cpu_seconds() -> f64 {
    // SAFETY: rusage is plain integers, for which zeros are values.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a rusage that outlives the call.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) }, 0);
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

fn main() {
    let options = Options::parse();
    Backend::start(None).expect("the backend starts");
    let classifier = Classifier::embedded().expect("the model is built in");
    let root = ArchiveRoot::new(&options.folder).expect("a folder of files");
    let found = discover(&root, &|_| false, &[], &AtomicBool::new(false)).expect("it can be walked");
    let paths: Vec<PathBuf> = found.samples.iter().map(|sample| root.absolute(&sample.path)).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build().expect("threads");
    let new_ear = || Ear {
        decoder: Decoder::new(),
        extractor: Extractor::new(),
        session: classifier.session().expect("the model runs"),
    };
    let mut rates: Vec<(&str, Rates)> = STAGES.iter().map(|stage| (*stage, Rates::default())).collect();
    for round in 0..=options.rounds {
        for (stage, rates) in &mut rates {
            // The threads' ears are made before the clock starts.
            let ears = pool.broadcast(|_| std::sync::Mutex::new(new_ear()));
            let (started, cpu_before) = (Instant::now(), cpu_seconds());
            let heard: usize = pool.install(|| {
                let some = |paths: &[PathBuf]| {
                    let ear = ears.get(rayon::current_thread_index().unwrap_or(0)).expect("one a thread");
                    hear(&mut ear.lock().expect("no panic"), paths, stage)
                };
                paths.par_chunks(TOGETHER).with_max_len(4).map(some).sum()
            });
            let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu_before);
            assert!(heard > 0, "{stage}: nothing was heard in {}", options.folder.display());
            if round > 0 {
                rates.files_per_sec.push(paths.len() as f64 / seconds);
                rates.files_per_cpu_sec.push(paths.len() as f64 / cpu);
            }
        }
    }
    if options.json {
        let rates: BTreeMap<&str, Rates> = rates.into_iter().collect();
        println!("{}", serde_json::to_string(&rates).expect("numbers"));
        return;
    }
    for (stage, mut rates) in rates {
        let (low, middle, high) = spread(&mut rates.files_per_sec);
        let (_, cpu, _) = spread(&mut rates.files_per_cpu_sec);
        println!("{stage:16} {middle:8.0} files/s ({low:.0} to {high:.0}), {cpu:8.0} a second of CPU time");
    }
}

/// Least, median and most.
fn spread(values: &mut [f64]) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |place: usize| values.get(place).copied().unwrap_or_default();
    (at(0), at(values.len() / 2), at(values.len().saturating_sub(1)))
}
