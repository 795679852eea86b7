//! How real programs save rules.yml: each with a text that holds and with one that does not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::common::eventually;
use crate::common::mount::Mount;
use crate::common::tools::{installed, said, shell};

/// One sample, shown in the folder that the rules name.
pub struct Bench {
    pub mount: Mount,
    turn: usize,
}

/// A text with a mistake that no later write could mend: the third line has an unknown key.
pub const BAD: &str = "layout: flat\nroutes: []\nthresholdz: {Kick: 0.5}\n";

/// Rules that show everything in one folder.
pub fn to(folder: &str) -> String {
    format!("layout: flat\nroutes:\n  - {{path: \"**\", to: {folder}}}\n")
}

impl Bench {
    pub fn new() -> Self {
        let mount = Mount::of(&["pack/kick.wav", "pack/snare.wav"]);
        mount.save_rules(&to("Start")).unwrap();
        Self { mount, turn: 0 }
    }

    /// A file outside the mount with a text.
    pub fn outside(&self, text: &str) -> PathBuf {
        let path = self.mount.dir.path().join("draft.yml");
        fs::write(&path, text).unwrap();
        path
    }

    fn next(&mut self) -> String {
        self.turn += 1;
        format!("Folder{}", self.turn)
    }

    #[track_caller]
    pub fn shows(&self, folder: &str) {
        assert_eq!(self.mount.names(folder), ["kick.wav", "snare.wav"], "in {folder}");
    }

    /// Saves a good text with `save`, which is given rules.yml and a file outside the mount that has the text: the
    /// program reports no error and the view is the new one at once. Then a bad one: nothing changes in the view, the
    /// reason is there, the draft is kept, and the program says so where `tells`. Then a good one again, after which
    /// the reason is gone.
    #[track_caller]
    pub fn check(&mut self, what: &str, tells: bool, save: impl Fn(&Path, &Path) -> Output) {
        let first = self.next();
        self.good(what, &first, &save);
        let epoch = self.mount.status()["epoch"].as_u64().unwrap();
        let done = save(&self.mount.rules(), &self.outside(BAD));
        self.refused(what, &first, epoch);
        let told = !done.status.success() || said(&done).contains("Invalid argument");
        assert!(!tells || told, "{what} hears of the refusal: {}", said(&done));
        let last = self.next();
        self.good(what, &last, &save);
    }

    #[track_caller]
    pub fn good(&self, what: &str, folder: &str, save: impl Fn(&Path, &Path) -> Output) {
        let done = save(&self.mount.rules(), &self.outside(&to(folder)));
        assert!(done.status.success(), "{what}: {}{}", said(&done), self.mount.log_text());
        self.shows(folder);
        assert_eq!(fs::read_to_string(self.mount.rules()).unwrap(), to(folder), "{what}");
        assert!(!self.mount.rules_error().exists(), "{what}");
        assert!(self.mount.status()["rules_error"].is_null(), "{what}");
    }

