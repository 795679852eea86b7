//! Whatever happens in whatever order, a real mount shows what a model says that is too simple to be wrong: a map from
//! paths to contents, a folder for each pack, and what people said. `DRUMFS_MODEL_CASES=200 cargo test --release --test
//! mount model` runs longer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Value, json};

use crate::common::mount::{Mount, new_dir, put};
use crate::common::peer::Peer;
use crate::common::sounds::wav_of;
use crate::common::sys;

const PACKS: usize = 3;
const FOLDERS: [&str; 3] = ["A", "B", "C/D"];
const LABELS: [&str; 2] = ["Kick", "Snare"];
/// So many originals there are at first; the first of each pack is never touched.
const FIRST: usize = 15;

/// Where each pack goes (none hides it), and whether folders are kept.
#[derive(Debug, Clone)]
struct RuleSet {
    to: [Option<usize>; PACKS],
    flat: bool,
    /// Whether paths that were opened go on opening.
    keep: bool,
}

impl RuleSet {
    fn text(&self) -> String {
        let layout = if self.flat { "flat" } else { "preserve" };
        let mut text = format!("layout: {layout}\nkeep_opened_paths: {}\nroutes:\n", self.keep);
        for (pack, to) in self.to.iter().enumerate() {
            let end = to.map_or("hide: true".to_owned(), |to| format!("to: {}", FOLDERS[to]));
            text += &format!("  - {{path: \"p{pack}/**\", {end}}}\n");
        }
        text
    }
}

#[derive(Debug, Clone)]
enum Op {
    Save(RuleSet),
    SaveNonsense,
    Say(usize, Option<usize>),
    Add(usize),
    Replace(usize),
    Remove(usize),
    Move(usize, usize),
    /// Moved in the mount, to the folder of a label.
    Drag(usize, usize),
    Hold(usize),
    HoldFolder(usize),
    LetGo,
    Remount,
    Kill,
}

fn rule_set() -> impl Strategy<Value = RuleSet> {
    let to = prop_oneof![5 => (0..FOLDERS.len()).prop_map(Some), 1 => Just(None)];
    let flags = (any::<bool>(), prop::bool::weighted(0.7));
    (prop::array::uniform3(to), flags).prop_map(|(to, (flat, keep))| RuleSet { to, flat, keep })
}

fn op() -> impl Strategy<Value = Op> {
    let file = 0..64usize;
    prop_oneof![
        10 => rule_set().prop_map(Op::Save),
        1 => Just(Op::SaveNonsense),
        4 => (file.clone(), prop::option::weighted(0.7, 0..LABELS.len())).prop_map(|(file, said)| Op::Say(file, said)),
        1 => (0..PACKS).prop_map(Op::Add),
        1 => file.clone().prop_map(Op::Replace),
        1 => file.clone().prop_map(Op::Remove),
        1 => (file.clone(), 0..PACKS).prop_map(|(file, pack)| Op::Move(file, pack)),
        4 => (file.clone(), 0..LABELS.len()).prop_map(|(file, label)| Op::Drag(file, label)),
        3 => file.prop_map(Op::Hold),
        3 => (0..FOLDERS.len()).prop_map(Op::HoldFolder),
        2 => Just(Op::LetGo),
        1 => Just(Op::Remount),
        1 => Just(Op::Kill),
    ]
}

/// A folder that is being listed.
struct Listed {
    folder: File,
    seen: Vec<String>,
    whole: BTreeSet<String>,
}

impl Listed {
    /// getdents64(2) with room for an entry or two.
    fn go_on(&mut self) -> bool {
        let mut buffer = [0u8; 64];
        // SAFETY: the descriptor is open and the buffer has the length that is given.
        let len =
            unsafe { libc::syscall(libc::SYS_getdents64, self.folder.as_raw_fd(), buffer.as_mut_ptr(), buffer.len()) };
        assert!(len >= 0, "{}", io::Error::last_os_error());
        let mut at = 0;
        while at < len as usize {
            // struct linux_dirent64: u64 ino, i64 off, u16 len, u8 type, then the name and a NUL.
            let size = usize::from(u16::from_ne_bytes([buffer[at + 16], buffer[at + 17]]));
            let name = buffer[at + 19..at + size].split(|&b| b == 0).next().unwrap();
            self.seen.push(String::from_utf8(name.to_vec()).unwrap());
            at += size;
        }
        len > 0
    }
}

