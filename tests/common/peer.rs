//! Another process that looks at a mount when it is told to, from a working folder it holds.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// One request a line, one answer a line. The errno's name is the answer where a call fails.
const PROGRAM: &str = r#"
import errno, json, os, sys
def stat(p):
    s = os.stat(p); return [s.st_ino, s.st_size, s.st_mtime_ns]
def ls(p): return sorted(os.listdir(p))
def ls_l(p): return sorted([e.name, e.stat(follow_symlinks=False).st_ino] for e in os.scandir(p))
def read(p):
    with open(p, 'rb') as f: return f.read().hex()
def open_(p):
    f = os.open(p, os.O_RDONLY); os.close(f); return "opened"
def walk(p):
    n = 0
    for top, dirs, files in os.walk(p):
        for f in files:
            try: os.lstat(os.path.join(top, f)); n += 1
            except OSError: pass
    return n
calls = dict(stat=stat, ls=ls, ls_l=ls_l, read=read, open=open_, walk=walk)
for line in sys.stdin:
    call, path = json.loads(line)
    try: answer = calls[call](path)
    except OSError as e: answer = errno.errorcode[e.errno]
    print(json.dumps(answer), flush=True)
"#;

/// The process. It ends with this value.
pub struct Peer {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts it with `cwd` as its working folder.
    pub fn at(cwd: &Path) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", PROGRAM])
            .current_dir(cwd)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is needed");
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout }
    }

    /// Asks for something and gives the answer, or the name of the errno.
    #[track_caller]
    pub fn ask(&mut self, call: &str, path: &str) -> Value {
        let stdin = self.stdin.as_mut().unwrap();
        writeln!(stdin, "{}", json!([call, path])).unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{call} {path}: {line:?}: {error}"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stdin.take();
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
