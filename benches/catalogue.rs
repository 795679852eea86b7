//! A million samples of a million contents: how long a mount takes to begin, what it weighs, how long the making of a
//! view and a look at an unchanged archive take.
//!
//!     cargo build --release
//!     cargo bench --bench catalogue -- --samples 1000000 --at DIR
//!
//! Makes DIR/archive, files of 64 bytes without data in 1,000 folders, and DIR/store, with an analysis of its own for
//! each (34 logits, an embedding as the shipped model's, attributes), through the store's own interface: what is
//! measured does not depend on what the files sound like. Both are used again where they are there. Then measures, in
//! this process: opening the store, loading the catalogue from the copy and from the records, views of each layout, a
//! change of one sample; and of the real program: `index` of the unchanged archive, `mount` until the first `ls`, and
//! the memory of the mount after that, after its pass, while rules that move two fifths of the samples are saved, and at
//! rest afterwards.
//!
//! Memory is the resident set (VmRSS of /proc), and its peak (VmHWM). Linux only.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a bench may

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use clap::Parser;
use drumfs::archive::discover::mtime_ns;
use drumfs::archive::{ContentHash, HashAlgorithm};
use drumfs::audio::Attributes;
use drumfs::classify::{Embedding, Ensemble};
use drumfs::index::{Analysis, Status, join, snapshot};
use drumfs::rules::{Router, Rules, Vocabulary};
use drumfs::store::{OpenOptions, SampleEntry, Store};
use drumfs::view::{Catalogue, View, ViewInput};

#[derive(Parser)]
struct Options {
    /// How many samples
    #[arg(long, default_value_t = 1_000_000)]
    samples: usize,
    /// Where archive and store are made and kept
    #[arg(long, value_name = "DIR")]
    at: Option<PathBuf>,
    /// Only what is measured in this process, no mount
    #[arg(long)]
    inside: bool,
    /// Read the catalogue from the records, too
    #[arg(long)]
    records: bool,
    /// How many samples are read from the records at a time; by default as many as the program does
    #[arg(long, value_name = "N")]
    at_a_time: Option<usize>,
    /// Only the real program
    #[arg(long)]
    outside: bool,
    /// The program
    #[arg(long, default_value = env!("CARGO_BIN_EXE_drumfs"))]
    program: PathBuf,
    /// What cargo says
    #[arg(long, hide = true)]
    bench: bool,
}

const FOLDERS: usize = 1000;

/// A mount that nobody changes any more gives memory back after a second.
const AT_REST: Duration = Duration::from_secs(3);

/// Numbers that are the same in every run: xorshift64 (Marsaglia 2003).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From 0 to 1.
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }
}

fn path_of(number: usize) -> String {
    let kinds = ["Kick", "Snare", "HH", "Tom", "Perc", "Loop"];
    let folder = number % FOLDERS;
    format!("Maker {:02}/Pack {folder:03}/{} {number:07} tight.wav", folder % 40, kinds[number % 6])
}

fn analysis(numbers: &mut Numbers, embedding: usize) -> Analysis {
    let peak = (numbers.next() % 34) as usize;
    let height = 2.0 + 8.0 * numbers.unit();
    let logits = (0..34).map(|label| 3.0 * numbers.unit() + if label == peak { height } else { 0.0 }).collect();
    let values: Vec<f32> = (0..embedding).map(|_| numbers.unit() * 4.0).collect();
    Analysis {
        status: Status::Ok,
        error: None,
        attributes: Some(Attributes {
            duration_sec: f64::from(numbers.unit()) * 5.0,
            rms_dbfs: -40.0 * numbers.unit(),
            centroid_hz: 8000.0 * numbers.unit(),
            rolloff_hz: 16000.0 * numbers.unit(),
            sample_rate: 44_100,
            channels: 2,
            codec: "pcm_s16le".into(),
        }),
        logits,
        embedding: Embedding::of(&values).map(Box::new),
    }
}

