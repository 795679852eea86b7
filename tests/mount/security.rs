//! Who reads the mount, what can be done with what is in it, and that nothing in an archive or a file leads out of it.
//! docs/security.md says what is promised.

use std::ffi::CString;
use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::mount::{DRUMFS, Mount, new_dir, put};
use crate::common::sounds::wav;
use crate::common::tools::{c_path, installed, said};
use crate::users::{Users, is_root};

/// All in one folder of the view, so that a path in it is the path in the archive.
const ALL: &str = "routes: [{path: \"**\", to: All}]\n";

#[track_caller]
fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Whether several users can be made: else the test is passed over with a note, and fails in CI.
pub fn users_can_be_made() -> bool {
    if !is_root() {
        assert!(std::env::var_os("CI").is_none(), "several users need root");
        eprintln!("passed over: several users need root");
    }
    installed(&["fusermount3", "unshare", "useradd", "nsenter", "setpriv"]) && is_root()
}

/// A folder that everybody may enter, with an archive of these paths in it.
fn archive(paths: &[&str]) -> tempfile::TempDir {
    let dir = new_dir();
    mode(dir.path(), 0o755);
    for (seed, path) in paths.iter().enumerate() {
        put(&dir.path().join("archive").join(path), &wav(seed as u64));
    }
    dir
}

/// Puts the program where everybody can run it.
fn program_in(folder: &Path) -> std::path::PathBuf {
    let program = folder.join("drumfs");
    fs::copy(DRUMFS, &program).unwrap();
    mode(&program, 0o755);
    program
}

#[track_caller]
fn denied(done: &Output, what: &str) {
    assert!(!done.status.success() && said(done).contains("Permission denied"), "{what}: {}", said(done));
}

/// Mount options and type of a mount, from /proc/self/mountinfo as `text` has it.
#[track_caller]
fn mount_options(mountinfo: &str, at: &Path) -> (Vec<String>, Vec<String>) {
    let line = mountinfo
        .lines()
        .find(|line| line.split(' ').nth(4) == at.to_str())
        .unwrap_or_else(|| panic!("{} is not mounted:\n{mountinfo}", at.display()));
    let split = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    (split(line.split(' ').nth(5).unwrap()), split(line.split(' ').next_back().unwrap()))
}

#[track_caller]
fn is_confined(mountinfo: &str, at: &Path) {
    let (options, _) = mount_options(mountinfo, at);
    for option in ["nosuid", "nodev", "noexec"] {
        assert!(options.iter().any(|o| o == option), "{option} is missing: {options:?}");
    }
}

#[test]
fn a_mount_by_the_process_itself_is_nosuid_nodev_noexec_with_and_without_others() {
    let mut mount = Mount::of(&["a/kick.wav"]);
    let of = |mount: &Mount| {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        is_confined(&table, &mount.at);
        mount_options(&table, &mount.at).1
    };
    let usual = of(&mount);
    assert!(!usual.iter().any(|option| option == "allow_other"), "{usual:?}");
    // What is in it can't be run, whatever its bytes are.
    let path = mount.path("misc");
    let run = std::process::Command::new(path.join("a/kick.wav")).output();
    assert!(run.is_err());
    if !is_root() {
        return;
    }
    assert!(mount.end().success());
    mount.options = vec!["--allow-other".to_owned()];
    mount.mount_again();
    let others = of(&mount);
    for option in ["allow_other", "default_permissions"] {
        assert!(others.iter().any(|o| o == option), "{others:?}");
    }
}