    #[track_caller]
    pub fn refused(&self, what: &str, before: &str, epoch: u64) {
        self.shows(before);
        let reason = fs::read_to_string(self.mount.rules_error()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(reason.contains("thresholdz") && reason.contains("3"), "{what}: {reason}");
        assert!(reason.contains("thresholds"), "{what}: it says what was meant: {reason}");
        assert!(reason.to_lowercase().contains("line 3"), "{what}: {reason}");
        // Programs that write piece by piece end at the piece that was refused.
        let draft = fs::read_to_string(self.mount.rules()).unwrap();
        let whole =
            draft == BAD || (what.ends_with("by piece") && BAD.starts_with(&draft) && draft.contains("thresholdz"));
        assert!(whole, "{what}: the draft is kept: {draft}");
        assert!(self.mount.status()["rules_error"].is_string(), "{what}");
        assert!(self.mount.status()["epoch"].as_u64().unwrap() > epoch);
    }
}

/// Runs a shell text in which `$1` is rules.yml and `$2` the file with the new text.
fn in_bash(text: &'static str) -> impl Fn(&Path, &Path) -> Output {
    move |rules, new| shell("bash", text, &[rules, new])
}

#[test]
fn shells_that_echo_over_it() {
    if !installed(&["dash"]) {
        return;
    }
    let mut bench = Bench::new();
    for sh in ["bash", "dash"] {
        // One write: `$(cat …)` drops the last newline and echo adds one.
        bench.check(sh, true, |rules, new| shell(sh, "t=$(cat \"$2\"); echo \"$t\" > \"$1\"", &[rules, new]));
        bench.check(sh, true, |rules, new| shell(sh, "t=$(cat \"$2\"); printf '%s\\n' \"$t\" > \"$1\"", &[rules, new]));
    }
}

#[test]
fn shells_that_print_it_line_by_line() {
    if !installed(&["dash"]) {
        return;
    }
    let mut bench = Bench::new();
    let text = "{ while IFS= read -r line; do printf '%s\\n' \"$line\"; done; } < \"$2\" > \"$1\"";
    // The group's last printf carries the error.
    bench.check("bash", true, |rules, new| shell("bash", text, &[rules, new]));
    bench.check("dash", true, |rules, new| shell("dash", text, &[rules, new]));
}

#[test]
fn shells_with_a_here_document() {
    if !installed(&["dash"]) {
        return;
    }
    let mut bench = Bench::new();
    for sh in ["bash", "dash"] {
        bench.check(sh, true, |rules, new| {
            let text = format!("cat > \"$1\" <<'END'\n{}END\n", fs::read_to_string(new).unwrap());
            shell(sh, &text, &[rules])
        });
    }
}

#[test]
fn a_shell_that_appends_a_route() {
    if !installed(&["dash"]) {
        return;
    }
    let bench = Bench::new();
    for sh in ["bash", "dash"] {
        bench.mount.save_rules("layout: flat\nroutes:\n").unwrap();
        let line = "echo '  - {path: \"**\", to: Appended}' >> \"$1\"";
        let done = shell(sh, line, &[&bench.mount.rules()]);
        assert!(done.status.success(), "{}", said(&done));
        bench.shows("Appended");
        let done = shell(sh, "echo 'thresholdz: {Kick: 0.5}' >> \"$1\"", &[&bench.mount.rules()]);
        assert!(!done.status.success(), "{sh} hears of the refusal");
        bench.shows("Appended");
        let draft = fs::read_to_string(bench.mount.rules()).unwrap();
        assert!(draft.starts_with("layout: flat") && draft.ends_with("thresholdz: {Kick: 0.5}\n"), "{draft}");
        assert!(fs::read_to_string(bench.mount.rules_error()).unwrap().contains("line 4"));
    }
}

#[test]
fn tee_cp_dd_and_cat() {
    let mut bench = Bench::new();
    bench.check("tee", true, in_bash("tee \"$1\" < \"$2\" > /dev/null"));
    bench.check("cp", true, in_bash("cp \"$2\" \"$1\""));
    bench.check("cp -p", true, in_bash("cp -p \"$2\" \"$1\""));
    bench.check("dd", true, in_bash("dd if=\"$2\" of=\"$1\" 2>&1"));
    bench.check("dd, piece by piece", true, in_bash("dd if=\"$2\" of=\"$1\" bs=7 2>&1"));
    bench.check("dd fsync", true, in_bash("dd if=\"$2\" of=\"$1\" conv=fsync 2>&1"));
    bench.check("cat", true, in_bash("cat \"$2\" > \"$1\""));
}

#[test]
fn tee_that_appends() {
    let bench = Bench::new();
    bench.mount.save_rules("layout: flat\n").unwrap();
    let text = "printf 'routes: [{path: \"**\", to: Tee}]\\n' | tee -a \"$1\"";
    let done = shell("bash", text, &[&bench.mount.rules()]);
    assert!(done.status.success(), "{}", said(&done));
    bench.shows("Tee");
}

#[test]
fn mv_from_another_file_system() {
    let mut bench = Bench::new();
    bench.check("mv", true, in_bash("mv -f \"$2\" \"$1\""));
}

#[test]
fn mv_from_within_control() {
    let mut bench = Bench::new();
    bench.check("mv", true, in_bash("cp \"$2\" \"${1%/*}/new.yml\" && mv -f \"${1%/*}/new.yml\" \"$1\""));
    // What was refused is still there under its own name until the next took it.
    assert!(!bench.mount.path("_control/new.yml").exists());
}

#[test]
fn sed_in_place() {
    let bench = Bench::new();
    let sed = |text: &str| shell("bash", &format!("sed -i '{text}' \"$1\""), &[&bench.mount.rules()]);
    let done = sed("s/Start/Sed/");
    assert!(done.status.success(), "{}", said(&done));
    bench.shows("Sed");
    let done = sed("s/^layout:/layoutt:/");
    assert!(!done.status.success(), "sed hears of the refusal");
    bench.shows("Sed");
    assert!(fs::read_to_string(bench.mount.rules_error()).unwrap().contains("layoutt"));
    assert!(fs::read_to_string(bench.mount.rules()).unwrap().contains("layoutt"), "the draft is kept");
    let done = sed("s/^layoutt:/layout:/; s/Sed/Again/");
    assert!(done.status.success(), "{}", said(&done));
    bench.shows("Again");
    assert!(!bench.mount.rules_error().exists());
}

#[test]
fn sed_in_place_with_a_backup() {
    let bench = Bench::new();
    let done = shell("bash", "sed -i.bak 's/Start/Sed/' \"$1\"", &[&bench.mount.rules()]);
    assert!(done.status.success(), "{}", said(&done));
    bench.shows("Sed");
    assert_eq!(fs::read_to_string(bench.mount.path("_control/rules.yml.bak")).unwrap(), to("Start"));
}

#[test]
fn perl_in_place() {
    if !installed(&["perl"]) {
        return;
    }
    let bench = Bench::new();
    let perl = |text: &str| shell("bash", &format!("perl -i -pe '{text}' \"$1\""), &[&bench.mount.rules()]);
    let done = perl("s/Start/Perl/");
    assert!(done.status.success(), "{}", said(&done));
    bench.shows("Perl");
    perl("s/^layout:/layoutt:/");
    bench.shows("Perl");
    assert!(fs::read_to_string(bench.mount.rules_error()).unwrap().contains("layoutt"));
    let done = perl("s/^layoutt:/layout:/; s/Perl/Again/");
    assert!(done.status.success(), "{}", said(&done));
    bench.shows("Again");
    assert!(!bench.mount.rules_error().exists());
}

/// Python with rules.yml and the file with the new text as arguments.
fn python(program: &'static str) -> impl Fn(&Path, &Path) -> Output {
    move |rules, new| {
        let program: &std::ffi::OsStr = program.as_ref();
        crate::common::tools::run("python3", &["-c".as_ref(), program, rules.as_os_str(), new.as_os_str()])
    }
}

#[test]
fn python_that_opens_writes_and_closes() {
    if !installed(&["python3"]) {
        return;
    }
    let mut bench = Bench::new();
    bench.check(
        "open, write, close",
        true,
        python("import sys\nf = open(sys.argv[1], 'w')\nf.write(open(sys.argv[2]).read())\nf.close()"),
    );
    bench.check(
        "pathlib",
        true,
        python("import sys, pathlib as p\np.Path(sys.argv[1]).write_text(p.Path(sys.argv[2]).read_text())"),
    );
    bench.check("one byte at a time, piece by piece", true, python(
        "import sys\nwith open(sys.argv[1], 'wb', buffering=0) as f:\n  for b in open(sys.argv[2], 'rb').read(): f.write(bytes([b]))",
    ));
    bench.check("fsync", true, python(
        "import os, sys\nf = open(sys.argv[1], 'w')\nf.write(open(sys.argv[2]).read())\nf.flush()\nos.fsync(f.fileno())",
    ));
}

#[test]
fn python_that_edits_in_place_and_truncates() {
    if !installed(&["python3"]) {
        return;
    }
    let mut bench = Bench::new();
    bench.check("r+", true, python(
        "import sys\nf = open(sys.argv[1], 'r+')\nf.seek(0)\nf.write(open(sys.argv[2]).read())\nf.truncate()\nf.close()",
    ));
}

#[test]
fn python_that_replaces_the_file() {
    if !installed(&["python3"]) {
        return;
    }
    let mut bench = Bench::new();
    bench.check("os.replace", true, python(
        "import os, sys\nt = sys.argv[1] + '.tmp'\nopen(t, 'w').write(open(sys.argv[2]).read())\nos.replace(t, sys.argv[1])",
    ));
}

#[test]
fn vim_with_every_way_of_keeping_backups() {
    if !installed(&["vim"]) {
        return;
    }
    let mut bench = Bench::new();
    for settings in [
        "set nobackup writebackup",
        "set backup writebackup backupdir=.",
        "set nobackup nowritebackup",
        "set backup backupcopy=yes backupdir=.",
        "set backup backupcopy=no backupdir=.",
        "set nowritebackup noswapfile nofsync",
    ] {
        // As in a session: the text is put into the buffer and written with :wq. vim -es exits with 1 on an error.
        bench.check(settings, true, |rules, new| {
            let commands =
                format!("vim -N -u NONE -i NONE -es -c '{settings}' -c \"%!cat '$2'\" -c 'wq' -c 'cq' \"$1\"");
            shell("bash", &format!("cd \"${{1%/*}}\" && {commands}"), &[rules, new])
        });
    }
}

#[test]
fn vim_in_a_terminal_shows_the_refusal() {
    if !installed(&["vim", "script"]) {
        return;
    }
    let bench = Bench::new();
    let text = "cd \"${1%/*}\" && printf ':1,$s/Start/Vim/\\r:wq\\r' | script -qec \"vim -N -u NONE -i NONE rules.yml\" /dev/null";
    let done = shell("bash", text, &[&bench.mount.rules()]);
    assert!(done.status.success(), "{}", said(&done));
    bench.shows("Vim");
    let text = text.replace("s/Start/Vim/", "s/layout/layoutt/").replace(":wq\\r", ":w\\r:q!\\r");
    let done = shell("bash", &text, &[&bench.mount.rules()]);
    assert!(
        said(&done).contains("E667") || said(&done).contains("E514") || said(&done).contains("E80"),
        "{}",
        said(&done)
    );
    bench.shows("Vim");
    assert!(fs::read_to_string(bench.mount.rules_error()).unwrap().contains("layoutt"));
}

#[test]
fn nano_in_a_terminal() {
    if !installed(&["nano", "script"]) {
        return;
    }
    let bench = Bench::new();
    // Ctrl-\ replaces: what, by what, all; Ctrl-O writes, Enter takes the name; Ctrl-X ends.
    let text = |what: &str, by: &str| {
        format!(
            "cd \"${{1%/*}}\" && {{ sleep 0.5; printf '\\034{what}\\r{by}\\rA'; sleep 0.3; printf '\\017\\r'; sleep 0.5; printf '\\030n'; }} \
             | TERM=xterm script -qec \"nano -I rules.yml\" /dev/null"
        )
    };
    let done = shell("bash", &text("Start", "Nano"), &[&bench.mount.rules()]);
    assert!(done.status.success(), "{}", said(&done));
    bench.shows("Nano");
    let done = shell("bash", &text("layout", "layoutt"), &[&bench.mount.rules()]);
    bench.shows("Nano");
    assert!(fs::read_to_string(bench.mount.rules_error()).unwrap().contains("layoutt"), "{}", said(&done));
    assert!(said(&done).contains("Invalid argument") || said(&done).contains("Error"), "{}", said(&done));
}

#[test]
fn node_that_writes_and_that_replaces() {
    let mut bench = Bench::new();
    if shell("bash", "command -v node", &[]).stdout.is_empty() {
        return;
    }
    let node = |program: &'static str| {
        move |rules: &Path, new: &Path| {
            let program: &std::ffi::OsStr = program.as_ref();
            crate::common::tools::run("node", &["-e".as_ref(), program, rules.as_os_str(), new.as_os_str()])
        }
    };
    bench.check(
        "writeFileSync",
        true,
        node("const fs = require('fs'); fs.writeFileSync(process.argv[1], fs.readFileSync(process.argv[2]))"),
    );
    bench.check("rename", true, node(
        "const fs = require('fs'), [r, n] = process.argv.slice(1); fs.writeFileSync(r + '.tmp', fs.readFileSync(n)); fs.renameSync(r + '.tmp', r)",
    ));
}

