//! Random sequences of what programs and the indexer do, against a model that knows what must come out.

use std::collections::BTreeMap;

use drumfs::archive::{ContentHash, HashAlgorithm};
use drumfs::mount::{Found, FsError, OpenHow, Opened, Request};
use drumfs::rules::Rules;
use drumfs::view::{DirId, Ino, Node, control_ino, ino};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::bench::{Bench, READ, TRUNCATE, VOCABULARY, errno};
use crate::view_model::{Entries, written_out};

const PATHS: [&str; 8] =
    ["k.wav", "a/k.wav", "a/b/snare.wav", "808/k.wav", "808/x.aif", "Loops/demo.wav", "Übung/k.wav", "a/k (2).wav"];

/// What a rules file may say, from good to hopeless. The first ones are valid.
const GOOD: [&str; 7] = [
    "layout: flat\n",
    "layout: by-pack\nduplicates: hide\n",
    "target_labels: all\nnames: ignore\n",
    "misc: {threshold: 0.2, label: misc}\n",
    "routes:\n  - {path: \"a/**\", to: Loops}\n  - {name: \"*demo*\", hide: true}\n",
    "names: trust\nroutes:\n  - {label: Kick, to: Kick/808}\n",
    "# only a remark\n",
];
const BAD: [&str; 6] = [
    "layout: sideways\n",
    "target_labels: [Kick, Snar]\n",
    "routes:\n  - {name: *demo*, hide: true}\n",
    "misc: {threshold: 60}\n",
    "layout: flat\nlayout: flat\n",
    "routes:\n  - {path: \"a\", to: \"../up\"}\n",
];

#[derive(Debug, Clone)]
enum Op {
    Save {
        text: usize,
        piece: usize,
    },
    SaveBad {
        text: usize,
        piece: usize,
    },
    /// A text that is cut off, and a handle that is closed without a flush.
    Abandon {
        text: usize,
        cut: Index,
    },
    RenameOver {
        text: usize,
        good: bool,
    },
    Remove {
        text: usize,
    },
    Override {
        path: usize,
        by_hash: bool,
        label: &'static str,
        piece: usize,
        newline: bool,
    },
    TakeBack {
        path: usize,
    },
    BadOverride {
        line: usize,
        piece: usize,
    },
    Hear {
        path: usize,
        content: u8,
        label: usize,
    },
    ChangeUnseen {
        path: usize,
        content: u8,
    },
    Miss {
        path: usize,
    },
    Forget {
        path: usize,
    },
    DeleteOriginal {
        path: usize,
    },
    Open {
        path: usize,
    },
    Read {
        handle: Index,
        offset: u64,
        size: usize,
    },
    Release {
        handle: Index,
    },
    OpenFolder {
        folder: Index,
    },
    List {
        handle: Index,
        room: usize,
        restart: bool,
    },
    Refused {
        node: Index,
    },
    Nonsense {
        ino: u64,
    },
    Scratch {
        name: u8,
        bytes: Vec<u8>,
    },
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let path = 0..PATHS.len();
    let piece = prop_oneof![Just(1usize), 2..9usize, Just(4096)];
    let label = select(vec!["Kick", "snare", "Clap", "misc", "Rim"]);
    prop_oneof![
        4 => (0..GOOD.len(), piece.clone()).prop_map(|(text, piece)| Op::Save { text, piece }),
        2 => (0..BAD.len(), piece.clone()).prop_map(|(text, piece)| Op::SaveBad { text, piece }),
        1 => (0..GOOD.len(), any::<Index>()).prop_map(|(text, cut)| Op::Abandon { text, cut }),
        2 => (0..BAD.len(), any::<bool>()).prop_map(|(text, good)| Op::RenameOver { text, good }),
        1 => (0..GOOD.len()).prop_map(|text| Op::Remove { text }),
        3 => (path.clone(), any::<bool>(), label, piece.clone(), any::<bool>())
            .prop_map(|(path, by_hash, label, piece, newline)| Op::Override { path, by_hash, label, piece, newline }),
        1 => path.clone().prop_map(|path| Op::TakeBack { path }),
        2 => (0..6usize, piece).prop_map(|(line, piece)| Op::BadOverride { line, piece }),
        6 => (path.clone(), 0..6u8, 0..34usize).prop_map(|(path, content, label)| Op::Hear { path, content, label }),
        1 => (path.clone(), 0..6u8).prop_map(|(path, content)| Op::ChangeUnseen { path, content }),
        1 => path.clone().prop_map(|path| Op::Miss { path }),
        1 => path.clone().prop_map(|path| Op::Forget { path }),
        1 => path.clone().prop_map(|path| Op::DeleteOriginal { path }),
        4 => path.prop_map(|path| Op::Open { path }),
        4 => (any::<Index>(), 0..3000u64, 0..3000usize).prop_map(|(handle, offset, size)| Op::Read { handle, offset, size }),
        1 => any::<Index>().prop_map(|handle| Op::Release { handle }),
        3 => any::<Index>().prop_map(|folder| Op::OpenFolder { folder }),
        4 => (any::<Index>(), 1..5usize, prop::bool::weighted(0.2))
            .prop_map(|(handle, room, restart)| Op::List { handle, room, restart }),
        2 => any::<Index>().prop_map(|node| Op::Refused { node }),
        1 => any::<u64>().prop_map(|ino| Op::Nonsense { ino }),
        1 => (0..4u8, vec(any::<u8>(), 0..50)).prop_map(|(name, bytes)| Op::Scratch { name, bytes }),
        1 => Just(Op::Restart),
    ]
}