#[test]
fn a_mount_through_fusermount3_is_nosuid_nodev_noexec_and_its_users_alone() {
    if !users_can_be_made() {
        return;
    }
    let dir = archive(&["a/kick.wav"]);
    let base = dir.path().canonicalize().unwrap();
    let program = program_in(&base);
    let users = Users::new(&base, 2);
    let (archive, at, store) = (base.join("archive"), base.join("view"), base.join("store"));
    let args: [&Path; 4] = [&program, &archive, &at, &store];
    let mounted =
        users.shell(0, r#""$1" mount "$2" "$3" --store "$4" --background && cat /proc/self/mountinfo"#, &args);
    assert!(mounted.status.success(), "{}", said(&mounted));
    is_confined(&String::from_utf8_lossy(&mounted.stdout), &at);

    let seen = users.shell(0, r#"cd "$1" && ls && cat "$(find . -name kick.wav | head -1)" | wc -c"#, &[&at]);
    assert!(seen.status.success() && said(&seen).contains("_control"), "{}", said(&seen));
    for text in [
        r#"ls "$1""#,
        r#"stat "$1/_control""#,
        r#"cat "$1/_control/rules.yml""#,
        r#"cat "$1/_stats.json""#,
        r#"echo x >> "$1/_control/overrides.jsonl""#,
    ] {
        denied(&users.shell(1, text, &[&at]), text);
    }
    // Root is another user, too.
    let namespace = users.namespace().unwrap().to_string();
    let mut root = std::process::Command::new("nsenter");
    denied(&root.args(["--mount", "--target", &namespace, "ls"]).arg(&at).output().unwrap(), "root");
    assert!(users.shell(0, r#"fusermount3 -u "$1""#, &[&at]).status.success());
}

/// Gives a file a POSIX ACL (linux/posix_acl_xattr.h, version 2): the owner reads and writes, one user has `theirs`, the
/// group nothing, the mask and everybody else read. Whether the file system takes it.
fn set_acl(path: &Path, uid: u32, theirs: u16) -> bool {
    const NONE: u32 = u32::MAX;
    let entries = [(0x01, 6, NONE), (0x02, theirs, uid), (0x04, 0, NONE), (0x10, 4, NONE), (0x20, 4, NONE)];
    let mut value = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        value.extend(u16::to_le_bytes(tag));
        value.extend(rights.to_le_bytes());
        value.extend(u32::to_le_bytes(id));
    }
    let name = CString::new("system.posix_acl_access").unwrap();
    // SAFETY: path and name are NUL-terminated, and the length is that of the value.
    unsafe { libc::setxattr(c_path(path).as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) == 0 }
}

fn id_of(name: &str, flag: &str) -> u32 {
    let id = std::process::Command::new("id").args([flag, name]).output().unwrap();
    said(&id).trim().parse().unwrap()
}

#[test]
fn others_who_are_let_in_see_what_the_originals_give_them_and_nothing_else() {
    if !users_can_be_made() {
        return;
    }
    let dir = archive(&[
        "open/kick.wav",
        "open/anna.wav",
        "open/group.wav",
        "open/acl.wav",
        "closed/inner/hat.wav",
        "searched/tom.wav",
        "annas/ride.wav",
    ]);
    let home = new_dir();
    mode(home.path(), 0o755);
    let users = Users::visitors(home.path(), 2);
    let (anna, bert) = (0, 1);
    let (anna_id, bert_id) = (id_of(users.name(anna), "-u"), id_of(users.name(bert), "-u"));
    let anna_group = id_of(users.name(anna), "-g");
    let archive = dir.path().join("archive");
    let original = |path: &str| archive.join(path);
    chown(original("open/anna.wav"), Some(anna_id), None).unwrap();
    mode(&original("open/anna.wav"), 0o600);
    chown(original("open/group.wav"), None, Some(anna_group)).unwrap();
    mode(&original("open/group.wav"), 0o640);
    let has_acl = set_acl(&original("open/acl.wav"), bert_id, 0);
    mode(&original("closed"), 0o700);
    mode(&original("searched"), 0o711);
    chown(original("annas"), Some(anna_id), Some(anna_group)).unwrap();
    mode(&original("annas"), 0o750);
    let bytes = |path: &str| fs::read(original(path)).unwrap();
    let (kick, hat) = (bytes("open/kick.wav"), bytes("closed/inner/hat.wav"));

    let mount = Mount::start_with(dir, &["--allow-other"]);
    mount.save_rules(ALL).unwrap();
    // In the kernel's memory before anybody else asks.
    for path in crate::common::snapshot::files_below(&mount.at) {
        drop(fs::read(path).unwrap());
    }
    let shown = |path: &str| mount.path("All").join(path);
    let reads = |user, groups: &[&str], path: &Path| users.command(user, groups, "cat").arg(path).output().unwrap();
    #[track_caller]
    fn gets(done: &Output, bytes: &[u8]) {
        assert!(done.status.success() && done.stdout == bytes, "{}", String::from_utf8_lossy(&done.stderr));
    }
    let bert_in_annas_group = [users.name(anna)];
    let (anna_wav, group_wav) = (bytes("open/anna.wav"), bytes("open/group.wav"));

    for user in [anna, bert] {
        gets(&reads(user, &[], &shown("open/kick.wav")), &kick);
        denied(&reads(user, &[], &shown("closed/inner/hat.wav")), "a folder above is closed");
    }
    gets(&reads(anna, &[], &shown("open/anna.wav")), &anna_wav);
    denied(&reads(bert, &[], &shown("open/anna.wav")), "the owner's alone");
    gets(&reads(anna, &[], &shown("open/group.wav")), &group_wav);
    gets(&reads(bert, &bert_in_annas_group, &shown("open/group.wav")), &group_wav);
    denied(&reads(bert, &[], &shown("open/group.wav")), "the group's alone");
    gets(&reads(anna, &[], &shown("annas/ride.wav")), &bytes("annas/ride.wav"));
    gets(&reads(bert, &bert_in_annas_group, &shown("annas/ride.wav")), &bytes("annas/ride.wav"));
    denied(&reads(bert, &[], &shown("annas/ride.wav")), "a folder of a group");
    if has_acl {
        denied(&reads(bert, &[], &shown("open/acl.wav")), "an ACL keeps this user out");
    }
    // The kernel is told owner and mode of the original, without the right to write.
    let told = |path: &str| {
        let meta = fs::symlink_metadata(shown(path)).unwrap();
        (meta.uid(), meta.gid(), meta.mode() & 0o7777)
    };
    assert_eq!(told("open/kick.wav"), (0, 0, 0o444));
    assert_eq!(told("open/anna.wav"), (anna_id, 0, 0o400));
    assert_eq!(told("open/group.wav"), (0, anna_group, 0o440));
    assert_eq!(told("closed/inner/hat.wav").2, 0o400);
    assert_eq!(told("annas/ride.wav").2 & 0o007, 0);
    assert_eq!(told("searched/tom.wav").2, 0o444);
    if has_acl {
        assert_eq!(told("open/acl.wav").2, 0o400);
    }

    // Names: what they could not list is not listed, and what they could not reach is not found.
    let lists = |user, path: &Path| said(&users.shell(user, r#"ls -l "$1"; ls -f "$1""#, &[path]));
    let all = lists(bert, &mount.path("All"));
    assert!(all.contains("open") && !all.contains("closed") && !all.contains("searched"), "{all}");
    assert!(!all.contains("annas") && lists(anna, &mount.path("All")).contains("annas"), "{all}");
    let found = users.shell(bert, r#"stat "$1""#, &[&shown("closed/inner/hat.wav")]);
    denied(&found, "what is in a closed folder can't be looked at");
    gets(&reads(bert, &[], &shown("searched/tom.wav")), &bytes("searched/tom.wav"));
    let by_id = |path: &str| {
        let records = mount.index();
        let record = records.iter().find(|record| record["relative_path"] == path).unwrap();
        mount.path("_by-id").join(format!("{}.wav", record["hash"].as_str().unwrap()))
    };
    gets(&reads(bert, &[], &by_id("open/kick.wav")), &kick);
    denied(&reads(bert, &[], &by_id("open/anna.wav")), "by its content");
    denied(&reads(bert, &[], &by_id("closed/inner/hat.wav")), "by its content");
    let names = lists(bert, &mount.path("_by-id"));
    assert!(names.contains(by_id("open/kick.wav").file_name().unwrap().to_str().unwrap()), "{names}");
    assert!(!names.contains(by_id("closed/inner/hat.wav").file_name().unwrap().to_str().unwrap()), "{names}");
    assert_eq!(fs::read(shown("closed/inner/hat.wav")).unwrap(), hat, "who mounted reads everything");

    // What drumfs makes is for who mounted.
    assert!(mount.save_rules("layoutt: flat\n").is_err());
    for text in [
        r#"ls "$1/_control""#,
        r#"cat "$1/_control/index.jsonl""#,
        r#"cat "$1/_control/rules.yml""#,
        r#"cat "$1/_control/status.json""#,
        r#"echo x > "$1/_control/rescan""#,
        r#"echo x > "$1/_control/new""#,
        r#"ls "$1/_manifests""#,
        r#"cat "$1/_manifests/All.txt""#,
        r#"cat "$1/_stats.json""#,
        r#"cat "$1/_rebuild_summary.json""#,
        r#"cat "$1/_errors.txt""#,
        r#"cat "$1/RULES-ERROR.txt""#,
        r#"echo x > "$1/All/new""#,
        r#"mkdir "$1/All/new""#,
        r#"echo x > "$1/All/open/kick.wav""#,
    ] {
        denied(&users.shell(bert, text, &[&mount.at]), text);
    }
    // Owning the original gives no right to change what is shown.
    for text in [r#"chmod 644 "$1""#, r#"touch "$1""#, r#"echo x >> "$1""#, r#"rm -f "$1""#] {
        assert!(!users.shell(anna, text, &[&shown("open/anna.wav")]).status.success(), "{text}");
    }
    assert_eq!(fs::metadata(mount.archive.join("open/anna.wav")).unwrap().mode() & 0o777, 0o600);

    // A change of rights counts at once, also for what the kernel remembers; what is open stays open.
    let mut held = users.command(bert, &[], "bash");
    held.args(["-c", r#"exec 3< "$1"; echo open; read; cat <&3"#, "bash"]).arg(shown("open/kick.wav"));
    let mut held = held.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut out = held.stdout.take().unwrap();
    let mut word = [0; 5];
    out.read_exact(&mut word).unwrap();
    let file = mount.archive.join("open/kick.wav");
    mode(&file, 0o600);
    denied(&reads(bert, &[], &shown("open/kick.wav")), "after chmod of the file");
    mode(&file, 0o604);
    gets(&reads(bert, &[], &shown("open/kick.wav")), &kick);
    mode(file.parent().unwrap(), 0o700);
    denied(&reads(bert, &[], &shown("open/kick.wav")), "after chmod of the folder");
    mode(&mount.archive, 0o700);
    mode(file.parent().unwrap(), 0o755);
    denied(&reads(bert, &[], &shown("open/kick.wav")), "after chmod of the archive");
    mode(&mount.archive, 0o755);
    gets(&reads(bert, &[], &shown("open/kick.wav")), &kick);
    mode(&mount.archive, 0o711);
    let none = lists(bert, &mount.path("All"));
    assert!(!none.contains("open"), "an archive that can't be listed: {none}");
    mode(&mount.archive, 0o755);
    drop(held.stdin.take());
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).unwrap();
    held.wait().unwrap();
    assert_eq!(rest, kick);

    // By paths that were opened and are not shown any longer, everybody gets what they got.
    mount.save_rules("routes: [{path: \"**\", to: Else}]\n").unwrap();
    assert!(!mount.names("").contains(&"All".to_owned()));
    gets(&reads(bert, &[], &shown("open/kick.wav")), &kick);
    denied(&reads(bert, &[], &shown("open/anna.wav")), "the owner's alone");
    gets(&reads(anna, &[], &shown("open/anna.wav")), &anna_wav);
    denied(&reads(bert, &[], &shown("closed/inner/hat.wav")), "a folder above is closed");
    for text in [r#"mkdir "$1/new""#, r#"echo x > "$1/new""#, r#"rm -f "$1/open/kick.wav""#] {
        denied(&users.shell(bert, text, &[&mount.path("All")]), text);
    }
}

#[test]
fn an_ordinary_user_lets_others_in_only_where_fuse_conf_says_so() {
    if !users_can_be_made() || !Path::new("/etc/fuse.conf").exists() {
        return;
    }
    for (conf, allowed) in [("# user_allow_other", false), ("user_allow_other", true)] {
        let dir = archive(&["open/kick.wav", "open/secret.wav", "closed/hat.wav", "roots/tom.wav"]);
        let base = dir.path().canonicalize().unwrap();
        let program = program_in(&base);
        let users = Users::with_fuse_conf(&base, 2, conf);
        mode(&base.join("archive/open/secret.wav"), 0o600);
        mode(&base.join("archive/closed"), 0o700);
        // Root's file in a folder of the user's: nobody's but by going through that folder.
        chown(base.join("archive/roots/tom.wav"), Some(0), Some(0)).unwrap();
        mode(&base.join("archive/roots"), 0o700);
        let (archive, at, store) = (base.join("archive"), base.join("view"), base.join("store"));
        let args: [&Path; 4] = [&program, &archive, &at, &store];
        let text = r#""$1" mount "$2" "$3" --store "$4" --allow-other --background && cat /proc/self/mountinfo"#;
        let mounted = users.shell(0, text, &args);
        if !allowed {
            assert!(!mounted.status.success());
            assert!(said(&mounted).contains("user_allow_other` to it"), "{}", said(&mounted));
            continue;
        }
        assert!(mounted.status.success(), "{}", said(&mounted));
        let table = String::from_utf8_lossy(&mounted.stdout).into_owned();
        is_confined(&table, &at);
        let (_, options) = mount_options(&table, &at);
        assert!(options.iter().any(|option| option == "default_permissions"), "{options:?}");
        let ready = r#"until grep -q '"state": "idle"' "$1/_control/status.json"; do sleep 0.05; done
            printf 'routes: [{path: "**", to: All}]\n' > "$1/_control/rules.yml""#;
        assert!(users.shell(0, ready, &[&at]).status.success());
        for path in ["open/kick.wav", "open/secret.wav", "closed/hat.wav", "roots/tom.wav"] {
            let (shown, original) = (at.join("All").join(path), archive.join(path));
            let same = users.shell(0, r#"cmp "$1" "$2""#, &[&shown, &original]);
            assert!(same.status.success(), "{path}: {}", said(&same));
            let other = users.shell(1, r#"cmp "$1" "$2""#, &[&shown, &original]);
            if path == "open/kick.wav" {
                assert!(other.status.success(), "{}", said(&other));
            } else {
                denied(&other, path);
                denied(&users.shell(1, r#"cat "$1""#, &[&shown]), path);
            }
        }
        for control in ["_control/rules.yml", "_control/index.jsonl", "_manifests/All.txt", "_stats.json"] {
            denied(&users.shell(1, r#"cat "$1""#, &[&at.join(control)]), control);
        }
        assert!(users.shell(0, r#"fusermount3 -u "$1""#, &[&at]).status.success());
    }
}

#[test]
fn a_folder_that_keeps_others_out_of_the_whole_archive_is_named() {
    if !is_root() {
        return;
    }
    let dir = archive(&["a/kick.wav"]);
    mode(dir.path(), 0o700);
    let closed = dir.path().canonicalize().unwrap();
    let mount = Mount::start_with(dir, &["--allow-other"]);
    let said = mount.log_text();
    assert!(said.contains(&format!("not everybody may enter {}", closed.display())), "{said}");
}

/// Everything under a folder that others have any right to.
fn open_to_others(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut open = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let mut all = crate::common::snapshot::paths_in(&folder);
        all.push(folder.clone());
        for path in all {
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.mode() & 0o077 != 0 {
                open.push(path.clone());
            }
            if meta.is_dir() && path != folder {
                folders.push(path);
            }
        }
    }
    open
}

#[test]
fn the_store_is_its_users_alone_whatever_the_umask_and_whatever_it_was_before() {
    let dir = archive(&["a/kick.wav", "a/snare.wav"]);
    let base = dir.path().canonicalize().unwrap();
    let (archive, store) = (base.join("archive"), base.join("state/store"));
    let index = || {
        let text = r#"umask 000; exec "$1" index "$2" --store "$3""#;
        let done = crate::common::tools::shell("bash", text, &[Path::new(DRUMFS), &archive, &store]);
        assert!(done.status.success(), "{}", said(&done));
        said(&done)
    };
    assert!(!index().contains("yours alone"));
    assert!(store.join("journal.jsonl").exists() && store.join("db").exists());
    assert_eq!(open_to_others(&store), Vec::<std::path::PathBuf>::new());
    // As an older program, or a copy, may have left it; what is not drumfs's stays as it is.
    let notes = store.join("notes.txt");
    fs::write(&notes, "mine").unwrap();
    for path in [&store, &store.join("db"), &store.join("journal.jsonl"), &store.join("db/db"), &notes] {
        mode(path, 0o777);
    }
    assert!(index().contains("yours alone now"));
    assert_eq!(open_to_others(&store), [notes]);
}

#[test]
fn rules_and_overrides_reach_nothing_outside_the_view() {
    let mount = Mount::of(&["a/kick.wav", "a/..kick.wav", "a/.../tom.wav", "a/..%2f..%2fetc.wav", "a/..\\..\\x.wav"]);
    let before = crate::common::snapshot::snapshot(&mount.archive);
    for to in [
        "../x",
        "..",
        "/etc",
        "a/../../x",
        "a/..",
        ".",
        "./x",
        "a//b",
        "_control",
        "_by-id/x",
        "_control/rules.yml",
        "a/\\0",
    ] {
        let saved = mount.save_rules(&format!("routes: [{{path: \"**\", to: \"{to}\"}}]\n"));
        assert_eq!(saved.unwrap_err().raw_os_error(), Some(libc::EINVAL), "{to}");
        let saved = mount.save_rules(&format!("misc: {{label: \"{to}\"}}\n"));
        assert_eq!(saved.unwrap_err().raw_os_error(), Some(libc::EINVAL), "{to}");
    }
    for line in [
        r#"{"path": "../../../../etc/passwd", "label": "Kick"}"#,
        r#"{"path": "/etc/passwd", "label": "Kick"}"#,
        r#"{"path": "a/../../secret", "label": "Kick"}"#,
        r#"{"path": "a/kick.wav", "label": "../Kick"}"#,
        r#"{"path": "a/kick.wav", "label": "/etc"}"#,
        r#"{"hash": "../../../etc/passwd", "label": "Kick"}"#,
    ] {
        assert_eq!(mount.append_override(line).unwrap_err().raw_os_error(), Some(libc::EINVAL), "{line}");
    }
    // Names that look like ways out are names. Those that begin with a dot are passed over like all such.
    mount.save_rules(ALL).unwrap();
    for name in ["a/kick.wav", "a/..%2f..%2fetc.wav", "a/..\\..\\x.wav"] {
        let shown = fs::read(mount.path("All").join(name));
        assert_eq!(shown.is_ok(), !name.contains("/.."), "{name}");
    }
    assert_eq!(crate::common::snapshot::snapshot(&mount.archive), before);
    assert_eq!(mount.index().len(), 1);
}

#[test]
fn a_folder_that_is_swapped_for_a_link_again_and_again_gives_nothing_of_what_the_link_leads_to() {
    let dir = archive(&["pack/kick.wav", "pack/tom.wav", "other/ride.wav"]);
    let base = dir.path().canonicalize().unwrap();
    // Outside: other bytes under a name that is in the archive, too, and a name that is not.
    let secret = crate::common::sounds::wav_of(77, 0.31);
    put(&base.join("outside/kick.wav"), &secret);
    put(&base.join("outside/secret.wav"), &secret);
    let (pack, link) = (base.join("archive/pack"), base.join("archive/link"));
    std::os::unix::fs::symlink(base.join("outside"), &link).unwrap();
    let kick = fs::read(pack.join("kick.wav")).unwrap();
    let mount = Mount::start_with(dir, &["--threads", "2"]);
    mount.save_rules(ALL).unwrap();
    let shown = mount.path("All/pack/kick.wav");
    let done = AtomicBool::new(false);
    // What is read is the archive's, and where it is not there just now, there is nothing.
    let read = &|| {
        let (mut read, mut failed) = (0u32, 0);
        while read < 200 && failed < 20_000 {
            let bytes = fs::read(&shown).or_else(|_| fs::read(mount.path("All/link/kick.wav")));
            match bytes {
                Ok(bytes) => {
                    assert!(bytes == kick, "{} bytes that are not the archive's", bytes.len());
                    read += 1;
                }
                Err(_) => failed += 1,
            }
        }
        read
    };
    /// Ends the swapping also where something fails.
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    std::thread::scope(|scope| {
        let end = Done(&done);
        let swaps = scope.spawn(|| {
            let mut swaps = 0u32;
            while !done.load(Ordering::Relaxed) || !swaps.is_multiple_of(2) {
                assert_eq!(crate::common::sys::exchange(&pack, &link), 0);
                swaps += 1;
            }
        });
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(read)).collect();
        let had: u32 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        // And passes, with somebody reading beside them.
        scope.spawn(read);
        for _ in 0..6 {
            mount.rescan();
            for record in mount.index() {
                let path = record["relative_path"].as_str().unwrap();
                assert!(!path.contains("secret"), "{path} was found behind the link");
                assert_ne!(record["size"], secret.len(), "{path} is of behind the link");
            }
        }
        drop(end);
        swaps.join().unwrap();
        assert!(had > 0, "nothing was read");
    });
    assert_eq!(fs::read(pack.join("kick.wav")).unwrap(), kick);
}
