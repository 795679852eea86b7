//! Promises that are easier told one at a time.

use drumfs::mount::{Found, Kind, OpenHow, OpenKind, Request};
use drumfs::view::{Node, control_ino};

use super::bench::{APPEND, Bench, READ, TRUNCATE, errno};

fn heard() -> Bench {
    let mut bench = Bench::new("layout: preserve\nnames: ignore\n");
    for (number, path) in ["a/one.wav", "a/two.wav", "b/three.wav"].into_iter().enumerate() {
        bench.write_original(path.as_bytes(), &vec![number as u8; 500 + number]);
        bench.hear(path.as_bytes(), 15);
    }
    bench
}

/// A line that is refused must not stay in the way of the next one, also where it came in pieces.
#[test]
fn after_a_refused_override_the_next_line_of_the_same_program_counts() {
    let bench = heard();
    let handle = bench.open(bench.control("overrides.jsonl"), APPEND).unwrap().handle;
    assert_eq!(bench.write(handle, 0, b"{\"path\": \"a/one.wav\", ").unwrap(), 22);
    assert_eq!(errno(bench.write(handle, 22, b"nonsense}\n")), libc::EINVAL);
    let good = b"{\"path\": \"a/one.wav\", \"label\": \"Snare\"}\n";
    assert_eq!(bench.write(handle, 22, good).unwrap(), good.len());
    bench.flush(handle).unwrap();
    assert!(bench.find("Snare/a/one.wav").is_some());
}

#[test]
fn of_lines_written_at_once_all_count_or_none() {
    let bench = heard();
    let lines = b"{\"path\": \"a/one.wav\", \"label\": \"Snare\"}\n{\"path\": \"gone.wav\", \"label\": \"Snare\"}\n";
    assert_eq!(errno(bench.append(lines)), libc::EINVAL);
    assert!(bench.find("Snare/a/one.wav").is_none());
    let status = bench.read_all(bench.control("status.json"), 4096).unwrap();
    assert!(String::from_utf8(status).unwrap().contains("gone.wav"), "status.json says why");
}

#[test]
fn overrides_are_listed_as_they_were_said() {
    let bench = heard();
    bench.append(b"{\"path\": \"a/one.wav\", \"correct_label\": \"snare\", \"note\": \"rim\"}").unwrap();
    let text = bench.read_all(bench.control("overrides.jsonl"), 10).unwrap();
    let line: serde_json::Value = serde_json::from_slice(text.strip_suffix(b"\n").unwrap()).unwrap();
    assert_eq!((&line["path"], &line["label"], &line["note"]), (&"a/one.wav".into(), &"Snare".into(), &"rim".into()));
    assert_eq!(bench.core().getattr(bench.control("overrides.jsonl")).unwrap().size, text.len() as u64);
}

#[test]
fn a_sample_that_is_forgotten_right_after_it_was_heard_does_not_haunt_the_view() {
    let mut bench = heard();
    bench.write_original(b"a/moved.wav", b"other bytes");
    bench.hear_and_forget(b"a/moved.wav", 15);
    assert_eq!(bench.view().catalogue().by_path(b"a/moved.wav"), None);
    bench.restart();
    assert_eq!(bench.view().catalogue().by_path(b"a/moved.wav"), None);
}

#[test]
fn what_was_heard_of_an_older_content_does_not_take_back_the_size_that_an_open_has_shown() {
    let mut bench = heard();
    let ino = bench.find("Kick/a/one.wav").unwrap();
    bench.write_original(b"a/one.wav", &[1; 2000]);
    bench.hear_late(b"a/one.wav", 15, |bench| {
        bench.write_original(b"a/one.wav", &[2; 3000]);
        bench.open(ino, READ).unwrap();
        assert_eq!(bench.core().getattr(ino).unwrap().size, 3000);
    });
    assert_eq!(bench.core().getattr(ino).unwrap().size, 3000, "2000 was heard before");
    bench.hear(b"a/one.wav", 15);
    assert_eq!(bench.core().getattr(ino).unwrap().size, 3000);
    bench.write_original(b"a/one.wav", &[3; 100]);
    bench.hear(b"a/one.wav", 15);
    assert_eq!(bench.core().getattr(ino).unwrap().size, 100, "nothing is in the way of what comes later");
}

