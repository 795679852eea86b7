//! Ordinary users. Where the tests run as root they are made, and removed afterwards, whatever happens.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::common::tools::said;

/// Gives everybody /dev/fuse, as distributions do, where a machine keeps it for root, and a fuse.conf of the test's: in
/// a mount namespace of its own, so that nothing of the machine is changed and whatever is mounted goes with it.
const NAMESPACE: &str = r#"set -e
mkdir "$1/dev"
mount -t tmpfs -o mode=755 none "$1/dev"
mknod "$1/dev/fuse" c 10 229
chmod 666 "$1/dev/fuse"
mount --bind "$1/dev/fuse" /dev/fuse
if [ -e /etc/fuse.conf ]; then
  printf '%s\n' "$2" > "$1/dev/fuse.conf"
  mount --bind "$1/dev/fuse.conf" /etc/fuse.conf
fi
echo ready
exec sleep 600"#;

/// Kills every drumfs that was started in the background with `$1` in its arguments.
pub const KILL: &str = r#"for p in /proc/[0-9]*; do
  if tr '\0' '\n' < $p/cmdline 2>/dev/null | grep -qx -- --as-background && grep -qaF "$1" $p/cmdline; then
    kill -9 ${p#/proc/}
  fi
done
true"#;

/// One at a time writes /etc/passwd.
static PASSWD: Mutex<()> = Mutex::new(());

/// Whether this process is root's.
pub fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions.
    unsafe { libc::geteuid() == 0 }
}

/// Ordinary users, with a folder that belongs to the first.
pub struct Users {
    folder: PathBuf,
    names: Vec<String>,
    /// The process that holds their mount namespace; none where the only user is who runs the tests.
    holder: Option<Child>,
}

impl Users {
    /// So many users, and a folder that is given to the first. Without root there is one: who runs the tests.
    pub fn new(folder: &Path, count: usize) -> Self {
        Self::with_fuse_conf(folder, count, "")
    }

    /// The same, with a text for fuse.conf.
    pub fn with_fuse_conf(folder: &Path, count: usize, fuse_conf: &str) -> Self {
        let mut users = Self { folder: folder.to_owned(), names: Vec::new(), holder: None };
        if !is_root() {
            assert_eq!(count, 1, "several users need root");
            return users;
        }
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "bash", "-c", NAMESPACE, "bash"])
            .arg(folder)
            .arg(fuse_conf)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut word = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut word).unwrap();
        users.holder = Some(holder);
        assert_eq!(word, "ready\n", "no /dev/fuse for users");
        users.make(count);
        users
    }

    /// So many users, for a mount that is not theirs. Needs root.
    pub fn visitors(folder: &Path, count: usize) -> Self {
        let mut users = Self { folder: folder.to_owned(), names: Vec::new(), holder: None };
        users.make(count);
        users
    }

    fn make(&mut self, count: usize) {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let _alone = PASSWD.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..count {
            let name = format!("drumfs-t{}-{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed));
            let mut made = Command::new("useradd");
            made.args(["--no-create-home", "--user-group", "--shell", "/bin/sh", &name]);
            let made = made.output().unwrap();
            assert!(made.status.success(), "{}", said(&made));
            self.names.push(name);
        }
        let done = Command::new("chown").args(["-R", self.name(0)]).arg(&self.folder).output().unwrap();
        assert!(done.status.success(), "{}", said(&done));
    }

    /// The name of a user, and of the group that is theirs alone.
    pub fn name(&self, user: usize) -> &str {
        &self.names[user]
    }

    /// A process in their mount namespace, where they have one of their own.
    pub fn namespace(&self) -> Option<u32> {
        self.holder.as_ref().map(Child::id)
    }

    /// A program that is run as a user, with these groups besides their own, and ended after a minute.
    pub fn command(&self, user: usize, groups: &[&str], program: &str) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--foreground", "-k", "5", "60"]);
        if let Some(holder) = &self.holder {
            command.args(["nsenter", "--mount", "--target", &holder.id().to_string(), "--"]);
        }
        if !self.names.is_empty() {
            let name = self.name(user);
            command.args(["setpriv", "--reuid", name, "--regid", name]);
            match groups {
                [] => command.arg("--clear-groups"),
                groups => command.args(["--groups", &groups.join(",")]),
            };
            command.arg("--");
        }
        command.arg(program);
        command.env("HOME", &self.folder).env("LC_ALL", "C.UTF-8").current_dir("/").stdin(Stdio::null());
        for name in ["XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs a shell text as a user, with `$1` and so on.
    pub fn shell(&self, user: usize, text: &str, args: &[&Path]) -> Output {
        self.command(user, &[], "bash").args(["-c", text, "bash"]).args(args).output().unwrap()
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        // What a failed test leaves.
        if self.holder.is_none() || !self.names.is_empty() {
            drop(self.shell(0, KILL, &[&self.folder]));
            drop(self.shell(0, "fusermount3 -uz \"$1/view\" 2>&1", &[&self.folder]));
        }
        if let Some(holder) = &mut self.holder {
            drop(holder.kill());
            drop(holder.wait());
        }
        let _alone = PASSWD.lock().unwrap_or_else(PoisonError::into_inner);
        for name in &self.names {
            drop(Command::new("userdel").arg(name).output());
        }
    }
}
