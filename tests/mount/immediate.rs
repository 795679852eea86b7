//! Immediately: when the call that commits a save returns, every later stat, open and opendir sees the new view, in
//! every process, whatever the kernel remembered.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::common::mount::{Mount, new_dir, put};
use crate::common::peer::Peer;
use crate::common::sounds::wav;
use crate::common::tools::installed;

const FILES: usize = 24;

/// Everything in `here`; `there` exists and is empty, also for who has opened something there.
fn rules(here: &str, there: &str) -> String {
    format!(
        "layout: flat\nkeep_opened_paths: false\nroutes:\n  - {{name: \"no such name\", to: {there}}}\n  - {{path: \"**\", to: {here}}}\n"
    )
}

fn names() -> Vec<String> {
    (0..FILES).map(|n| format!("{n:02}.wav")).collect()
}

fn mount() -> Mount {
    let names = names();
    let paths: Vec<String> = names.iter().map(|name| format!("pack/{name}")).collect();
    let mount = Mount::of(&paths.iter().map(|path| path.as_str()).collect::<Vec<_>>());
    mount.save_rules(&rules("A", "B")).unwrap();
    mount
}

/// Processes that look: one from the root of the mount, one from each folder.
struct Eyes {
    root: Peer,
    folders: [Peer; 2],
}

impl Eyes {
    fn new(mount: &Mount) -> Self {
        Self { root: Peer::at(&mount.at), folders: [Peer::at(&mount.path("A")), Peer::at(&mount.path("B"))] }
    }

    /// After a save that put everything in `here` all of them see that. What they ask fills the kernel's memory for the
    /// next round: names that are there, names that are not, and listings with attributes.
    #[track_caller]
    fn check(&mut self, round: usize, (here, there): (&str, &str), inos: &Value) {
        let all = json!(names());
        let in_here = usize::from(here == "B");
        let name = format!("{:02}.wav", round % FILES);
        let (held, gone) = (format!("{here}/{name}"), format!("{there}/{name}"));
        for (call, empty, full) in [("stat", json!("ENOENT"), None), ("open", json!("ENOENT"), Some(json!("opened")))] {
            for (path, cwd) in [(gone.as_str(), None), (name.as_str(), Some(1 - in_here))] {
                let answer = self.eye(cwd).ask(call, path);
                assert_eq!(answer, empty, "round {round}: {call} {path} from {cwd:?} after everything went to {here}");
            }
            for (path, cwd) in [(held.as_str(), None), (name.as_str(), Some(in_here))] {
                let answer = self.eye(cwd).ask(call, path);
                assert!(answer.as_str() != Some("ENOENT"), "round {round}: {call} {path} from {cwd:?}: {answer}");
                full.iter().for_each(|full| assert_eq!(&answer, full, "round {round}: {call} {path}"));
            }
        }
        for (path, cwd, want) in [
            (here, None, &all),
            (there, None, &json!([])),
            (".", Some(in_here), &all),
            (".", Some(1 - in_here), &json!([])),
        ] {
            assert_eq!(&self.eye(cwd).ask("ls", path), want, "round {round}: ls {path} from {cwd:?}");
        }
        assert_eq!(&self.root.ask("ls_l", here), inos, "round {round}: ls -l {here}");
        assert_eq!(self.root.ask("ls_l", there), json!([]), "round {round}: ls -l {there}");
    }

    fn eye(&mut self, cwd: Option<usize>) -> &mut Peer {
        match cwd {
            Some(folder) => &mut self.folders[folder],
            None => &mut self.root,
        }
    }
}

fn two_hundred_saves(mount: &Mount) {
    let mut eyes = Eyes::new(mount);
    let inos = eyes.root.ask("ls_l", "A");
    assert_eq!(inos.as_array().unwrap().len(), FILES);
    for round in 1..=200 {
        let (here, there) = if round % 2 == 0 { ("A", "B") } else { ("B", "A") };
        mount.save_rules(&rules(here, there)).unwrap();
        eyes.check(round, (here, there), &inos);
        // This process remembers nothing either.
        let name = format!("{:02}.wav", (round * 7) % FILES);
        assert!(fs::metadata(mount.path(there).join(&name)).is_err(), "round {round}");
        assert!(fs::metadata(mount.path(here).join(&name)).is_ok(), "round {round}");
        let manifest = fs::read_to_string(mount.path(format!("_manifests/{here}.txt"))).unwrap();
        assert_eq!(manifest.lines().count(), FILES, "round {round}");
    }
}

#[test]
fn other_processes_and_held_folders_see_the_new_view_when_a_save_returns() {
    if !installed(&["python3"]) {
        return;
    }
    two_hundred_saves(&mount());
}

#[test]
fn names_that_were_asked_for_and_never_listed_are_forgotten_too() {
    let mount = mount();
    for round in 0..10 {
        let (here, there) = if round % 2 == 0 { ("A", "B") } else { ("B", "A") };
        for name in names() {
            assert!(fs::metadata(mount.path(here).join(name)).is_ok(), "round {round}");
        }
        mount.save_rules(&rules(there, here)).unwrap();
        for name in names() {
            assert!(fs::metadata(mount.path(here).join(&name)).is_err(), "round {round}: {here}/{name} is remembered");
        }
    }
}