/// A program has opened a file, another one opens it after it was written anew, and only then the first one reads: what
/// the kernel is given for the first might be of before.
#[test]
fn bytes_that_the_kernel_is_given_for_who_opened_before_a_change_are_called_back() {
    let bench = heard();
    let (ino, other) = (bench.find("Kick/a/one.wav").unwrap(), bench.find("Kick/a/two.wav").unwrap());
    let old = bench.open(ino, READ).unwrap().handle;
    bench.write_original(b"a/one.wav", &[1; 2000]);
    let new = bench.open(ino, READ).unwrap().handle;
    assert_eq!(bench.told(), [ino], "it has changed");
    assert_eq!(bench.core().read(ino, new, 0, 100).unwrap(), [1; 100]);
    let steady = bench.open(other, READ).unwrap().handle;
    bench.core().read(other, steady, 0, 100).unwrap();
    assert_eq!(bench.told(), [] as [u64; 0], "what is shown may be kept");
    bench.core().read(ino, old, 0, 100).unwrap();
    assert_eq!(bench.told(), [ino], "what was read may be of before");
}

/// As on a disk, where a file that is renamed over another has a number of its own: the kernel keeps one set of bytes for
/// each number.
#[test]
fn one_that_replaced_another_that_is_open_gets_a_number_of_its_own() {
    let bench = heard();
    let ino = bench.find("Kick/a/one.wav").unwrap();
    let old = bench.open(ino, READ).unwrap().handle;
    let fresh = bench.original(b"fresh");
    std::fs::write(&fresh, [1; 2000]).unwrap();
    std::fs::rename(fresh, bench.original(b"a/one.wav")).unwrap();
    // The kernel looks the name up again.
    assert_eq!(errno(bench.open(ino, READ)), libc::ESTALE);
    let number = bench.find("Kick/a/one.wav").unwrap();
    assert_ne!(number, ino);
    let new = bench.open(number, READ).unwrap().handle;
    assert_eq!(bench.core().read(number, new, 0, 4000).unwrap(), [1; 2000]);
    assert_eq!(bench.core().read(ino, old, 0, 4000).unwrap(), [0; 500]);
    assert_eq!(bench.core().getattr(number).unwrap().size, 2000);
}

#[test]
fn rescan_asks_for_a_pass_and_reads_as_what_it_is_for() {
    let bench = heard();
    let handle = bench.open(bench.control("rescan"), TRUNCATE).unwrap().handle;
    bench.requests();
    bench.write(handle, 0, b"1\n").unwrap();
    assert_eq!(bench.requests(), [Request::Rescan]);
    let text = bench.read_all(bench.control("rescan"), 100).unwrap();
    assert!(String::from_utf8(text).unwrap().contains("look for new"));
}

#[test]
fn samples_may_be_kept_by_the_kernel_and_made_files_may_not() {
    let bench = heard();
    let sample = bench.find("Kick/a/one.wav").unwrap();
    let opened = |ino| bench.open(ino, READ).unwrap().kind;
    assert!(matches!(opened(sample), OpenKind::Keep));
    for name in ["rules.yml", "overrides.jsonl", "index.jsonl", "status.json", "rescan"] {
        assert!(matches!(opened(bench.control(name)), OpenKind::Direct), "{name}");
    }
    assert!(matches!(opened(bench.find("_stats.json").unwrap()), OpenKind::Direct));
}

#[test]
fn a_listing_with_attributes_lists_the_same_and_ends_at_any_offset() {
    let bench = heard();
    let folder = bench.find("Kick/a").unwrap();
    let handle = bench.core().opendir(folder).unwrap().0;
    let plain: Vec<_> = bench.list(handle, 0, 100).0;
    let mut with = Vec::new();
    let done = bench.core().readdirplus(handle, 0, &mut |attr, _, name| {
        with.push((name.to_vec(), attr.ino));
        assert_eq!(attr.kind == Kind::Folder, name.starts_with(b"."));
        false
    });
    done.unwrap();
    assert_eq!(plain, with);
    assert_eq!(plain.len(), 4);
    for offset in [4, 5, 1000, i64::MAX as u64, u64::MAX - 1, u64::MAX] {
        assert_eq!(bench.list(handle, offset, 100).0, [], "{offset}");
    }
    // A file's handle is no folder's, and the other way round.
    let file = bench.open(bench.find("Kick/a/one.wav").unwrap(), READ).unwrap().handle;
    assert_eq!(errno(bench.core().readdir(file, 0, &mut |_, _, _, _| true)), libc::EBADF);
    assert_eq!(errno(bench.core().read(0, handle, 0, 1)), libc::EISDIR);
    assert_eq!(errno(bench.write(handle, 0, b"x")), libc::EISDIR);
}