/// The bytes of a content that stands for a number: each of another length.
fn content(number: u8) -> Vec<u8> {
    (0..900 + u32::from(number) * 331).map(|at| (at as u8).wrapping_mul(number + 3)).collect()
}

struct OpenFile {
    handle: u64,
    path: &'static str,
    bytes: Vec<u8>,
}

/// A folder's handle with what it must list, and what it has listed so far.
struct OpenFolder {
    handle: u64,
    expected: Vec<(Vec<u8>, Ino)>,
    listed: Vec<(Vec<u8>, Ino)>,
    at: u64,
}

struct Run {
    bench: Bench,
    /// The originals as they are on the disk.
    disk: BTreeMap<&'static str, Vec<u8>>,
    refused: bool,
    files: Vec<OpenFile>,
    folders: Vec<OpenFolder>,
    scratch: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Paths of the view that were opened, each with the original that was opened there last.
    opened: BTreeMap<Vec<u8>, &'static str>,
}

impl Run {
    fn new() -> Self {
        Self {
            bench: Bench::new("layout: preserve\n"),
            disk: BTreeMap::new(),
            refused: false,
            files: Vec::new(),
            folders: Vec::new(),
            scratch: BTreeMap::new(),
            opened: BTreeMap::new(),
        }
    }

    /// What was opened is found where it was, unless it is gone or another is shown there.
    fn check_opened(&self) {
        let view = self.bench.view();
        for (at, path) in &self.opened {
            let found = self.bench.find(&String::from_utf8_lossy(at));
            if let Some(node) = view.resolve(at) {
                let Some(number) = found else { panic!("{} is shown", at.escape_ascii()) };
                assert!(ino::kept(number).is_none() && (number == view.ino(node) || ino::is_sample(number)));
                continue;
            }
            let Some(own) = self.ino_of(path) else {
                assert_eq!(found, None, "{path} is gone");
                continue;
            };
            let Some(number) = found else { panic!("{} was opened", at.escape_ascii()) };
            assert!(ino::kept(number).is_some(), "{} is not shown", at.escape_ascii());
            let core = self.bench.core();
            let (kept, own) = (core.getattr(number).unwrap(), core.getattr(own).unwrap());
            assert_eq!((kept.ino, kept.mtime, kept.kind), (number, own.mtime, own.kind));
        }
    }