struct World {
    mount: Mount,
    rules: RuleSet,
    /// Bytes by path in the archive.
    files: BTreeMap<String, Vec<u8>>,
    said: HashMap<Vec<u8>, usize>,
    removed: usize,
    last_content: u64,
    inos: HashMap<String, u64>,
    /// Replaced while they were held open: from their next open on they have other numbers, until the next mount.
    renumbered: BTreeSet<String>,
    /// Paths of the view at any time, with what was shown there.
    ever: BTreeMap<String, BTreeSet<String>>,
    /// Paths of the view that were opened and must go on opening, with what was opened last.
    opened: BTreeMap<String, String>,
    held: Vec<(File, Vec<u8>)>,
    listed: Vec<Listed>,
    peers: Vec<(Option<&'static str>, Peer)>,
}

impl World {
    fn new() -> Self {
        let dir = new_dir();
        let mut files = BTreeMap::new();
        for number in 0..FIRST {
            let path = format!("p{}/s{}/{number:02}.wav", number % PACKS, number % 2);
            let bytes = wav_of(number as u64, 0.05 + number as f64 * 0.001);
            put(&dir.path().join("archive").join(&path), &bytes);
            files.insert(path, bytes);
        }
        let mount = Mount::start(dir);
        let rules = RuleSet { to: [Some(0), Some(1), Some(2)], flat: true, keep: true };
        mount.save_rules(&rules.text()).unwrap();
        let mut world = Self {
            mount,
            rules,
            files,
            said: HashMap::new(),
            removed: 0,
            last_content: 1000,
            inos: HashMap::new(),
            renumbered: BTreeSet::new(),
            ever: BTreeMap::new(),
            opened: BTreeMap::new(),
            held: Vec::new(),
            listed: Vec::new(),
            peers: Vec::new(),
        };
        world.meet_peers();
        world
    }

    fn meet_peers(&mut self) {
        self.peers = vec![(None, Peer::at(&self.mount.at))];
        for folder in FOLDERS.into_iter().filter(|folder| self.mount.path(folder).is_dir()) {
            self.peers.push((Some(folder), Peer::at(&self.mount.path(folder))));
        }
    }

    /// The path in the archive of everything that is shown, by its path in the view.
    fn shown(&self) -> BTreeMap<String, String> {
        let mut shown = BTreeMap::new();
        for (path, bytes) in &self.files {
            let pack: usize = path[1..2].parse().unwrap();
            let Some(to) = self.rules.to[pack] else { continue };
            let folder = self.said.get(bytes).map_or(FOLDERS[to], |&label| LABELS[label]);
            let name = if self.rules.flat { path.rsplit('/').next().unwrap() } else { path };
            shown.insert(format!("{folder}/{name}"), path.clone());
        }
        shown
    }

    fn nth(&self, number: usize) -> String {
        self.files.keys().nth(number % self.files.len()).unwrap().clone()
    }

    /// One that may be changed: the walkers read the first of each pack all the time.
    fn changeable(&self, number: usize) -> Option<String> {
        let free: Vec<&String> = self.files.keys().filter(|path| !is_steady(path)).collect();
        (!free.is_empty()).then(|| free[number % free.len()].clone())
    }

    fn content(&mut self) -> Vec<u8> {
        self.last_content += 1;
        wav_of(self.last_content, 0.06 + (self.last_content % 17) as f64 * 0.003)
    }