#[test]
fn a_control_file_holds_a_mebibyte_and_no_more() {
    let bench = heard();
    let before = bench.view().epoch;
    let handle = bench.open(bench.control("rules.yml"), TRUNCATE).unwrap().handle;
    assert_eq!(errno(bench.write(handle, (1 << 20) - 1, b"xx")), libc::EFBIG);
    assert_eq!(errno(bench.write(handle, u64::MAX, b"xx")), libc::EFBIG);
    let rules = bench.control("rules.yml");
    assert_eq!(errno(bench.core().setattr(rules, Some(handle), Some((1 << 20) + 1), None)), libc::EFBIG);
    assert_eq!(errno(bench.core().setattr(rules, None, Some(5), None)), libc::EINVAL);
    bench.core().setattr(rules, None, Some(0), None).unwrap();
    bench.flush(handle).unwrap();
    bench.core().release(handle);
    assert_eq!(bench.view().epoch, before, "nothing was saved");
    let (_, scratch) = bench.core().create(control_ino(), b".big", 0o600, TRUNCATE).unwrap();
    assert_eq!(errno(bench.write(scratch.handle, 1 << 20, b"x")), libc::EFBIG);
    assert_eq!(bench.write(scratch.handle, (1 << 20) - 1, b"x").unwrap(), 1);
}

#[test]
fn editors_find_room_beside_the_control_files_but_not_without_end() {
    let bench = heard();
    let mut made = 0;
    let full = loop {
        match bench.core().create(control_ino(), format!("4913.{made}").as_bytes(), 0o600, TRUNCATE) {
            Ok((_, opened)) => bench.core().release(opened.handle),
            Err(error) => break error,
        }
        made += 1;
    };
    assert_eq!((full.errno(), made), (libc::ENOSPC, 64));
    bench.core().unlink(control_ino(), b"4913.0").unwrap();
    bench.core().create(control_ino(), b"4913.0", 0o600, TRUNCATE).unwrap();
    assert_eq!(errno(bench.core().create(control_ino(), &[b'n'; 256], 0o600, TRUNCATE)), libc::ENAMETOOLONG);
    assert_eq!(errno(bench.core().create(control_ino(), b"status.json", 0o600, TRUNCATE)), libc::EROFS);
    assert_eq!(errno(bench.core().unlink(control_ino(), b"status.json")), libc::EROFS);
    assert_eq!(errno(bench.core().unlink(control_ino(), b"nothing")), libc::ENOENT);
}

#[test]
fn renames_in_control_do_what_saving_programs_want_and_nothing_else() {
    let bench = heard();
    let make = |name: &[u8], text: &[u8]| {
        let (_, opened) = bench.core().create(control_ino(), name, 0o600, TRUNCATE).unwrap();
        bench.write_pieces(opened.handle, text, 4096).unwrap();
        bench.core().release(opened.handle);
    };
    make(b"a", b"layout: flat\n");
    make(b"b", b"layout: by-pack\n");
    let between = |from: &[u8], to: &[u8], no_replace| {
        errno(bench.rename_between((control_ino(), from), (control_ino(), to), no_replace))
    };
    assert_eq!(between(b"a", b"b", true), libc::EEXIST);
    assert_eq!(between(b"a", b"rules.yml", true), libc::EEXIST);
    assert_eq!(between(b"a", b"status.json", false), libc::EROFS);
    assert_eq!(between(b"status.json", b"c", false), libc::EROFS);
    assert_eq!(between(b"nothing", b"c", false), libc::ENOENT);
    assert_eq!(between(b"a", &[b'n'; 256], false), libc::ENAMETOOLONG);
    // A backup first, then the new version over it: as vim does with backupcopy=no.
    assert_eq!(between(b"rules.yml", b"rules.yml~", false), 0);
    assert!(matches!(bench.core().lookup(control_ino(), b"rules.yml").unwrap(), Found::Nothing));
    assert!(bench.find("Kick/a/one.wav").is_some(), "the rules stay in force");
    assert_eq!(between(b"a", b"rules.yml", false), 0);
    assert!(bench.find("Kick/one.wav").is_some());
    let backup = bench.read_all(bench.control("rules.yml~"), 100).unwrap();
    assert_eq!(backup, b"layout: preserve\nnames: ignore\n");
}