#[test]
fn the_files_that_editors_put_beside_it_work() {
    let bench = Bench::new();
    let control = bench.mount.path("_control");
    for name in [".rules.yml.swp", "4913", "rules.yml~", ".#rules.yml", "sedAbC123"] {
        let path = control.join(name);
        fs::write(&path, b"swap").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"swap");
        fs::write(&path, b"other").unwrap();
        assert!(bench.mount.names("_control").contains(&name.to_owned()));
        fs::rename(&path, control.join("moved")).unwrap();
        assert_eq!(fs::read(control.join("moved")).unwrap(), b"other");
        fs::remove_file(control.join("moved")).unwrap();
        assert!(!control.join("moved").exists() && !path.exists());
    }
    bench.shows("Start");
}

#[test]
fn a_flush_before_the_first_write_installs_nothing() {
    let bench = Bench::new();
    let epoch = bench.mount.status()["epoch"].clone();
    // The shell duplicates and closes the descriptor before anything is written: that is a flush.
    let file = fs::OpenOptions::new().write(true).truncate(true).open(bench.mount.rules()).unwrap();
    for _ in 0..3 {
        crate::common::tools::close(file.try_clone().unwrap()).unwrap();
    }
    bench.shows("Start");
    assert_eq!(bench.mount.status()["epoch"], epoch);
    file.sync_all().unwrap();
    drop(file);
    bench.shows("Start");
    assert_eq!(bench.mount.status()["epoch"], epoch);
}

