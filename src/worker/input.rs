//! The list of files: paths or JSON, one a line.

use std::ffi::OsStr;
use std::io::{self, BufRead, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::exchange::PathText;
use crate::exchange::{from_hex, to_hex, without_nan};

/// The longest line that is read, in bytes: a record with all its probabilities has some 2,000.
const MAX_LINE: usize = 1 << 20;

/// What the lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// A line from `{` to `}` is JSON, any other a path.
    #[default]
    Auto,
    /// Every line is a path.
    Paths,
    /// Every line is JSON.
    Jsonl,
}

/// A line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A file, by its path relative to the root.
    File(Vec<u8>),
    /// What can't be a file of the archive.
    Refused {
        /// The line, or the path in it.
        shown: Vec<u8>,
        /// Why.
        why: String,
    },
}

impl Line {
    /// The path, or what stands in its place.
    pub fn path(&self) -> &[u8] {
        match self {
            Self::File(path) => path,
            Self::Refused { shown, .. } => shown,
        }
    }
}

/// Reads a list, line by line.
pub struct Input<R> {
    reader: R,
    /// What ends a line: a newline, or NUL.
    separator: u8,
    form: Form,
    /// The archive's root in its spellings: paths that begin with one are made relative.
    roots: Vec<PathBuf>,
    number: u64,
}

/// A line of JSON: what `index.jsonl` has, ours or the older pipeline's, or just a path.
#[derive(Deserialize)]
struct Json {
    relative_path_bytes: Option<String>,
    #[serde(alias = "path")]
    relative_path: Option<PathText>,
    abs_path: Option<PathText>,
}

impl<R: BufRead> Input<R> {
    /// Reads `reader`, whose lines end with a newline, or with NUL where `null` is set. `roots` are spellings of the
    /// archive's root, absolute.
    pub fn new(reader: R, form: Form, null: bool, roots: Vec<PathBuf>) -> Self {
        Self { reader, separator: if null { 0 } else { b'\n' }, form, roots, number: 0 }
    }

    /// The next line; none at the end. Empty lines are passed over.
    ///
    /// # Errors
    /// Where the list can't be read any further.
    pub fn read(&mut self) -> io::Result<Option<Line>> {
        loop {
            let mut bytes = Vec::new();
            let read = (&mut self.reader).take(MAX_LINE as u64).read_until(self.separator, &mut bytes)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if bytes.last() == Some(&self.separator) {
                bytes.pop();
            } else if bytes.len() == MAX_LINE {
                self.skip_line()?;
                bytes.truncate(100);
                return Ok(Some(self.refuse(bytes, format!("a line of more than {MAX_LINE} bytes"))));
            }
            // Lists made on Windows.
            if self.separator == b'\n' && bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
            if !bytes.is_empty() {
                return Ok(Some(self.line(bytes)));
            }
        }
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let (used, ended) = {
                let buffer = self.reader.fill_buf()?;
                match buffer.iter().position(|byte| *byte == self.separator) {
                    Some(at) => (at + 1, true),
                    None => (buffer.len(), buffer.is_empty()),
                }
            };
            self.reader.consume(used);
            if ended {
                return Ok(());
            }
        }
    }

    fn refuse(&self, shown: Vec<u8>, why: String) -> Line {
        Line::Refused { shown, why: format!("line {} of the input: {why}", self.number) }
    }

    fn line(&self, bytes: Vec<u8>) -> Line {
        let is_json = match self.form {
            Form::Paths => false,
            Form::Jsonl => true,
            Form::Auto => bytes.starts_with(b"{") && bytes.ends_with(b"}"),
        };
        let path = if is_json { json_path(&bytes) } else { Ok(bytes.clone()) };
        let relative = path.map_err(|why| (None, why)).and_then(|path| match self.relative(&path) {
            Ok(relative) => Ok(relative),
            Err(why) => Err((Some(path), why)),
        });
        match relative {
            Ok(path) => Line::File(path),
            Err((path, why)) => self.refuse(path.unwrap_or(bytes), why),
        }
    }

    /// A path relative to the root, without `.` and doubled slashes.
    fn relative(&self, path: &[u8]) -> Result<Vec<u8>, String> {
        let path = Path::new(OsStr::from_bytes(path));
        let below = if path.is_absolute() {
            self.roots.iter().find_map(|root| path.strip_prefix(root).ok()).ok_or_else(|| {
                let root = self.roots.first().map_or(Path::new("/"), PathBuf::as_path);
                format!("the path lies outside {}: name the archive's folder with --root", root.display())
            })?
        } else {
            path
        };
        normal(below).ok_or_else(|| "a path of the archive has no `..` and no NUL, and is not empty".to_owned())
    }
}

/// The names of a path, joined; none where it leads upwards or nowhere.
fn normal(path: &Path) -> Option<Vec<u8>> {
    use std::path::Component;
    let mut normal = Vec::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) if !name.as_bytes().contains(&0) => {
                if !normal.is_empty() {
                    normal.push(b'/');
                }
                normal.extend_from_slice(name.as_bytes());
            }
            _ => return None,
        }
    }
    (!normal.is_empty()).then_some(normal)
}