/// A loop that runs until it is dropped.
struct Busy(Child);

impl Busy {
    fn new(text: &str, at: &Path) -> Self {
        let mut command = Command::new("bash");
        command.args(["-c", &format!("while :; do {text}; done"), "bash"]).arg(at);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn they_see_it_also_while_others_walk_the_mount() {
    if !installed(&["python3"]) {
        return;
    }
    let mount = mount();
    let walkers = [
        Busy::new("ls -lR \"$1\"", &mount.at),
        Busy::new("find \"$1\" -size +1k", &mount.at),
        Busy::new("cat \"$1\"/[AB]/*", &mount.at),
    ];
    two_hundred_saves(&mount);
    drop(walkers);
}

#[test]
fn a_folder_that_goes_and_comes_back_is_the_same_folder_for_who_holds_it() {
    if !installed(&["python3"]) {
        return;
    }
    let mount = mount();
    let only = |folder: &str| format!("layout: flat\nroutes:\n  - {{path: \"**\", to: {folder}}}\n");
    let mut held = Peer::at(&mount.path("A"));
    assert!(held.ask("stat", "00.wav").is_array());
    for round in 0..20 {
        mount.save_rules(&only("B")).unwrap();
        assert!(!mount.path("A").exists(), "round {round}");
        assert_eq!(held.ask("stat", "00.wav"), "ENOENT", "round {round}");
        assert_eq!(held.ask("open", "00.wav"), "ENOENT", "round {round}");
        mount.save_rules(&only("A")).unwrap();
        assert!(held.ask("stat", "00.wav").is_array(), "round {round}");
        assert_eq!(held.ask("ls", "."), json!(names()), "round {round}");
    }
}

#[test]
fn a_folder_that_is_being_listed_goes_on_from_the_view_it_was_opened_on() {
    if !installed(&["python3"]) {
        return;
    }
    // Many names on one content: a listing takes several calls.
    let dir = new_dir();
    let first = dir.path().join("archive/pack/0000 a sample with a name of some length.wav");
    put(&first, &wav(1));
    for n in 1..1500 {
        fs::hard_link(&first, first.with_file_name(format!("{n:04} a sample with a name of some length.wav"))).unwrap();
    }
    let mount = Mount::start(dir);
    mount.save_rules(&rules("A", "B")).unwrap();
    let unread = fs::read_dir(mount.path("A")).unwrap();
    let empty = fs::read_dir(mount.path("B")).unwrap();
    let mut half = fs::read_dir(mount.path("A")).unwrap();
    let begun: Vec<_> = half.by_ref().take(700).map(|entry| entry.unwrap().file_name()).collect();
    mount.save_rules(&rules("B", "A")).unwrap();
    assert_eq!(fs::read_dir(mount.path("A")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(mount.path("B")).unwrap().count(), 1500);
    assert_eq!(unread.map(Result::unwrap).count(), 1500, "opened before the save, read after it");
    assert_eq!(empty.map(Result::unwrap).count(), 0, "opened before the save, read after it");
    let mut whole = begun;
    whole.extend(half.map(|entry| entry.unwrap().file_name()));
    whole.sort();
    whole.dedup();
    assert_eq!(whole.len(), 1500, "each name once");
    // Listing an old view has put nothing old into the kernel's memory.
    assert!(!mount.path("A/0003 a sample with a name of some length.wav").exists());
    assert!(mount.path("B/0003 a sample with a name of some length.wav").exists());
}

#[test]
fn overrides_and_refusals_are_seen_when_the_write_returns() {
    if !installed(&["python3"]) {
        return;
    }
    let mount = mount();
    mount.save_rules("layout: flat\ntarget_labels: all\n").unwrap();
    let mut eye = Peer::at(&mount.at);
    for round in 0..20 {
        let (here, there) = if round % 2 == 0 { ("Cowbell", "Vibraslap") } else { ("Vibraslap", "Cowbell") };
        mount.append_override(&format!("{{\"path\": \"pack/05.wav\", \"label\": \"{here}\"}}")).unwrap();
        assert!(eye.ask("stat", &format!("{here}/05.wav")).is_array(), "round {round}");
        assert_eq!(eye.ask("stat", &format!("{there}/05.wav")), "ENOENT", "round {round}");
        assert_eq!(eye.ask("stat", "RULES-ERROR.txt"), "ENOENT", "round {round}");
        mount.save_rules("no such key: 1\n").unwrap_err();
        assert!(eye.ask("stat", "RULES-ERROR.txt").is_array(), "round {round}");
        assert!(eye.ask("ls", ".").as_array().unwrap().contains(&json!("RULES-ERROR.txt")), "round {round}");
        mount.save_rules("layout: flat\ntarget_labels: all\n").unwrap();
    }
}