/// What a program has open goes on, whatever the rules do.
#[test]
fn an_open_file_reads_on_after_its_sample_has_moved_and_a_listing_lists_on() {
    let bench = heard();
    let sample = bench.find("Kick/a/one.wav").unwrap();
    let file = bench.open(sample, READ).unwrap().handle;
    let folder = bench.core().opendir(bench.find("Kick/a").unwrap()).unwrap().0;
    let (first, at) = bench.list(folder, 0, 3);
    bench.save("routes:\n  - {path: \"a/**\", hide: true}\n").unwrap();
    let kept = bench.find("Kick/a/one.wav").unwrap();
    assert_ne!(kept, sample, "two names with one number are links, and a move from one to the other does nothing");
    assert_eq!(bench.read_all(kept, 1000).unwrap(), vec![0; 500]);
    let (found, own) = (bench.core().getattr(kept).unwrap(), bench.core().getattr(sample).unwrap());
    assert_eq!((found.size, found.mtime, found.ino), (own.size, own.mtime, kept));
    let (empty, _) = bench.core().opendir(bench.find("Kick/a").unwrap()).unwrap();
    assert_eq!(bench.list(empty, 0, 100).0.len(), 2, "nothing but . and ..");
    assert!(bench.find("Kick/a/two.wav").is_none(), "nobody has opened it");
    assert_eq!(bench.core().read(0, file, 0, 1000).unwrap(), vec![0; 500]);
    assert_eq!(bench.list(folder, at, 100).0.len() + first.len(), 4);
    assert_eq!(bench.core().getattr(sample).unwrap().ino, sample, "its number is still its own");
    assert!(bench.view().resolve(b"Kick/a").is_none());
}

#[test]
fn an_appending_handle_reads_what_is_there_and_rules_can_be_edited_in_place() {
    let bench = heard();
    let how = OpenHow { write: true, ..OpenHow::default() };
    let handle = bench.open(bench.control("rules.yml"), how).unwrap().handle;
    assert_eq!(bench.core().read(0, handle, 0, 100).unwrap(), b"layout: preserve\nnames: ignore\n");
    bench.write(handle, 17, b"names: trust \n").unwrap();
    assert_eq!(bench.core().read(0, handle, 0, 100).unwrap(), b"layout: preserve\nnames: trust \n");
    let rules = bench.control("rules.yml");
    bench.core().setattr(rules, Some(handle), Some(17), None).unwrap();
    bench.flush(handle).unwrap();
    assert_eq!(bench.read_all(rules, 100).unwrap(), b"layout: preserve\n");
    assert!(matches!(bench.view().resolve(b"Kick/a/one.wav"), Some(Node::Sample(_))));
}

/// The same for a program that keeps its own place in the file, as one that does not append does.
#[test]
fn after_a_refused_override_a_program_that_keeps_its_place_can_go_on_too() {
    let bench = heard();
    let handle = bench.open(bench.control("overrides.jsonl"), TRUNCATE).unwrap().handle;
    bench.write(handle, 0, b"{\"path\": \"a/one.wav\", ").unwrap();
    assert_eq!(errno(bench.write(handle, 22, b"nonsense}\n")), libc::EINVAL);
    let good = b"{\"path\": \"a/one.wav\", \"label\": \"Snare\"}\n";
    assert_eq!(errno(bench.write(handle, 3, good)), libc::EINVAL, "not in the middle");
    bench.write(handle, 22, good).unwrap();
    bench.write(handle, 22 + good.len() as u64, b"{\"path\": \"a/two.wav\", \"label\": \"Tom\"}").unwrap();
    bench.flush(handle).unwrap();
    assert!(bench.find("Snare/a/one.wav").is_some() && bench.find("Tom/a/two.wav").is_some());
}