    /// A sample was opened by its own number.
    fn note_opened(&mut self, path: &'static str) {
        let view = self.bench.view();
        let Some((id, _)) = view.catalogue().by_path(path.as_bytes()) else { return };
        if let Some((dir, name)) = view.place_of(id) {
            self.opened.insert([view.dir_path(dir), name.into_owned()].join(&b'/'), path);
        }
    }

    /// The view is what rules, overrides and records say, no more and no less.
    fn check(&self) {
        let (view, expected) = (self.bench.view(), self.bench.expected());
        assert_eq!(view.rules_error.is_some(), self.refused);
        assert!(written_out(&view) == written_out(&expected), "the view is not that of rules and records");
        let shown = self.bench.read_all(self.bench.control("rules.yml"), 7).unwrap();
        if !self.refused {
            assert_eq!(String::from_utf8(shown).unwrap(), self.bench.rules);
        }
        let attr = self.bench.core().getattr(self.bench.control("rules.yml")).unwrap();
        assert!(attr.perm & 0o200 != 0);
        let report = self.bench.core().lookup(1, b"RULES-ERROR.txt").unwrap();
        assert_eq!(matches!(report, Found::Node(_)), self.refused);
    }

    fn accepted(&mut self, text: &str) {
        self.bench.rules = text.to_owned();
        self.refused = false;
    }

    /// Where a sample shows in the class folders.
    fn ino_of(&self, path: &str) -> Option<Ino> {
        let view = self.bench.view();
        let (id, sample) = view.catalogue().by_path(path.as_bytes())?;
        sample.is_present().then(|| view.ino(Node::Sample(id)))
    }

    /// Opens a sample as the kernel does: where another original is open under its number, the name is looked up anew.
    /// None where there is no name to look up.
    fn open(&self, ino: Ino) -> Option<(Ino, Opened)> {
        match self.bench.open(ino, READ) {
            Err(FsError::Replaced) => {
                let view = self.bench.view();
                let Some(Node::Sample(id)) = view.by_ino(ino) else { panic!("no sample has {ino}") };
                let (dir, name) = view.place_of(id)?;
                let found = self.bench.core().lookup(view.ino(Node::Dir(dir)), &name).unwrap();
                let Found::Node(attr) = found else { panic!("{} is gone", name.escape_ascii()) };
                assert_ne!(attr.ino, ino, "another number for another original");
                Some((attr.ino, self.bench.open(attr.ino, READ).unwrap()))
            }
            opened => Some((ino, opened.unwrap())),
        }
    }