#[test]
fn emptying_it_with_a_shell_changes_nothing() {
    let bench = Bench::new();
    for sh in ["bash", "dash"] {
        let done = shell(sh, ": > \"$1\"", &[&bench.mount.rules()]);
        assert!(done.status.success(), "{}", said(&done));
        bench.shows("Start");
        assert_eq!(fs::read_to_string(bench.mount.rules()).unwrap(), to("Start"));
    }
    let done = shell("bash", "truncate -s 0 \"$1\"", &[&bench.mount.rules()]);
    assert!(done.status.success(), "{}", said(&done));
    bench.shows("Start");
}

#[test]
fn removed_it_comes_back_with_the_rules_in_force() {
    let bench = Bench::new();
    fs::remove_file(bench.mount.rules()).unwrap();
    assert!(!bench.mount.rules().exists(), "as a program that removes it expects");
    bench.shows("Start");
    eventually("rules.yml is back", || bench.mount.rules().exists());
    assert_eq!(fs::read_to_string(bench.mount.rules()).unwrap(), to("Start"));
}

#[test]
fn a_copy_of_it_can_be_moved_away_and_the_rules_stay() {
    let bench = Bench::new();
    fs::rename(bench.mount.rules(), bench.mount.path("_control/rules.yml~")).unwrap();
    bench.shows("Start");
    assert_eq!(fs::read_to_string(bench.mount.path("_control/rules.yml~")).unwrap(), to("Start"));
    eventually("rules.yml is back", || bench.mount.rules().exists());
}

#[test]
fn a_save_is_in_force_when_either_of_two_that_share_the_handle_has_closed_it() {
    // A program that starts another one between write and close: both close the same open file.
    let bench = Bench::new();
    for round in 0..100 {
        let folder = format!("Shared{round}");
        let mut file = fs::OpenOptions::new().write(true).truncate(true).open(bench.mount.rules()).unwrap();
        std::io::Write::write_all(&mut file, to(&folder).as_bytes()).unwrap();
        let twin = file.try_clone().unwrap();
        std::thread::scope(|scope| {
            for file in [file, twin] {
                let (bench, folder) = (&bench, &folder);
                scope.spawn(move || {
                    crate::common::tools::close(file).unwrap();
                    assert!(bench.mount.path(folder).join("kick.wav").exists(), "round {round}");
                });
            }
        });
    }
}
