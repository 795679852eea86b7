//! What mount-scripts/ promise: which drumfs command each option string of mount(8) becomes, and that a refusal is
//! exit code 32 with a reason. A stand-in `drumfs` on PATH records its arguments; nothing is mounted here.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("mount-scripts").join(name)
}

/// A directory with a program `drumfs` that writes its arguments, each ended by a NUL, and exits with `code`.
struct StandIn {
    dir: TempDir,
}

impl StandIn {
    fn new(code: u8) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        fs::create_dir(dir.path().join("home")).unwrap();
        let program = bin.join("drumfs");
        let text = "#!/bin/sh\nprintf '%s\\0' \"$@\" > \"$RECORD\"\nprintf '%s' \"$HOME\" > \"$RECORD.home\"\n";
        fs::write(&program, format!("{text}exit {code}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir }
    }

    fn command(&self, script: &Path) -> Command {
        let mut command = Command::new("sh");
        command
            .arg(script)
            .env(
                "PATH",
                format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", self.dir.path().join("bin").display()),
            )
            .env("HOME", self.dir.path().join("home"))
            .env("RECORD", self.record());
        command
    }

    /// Runs mount.drumfs with these arguments.
    fn helper<S: AsRef<OsStr>>(&self, args: &[S]) -> Output {
        self.command(&script("mount.drumfs")).args(args).output().unwrap()
    }

    fn record(&self) -> PathBuf {
        self.dir.path().join("record")
    }

    /// The arguments drumfs was run with, or `None` when it was not run.
    fn argv(&self) -> Option<Vec<String>> {
        let bytes = fs::read(self.record()).ok()?;
        let text = String::from_utf8(bytes).unwrap();
        Some(text.split_terminator('\0').map(str::to_owned).collect())
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The arguments that `mount.drumfs ARCHIVE MOUNTPOINT -o options` gives drumfs.
fn argv_for(options: &str) -> Vec<String> {
    let stand_in = StandIn::new(0);
    let output = stand_in.helper(&["/srv/Samples", "/mnt/Drums", "-o", options]);
    assert!(output.status.success(), "{options}: {}", stderr(&output));
    stand_in.argv().expect("drumfs was run")
}

/// The reason with which `mount.drumfs ... args` refuses, after checking that it exits with 32 and runs nothing.
fn refusal(args: &[&str]) -> String {
    let stand_in = StandIn::new(0);
    let output = stand_in.helper(args);
    assert_eq!(output.status.code(), Some(32), "{args:?}");
    assert_eq!(stand_in.argv(), None, "{args:?} must not run drumfs");
    assert!(stderr(&output).contains("mount.drumfs: "), "{args:?}: {}", stderr(&output));
    stderr(&output)
}

const PLAIN: [&str; 4] = ["mount", "/srv/Samples", "/mnt/Drums", "--background"];

#[test]
fn every_script_parses() {
    for name in ["mount.drumfs", "mount-linux.sh", "mount-macos.sh"] {
        let output = Command::new("sh").arg("-n").arg(script(name)).output().unwrap();
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        let mode = fs::metadata(script(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{name} is executable");
    }
}

#[test]
fn without_options_the_archive_is_mounted_in_the_background() {
    let stand_in = StandIn::new(0);
    assert!(stand_in.helper(&["/srv/Samples", "/mnt/Drums"]).status.success());
    assert_eq!(stand_in.argv().unwrap(), PLAIN);
}

#[test]
fn mounts_own_options_have_no_effect() {
    for options in [
        "rw",
        "ro",
        "defaults,user,noauto",
        "rw,nosuid,nodev,noexec,relatime,user=anna",
        "defaults,nofail,_netdev,x-systemd.automount,x-systemd.device-timeout=5,X-mount.mkdir=0755",
        "comment=drums,noatime,lazytime,uhelper=udisks2,fsname=drumfs,subtype=drumfs,default_permissions",
        "",
        ",,rw,",
    ] {
        assert_eq!(argv_for(options), PLAIN, "{options:?}");
    }
}

#[test]
fn store_and_config_become_arguments() {
    let argv = argv_for("rw,store=/var/lib/drumfs,config=/etc/drumfs.yml,noauto");
    assert_eq!(argv[..4], PLAIN);
    assert_eq!(argv[4..], ["--store", "/var/lib/drumfs", "--config", "/etc/drumfs.yml"]);
    assert_eq!(argv_for("config=/a=b.yml")[4..], ["--config", "/a=b.yml"], "only the first = divides");
}

#[test]
fn several_o_flags_add_up() {
    let stand_in = StandIn::new(0);
    let output = stand_in.helper(&["-o", "ro,store=/s", "/srv/Samples", "/mnt/Drums", "-n", "-oconfig=/c"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stand_in.argv().unwrap()[4..], ["--store", "/s", "--config", "/c"]);
}

#[test]
fn spaces_and_other_odd_characters_survive() {
    let stand_in = StandIn::new(0);
    // mount(8) has taken fstab's \040 out of the two places before it runs the helper.
    let (archive, mountpoint) = ("/srv/My Samples $HOME 'n' \"co\" – Äöü *", "/mnt/My  Drums\\040");
    let output = stand_in.helper(&[archive, mountpoint, "-o", "rw"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stand_in.argv().unwrap(), ["mount", archive, mountpoint, "--background"]);
}

#[test]
fn fstab_escapes_in_option_values_are_undone() {
    assert_eq!(argv_for(r"store=/my\040own\040store")[4..], ["--store", "/my own store"]);
    assert_eq!(argv_for(r"store=/a\011b\134c\012d\012")[4..], ["--store", "/a\tb\\c\nd\n"]);
    assert_eq!(argv_for(r"store=/a\b\04")[4..], ["--store", r"/a\b\04"], "any other backslash is itself");
    assert_eq!(argv_for("store=/a b")[4..], ["--store", "/a b"]);
}

#[test]
fn a_value_in_double_quotes_may_hold_a_comma() {
    let argv = argv_for(r#"ro,store="/srv/a, b",config="/c,d",rw"#);
    assert_eq!(argv[4..], ["--store", "/srv/a, b", "--config", "/c,d"]);
}

#[test]
fn a_place_that_starts_with_a_dash_is_not_an_option() {
    let stand_in = StandIn::new(0);
    let output = stand_in.helper(&["-o", "rw", "--", "-archive", "--help"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stand_in.argv().unwrap(), ["mount", "./-archive", "./--help", "--background"]);
}

#[test]
fn allow_other_is_passed_on() {
    let stand_in = StandIn::new(0);
    assert!(stand_in.helper(&["/a", "/m", "-o", "rw,allow_other,store=/s"]).status.success());
    let argv = stand_in.argv().unwrap();
    assert_eq!(argv[1..], ["/a", "/m", "--background", "--store", "/s", "--allow-other"]);
}

#[test]
fn what_is_wrong_is_refused_with_32_and_a_reason() {
    assert!(refusal(&["/a", "/m", "-o", "stoer=/x"]).contains("unknown option 'stoer'"));
    assert!(refusal(&["/a", "/m", "-o", "store="]).contains("'store' needs a value"));
    assert!(refusal(&["/a", "/m", "-o", "config"]).contains("'config' needs a value"));
    assert!(refusal(&["/a", "/m", "-o", "store=\"/x"]).contains("no closing quote"));
    assert!(refusal(&["/a", "/m", "-o", "store=\"/x\"y"]).contains("after the closing quote"));
    assert!(refusal(&["/a", "/m", "-o", "allow_root"]).contains("allow_other lets root in"));
    assert!(refusal(&["/a", "/m", "-o", "remount,ro"]).contains("remounting is not supported"));
    assert!(refusal(&["/a", "/m", "-o", "setuid=no-such-user-here"]).contains("no such user"));
    assert!(refusal(&["/a"]).contains("one archive and one mount point"));
    assert!(refusal(&["/a", "/m", "/x"]).contains("one archive and one mount point"));
    assert!(refusal(&["/a", "/m", "-o"]).contains("-o needs options"));
    assert!(refusal(&["/a", "/m", "-q"]).contains("unknown flag -q"));
}

#[test]
fn sloppy_lets_unknown_options_pass_and_fake_runs_nothing() {
    let stand_in = StandIn::new(0);
    assert!(stand_in.helper(&["/srv/Samples", "/mnt/Drums", "-sn", "-o", "bogus,store=/s"]).status.success());
    assert_eq!(stand_in.argv().unwrap()[4..], ["--store", "/s"]);

    let stand_in = StandIn::new(0);
    assert!(stand_in.helper(&["/srv/Samples", "/mnt/Drums", "-f"]).status.success());
    assert_eq!(stand_in.argv(), None);
}

#[test]
fn a_mount_that_fails_is_32_and_one_with_damaged_samples_is_mounted() {
    let failed = StandIn::new(1);
    let output = failed.helper(&["/srv/Samples", "/mnt/Drums"]);
    assert_eq!(output.status.code(), Some(32));
    assert!(stderr(&output).contains("could not mount /srv/Samples on /mnt/Drums"), "{}", stderr(&output));

    let some_failed = StandIn::new(3);
    assert_eq!(some_failed.helper(&["/srv/Samples", "/mnt/Drums"]).status.code(), Some(0));
}

#[test]
fn a_missing_drumfs_is_named() {
    let stand_in = StandIn::new(0);
    fs::remove_file(stand_in.dir.path().join("bin/drumfs")).unwrap();
    // The shell's own programs and nothing else, so that a drumfs installed on this machine is not found.
    let shell = stand_in.dir.path().join("usr/local/bin");
    fs::create_dir_all(&shell).unwrap();
    let output = Command::new("/bin/sh")
        .arg(script("mount.drumfs"))
        .args(["/a", "/m"])
        .env("PATH", &shell)
        .env("HOME", stand_in.dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(32));
    assert!(stderr(&output).contains("drumfs was not found"), "{}", stderr(&output));
}

#[test]
fn home_is_set_where_the_boot_has_none() {
    let stand_in = StandIn::new(0);
    let output =
        stand_in.command(&script("mount.drumfs")).args(["/srv/Samples", "/mnt/Drums"]).env_remove("HOME").output();
    assert!(output.unwrap().status.success());
    let home = fs::read_to_string(stand_in.record().with_extension("home")).unwrap();
    assert!(home.starts_with('/'), "{home:?}");
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;

    fn mount_linux(stand_in: &StandIn, args: &[&OsStr]) -> Output {
        stand_in.command(&script("mount-linux.sh")).args(args).output().unwrap()
    }

    #[test]
    fn the_linux_script_makes_the_mount_point_and_mounts() {
        let stand_in = StandIn::new(0);
        let home = stand_in.dir.path().join("home");
        fs::create_dir(home.join("Samples")).unwrap();
        let output = mount_linux(&stand_in, &[]);
        if !Path::new("/dev/fuse").exists() {
            assert!(stderr(&output).contains("there is no /dev/fuse: load the kernel's module"), "{}", stderr(&output));
            return;
        }
        assert!(output.status.success(), "{}", stderr(&output));
        let (archive, view) = (home.join("Samples"), home.join("RegeneratedArchive"));
        assert!(view.is_dir());
        assert_eq!(
            stand_in.argv().unwrap(),
            ["mount", archive.to_str().unwrap(), view.to_str().unwrap(), "--background"]
        );

        let view = home.join("my view/of it");
        let args = ["--store", "/a store", "--config=/c d.yml"].map(OsStr::new);
        let places = [archive.as_os_str(), view.as_os_str()];
        let output = mount_linux(&stand_in, &[&args[..], &places[..]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(view.is_dir());
        assert_eq!(stand_in.argv().unwrap()[2], view.to_str().unwrap());
        assert_eq!(stand_in.argv().unwrap()[4..], ["--store", "/a store", "--config", "/c d.yml"]);
    }

    #[test]
    fn the_linux_script_names_what_is_missing_and_passes_on_drumfs_exit_code() {
        let stand_in = StandIn::new(1);
        let output = mount_linux(&stand_in, &[OsStr::new("/no/such/archive")]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("there is no directory /no/such/archive"), "{}", stderr(&output));
        assert_eq!(stand_in.argv(), None);

        let output = mount_linux(&stand_in, &[OsStr::new("--frobnicate")]);
        assert_eq!(output.status.code(), Some(2));

        if Path::new("/dev/fuse").exists() {
            let stand_in = StandIn::new(1);
            fs::create_dir(stand_in.dir.path().join("home/Samples")).unwrap();
            let output = mount_linux(&stand_in, &[]);
            assert_eq!(output.status.code(), Some(1));
            assert!(!String::from_utf8_lossy(&output.stdout).contains("is mounted"));
        }
    }

    #[test]
    fn the_systemd_unit_passes_systemds_own_check() {
        let found = Command::new("systemd-analyze").arg("--version").output().is_ok_and(|o| o.status.success());
        if !found {
            eprintln!("no systemd-analyze here: not tried");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let unit = dir.path().join("drumfs@samples.service");
        fs::copy(script("drumfs@.service"), &unit).unwrap();
        let output = Command::new("systemd-analyze")
            .args(["verify", "--user"])
            .arg(&unit)
            .env("XDG_RUNTIME_DIR", dir.path())
            .env("HOME", dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(stderr(&output).trim(), "");
    }
}
