//! A real mount of the real binary, taken down whatever happens.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::sounds;
use super::tools::{c_path, write_and_close};

/// The binary under test.
pub const DRUMFS: &str = env!("CARGO_BIN_EXE_drumfs");

/// No test needs a mount for longer; one that does hangs, and its connection is cut. A test that is asked to go on for
/// longer (`DRUMFS_STRESS_SECONDS`) has so much more.
fn patience() -> Duration {
    let stress = std::env::var("DRUMFS_STRESS_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(150 + stress.unwrap_or(0))
}

/// A mounted archive.
pub struct Mount {
    /// Everything of this test lies in here.
    pub dir: TempDir,
    /// The archive.
    pub archive: PathBuf,
    /// The store.
    pub store: PathBuf,
    /// The mount point.
    pub at: PathBuf,
    /// Options of `drumfs mount`, for the next mount.
    pub options: Vec<String>,
    child: Option<Child>,
    watchdog: Option<Sender<()>>,
}

impl Mount {
    /// Mounts generated sounds at these paths, each with bytes of its own.
    pub fn of(paths: &[&str]) -> Self {
        let dir = new_dir();
        for (seed, path) in paths.iter().enumerate() {
            put(&dir.path().join("archive").join(path), &sounds::wav(seed as u64));
        }
        Self::start(dir)
    }

    /// Mounts a copy of tests/archive.
    pub fn of_test_archive() -> Self {
        let dir = new_dir();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archive");
        let copied = Command::new("cp").arg("-a").arg(from).arg(dir.path().join("archive")).status().unwrap();
        assert!(copied.success());
        Self::start(dir)
    }

    /// Mounts the folder `archive` of a temporary folder, and waits until everything was heard.
    pub fn start(dir: TempDir) -> Self {
        Self::start_with(dir, &[])
    }

    /// The same, with options of `drumfs mount`.
    pub fn start_with(dir: TempDir, options: &[&str]) -> Self {
        // Without links in it: the kernel names mounts so.
        let base = dir.path().canonicalize().unwrap();
        fs::create_dir_all(base.join("archive")).unwrap();
        let mut mount = Self {
            archive: base.join("archive"),
            store: base.join("store"),
            at: base.join("RegeneratedArchive"),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            dir,
            child: None,
            watchdog: None,
        };
        mount.mount_again();
        mount
    }

    /// Where drumfs finds a person's own calibrations.
    pub fn data(&self) -> PathBuf {
        self.store.with_file_name("data")
    }

    /// The command that mounts, in the foreground.
    pub fn command(&self) -> Command {
        let mut command = Command::new(DRUMFS);
        command.arg("mount").arg(&self.archive).arg(&self.at).arg("--store").arg(&self.store).args(&self.options);
        // A test that wants another model puts this here before it mounts.
        let config = self.archive.with_file_name("config.yml");
        if config.exists() {
            command.arg("--config").arg(config);
        }
        command
            .env("RUST_LOG", "drumfs=info")
            .env("XDG_DATA_HOME", self.data())
            .env("USER", "mover")
            .stdin(Stdio::null());
        command
    }

    /// Mounts, after [`Mount::kill9`] or [`Mount::end`].
    #[track_caller]
    pub fn mount_again(&mut self) {
        assert!(self.child.is_none(), "mounted already");
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let mut command = self.command();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        // SAFETY: prctl is async-signal-safe. A test that is killed leaves no daemon behind.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                Ok(())
            });
        }
        let passes = self.at.join("_control/status.json");
        self.child = Some(command.spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let idle = fs::read(&passes).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
            if idle.is_some_and(|status| is_idle(&status)) {
                break;
            }
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "no mount ({ended:?}):\n{}", self.log_text());
            std::thread::sleep(Duration::from_millis(10));
        }
        self.watchdog = Some(watch(connection(&self.at), self.pid()));
    }

    /// A path in the mount.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.at.join(relative)
    }

    /// rules.yml.
    pub fn rules(&self) -> PathBuf {
        self.at.join("_control/rules.yml")
    }

    /// overrides.jsonl.
    pub fn overrides(&self) -> PathBuf {
        self.at.join("_control/overrides.jsonl")
    }

    /// RULES-ERROR.txt.
    pub fn rules_error(&self) -> PathBuf {
        self.at.join("RULES-ERROR.txt")
    }

    /// status.json.
    #[track_caller]
    pub fn status(&self) -> Value {
        serde_json::from_slice(&fs::read(self.at.join("_control/status.json")).unwrap()).unwrap()
    }

    /// The lines of index.jsonl.
    #[track_caller]
    pub fn index(&self) -> Vec<Value> {
        let text = fs::read(self.at.join("_control/index.jsonl")).unwrap();
        let lines = text.split(|&b| b == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    /// Truncates, writes and closes rules.yml; the first error of the three.
    pub fn save_rules(&self, text: &str) -> io::Result<()> {
        write_and_close(&self.rules(), text.as_bytes())
    }

    /// Adds a line to overrides.jsonl; the error of write or close.
    pub fn append_override(&self, line: &str) -> io::Result<()> {
        let mut file = fs::OpenOptions::new().append(true).open(self.overrides())?;
        io::Write::write_all(&mut file, format!("{line}\n").as_bytes())?;
        super::tools::close(file)
    }

    /// The names in a folder of the view, in order.
    #[track_caller]
    pub fn names(&self, folder: &str) -> Vec<String> {
        let paths = super::snapshot::paths_in(&self.at.join(folder));
        paths.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    /// Asks for a rescan and waits until it has ended.
    #[track_caller]
    pub fn rescan(&self) {
        let before = self.status()["indexing"]["passes"].as_u64().unwrap();
        fs::write(self.at.join("_control/rescan"), "now\n").unwrap();
        super::eventually("the rescan ends", || {
            let status = self.status();
            is_idle(&status) && status["indexing"]["passes"].as_u64().unwrap() > before
        });
    }

    /// The process id of drumfs.
    pub fn pid(&self) -> i32 {
        self.child.as_ref().expect("it runs").id() as i32
    }

    /// Sends drumfs a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: the process is a child that was not reaped yet, so the id is its own.
        assert_eq!(unsafe { libc::kill(self.pid(), signal) }, 0);
    }

    /// Kills drumfs as a crash would, and leaves the dead mount where it is.
    #[track_caller]
    pub fn kill9(&mut self) {
        self.signal(libc::SIGKILL);
        let status = self.reap();
        assert_eq!(status.signal(), Some(libc::SIGKILL));
    }

    /// Unmounts, and gives the exit status of drumfs.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        unmount(&self.at).unwrap();
        self.reap()
    }

    /// Waits until drumfs has ended.
    #[track_caller]
    pub fn reap(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let deadline = Instant::now() + Duration::from_secs(30);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                self.child = Some(child);
                panic!("drumfs did not end:\n{}", self.log_text());
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        self.watchdog.take();
        status
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("drumfs.log")
    }

    /// What drumfs has said so far.
    pub fn log_text(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log_text();
            let from = log.len().saturating_sub(4000);
            eprintln!("--- drumfs said:\n{}", String::from_utf8_lossy(&log.as_bytes()[from..]));
        }
        if let Some(mut child) = self.child.take() {
            drop(unmount(&self.at));
            let deadline = Instant::now() + Duration::from_secs(5);
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
            drop(child.kill());
            drop(child.wait());
        }
        // Also one that drumfs left behind, and any number of them.
        while is_mounted(&self.at) && unmount(&self.at).is_ok() {}
    }
}

