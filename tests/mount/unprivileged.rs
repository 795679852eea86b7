//! An ordinary user mounts through fusermount3, browses, saves rules and unmounts. Where the tests run as root a user
//! is made for it and removed afterwards.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::common::mount::{DRUMFS, is_mounted, new_dir, put, unmount};
use crate::common::sounds::wav;
use crate::common::tools::said;

/// A user that is there as long as this value.
struct User {
    name: Option<String>,
}

impl User {
    fn new() -> Self {
        // SAFETY: geteuid has no preconditions.
        if unsafe { libc::geteuid() } != 0 {
            return Self { name: None };
        }
        let name = format!("drumfs-t{}", std::process::id());
        let made = Command::new("useradd").args(["--no-create-home", "--shell", "/bin/sh", &name]).output().unwrap();
        assert!(made.status.success(), "{}", said(&made));
        Self { name: Some(name) }
    }

    /// Gives a folder and what is in it to the user.
    fn own(&self, folder: &Path) {
        if let Some(name) = &self.name {
            let done = Command::new("chown").arg("-R").arg(name).arg(folder).output().unwrap();
            assert!(done.status.success(), "{}", said(&done));
        }
    }

    /// Runs a shell text as the user, with `$1` and so on.
    fn shell(&self, text: &str, home: &Path, args: &[&Path]) -> Output {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", "60"]);
        if let Some(name) = &self.name {
            command.args(["setpriv", "--reuid", name, "--regid", name, "--clear-groups", "--"]);
        }
        command.args(["bash", "-c", text, "bash"]).args(args).env("HOME", home).current_dir("/").stdin(Stdio::null());
        command.env_remove("XDG_DATA_HOME").env_remove("XDG_STATE_HOME").env_remove("XDG_RUNTIME_DIR");
        command.output().unwrap()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            drop(Command::new("userdel").arg(name).output());
        }
    }
}

/// Takes the mount down when the test fails.
struct Lazily<'a>(&'a Path);

impl Drop for Lazily<'_> {
    fn drop(&mut self) {
        while is_mounted(self.0) && unmount(self.0).is_ok() {}
    }
}

#[test]
fn an_ordinary_user_mounts_browses_saves_and_unmounts() {
    let dir = new_dir();
    let base = dir.path().canonicalize().unwrap();
    fs::set_permissions(&base, fs::Permissions::from_mode(0o755)).unwrap();
    put(&base.join("archive/pack/kick.wav"), &wav(0));
    put(&base.join("archive/pack/snare.wav"), &wav(1));
    put(&base.join("archive/pack/secret.wav"), &wav(2));
    // The binary may lie where only root can go.
    let program = base.join("drumfs");
    fs::copy(DRUMFS, &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let user = User::new();
    user.own(&base);
    let at = base.join("view");
    let _lazily = Lazily(&at);
    let (archive, store) = (base.join("archive"), base.join("store"));
    let run = |text: &str| user.shell(&format!("set -e\n{text}"), &base, &[&program, &archive, &at, &store]);
    let done = run("test $(id -u) != 0\n\"$1\" mount \"$2\" \"$3\" --store \"$4\" --background");
    assert!(done.status.success(), "{}", said(&done));
    assert!(is_mounted(&at));
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = table.lines().find(|line| line.contains(at.to_str().unwrap())).unwrap();
    assert!(line.contains("fuse.drumfs"), "a dead mount is told by it: {line}");
    let done = run("until grep -q '\"state\": \"idle\"' \"$3/_control/status.json\"; do sleep 0.05; done\n\
         ls -l \"$3\" \"$3/_control\"\n\
         printf 'layout: flat\\nroutes: [{path: \"**\", to: All}]\\n' > \"$3/_control/rules.yml\"\n\
         cmp \"$3/All/kick.wav\" \"$2/pack/kick.wav\"\n\
         cmp \"$3/All/snare.wav\" \"$2/pack/snare.wav\"\n\
         test \"$(stat -c %U \"$3/All/kick.wav\")\" = \"$(id -un)\"");
    assert!(done.status.success(), "{}", said(&done));
    // A refusal reaches this user's shell as well.
    let done = run("echo 'layoutt: flat' > \"$3/_control/rules.yml\"");
    assert!(!done.status.success());
    let done = run("grep -q layoutt \"$3/RULES-ERROR.txt\"\ncmp \"$3/All/kick.wav\" \"$2/pack/kick.wav\"");
    assert!(done.status.success(), "{}", said(&done));
    let done = run("touch \"$3/All/new.wav\"");
    assert!(said(&done).contains("Read-only file system"), "{}", said(&done));
    // What this user may not read is refused alone.
    let done = run(
        "chmod 000 \"$2/pack/secret.wav\"\ncat \"$3/All/snare.wav\" > /dev/null\ncat \"$3/All/secret.wav\" > /dev/null",
    );
    assert!(said(&done).contains("Permission denied"), "{}", said(&done));
    // After a crash the next mount clears the dead one.
    let done = run("for p in /proc/[0-9]*; do\n\
           if tr '\\0' '\\n' < $p/cmdline 2>/dev/null | grep -qx -- --as-background && grep -qaF \"$3\" $p/cmdline; then\n\
             kill -9 ${p#/proc/}; fi; done\n\
         until ls \"$3\" 2>&1 | grep -q 'not connected'; do sleep 0.05; done");
    assert!(done.status.success(), "{}", said(&done));
    let done = run(
        "chmod 600 \"$2/pack/secret.wav\"\n\"$1\" mount \"$2\" \"$3\" --store \"$4\" --background\ncmp \"$3/All/kick.wav\" \"$2/pack/kick.wav\"",
    );
    assert!(done.status.success(), "{}", said(&done));
    let done = run("fusermount3 -u \"$3\"");
    assert!(done.status.success(), "{}", said(&done));
    assert!(!is_mounted(&at));
    // It has let go of the store: another process may have it.
    let done =
        run("for i in $(seq 200); do if \"$1\" index \"$2\" --store \"$4\"; then exit 0; fi; sleep 0.05; done; exit 1");
    assert!(done.status.success(), "{}", said(&done));
}