    fn do_it(&mut self, op: &Op) {
        match op {
            Op::Save(rules) => {
                self.mount.save_rules(&rules.text()).unwrap();
                self.rules = rules.clone();
            }
            Op::SaveNonsense => {
                let error = self.mount.save_rules("layout: sideways\n").unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
            }
            Op::Say(number, said) => {
                let path = self.nth(*number);
                let label = said.map_or(Value::Null, |label| json!(LABELS[label]));
                self.mount.append_override(&json!({"path": path, "label": label}).to_string()).unwrap();
                let bytes = self.files[&path].clone();
                match said {
                    Some(label) => self.said.insert(bytes, *label),
                    None => self.said.remove(&bytes),
                };
            }
            Op::Add(pack) => {
                let bytes = self.content();
                let path = format!("p{pack}/new/{}.wav", self.last_content);
                put(&self.mount.archive.join(&path), &bytes);
                self.files.insert(path, bytes);
                self.mount.rescan();
            }
            Op::Replace(number) => {
                let Some(path) = self.changeable(*number) else { return };
                let bytes = self.content();
                let draft = self.mount.dir.path().join("draft");
                fs::write(&draft, &bytes).unwrap();
                fs::rename(&draft, self.mount.archive.join(&path)).unwrap();
                // The walkers may have had it open just then.
                self.renumbered.insert(path.clone());
                self.files.insert(path, bytes);
                self.mount.rescan();
            }
            Op::Remove(number) if self.removed < 3 => {
                let Some(path) = self.changeable(*number) else { return };
                fs::remove_file(self.mount.archive.join(&path)).unwrap();
                self.files.remove(&path);
                self.removed += 1;
                self.mount.rescan();
            }
            Op::Remove(_) => {}
            Op::Move(number, pack) => {
                let Some(path) = self.changeable(*number) else { return };
                let to = format!("p{pack}/moved/{}", path.rsplit('/').next().unwrap());
                let there = self.mount.archive.join(&to);
                fs::create_dir_all(there.parent().unwrap()).unwrap();
                fs::rename(self.mount.archive.join(&path), there).unwrap();
                let bytes = self.files.remove(&path).unwrap();
                self.files.insert(to, bytes);
                self.mount.rescan();
            }
            Op::Drag(number, label) => {
                let shown = self.shown();
                let Some((at, path)) = shown.iter().nth(number % shown.len().max(1)) else { return };
                let to = self.mount.path(LABELS[*label]).join(at.rsplit('/').next().unwrap());
                let done = sys::rename(&self.mount.path(at), &to);
                let bytes = self.files[path].clone();
                if self.said.get(&bytes) == Some(label) {
                    assert!(matches!(done, 0 | libc::EROFS), "it is there already: {done}");
                } else {
                    assert_eq!(done, 0, "{at} to {}", to.display());
                    self.opened.remove(at);
                    self.said.insert(bytes, *label);
                }
            }
            Op::Hold(number) => {
                let shown = self.shown();
                if let Some((at, path)) = shown.iter().nth(number % shown.len().max(1)) {
                    self.held.push((File::open(self.mount.path(at)).unwrap(), self.files[path].clone()));
                    if self.rules.keep {
                        self.opened.insert(at.clone(), path.clone());
                    }
                }
            }
            Op::HoldFolder(folder) => {
                let folder = FOLDERS[*folder];
                let Ok(open) = File::open(self.mount.path(folder)) else { return };
                let mut listed = Listed { folder: open, seen: Vec::new(), whole: self.names_in(folder) };
                listed.go_on();
                self.listed.push(listed);
            }
            Op::LetGo => self.let_go(),
            Op::Remount => {
                self.let_go();
                self.peers.clear();
                assert!(self.mount.end().success());
                self.renumbered.clear();
                self.mount.mount_again();
                self.meet_peers();
            }
            Op::Kill => {
                self.held.clear();
                self.listed.clear();
                self.peers.clear();
                self.mount.kill9();
                // What was opened in the last second may not be written.
                self.opened.clear();
                self.renumbered.clear();
                self.mount.mount_again();
                self.meet_peers();
            }
        }
    }