/// A temporary folder.
pub fn new_dir() -> TempDir {
    tempfile::Builder::new().prefix("drumfs-test-").tempdir().unwrap()
}

/// Writes a file and the folders above it.
#[track_caller]
pub fn put(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn is_idle(status: &Value) -> bool {
    status["indexing"]["state"] == "idle" && status["indexing"]["passes"].as_u64() >= Some(1)
}

/// Whether something is mounted at a path, dead or alive. Test folders have no characters that the table escapes.
pub fn is_mounted(at: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.lines().any(|line| line.split(' ').nth(4).is_some_and(|path| OsStr::new(path) == at))
}

/// Takes a mount down, open files or not.
pub fn unmount(at: &Path) -> io::Result<()> {
    // SAFETY: the path is NUL-terminated and outlives the call.
    if unsafe { libc::umount2(c_path(at).as_ptr(), libc::MNT_DETACH) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    let helped = Command::new("fusermount3").args(["-u", "-z", "--"]).arg(at).output();
    if helped.is_ok_and(|output| output.status.success()) { Ok(()) } else { Err(error) }
}

/// The number of the FUSE connection behind a mount: the minor number of its device.
pub fn connection(at: &Path) -> u32 {
    libc::minor(fs::metadata(at).unwrap().dev())
}

/// Cuts a FUSE connection: every call that waits on it fails.
pub fn abort(connection: u32) {
    let cut = |control: &Path| fs::write(control.join(format!("{connection}/abort")), "1").is_ok();
    if cut(Path::new("/sys/fs/fuse/connections")) {
        return;
    }
    // The control file system is not mounted: it is, for a moment, in a folder of our own.
    let control = new_dir();
    let at = c_path(control.path());
    // SAFETY: the pointers are to NUL-terminated strings that outlive the calls.
    unsafe {
        if libc::mount(c"fusectl".as_ptr(), at.as_ptr(), c"fusectl".as_ptr(), 0, std::ptr::null()) == 0 {
            cut(control.path());
            libc::umount2(at.as_ptr(), libc::MNT_DETACH);
        }
    }
}

/// Cuts the connection when nobody has let go of the sender in time.
fn watch(connection: u32, pid: i32) -> Sender<()> {
    let (sender, receiver) = channel::<()>();
    std::thread::spawn(move || {
        if receiver.recv_timeout(patience()) == Err(RecvTimeoutError::Timeout) {
            eprintln!("a mount was there for {:?}: its connection is cut", patience());
            abort(connection);
            // SAFETY: the sender goes before the process is reaped, so the id is still its own.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
    });
    sender
}
