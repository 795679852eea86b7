//! `mount --background`: start drumfs again, detached, and wait until it says that the view is up.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Failure, Outcome, output};

const READY: &str = "ready ";
const FAILED: &str = "failed ";

/// Starts this command again in the background, with its log in `folder`, and waits for its word.
pub fn start(folder: &Path) -> Result<Outcome, Failure> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let log_path = folder.join("drumfs.log");
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&log_path)?;
    let args = std::env::args_os().skip(1).filter(|arg| arg != "--background");
    let mut command = Command::new(std::env::current_exe()?);
    command.args(args).arg("--as-background").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    if std::env::var_os("RUST_LOG").is_none() {
        command.env("RUST_LOG", "drumfs=info,sled=off,error");
    }
    // SAFETY: setsid is async-signal-safe and touches no memory of this process.
    unsafe {
        command.pre_exec(|| {
            // A session of its own: closing the terminal does not end it.
            libc::setsid();
            Ok(())
        });
    }
    let mut child = command.spawn()?;
    let mut word = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut word)?;
    }
    match (word.strip_prefix(READY), word.strip_prefix(FAILED)) {
        (Some(at), _) => {
            output::tell(format_args!("mounted at {}; end it with `umount {}`", at.trim_end(), at.trim_end()));
            Ok(Outcome::Done)
        }
        (None, Some(error)) => Err(error.trim_end().to_owned().into()),
        (None, None) => {
            let status = child.wait()?;
            Err(format!("drumfs ended without a word ({status}): see {}", log_path.display()).into())
        }
    }
}

/// The view is up: says so, and lets go of the terminal and the working folder.
pub fn ready(at: &Path) -> Result<(), Failure> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{READY}{}", at.display())?;
    stdout.flush()?;
    let null = OpenOptions::new().write(true).open("/dev/null")?;
    // SAFETY: both are open descriptors; what wrote to stdout before writes to nothing now.
    if unsafe { libc::dup2(null.as_raw_fd(), stdout.as_raw_fd()) } < 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    std::env::set_current_dir("/")?;
    Ok(())
}

/// It failed before the view was up.
pub fn failed(error: &str) {
    // Where nobody listens the log has it.
    drop(writeln!(std::io::stdout(), "{FAILED}{}", error.replace('\n', " ")));
}
