//! An ordinary user mounts through fusermount3, browses, saves rules and unmounts. Where the tests run as root a user
//! is made for it and removed afterwards.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::common::mount::{DRUMFS, new_dir, put};
use crate::common::sounds::wav;
use crate::common::tools::{installed, said};

/// Gives everybody /dev/fuse, as distributions do, where a machine keeps it for root: in a mount namespace of its own,
/// so that nothing of the machine is changed and whatever is mounted goes with it.
const OWN_DEVICE: &str = r#"set -e
mkdir "$1/dev"
mount -t tmpfs none "$1/dev"
mknod -m 666 "$1/dev/fuse" c 10 229
mount --bind "$1/dev/fuse" /dev/fuse
echo ready
exec sleep 600"#;

/// Kills every drumfs that was started in the background with `$1` in its arguments.
const KILL: &str = r#"for p in /proc/[0-9]*; do
  if tr '\0' '\n' < $p/cmdline 2>/dev/null | grep -qx -- --as-background && grep -qaF "$1" $p/cmdline; then
    kill -9 ${p#/proc/}
  fi
done
true"#;

/// An ordinary user, with a folder that is theirs.
struct User<'a> {
    folder: &'a Path,
    /// The name, and the process that holds the namespace, where they were made.
    made: Option<(String, Child)>,
}

impl<'a> User<'a> {
    fn new(folder: &'a Path) -> Self {
        // SAFETY: geteuid has no preconditions.
        if unsafe { libc::geteuid() } != 0 {
            return Self { folder, made: None };
        }
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "bash", "-c", OWN_DEVICE, "bash"])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut word = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut word).unwrap();
        let name = format!("drumfs-t{}", std::process::id());
        let user = Self { folder, made: Some((name.clone(), holder)) };
        assert_eq!(word, "ready\n", "no /dev/fuse for the user");
        let made = Command::new("useradd").args(["--no-create-home", "--shell", "/bin/sh", &name]).output().unwrap();
        assert!(made.status.success(), "{}", said(&made));
        let done = Command::new("chown").args(["-R", &name]).arg(folder).output().unwrap();
        assert!(done.status.success(), "{}", said(&done));
        user
    }

    /// Runs a shell text as the user, with `$1` and so on.
    fn shell(&self, text: &str, args: &[&Path]) -> Output {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", "60"]);
        if let Some((name, holder)) = &self.made {
            command.args(["nsenter", "--mount", "--target", &holder.id().to_string(), "--"]);
            command.args(["setpriv", "--reuid", name, "--regid", name, "--clear-groups", "--"]);
        }
        command.args(["bash", "-c", text, "bash"]).args(args);
        command.env("HOME", self.folder).env("LC_ALL", "C.UTF-8").current_dir("/").stdin(Stdio::null());
        command.env_remove("XDG_DATA_HOME").env_remove("XDG_STATE_HOME").env_remove("XDG_RUNTIME_DIR");
        command.output().unwrap()
    }
}

impl Drop for User<'_> {
    fn drop(&mut self) {
        // What a failed test leaves.
        drop(self.shell(KILL, &[self.folder]));
        drop(self.shell("fusermount3 -uz \"$1/view\"", &[self.folder]));
        if let Some((name, holder)) = &mut self.made {
            drop(holder.kill());
            drop(holder.wait());
            drop(Command::new("userdel").arg(name).output());
        }
    }
}

#[test]
fn an_ordinary_user_mounts_browses_saves_and_unmounts() {
    if !installed(&["fusermount3", "unshare", "useradd"]) {
        return;
    }
    let dir = new_dir();
    let base = dir.path().canonicalize().unwrap();
    fs::set_permissions(&base, fs::Permissions::from_mode(0o755)).unwrap();
    for (seed, name) in ["kick", "snare", "secret"].iter().enumerate() {
        put(&base.join(format!("archive/pack/{name}.wav")), &wav(seed as u64));
    }
    // The binary may lie where only root can go.
    let program = base.join("drumfs");
    fs::copy(DRUMFS, &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let user = User::new(&base);
    let (archive, at, store) = (base.join("archive"), base.join("view"), base.join("store"));
    let run = |text: &str| user.shell(&format!("set -e\n{text}"), &[&program, &archive, &at, &store]);
    let well = |text: &str| {
        let done = run(text);
        assert!(done.status.success(), "{text}\n{}", said(&done));
        said(&done)
    };

    well(r#"test $(id -u) != 0; "$1" mount "$2" "$3" --store "$4" --background"#);
    // The type is how a dead mount of drumfs is told from others.
    let line = well(r#"grep -F " $3 " /proc/self/mounts"#);
    assert!(line.contains(" fuse.drumfs "), "{line}");
    well(r#"until grep -q '"state": "idle"' "$3/_control/status.json"; do sleep 0.05; done"#);
    well(r#"ls -lR "$3" > /dev/null; test "$(stat -c %U "$3/_control/rules.yml")" = "$(id -un)""#);
    well(
        r#"printf 'layout: flat\nroutes: [{path: "**", to: All}]\n' > "$3/_control/rules.yml"
            cmp "$3/All/kick.wav" "$2/pack/kick.wav"; cmp "$3/All/snare.wav" "$2/pack/snare.wav""#,
    );

    // A refusal reaches this user's shell as well.
    assert!(!run(r#"echo 'layoutt: flat' > "$3/_control/rules.yml""#).status.success());
    well(r#"grep -q layoutt "$3/RULES-ERROR.txt"; cmp "$3/All/kick.wav" "$2/pack/kick.wav""#);
    let done = run(r#"touch "$3/All/new.wav""#);
    assert!(said(&done).contains("Read-only file system"), "{}", said(&done));

    // What this user may not read is refused alone.
    let done = run(r#"chmod 000 "$2/pack/secret.wav"; cat "$3/All/snare.wav" > /dev/null; cat "$3/All/secret.wav""#);
    assert!(said(&done).contains("Permission denied"), "{}", said(&done));
    well(r#"chmod 600 "$2/pack/secret.wav"; cmp "$3/All/secret.wav" "$2/pack/secret.wav""#);

    // After a crash the next mount clears the dead one.
    user.shell(KILL, &[&at]);
    well(r#"until ls "$3" 2>&1 | grep -q 'not connected'; do sleep 0.05; done"#);
    well(r#""$1" mount "$2" "$3" --store "$4" --background; cmp "$3/All/kick.wav" "$2/pack/kick.wav""#);
    well(r#"fusermount3 -u "$3"; ! grep -F " $3 " /proc/self/mounts"#);
    // It lets go of the store: another process may have it.
    well(r#"until "$1" index "$2" --store "$4"; do sleep 0.05; done"#);
}