    /// What is held is still what it was; then it is closed.
    fn let_go(&mut self) {
        self.check_held();
        self.held.clear();
        for mut listed in std::mem::take(&mut self.listed) {
            while listed.go_on() {}
            let once: BTreeSet<String> = listed.seen.iter().cloned().collect();
            assert_eq!(once.len(), listed.seen.len(), "each name once");
            assert_eq!(once, listed.whole, "the folder as it was when it was opened");
        }
    }

    fn check_held(&self) {
        for (file, bytes) in &self.held {
            let mut read = vec![0; bytes.len() + 1];
            let len = file.read_at(&mut read, 0).unwrap();
            assert!(read[..len] == bytes[..], "a file that is held open reads what it was");
        }
    }

    /// The names in a folder of the view, `.` and `..` included.
    fn names_in(&self, folder: &str) -> BTreeSet<String> {
        let shown = self.shown();
        let inside = shown.keys().filter_map(|at| at.strip_prefix(folder)?.strip_prefix('/'));
        let mut names: BTreeSet<String> = inside.map(|rest| rest.split('/').next().unwrap().to_owned()).collect();
        names.extend([".".to_owned(), "..".to_owned()]);
        names
    }

    fn check(&mut self) {
        let shown = self.shown();
        // By name, without listing anything: what is there, and what was there at any time before.
        for (at, path) in &shown {
            let meta = fs::symlink_metadata(self.mount.path(at)).unwrap_or_else(|error| panic!("{at}: {error}"));
            assert_eq!(meta.len(), self.files[path].len() as u64, "{at}");
            let number = *self.inos.entry(path.clone()).or_insert(meta.ino());
            assert!(number == meta.ino() || self.renumbered.contains(path), "{at} is {path}");
        }
        for (at, paths) in self.ever.iter().filter(|(at, _)| !shown.contains_key(*at)) {
            match fs::symlink_metadata(self.mount.path(at)) {
                Err(error) => {
                    assert!(matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)), "{at}: {error}");
                    let kept = self.opened.get(at).filter(|path| self.rules.keep && self.files.contains_key(*path));
                    assert_eq!(kept, None, "{at} was opened");
                }
                Ok(found) => {
                    assert!(self.rules.keep, "{at}: nothing is kept");
                    // The walkers open what they come across, so it may be any of those that were there.
                    let bytes = fs::read(self.mount.path(at)).unwrap();
                    assert_eq!(found.len(), bytes.len() as u64, "{at}");
                    assert!(paths.iter().any(|path| self.files.get(path) == Some(&bytes)), "{at}: none of {paths:?}");
                }
            }
        }
        for (at, path) in &shown {
            self.ever.entry(at.clone()).or_default().insert(path.clone());
        }
        // By listing.
        let mut found = BTreeMap::new();
        for top in fs::read_dir(&self.mount.at).unwrap() {
            let name = top.unwrap().file_name().into_string().unwrap();
            if !name.starts_with('_') && name != "RULES-ERROR.txt" {
                walk(&self.mount.at, &name, &mut found);
            }
        }
        for (at, path) in shown.iter().filter(|(_, path)| self.renumbered.contains(*path)) {
            found.entry(at.clone()).and_modify(|number| *number = self.inos[path]);
        }
        let expected: BTreeMap<String, u64> = shown.iter().map(|(at, path)| (at.clone(), self.inos[path])).collect();
        assert_eq!(found, expected);
        // By other processes, from folders they hold.
        let lists: Vec<BTreeSet<String>> =
            self.peers.iter().map(|(at, _)| at.map(|at| self.names_in(at)).unwrap_or_default()).collect();
        for ((cwd, peer), mut names) in self.peers.iter_mut().zip(lists) {
            if cwd.is_none() {
                for (at, path) in shown.iter().filter(|(_, path)| !self.renumbered.contains(*path)).take(3) {
                    assert_eq!(peer.ask("stat", at)[0], json!(self.inos[path]), "{at}");
                }
                continue;
            }
            names.remove(".");
            names.remove("..");
            let answer = peer.ask("ls", ".");
            let nothing = names.is_empty() && (answer == json!("ENOENT") || answer == json!([]));
            assert!(nothing || answer == json!(names), "ls from {cwd:?}: {answer}");
        }
        // By what drumfs writes down.
        for (number, folder) in FOLDERS.iter().enumerate().filter(|(number, _)| self.rules.to.contains(&Some(*number)))
        {
            let here = |(at, path): (&String, &String)| {
                at.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')).then(|| path.clone())
            };
            let expected: BTreeSet<String> = shown.iter().filter_map(here).collect();
            let text = fs::read_to_string(self.mount.path(format!("_manifests/{folder}.txt"))).unwrap();
            assert_eq!(text.lines().map(str::to_owned).collect::<BTreeSet<_>>(), expected, "manifest of {number}");
        }
        assert_eq!(self.mount.names("_by-id").len(), self.files.len());
        self.check_held();
    }
}