fn make(options: &Options, at: &Path, ensemble: &Ensemble) {
    let archive = at.join("archive");
    if !archive.exists() {
        let fresh = at.join("archive.new");
        for number in 0..options.samples {
            let path = fresh.join(path_of(number));
            if number < FOLDERS {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
            }
            fs::File::create(&path).unwrap().set_len(64).unwrap();
        }
        fs::rename(fresh, &archive).unwrap();
    }
    if at.join("made").exists() {
        return;
    }
    let store = open(at);
    let model = ensemble.leading().model_id();
    let size = ensemble.leading().description().embedding.as_ref().map_or(0, |embedding| embedding.size);
    let mut numbers = Numbers(0x2545_F491_4F6C_DD1D);
    let all: Vec<usize> = (0..options.samples).collect();
    for batch in all.chunks(512) {
        let made: Vec<_> = batch
            .iter()
            .map(|&number| {
                let path = path_of(number);
                let metadata = fs::metadata(archive.join(&path)).unwrap();
                let hash = ContentHash::of(HashAlgorithm::Xxh3, &number.to_le_bytes());
                let entry = SampleEntry {
                    size: metadata.len(),
                    mtime_ns: mtime_ns(&metadata),
                    hash: Some(hash),
                    unreadable: None,
                    missing: false,
                };
                (path.into_bytes(), entry, hash, analysis(&mut numbers, size))
            })
            .collect();
        let analyses: Vec<_> = made.iter().map(|(_, _, hash, analysis)| (*hash, model, analysis)).collect();
        let samples: Vec<_> = made.iter().map(|(path, entry, ..)| (&path[..], entry, ensemble.ears())).collect();
        store.record_heard(&analyses, &samples).unwrap();
    }
    store.flush().unwrap();
    drop(store);
    fs::write(at.join("made"), "").unwrap();
}

fn open(at: &Path) -> Store {
    let options = OpenOptions {
        folder: at.join("store"),
        archive: at.join("archive").canonicalize().unwrap(),
        repair: false,
        purpose: "measuring".to_owned(),
    };
    options.open().unwrap().store
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let result = work();
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!("{what:44} {:8.1} ms, of all cores {:8.1} ms   {}", seconds * 1e3, cpu * 1e3, memory("self"));
    result
}

/// Seconds that the cores worked for this process.
fn cpu_seconds() -> f64 {
    // SAFETY: usage is large enough and written by the call.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &raw mut usage), 0);
        usage
    };
    [usage.ru_utime, usage.ru_stime].iter().map(|time| time.tv_sec as f64 + time.tv_usec as f64 / 1e6).sum()
}

/// Resident and peak, in MB.
fn memory(process: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let of = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).unwrap_or(0.0) * 1024.0 / 1e6
    };
    format!("{:6.0} MB, anonymous {:6.0}, peak {:6.0}", of("VmRSS"), of("RssAnon"), of("VmHWM"))
}

fn view(catalogue: &Arc<Catalogue>, rules: &str, previous: Option<&View>) -> View {
    let vocabulary = Vocabulary::drums();
    let rules = Rules::parse(rules, &vocabulary).unwrap();
    ViewInput {
        catalogue: Arc::clone(catalogue),
        router: Arc::new(Router::new(&rules, &vocabulary)),
        labels: vocabulary.fine().to_vec().into(),
        overrides: &HashMap::new(),
        previous,
        now: SystemTime::now(),
        epoch: 1,
        rules_error: None,
    }
    .build()
}

/// Rules that move the samples of 400 of the 1,000 packs.
fn moving(layout: &str, to: &str) -> String {
    let routes: String = (0..40)
        .step_by(5)
        .flat_map(|n| [n, n + 1])
        .map(|n| format!("  - {{path: \"Maker {n:02}/**\", to: {to}}}\n"))
        .collect();
    format!("layout: {layout}\nroutes:\n{routes}")
}