/// The path in a line of JSON, or why there is none.
fn json_path(line: &[u8]) -> Result<Vec<u8>, String> {
    if let Ok(path) = serde_json::from_slice::<PathText>(line) {
        return Ok(path.0);
    }
    // Numbers that are none, as the older pipeline's index has them, say nothing of the path.
    let json: Json = serde_json::from_slice(line)
        .or_else(|error| serde_json::from_slice(&without_nan(line)).map_err(|_| error))
        .map_err(|error| format!("not JSON with a path: {error}; where it is the name of a file, say --input paths"))?;
    match (json.relative_path_bytes, json.relative_path.or(json.abs_path)) {
        (Some(hex), _) => from_hex(&hex).ok_or_else(|| "`relative_path_bytes` is not hexadecimal".to_owned()),
        (None, Some(path)) => Ok(path.0),
        (None, None) => Err("JSON without `relative_path`, `path` or `abs_path`".to_owned()),
    }
}

/// A path as a line that [`Form::Auto`] reads back, without its newline: as it is, or as ASCII JSON where a line of text
/// can't carry it or where engines that know nothing but UTF-8 would spoil it.
pub fn listed(path: &[u8]) -> Vec<u8> {
    let is_line = |text: &str| !text.contains('\n') && !text.ends_with('\r') && !text.starts_with('{');
    match std::str::from_utf8(path) {
        Ok(text) if is_line(text) => path.to_vec(),
        Ok(text) => serde_json::json!({ "relative_path": text }).to_string().into_bytes(),
        Err(_) => {
            let (text, hex) = (String::from_utf8_lossy(path), to_hex(path));
            serde_json::json!({ "relative_path": text, "relative_path_bytes": hex }).to_string().into_bytes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8], form: Form, null: bool) -> Vec<Line> {
        let roots = vec![PathBuf::from("/real/archive"), PathBuf::from("/link")];
        let mut input = Input::new(text, form, null, roots);
        std::iter::from_fn(|| input.read().unwrap()).collect()
    }

    fn file(path: &[u8]) -> Line {
        Line::File(path.to_vec())
    }

    #[test]
    fn paths_are_made_relative_to_the_root_and_keep_their_bytes() {
        let text = b"a/b.wav\n./a//c.wav\r\n\n/real/archive/d.wav\n/link/e f.wav\nx\xff.wav\n{odd.wav\nlast";
        let expected: Vec<Line> =
            [&b"a/b.wav"[..], b"a/c.wav", b"d.wav", b"e f.wav", b"x\xff.wav", b"{odd.wav", b"last"].map(file).into();
        assert_eq!(lines(text, Form::Auto, false), expected);
        assert_eq!(lines(b"a\nb.wav\0{}\0", Form::Paths, true), [file(b"a\nb.wav"), file(b"{}")]);
    }

    #[test]
    fn json_may_be_a_record_of_either_pipeline_or_just_a_path() {
        let text = br#"{"relative_path": "a.wav", "abs_path": "/elsewhere/a.wav", "probs": [0.5]}
{"path": "b.wav"}
{"abs_path": "/real/archive/c.wav"}
{"relative_path": "d\ufffd", "relative_path_bytes": "64ff"}
{"relative_path": "d\udcff"}
"#;
        assert_eq!(
            lines(text, Form::Auto, false),
            [b"a.wav", b"b.wav", b"c.wav", b"d\xff".as_slice(), b"d\xff"].map(file)
        );
        assert_eq!(lines(b"\"e.wav\"\n", Form::Jsonl, false), [file(b"e.wav")]);
    }

    #[test]
    fn what_is_no_file_of_the_archive_is_refused_with_its_line() {
        let long = [vec![b'x'; MAX_LINE + 5], b"\nok.wav".to_vec()].concat();
        let refused = |text: &[u8], form| match &lines(text, form, false)[0] {
            Line::Refused { shown, why } => (shown.clone(), why.clone()),
            line => panic!("{line:?}"),
        };
        for (text, form, word) in [
            (&b"/elsewhere/a.wav"[..], Form::Auto, "outside /real/archive"),
            (b"../up.wav", Form::Auto, "`..`"),
            (b".", Form::Auto, "empty"),
            (b"a\0b", Form::Auto, "NUL"),
            (b"{not json}", Form::Auto, "not JSON with a path"),
            (b"{\"size\": 1}", Form::Auto, "without `relative_path`"),
            (b"{\"relative_path_bytes\": \"zz\"}", Form::Auto, "hexadecimal"),
            (b"a.wav", Form::Jsonl, "--input paths"),
            (&long, Form::Auto, "more than"),
        ] {
            let (shown, why) = refused(text, form);
            assert!(why.starts_with("line 1 of the input: ") && why.contains(word), "{why}");
            assert!(!shown.is_empty());
        }
        assert_eq!(lines(&long, Form::Auto, false)[1], file(b"ok.wav"));
    }

    #[test]
    fn every_path_that_is_listed_is_read_back() {
        let paths: [&[u8]; 6] = [b"a b/c.wav", "\u{fc}.wav".as_bytes(), b"n\nl.wav", b"{x}.wav", b"\xff\n.wav", b"r\r"];
        for path in paths {
            let mut line = listed(path);
            assert!(std::str::from_utf8(&line).is_ok());
            line.push(b'\n');
            assert_eq!(lines(&line, Form::Auto, false), [file(path)]);
        }
    }
}