/// Whether an original stays as it is throughout.
fn is_steady(path: &str) -> bool {
    (0..PACKS).any(|number| path.ends_with(&format!("{number:02}.wav")) && !path.contains("new"))
}

fn walk(root: &Path, folder: &str, found: &mut BTreeMap<String, u64>) {
    for entry in fs::read_dir(root.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let at = format!("{folder}/{}", entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            walk(root, &at, found);
        } else {
            found.insert(at, entry.metadata().unwrap().ino());
        }
    }
}

/// Walks and reads until told to stop; what comes and goes meanwhile is passed over.
fn walk_on(root: &Path, steady: &HashMap<String, Vec<u8>>, stop: &AtomicBool, read: &AtomicU64) {
    let mut folders = vec![root.to_owned()];
    while !stop.load(Ordering::Relaxed) {
        let Some(folder) = folders.pop() else {
            folders.push(root.to_owned());
            continue;
        };
        let Ok(entries) = fs::read_dir(&folder) else {
            std::thread::sleep(std::time::Duration::from_millis(2));
            continue;
        };
        for entry in entries.flatten() {
            let name = entry.file_name().into_string().unwrap();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !name.starts_with('_') => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => {
                    if let (Some(bytes), Ok(found)) = (steady.get(&name), fs::read(entry.path())) {
                        assert!(&found == bytes, "{name} reads as something else");
                        read.fetch_add(1, Ordering::Relaxed);
                    }
                }
                _ => {}
            }
        }
    }
}

fn run(ops: &[Op]) {
    let mut world = World::new();
    let steady = world.files.iter().filter(|(path, _)| is_steady(path));
    let name = |path: &String| path.rsplit('/').next().unwrap().to_owned();
    let steady: HashMap<String, Vec<u8>> = steady.map(|(path, bytes)| (name(path), bytes.clone())).collect();
    let (stop, read, root) = (AtomicBool::new(false), AtomicU64::new(0), world.mount.at.clone());
    std::thread::scope(|scope| {
        let walkers: Vec<_> = (0..2).map(|_| scope.spawn(|| walk_on(&root, &steady, &stop, &read))).collect();
        // The walkers end also where the model fails.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            world.check();
            for op in ops {
                world.do_it(op);
                world.check();
            }
            world.let_go();
        }));
        stop.store(true, Ordering::Relaxed);
        let walked: Vec<_> = walkers.into_iter().map(|walker| walker.join()).collect();
        for result in std::iter::once(result).chain(walked) {
            if let Err(panic) = result {
                std::panic::resume_unwind(panic);
            }
        }
    });
    assert!(read.into_inner() > 0, "the walkers have read");
}

#[test]
fn whatever_happens_in_whatever_order_the_mount_shows_what_the_model_says() {
    let cases = std::env::var("DRUMFS_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(6);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 20, ..Config::default() };
    let run_one = |ops: Vec<Op>| {
        run(&ops);
        Ok::<(), TestCaseError>(())
    };
    TestRunner::new(config).run(&prop::collection::vec(op(), 10..30), run_one).unwrap();
}