fn inside(options: &Options, at: &Path, ensemble: &Ensemble) {
    println!("in this process: {}", memory("self"));
    let store = timed("store opened", || open(at));
    if options.records || store.token().is_none() {
        let records = timed("catalogue from the records", || match options.at_a_time {
            Some(many) => join::load_in_rounds(&store, ensemble, many).unwrap(),
            None => join::load_from_store(&store, ensemble).unwrap(),
        });
        timed("copy written", || assert!(snapshot::write(&store, ensemble, &records, store.changes()).unwrap()));
    }
    let catalogue = Arc::new(timed("catalogue from the copy", || snapshot::read(&store, ensemble).unwrap()));
    timed("contents ordered", || catalogue.by_hash().len());
    let names: usize = catalogue.samples().iter().map(|sample| sample.path.len()).sum();
    println!("{} samples, paths of {:.1} MB", catalogue.samples().len(), names as f64 / 1e6);
    let mut kept = timed("first view", || view(&catalogue, "layout: preserve\n", None));
    for layout in ["preserve", "preserve", "by-pack", "flat", "flat"] {
        for to in ["Moved", "Elsewhere"] {
            let rules = moving(layout, to);
            kept = timed(&format!("view, {layout}, rules that move 2/5"), || view(&catalogue, &rules, Some(&kept)));
            println!("    {:?}", kept.times);
        }
    }
    let one = Arc::new(catalogue.sample(catalogue.samples().len() as u32 / 2).to_sample());
    let changed = timed("one sample replaced", || Arc::new(catalogue.with(vec![Arc::clone(&one)], Vec::new())));
    timed("its view", || view(&changed, "layout: preserve\n", Some(&kept)));
    let mut other = (*one).clone();
    other.path = [&one.path[..], b"x.wav"].concat().into();
    let added = timed("one sample added", || Arc::new(catalogue.with(vec![Arc::new(other)], Vec::new())));
    timed("its view", || view(&added, "layout: preserve\n", Some(&kept)));
}

struct Running {
    child: std::process::Child,
    at: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.at).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

fn outside(options: &Options, at: &Path) {
    let (archive, store, mount) = (at.join("archive"), at.join("store"), at.join("mount"));
    for round in 0..3 {
        let started = Instant::now();
        let done =
            Command::new(&options.program).arg("index").arg(&archive).arg("--store").arg(&store).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        println!("index, unchanged archive, round {round}: {:.2} s in all", started.elapsed().as_secs_f64());
        print!("{}", String::from_utf8_lossy(&done.stderr));
    }
    for round in 0..3 {
        let started = Instant::now();
        let child =
            Command::new(&options.program).arg("mount").arg(&archive).arg(&mount).arg("--store").arg(&store).spawn();
        let running = Running { child: child.unwrap(), at: mount.clone() };
        let process = running.child.id().to_string();
        while !mount.join("_control").exists() {
            assert!(started.elapsed() < Duration::from_secs(120));
            std::thread::sleep(Duration::from_millis(2));
        }
        let names = fs::read_dir(&mount).unwrap().count();
        println!(
            "mount to first ls, round {round}: {:.2} s ({names} names)   {}",
            started.elapsed().as_secs_f64(),
            memory(&process)
        );
        let status = || -> serde_json::Value {
            serde_json::from_slice(&fs::read(mount.join("_control/status.json")).unwrap()).unwrap()
        };
        while status()["indexing"]["passes"] == 0 {
            std::thread::sleep(Duration::from_millis(50));
        }
        println!("its pass ended after {:.2} s   {}", started.elapsed().as_secs_f64(), memory(&process));
        for save in 0..4 {
            let rules = moving("preserve", if save % 2 == 0 { "Moved" } else { "Elsewhere" });
            let started = Instant::now();
            fs::write(mount.join("_control/rules.yml"), &rules).unwrap();
            let seconds = started.elapsed().as_secs_f64();
            println!("rules saved in {seconds:.3} s, {}   {}", status()["view_build"], memory(&process));
        }
        std::thread::sleep(AT_REST);
        println!("at rest   {}", memory(&process));
        let started = Instant::now();
        drop(running);
        println!("unmounted in {:.2} s", started.elapsed().as_secs_f64());
    }
}

fn main() {
    let options = Options::parse();
    let kept = options.at.clone();
    let scratch = kept.is_none().then(|| tempfile::tempdir().unwrap());
    let at = kept.unwrap_or_else(|| scratch.as_ref().unwrap().path().to_owned());
    let ensemble = Ensemble::embedded().unwrap();
    make(&options, &at, &ensemble);
    if !options.outside {
        inside(&options, &at, &ensemble);
    }
    if !options.inside {
        outside(&options, &at);
    }
}
