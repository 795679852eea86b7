//! Real programs, run with a time limit.

use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::IntoRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Whether all these programs are there. Where one is not, the test that wants it is passed over with a note; in CI,
/// which installs them all, it fails.
#[track_caller]
pub fn installed(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = |program: &&&str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let Some(missing) = programs.iter().find(|program| !found(program)) else { return true };
    assert!(std::env::var_os("CI").is_none(), "{missing} is not installed");
    eprintln!("passed over: {missing} is not installed");
    false
}

/// Runs a program and gives what it said. It is ended after a minute, so that nothing hangs.
#[track_caller]
pub fn run(program: &str, args: &[&OsStr]) -> Output {
    let output = Command::new("timeout")
        .args(["-k", "5", "60", program])
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert_ne!(output.status.code(), Some(124), "{program} did not end");
    output
}

/// A program run as somebody whom permissions bind, as they do not bind root.
#[allow(dead_code, reason = "not every suite has such a program")]
pub fn bound(program: &str) -> Command {
    // SAFETY: geteuid has no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-dac_override,-dac_read_search", program]);
    command
}

/// Runs a shell text with `$1`, `$2` and so on.
#[track_caller]
pub fn shell(shell: &str, text: &str, args: &[&Path]) -> Output {
    let mut all: Vec<&OsStr> = vec!["-c".as_ref(), text.as_ref(), shell.as_ref()];
    all.extend(args.iter().map(|path| path.as_os_str()));
    run(shell, &all)
}

/// What a program wrote to both outputs.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Truncates, writes and closes a file, and gives the first error of the three. The standard library drops that of
/// close.
pub fn write_and_close(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).truncate(true).open(path)?;
    io::Write::write_all(&mut file, text)?;
    close(file)
}

/// Closes a file and gives its error.
pub fn close(file: fs::File) -> io::Result<()> {
    // SAFETY: the descriptor was taken out of the file and is closed once.
    if unsafe { libc::close(file.into_raw_fd()) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A path for a system call.
pub fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

/// The errno of a system call's result, 0 where it went well.
pub fn errno_of(result: libc::c_int) -> i32 {
    if result >= 0 { 0 } else { io::Error::last_os_error().raw_os_error().unwrap_or(-1) }
}
