//! overrides.jsonl: a person's word on a sample. An appended line is in force, and kept, when the write returns.

use std::fs;
use std::path::PathBuf;

use crate::common::mount::{Mount, new_dir, put};
use crate::common::sounds::wav;
use crate::common::tools::{installed, said, shell};

const ALL: &str = "layout: flat\ntarget_labels: all\n";

fn mount() -> Mount {
    let mount = Mount::of(&["pack/one.wav", "pack/two.wav", "pack/three.wav"]);
    mount.save_rules(ALL).unwrap();
    mount
}

/// The folders in which a name is shown.
fn folders_of(mount: &Mount, name: &str) -> Vec<String> {
    let all = mount.names("").into_iter().filter(|folder| !folder.starts_with('_'));
    all.filter(|folder| mount.path(folder).join(name).exists()).collect()
}

fn hash_of(mount: &Mount, path: &str) -> String {
    let record = mount.index().into_iter().find(|record| record["relative_path"] == path).unwrap();
    record["hash"].as_str().unwrap().to_owned()
}

fn reason_of(mount: &Mount, path: &str) -> String {
    let record = mount.index().into_iter().find(|record| record["relative_path"] == path).unwrap();
    record["assigned_reason"].as_str().unwrap().to_owned()
}

fn lines(mount: &Mount) -> Vec<String> {
    fs::read_to_string(mount.overrides()).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_line_by_path_or_by_hash_moves_the_sample_and_beats_the_model() {
    let mount = mount();
    let heard = folders_of(&mount, "one.wav");
    assert_eq!(heard.len(), 1);
    assert_ne!(heard, ["Cuica"]);
    mount.append_override("{\"path\": \"pack/one.wav\", \"label\": \"Cuica\"}").unwrap();
    assert_eq!(folders_of(&mount, "one.wav"), ["Cuica"]);
    assert_eq!(reason_of(&mount, "pack/one.wav"), "override");
    assert_eq!(mount.status()["overrides"], 1);
    let hash = hash_of(&mount, "pack/two.wav");
    mount.append_override(&format!("{{\"hash\": \"{hash}\", \"label\": \"vibraslap\", \"note\": \"sure\"}}")).unwrap();
    assert_eq!(folders_of(&mount, "two.wav"), ["Vibraslap"]);
    assert_eq!(lines(&mount).len(), 2);
    assert!(lines(&mount).iter().any(|line| line.contains(&hash) && line.contains("sure")));
    // A later word on the same sample is the one that counts.
    mount.append_override(&format!("{{\"hash\": \"{hash}\", \"label\": \"Clap\"}}")).unwrap();
    assert_eq!(folders_of(&mount, "two.wav"), ["Clap"]);
    assert_eq!(lines(&mount).len(), 2);
}

#[test]
fn null_takes_a_word_back() {
    let mount = mount();
    let heard = folders_of(&mount, "one.wav");
    mount.append_override("{\"path\": \"pack/one.wav\", \"label\": \"Cuica\"}").unwrap();
    mount.append_override("{\"path\": \"pack/one.wav\", \"label\": null}").unwrap();
    assert_eq!(folders_of(&mount, "one.wav"), heard);
    assert_eq!(lines(&mount).len(), 0);
}

#[test]
fn shells_and_python_append() {
    if !installed(&["dash", "python3"]) {
        return;
    }
    let mount = mount();
    for (sh, label) in [("bash", "Cuica"), ("dash", "Clap")] {
        let text = format!("echo '{{\"path\": \"pack/one.wav\", \"label\": \"{label}\"}}' >> \"$1\"");
        let done = shell(sh, &text, &[&mount.overrides()]);
        assert!(done.status.success(), "{}", said(&done));
        assert_eq!(folders_of(&mount, "one.wav"), [label]);
        let done =
            shell(sh, "echo '{\"path\": \"pack/one.wav\", \"label\": \"Kik\"}' >> \"$1\"", &[&mount.overrides()]);
        assert!(!done.status.success(), "{sh} hears of the refusal");
        assert_eq!(folders_of(&mount, "one.wav"), [label]);
    }
    let program = "python3 - \"$1\" <<'END'\nimport json, sys\nwith open(sys.argv[1], 'a') as f:\n  for name in ('one', 'two', 'three'):\n    print(json.dumps(dict(path=f'pack/{name}.wav', label='Guiro')), file=f)\nEND\n";
    let done = shell("bash", program, &[&mount.overrides()]);
    assert!(done.status.success(), "{}", said(&done));
    for name in ["one.wav", "two.wav", "three.wav"] {
        assert_eq!(folders_of(&mount, name), ["Guiro"]);
    }
    // The last line without its newline counts when the file is closed.
    let text = "printf '{\"path\": \"pack/two.wav\", \"label\": \"Metal\"}' >> \"$1\"";
    assert!(shell("bash", text, &[&mount.overrides()]).status.success());
    assert_eq!(folders_of(&mount, "two.wav"), ["Metal"]);
}

#[test]
fn bad_lines_are_refused_and_what_was_said_before_stays() {
    let mount = mount();
    mount.append_override("{\"path\": \"pack/one.wav\", \"label\": \"Cuica\"}").unwrap();
    let before = lines(&mount);
    for bad in [
        "not json",
        "{\"path\": \"pack/two.wav\"}",
        "{\"label\": \"Kick\"}",
        "{\"path\": \"pack/no-such.wav\", \"label\": \"Kick\"}",
        "{\"path\": \"pack/two.wav\", \"label\": \"Kik\"}",
        "{\"hash\": \"xyz\", \"label\": \"Kick\"}",
        "{\"path\": \"pack/two.wav\", \"label\": 3}",
    ] {
        let error = mount.append_override(bad).expect_err(bad);
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{bad}");
        assert_eq!(lines(&mount), before, "{bad}");
        assert!(mount.status()["last_error"].as_str().is_some_and(|why| why.contains("overrides.jsonl")), "{bad}");
    }
    // Of several lines in one write all are taken or none is.
    let two = "{\"path\": \"pack/two.wav\", \"label\": \"Clap\"}\n{\"path\": \"pack/three.wav\", \"label\": \"Clapp\"}";
    mount.append_override(two).unwrap_err();
    assert_eq!(lines(&mount), before);
    mount.append_override("{\"path\": \"pack/two.wav\", \"label\": \"Clap\"}").unwrap();
    assert_eq!(folders_of(&mount, "two.wav"), ["Clap"]);
    assert_eq!(folders_of(&mount, "one.wav"), ["Cuica"]);
}

#[test]
fn a_word_is_kept_when_drumfs_is_killed_right_after_the_write_returned() {
    let mut mount = mount();
    for round in 0..5 {
        let (name, label) = (["one", "two", "three"][round % 3], ["Cuica", "Clap", "Guiro", "Metal", "Vox"][round]);
        mount.append_override(&format!("{{\"path\": \"pack/{name}.wav\", \"label\": \"{label}\"}}")).unwrap();
        mount.kill9();
        mount.mount_again();
        assert_eq!(folders_of(&mount, &format!("{name}.wav")), [label], "round {round}");
    }
    mount.append_override("{\"path\": \"pack/one.wav\", \"label\": null}").unwrap();
    mount.kill9();
    mount.mount_again();
    assert_eq!(lines(&mount).len(), 2);
    assert!(mount.end().success());
    mount.mount_again();
    assert_eq!(lines(&mount).len(), 2);
}

#[test]
fn a_word_beats_routes_and_thresholds_and_a_route_that_hides_beats_it() {
    let mount = mount();
    mount.append_override("{\"path\": \"pack/one.wav\", \"label\": \"Cuica\"}").unwrap();
    mount.save_rules(&format!("{ALL}misc: {{threshold: 1.0}}\nroutes:\n  - {{path: \"**\", to: Routed}}\n")).unwrap();
    assert_eq!(folders_of(&mount, "one.wav"), ["Cuica"]);
    assert_eq!(folders_of(&mount, "two.wav"), ["Routed"]);
    mount.save_rules(&format!("{ALL}routes:\n  - {{name: \"one*\", hide: true}}\n")).unwrap();
    assert!(folders_of(&mount, "one.wav").is_empty());
    assert_eq!(mount.status()["hidden"], 1);
    mount.save_rules(ALL).unwrap();
    assert_eq!(folders_of(&mount, "one.wav"), ["Cuica"]);
}

#[test]
fn a_word_is_on_the_content_and_follows_it_to_another_path() {
    let dir = new_dir();
    put(&dir.path().join("archive/pack/one.wav"), &wav(1));
    put(&dir.path().join("archive/pack/two.wav"), &wav(2));
    put(&dir.path().join("archive/pack/three.wav"), &wav(3));
    let mount = Mount::start(dir);
    mount.save_rules(ALL).unwrap();
    mount.append_override("{\"path\": \"pack/one.wav\", \"label\": \"Cuica\"}").unwrap();
    fs::rename(mount.archive.join("pack/one.wav"), mount.archive.join("renamed.wav")).unwrap();
    fs::copy(mount.archive.join("renamed.wav"), mount.archive.join("copy.wav")).unwrap();
    mount.rescan();
    crate::common::eventually("both are shown", || folders_of(&mount, "copy.wav") == ["Cuica"]);
    assert_eq!(folders_of(&mount, "renamed.wav"), ["Cuica"]);
    let moved: PathBuf = mount.path("Cuica/one.wav");
    assert!(!moved.exists());
}