    fn put(&mut self, path: usize, number: u8) {
        let bytes = content(number);
        self.bench.write_original(PATHS[path].as_bytes(), &bytes);
        // Handles that are open read the file as it is now, as they would without drumfs.
        for file in self.files.iter_mut().filter(|file| file.path == PATHS[path]) {
            file.bytes.clone_from(&bytes);
        }
        self.disk.insert(PATHS[path], bytes);
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Save { text, piece } => {
                self.bench.save_in_pieces(GOOD[*text].as_bytes(), *piece).unwrap();
                self.accepted(GOOD[*text]);
            }
            Op::SaveBad { text, piece } => {
                let done = self.bench.save_in_pieces(BAD[*text].as_bytes(), *piece);
                assert_eq!(errno(done), libc::EINVAL, "{}", BAD[*text]);
                self.refused = true;
                // The draft is kept: what was written of it when it was refused.
                let kept = self.bench.read_all(self.bench.control("rules.yml"), 4096).unwrap();
                assert!(!kept.is_empty() && BAD[*text].as_bytes().starts_with(&kept));
            }
            Op::Abandon { text, cut } => {
                let text = &GOOD[*text][..cut.index(GOOD[*text].len())];
                let handle = self.bench.open(self.bench.control("rules.yml"), TRUNCATE).unwrap().handle;
                self.bench.write_pieces(handle, text.as_bytes(), 3).unwrap();
                self.bench.core().release(handle);
                self.bench.settle();
                match Rules::parse(text, &VOCABULARY) {
                    // Nothing was written, so nothing was saved.
                    _ if text.is_empty() => {}
                    Ok(_) => self.accepted(text),
                    Err(_) => self.refused = true,
                }
            }
            Op::RenameOver { text, good } => {
                let text = if *good { GOOD[*text] } else { BAD[*text] };
                let opened = self.bench.core().create(control_ino(), b"rules.yml.new", 0o600, TRUNCATE).unwrap();
                self.bench.write_pieces(opened.1.handle, text.as_bytes(), 11).unwrap();
                self.bench.flush(opened.1.handle).unwrap();
                self.bench.core().release(opened.1.handle);
                let done = self.bench.rename(b"rules.yml.new", b"rules.yml");
                if *good {
                    done.unwrap();
                    self.accepted(text);
                    assert_eq!(errno(self.bench.core().unlink(control_ino(), b"rules.yml.new")), libc::ENOENT);
                } else {
                    assert_eq!(errno(done), libc::EINVAL);
                    self.refused = true;
                    self.bench.core().unlink(control_ino(), b"rules.yml.new").unwrap();
                }
            }
            Op::Remove { text } => {
                self.bench.core().unlink(control_ino(), b"rules.yml").unwrap();
                assert!(written_out(&self.bench.view()) == written_out(&self.bench.expected()), "the rules stay");
                let (_, opened) = self.bench.core().create(control_ino(), b"rules.yml", 0o644, TRUNCATE).unwrap();
                self.bench.write_pieces(opened.handle, GOOD[*text].as_bytes(), 4096).unwrap();
                self.bench.flush(opened.handle).unwrap();
                self.bench.core().release(opened.handle);
                self.accepted(GOOD[*text]);
            }
            Op::Override { path, by_hash, label, piece, newline } => {
                let path = PATHS[*path];
                let known = self.bench.known.get(path.as_bytes()).and_then(|(entry, _)| entry.hash);
                let who = match (by_hash, known) {
                    (true, Some(hash)) => serde_json::json!({"hash": hash.to_hex(), "label": label}),
                    _ => serde_json::json!({"path": path, "label": label, "note": "heard it myself"}),
                };
                let line = format!("{who}{}", if *newline { "\n" } else { "" });
                let done = self.bench.append_in_pieces(line.as_bytes(), *piece);
                match known {
                    Some(hash) => {
                        done.unwrap();
                        let label = if *label == "snare" { "Snare" } else { label };
                        self.bench.said.insert(hash, label.to_owned());
                    }
                    None => assert_eq!(errno(done), libc::EINVAL, "nobody knows {path}"),
                }
            }
            Op::TakeBack { path } => {
                let Some((entry, _)) = self.bench.known.get(PATHS[*path].as_bytes()) else { return };
                let hash = entry.hash.unwrap();
                self.bench
                    .append(format!("{{\"hash\": \"{}\", \"label\": null}}\n", hash.to_hex()).as_bytes())
                    .unwrap();
                self.bench.said.remove(&hash);
            }
            Op::BadOverride { line, piece } => {
                let bad = [
                    "no json at all\n",
                    "{\"hash\": \"12\", \"label\": \"Kick\"}\n",
                    "{\"path\": \"nowhere.wav\", \"label\": \"Kick\"}\n",
                    "{\"hash\": \"00000000000000000000000000000000\"}\n",
                    "{\"hash\": \"00000000000000000000000000000000\", \"label\": \"Kickk\"}\n",
                    "{\"label\": \"Kick\"}",
                ];
                assert_eq!(errno(self.bench.append_in_pieces(bad[*line].as_bytes(), *piece)), libc::EINVAL);
            }
            Op::Hear { path, content, label } => {
                self.put(*path, *content);
                self.bench.hear(PATHS[*path].as_bytes(), *label);
            }
            Op::ChangeUnseen { path, content: number } => {
                let path = PATHS[*path];
                let Some(ino) = self.ino_of(path) else { return };
                self.put(PATHS.iter().position(|known| *known == path).unwrap(), *number);
                self.bench.requests();
                let Some((ino, opened)) = self.open(ino) else {
                    return self.bench.hear(path.as_bytes(), 3);
                };
                let bytes = content(*number);
                assert_eq!(self.bench.core().getattr(ino).unwrap().size, bytes.len() as u64, "shown before the answer");
                assert_eq!(self.bench.core().read(0, opened.handle, 0, 1 << 20).unwrap(), bytes);
                self.bench.core().release(opened.handle);
                let touched = Request::Touch(vec![path.as_bytes().to_vec()]);
                assert!(self.bench.requests().contains(&touched), "it is to be heard again");
                self.note_opened(path);
                self.bench.hear(path.as_bytes(), 3);
            }
            Op::Miss { path } => {
                let path = PATHS[*path];
                if self.bench.known.contains_key(path.as_bytes()) {
                    self.delete(path);
                    self.bench.miss(path.as_bytes());
                }
            }
            Op::Forget { path } => {
                let path = PATHS[*path];
                if self.bench.known.contains_key(path.as_bytes()) {
                    self.delete(path);
                    self.bench.forget(path.as_bytes());
                    assert_eq!(self.ino_of(path), None);
                }
            }
            Op::DeleteOriginal { path } => {
                let path = PATHS[*path];
                let Some(ino) = self.ino_of(path) else { return };
                self.delete(path);
                assert_eq!(errno(self.bench.open(ino, READ)), libc::ENOENT, "for that file alone");
                self.bench.miss(path.as_bytes());
            }
            Op::Open { path } => {
                let path = PATHS[*path];
                let Some(ino) = self.ino_of(path) else { return };
                let Some((ino, opened)) = self.open(ino) else { return };
                let bytes = self.disk[path].clone();
                self.note_opened(path);
                assert_eq!(self.bench.core().getattr(ino).unwrap().size, bytes.len() as u64);
                self.files.push(OpenFile { handle: opened.handle, path, bytes });
            }
            Op::Read { handle, offset, size } => {
                if self.files.is_empty() {
                    return;
                }
                let file = &self.files[handle.index(self.files.len())];
                let from = (*offset as usize).min(file.bytes.len());
                let to = (from + size).min(file.bytes.len());
                assert_eq!(self.bench.core().read(0, file.handle, *offset, *size).unwrap(), file.bytes[from..to]);
                assert_eq!(errno(self.bench.write(file.handle, 0, b"x")), libc::EROFS);
            }
            Op::Release { handle } => {
                if self.files.is_empty() {
                    return;
                }
                let file = self.files.remove(handle.index(self.files.len()));
                self.bench.core().release(file.handle);
                assert_eq!(errno(self.bench.core().read(0, file.handle, 0, 1)), libc::EBADF);
            }
            Op::OpenFolder { folder } => self.open_folder(folder),
            Op::List { handle, room, restart } => {
                if !self.folders.is_empty() {
                    let place = handle.index(self.folders.len());
                    self.list(place, *room, *restart);
                }
            }
            Op::Refused { node } => self.refused_everywhere_else(node),
            Op::Nonsense { ino } => {
                let view = self.bench.view();
                if view.by_ino(*ino).is_some() {
                    return;
                }
                let core = self.bench.core();
                assert_eq!(errno(core.getattr(*ino)), libc::ENOENT);
                assert_eq!(errno(core.lookup(*ino, b"x")), libc::ENOENT);
                assert_eq!(errno(core.opendir(*ino)), libc::ENOENT);
                assert_eq!(errno(self.bench.open(*ino, READ)), libc::ENOENT);
                assert_eq!(errno(core.setattr(*ino, None, Some(0), None)), libc::ENOENT);
                // Numbers that were never given as handles.
                let handle = 1 << 60 | *ino;
                assert_eq!(errno(core.read(0, handle, 0, 1)), libc::EBADF);
                assert_eq!(errno(self.bench.write(handle, 0, b"x")), libc::EBADF);
                assert_eq!(errno(self.bench.flush(handle)), libc::EBADF);
                core.release(handle);
            }
            Op::Scratch { name, bytes } => {
                let name = format!(".swp{name}").into_bytes();
                let made = self.bench.core().create(control_ino(), &name, 0o640, TRUNCATE);
                if self.scratch.contains_key(&name) {
                    assert_eq!(errno(made), libc::EEXIST);
                    self.bench.core().unlink(control_ino(), &name).unwrap();
                    self.scratch.remove(&name);
                    assert!(matches!(self.bench.core().lookup(control_ino(), &name).unwrap(), Found::Nothing));
                } else {
                    let (attr, opened) = made.unwrap();
                    self.bench.write_pieces(opened.handle, bytes, 9).unwrap();
                    self.bench.core().release(opened.handle);
                    assert_eq!(self.bench.read_all(attr.ino, 13).unwrap(), *bytes);
                    let now = self.bench.core().getattr(attr.ino).unwrap();
                    assert_eq!((now.size, now.perm), (bytes.len() as u64, 0o640));
                    self.scratch.insert(name, bytes.clone());
                }
            }
            Op::Restart => {
                self.files.clear();
                self.folders.clear();
                self.scratch.clear();
                self.bench.restart();
                // They are kept in the memory of this one alone.
                self.opened.clear();
            }
        }
    }

    fn delete(&mut self, path: &'static str) {
        drop(std::fs::remove_file(self.bench.original(path.as_bytes())));
        self.disk.remove(path);
        // What is open stays readable, and is another file than whatever takes the name.
        self.files.iter_mut().filter(|file| file.path == path).for_each(|file| file.path = "");
    }

    fn open_folder(&mut self, folder: &Index) {
        let folders: Vec<(Vec<u8>, Entries)> = written_out(&self.bench.view()).into_iter().collect();
        let (path, entries) = &folders[folder.index(folders.len())];
        let view = self.bench.view();
        let dir = if path.is_empty() {
            DirId::ROOT
        } else {
            match view.resolve(path) {
                Some(Node::Dir(dir)) => dir,
                other => panic!("{other:?}"),
            }
        };
        let handle = self.bench.core().opendir(view.ino(Node::Dir(dir))).unwrap().0;
        let ino = |dir| view.ino(Node::Dir(dir));
        let mut expected = vec![(b".".to_vec(), ino(dir)), (b"..".to_vec(), ino(view.parent(dir)))];
        expected.extend(entries.iter().map(|(name, ino, _)| (name.clone(), *ino)));
        if ino(dir) == control_ino() {
            for name in self.scratch.keys() {
                let Found::Node(attr) = self.bench.core().lookup(control_ino(), name).unwrap() else { panic!() };
                expected.push((name.clone(), attr.ino));
            }
        }
        self.folders.push(OpenFolder { handle, expected, listed: Vec::new(), at: 0 });
    }

    /// Lists on, or from the start again; at the end everything was listed once, whatever happened meanwhile.
    fn list(&mut self, place: usize, room: usize, restart: bool) {
        let folder = &mut self.folders[place];
        if restart {
            folder.listed.clear();
            folder.at = 0;
        }
        let (more, at) = self.bench.list(folder.handle, folder.at, room);
        assert!(more.len() <= room);
        folder.at = at;
        let ended = more.is_empty();
        folder.listed.extend(more);
        if ended {
            assert_eq!(folder.listed, folder.expected, "each entry once, in order, of the view it was opened on");
            let folder = self.folders.remove(place);
            self.bench.core().release(folder.handle);
            let gone = self.bench.core().readdir(folder.handle, 0, &mut |_, _, _, _| true);
            assert_eq!(errno(gone), libc::EBADF);
        } else {
            assert!(folder.expected.starts_with(&folder.listed));
        }
    }

    /// Nothing but `_control` takes a change, and it is refused at the first call that asks.
    fn refused_everywhere_else(&self, index: &Index) {
        let view = self.bench.view();
        let folders: Vec<(Vec<u8>, Entries)> = written_out(&view).into_iter().collect();
        let (path, entries) = &folders[index.index(folders.len())];
        let Some(Node::Dir(dir)) = view.resolve(path) else { panic!("{path:?}") };
        let ino = view.ino(Node::Dir(dir));
        let core = self.bench.core();
        let write = OpenHow { write: true, ..OpenHow::default() };
        assert_eq!(errno(self.bench.open(ino, READ)), libc::EISDIR);
        assert_eq!(errno(core.lookup(ino, &[b'n'; 256])), libc::ENAMETOOLONG);
        assert_eq!(errno(core.refuse(ino)), libc::EROFS);
        if ino == control_ino() {
            return;
        }
        assert_eq!(errno(core.create(ino, b"new.wav", 0o644, TRUNCATE)), libc::EROFS);
        assert_eq!(errno(core.unlink(ino, b"new.wav")), libc::EROFS);
        assert_eq!(errno(core.setattr(ino, None, Some(0), None)), libc::EROFS);
        assert_eq!(errno(core.setattr(ino, None, None, Some(0o777))), libc::EROFS);
        assert_eq!(errno(self.bench.rename_between((ino, b"x"), (control_ino(), b"y"), false)), libc::EROFS);
        assert_eq!(errno(self.bench.rename_between((control_ino(), b"rules.yml"), (ino, b"y"), false)), libc::EROFS);
        // Samples may be moved out of class folders and `_uncertain`, and into the former.
        let path = view.dir_path(dir);
        let takes_moves = path.starts_with(b"_uncertain") || !path.is_empty() && !path.starts_with(b"_");
        assert_eq!(errno(core.access(ino, true, false)), if takes_moves { 0 } else { libc::EROFS });
        core.access(ino, false, true).unwrap();
        for (name, child, _) in entries {
            let node = view.lookup(dir, name).unwrap();
            let Found::Node(attr) = core.lookup(ino, name).unwrap() else { panic!("{name:?}") };
            assert_eq!((attr.ino, core.getattr(*child).unwrap().ino), (*child, *child));
            if !matches!(node, Node::Dir(_)) {
                assert_eq!(errno(core.lookup(*child, b"x")), libc::ENOTDIR);
                assert_eq!(errno(core.opendir(*child)), libc::ENOTDIR);
                assert_eq!(errno(self.bench.open(*child, write)), libc::EROFS);
                assert_eq!(errno(core.setattr(*child, None, Some(0), None)), libc::EROFS);
                assert_eq!(errno(core.unlink(ino, name)), libc::EROFS);
                assert_eq!(errno(core.access(*child, false, true)), libc::EACCES);
            }
        }
    }
}

/// `DRUMFS_MODEL_CASES=1000 cargo test --release --test core sequences` runs longer.
fn cases() -> u32 {
    std::env::var("DRUMFS_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(48)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_in_whatever_order_the_view_is_that_of_rules_and_records(ops in vec(op(), 1..50)) {
        let mut run = Run::new();
        for op in &ops {
            run.apply(op);
            run.check();
            run.check_opened();
        }
        for place in (0..run.folders.len()).rev() {
            while run.folders.len() > place {
                run.list(place, 3, false);
            }
        }
        run.files.drain(..).for_each(|file| run.bench.core().release(file.handle));
        prop_assert_eq!(run.bench.core().open_handles(), 0, "every handle was released");
        // And after all of it, once more from the disk.
        run.scratch.clear();
        run.bench.restart();
        run.check();
        for hash in run.bench.said.keys() {
            prop_assert_eq!(hash.algorithm(), HashAlgorithm::Xxh3);
        }
        let known: Vec<ContentHash> = run.bench.known.values().filter_map(|(entry, _)| entry.hash).collect();
        let text = String::from_utf8(run.bench.read_all(run.bench.control("index.jsonl"), 1000).unwrap()).unwrap();
        prop_assert_eq!(text.lines().count(), known.len());
    }
}
