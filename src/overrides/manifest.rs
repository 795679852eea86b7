//! A curated training manifest (`path,label,kit`) brought up to what people said. Lines that need no change stay as they
//! are, byte for byte.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use thiserror::Error;

use crate::archive::ContentHash;
use crate::rules::Vocabulary;
use crate::store::Override;
use crate::view::Catalogue;

/// A manifest that can't be merged into.
#[derive(Debug, Error)]
pub enum MergeError {
    /// A line is no CSV.
    #[error("{}: {source}", path.display())]
    Csv {
        /// The manifest.
        path: PathBuf,
        /// Why, with the line.
        source: csv::Error,
    },
    /// A column is missing.
    #[error("{}: there is no column `{missing}`: its first line names the columns: path,label,kit", path.display())]
    Column {
        /// The manifest.
        path: PathBuf,
        /// The column.
        missing: &'static str,
    },
}

/// What a merge is about.
#[derive(Clone, Copy)]
pub struct Merge<'a> {
    /// The manifest; relative paths in it start from its folder. Absolute and without links.
    pub manifest: &'a Path,
    /// The archive's root, absolute and without links.
    pub root: &'a Path,
    /// The samples.
    pub catalogue: &'a Catalogue,
    /// What people said.
    pub overrides: &'a HashMap<ContentHash, Override>,
    /// The labels that a model can learn: its fine ones.
    pub vocabulary: &'a Vocabulary,
    /// Whether a line that is there already keeps its label.
    pub keep: bool,
}

/// A line that says another label than a person did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Disagreement {
    /// The line, from 1.
    pub line: u64,
    /// The sample's path as the line has it.
    pub path: String,
    /// The line's label.
    pub manifest: String,
    /// The override's.
    pub said: String,
}

/// Two lines of the manifest that give one content two labels.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Contradiction {
    /// The earlier line, from 1, and its label.
    pub earlier: (u64, String),
    /// The later line and its label.
    pub later: (u64, String),
}

/// What came of a merge.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Merged {
    /// The whole new text.
    #[serde(skip)]
    pub text: Vec<u8>,
    /// How many lines were added.
    pub added: usize,
    /// How many lines got another label.
    pub updated: usize,
    /// How many lines say already what was said.
    pub same: usize,
    /// Lines that say something else than a person did, updated or not.
    pub disagreements: Vec<Disagreement>,
    /// Lines of the manifest that disagree with each other, as they were before.
    pub contradictions: Vec<Contradiction>,
    /// Overrides whose label is no fine label of the model, and how many there are of each: nothing to learn from.
    pub no_fine_label: BTreeMap<String, usize>,
    /// Overrides whose content is not in the archive now.
    pub not_here: usize,
}

impl Merged {
    /// Whether there is anything to write.
    pub fn changes(&self) -> bool {
        self.added + self.updated > 0
    }
}

/// Columns that say where a file comes from, the first that is there.
const KIT_COLUMNS: [&str; 2] = ["kit", "pack"];

/// The columns of a manifest that is made anew.
const HEADER: &[u8] = b"path,label,kit\n";

/// The label in the model's spelling, where it is a fine one.
fn fine<'a>(vocabulary: &'a Vocabulary, label: &str) -> Option<&'a str> {
    vocabulary.fine().iter().find(|fine| fine.eq_ignore_ascii_case(label)).map(String::as_str)
}

/// Merges overrides into the text of a manifest; an empty text is a manifest that is not there yet. Each content gets one
/// line. Nothing is written here.
///
/// # Errors
/// Where the text is no manifest.
pub fn merge(about: &Merge<'_>, text: &[u8]) -> Result<Merged, MergeError> {
    let text = if text.iter().all(u8::is_ascii_whitespace) { HEADER } else { text };
    let failed = |source| MergeError::Csv { path: about.manifest.to_owned(), source };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(text);
    let headers = reader.byte_headers().map_err(failed)?.clone();
    // A table processor on Windows puts a byte order mark before the first name.
    let named = |header: &[u8], name: &str| {
        header.strip_prefix(b"\xef\xbb\xbf").unwrap_or(header).eq_ignore_ascii_case(name.as_bytes())
    };
    let column = |name: &str| headers.iter().position(|header| named(header, name));
    let needed = |missing| column(missing).ok_or(MergeError::Column { path: about.manifest.to_owned(), missing });
    let (path_at, label_at) = (needed("path")?, needed("label")?);
    let kit_at = KIT_COLUMNS.iter().find_map(|name| column(name));
    let newline: &[u8] = if text.windows(2).any(|pair| pair == b"\r\n") { b"\r\n" } else { b"\n" };
    let folder = about.manifest.parent().unwrap_or(Path::new("/"));

    let mut merged = Merged::default();
    let mut first: HashMap<ContentHash, (u64, String)> = HashMap::new();
    let mut copied = 0;
    let mut next_line = 1 + newlines(text.get(..reader.position().byte() as usize).unwrap_or_default());
    let mut record = csv::ByteRecord::new();
    loop {
        let start = reader.position().byte() as usize;
        if !reader.read_byte_record(&mut record).map_err(failed)? {
            break;
        }
        let end = reader.position().byte() as usize;
        let old = text.get(start..end).unwrap_or_default();
        // The end of a line on Windows is counted with the next record.
        let leading = old.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let line = next_line + newlines(old.get(..leading).unwrap_or_default());
        next_line += newlines(old);
        let field = |at: usize| record.get(at).unwrap_or_default();
        let label = String::from_utf8_lossy(field(label_at)).trim().to_owned();
        let Some(hash) = content_at(about, folder, field(path_at)) else { continue };
        match first.get(&hash) {
            Some(earlier) if !earlier.1.eq_ignore_ascii_case(&label) => {
                let later = (line, label.clone());
                merged.contradictions.push(Contradiction { earlier: earlier.clone(), later });
            }
            Some(_) => {}
            None => drop(first.insert(hash, (line, label.clone()))),
        }
        let Some(said) = about.overrides.get(&hash).and_then(|said| fine(about.vocabulary, &said.label)) else {
            continue;
        };
        if label.eq_ignore_ascii_case(said) {
            merged.same += 1;
            continue;
        }
        let path = String::from_utf8_lossy(field(path_at)).into_owned();
        merged.disagreements.push(Disagreement { line, path, manifest: label, said: said.to_owned() });
        if !about.keep {
            let fields = record.iter().enumerate().map(|(at, old)| if at == label_at { said.as_bytes() } else { old });
            let before = text.get(copied..start).unwrap_or_default();
            merged.text.extend_from_slice(before);
            merged.text.extend_from_slice(old.get(..leading).unwrap_or_default());
            let trailing =
                old.iter().rev().take_while(|byte| matches!(byte, b'\r' | b'\n')).count().min(old.len() - leading);
            merged.text.extend(csv_line(fields).map_err(failed)?);
            merged.text.extend_from_slice(old.get(old.len() - trailing..).unwrap_or_default());
            copied = end;
            merged.updated += 1;
        }
    }
    merged.text.extend_from_slice(text.get(copied..).unwrap_or_default());
    let mut new: Vec<(&[u8], &str, &[u8])> = Vec::new();
    for (hash, said) in about.overrides.iter().filter(|(hash, _)| !first.contains_key(hash)) {
        match (about.catalogue.with_content(hash), fine(about.vocabulary, &said.label)) {
            (_, None) => *merged.no_fine_label.entry(said.label.clone()).or_default() += 1,
            (None, _) => merged.not_here += 1,
            (Some(sample), Some(label)) => new.push((sample.path, label, sample.pack())),
        }
    }
    new.sort_unstable();
    if !new.is_empty() && !merged.text.ends_with(b"\n") {
        merged.text.extend_from_slice(newline);
    }
    let own = about.root.file_name().unwrap_or_default().as_bytes();
    for (path, label, pack) in new {
        let path = written(about.root, folder, path);
        let kit = if pack.is_empty() { own } else { pack };
        let field = |at: usize| match at {
            at if at == path_at => path.as_os_str().as_bytes(),
            at if at == label_at => label.as_bytes(),
            at if Some(at) == kit_at => kit,
            _ => b"",
        };
        merged.text.extend(csv_line((0..headers.len()).map(field)).map_err(failed)?);
        merged.text.extend_from_slice(newline);
        merged.added += 1;
    }
    Ok(merged)
}

fn newlines(text: &[u8]) -> u64 {
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// The content of a line's file, where it is a sample of the archive.
fn content_at(about: &Merge<'_>, folder: &Path, path: &[u8]) -> Option<ContentHash> {
    let file = plain(&folder.join(OsStr::from_bytes(path)));
    let relative = file.strip_prefix(about.root).ok()?;
    about.catalogue.by_path(relative.as_os_str().as_bytes())?.1.hash
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

/// A sample's path as a new line has it: from the manifest's folder where it lies below that, absolute elsewhere.
fn written(root: &Path, folder: &Path, path: &[u8]) -> PathBuf {
    let file = root.join(OsStr::from_bytes(path));
    file.strip_prefix(folder).map(Path::to_owned).unwrap_or(file)
}

/// A record of CSV without its end.
fn csv_line<'f>(fields: impl Iterator<Item = &'f [u8]>) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields)?;
    let mut line = writer.into_inner().map_err(|error| csv::Error::from(std::io::Error::other(error.to_string())))?;
    line.pop_if(|end| *end == b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::archive::HashAlgorithm;
    use crate::index::Status;
    use crate::view::Sample;

    fn hash(path: &str) -> ContentHash {
        ContentHash::of(HashAlgorithm::Xxh3, path.as_bytes())
    }

    fn merged(text: &str, said: &[(&str, &str)], keep: bool) -> Merged {
        let paths = ["e.wav", "one/a.wav", "one/b, c.wav", "two/d.wav"];
        let sample = |path: &&str| {
            Arc::new(Sample {
                path: path.as_bytes().into(),
                size: 1,
                mtime_ns: 0,
                hash: Some(hash(path)),
                status: Status::Ok,
                error: None,
                attributes: None,
                probs: [].into(),
                gate: None,
            })
        };
        let catalogue = Catalogue::new(paths.iter().map(sample).collect());
        let overrides =
            said.iter().map(|(path, label)| (hash(path), Override { label: (*label).to_owned(), note: None, at: 1.0 }));
        let about = Merge {
            manifest: Path::new("/data/curated.csv"),
            root: Path::new("/data/archive"),
            catalogue: &catalogue,
            overrides: &overrides.collect(),
            vocabulary: &Vocabulary::drums(),
            keep,
        };
        merge(&about, text.as_bytes()).unwrap()
    }

    fn text(merged: &Merged) -> &str {
        std::str::from_utf8(&merged.text).unwrap()
    }

    #[test]
    fn a_manifest_is_made_and_then_nothing_is_left_to_do() {
        let said = [("one/b, c.wav", "snare"), ("e.wav", "Kick"), ("one/a.wav", "Loops"), ("gone.wav", "Tom")];
        let first = merged("", &said, false);
        assert_eq!(text(&first), "path,label,kit\narchive/e.wav,Kick,archive\n\"archive/one/b, c.wav\",Snare,one\n");
        assert_eq!((first.added, first.not_here), (2, 1));
        assert_eq!(first.no_fine_label, BTreeMap::from([("Loops".to_owned(), 1)]));
        let second = merged(text(&first), &said, false);
        assert_eq!((second.added, second.updated, second.same), (0, 0, 2));
        assert_eq!((second.changes(), &second.text), (false, &first.text));
    }

    #[test]
    fn lines_that_disagree_are_named_and_updated_or_kept_and_the_others_stay_byte_for_byte() {
        let before = "label;x, Path ,kit,label\r\n1,archive/one/a.wav,\"my \"\"kit\"\"\",Kick\r\n\
                      2, spaced ,x,  Tom\r\n3,/data/archive/two/../two/d.wav,k,Tom";
        let said = [("one/a.wav", "Snare"), ("two/d.wav", "Ride"), ("e.wav", "Clap")];
        let done = merged(before, &said, false);
        let expected = "label;x, Path ,kit,label\r\n1,archive/one/a.wav,\"my \"\"kit\"\"\",Snare\r\n\
                        2, spaced ,x,  Tom\r\n3,/data/archive/two/../two/d.wav,k,Ride\r\n,archive/e.wav,archive,Clap\r\n";
        assert_eq!(text(&done), expected);
        assert_eq!((done.added, done.updated), (1, 2));
        let lines: Vec<_> = done.disagreements.iter().map(|d| (d.line, &d.manifest[..], &d.said[..])).collect();
        assert_eq!(lines, [(2, "Kick", "Snare"), (4, "Tom", "Ride")]);
        let kept = merged(before, &said, true);
        assert_eq!((kept.added, kept.updated, kept.disagreements.len()), (1, 0, 2));
        assert!(text(&kept).starts_with(before));
    }

    #[test]
    fn lines_that_contradict_each_other_are_named() {
        let before = "path,label\narchive/one/a.wav,Kick\narchive/one/a.wav,Tom\n";
        let done = merged(before, &[], false);
        let expected = Contradiction { earlier: (2, "Kick".to_owned()), later: (3, "Tom".to_owned()) };
        assert_eq!((done.contradictions, done.text), (vec![expected], before.as_bytes().to_vec()));
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        let catalogue = Catalogue::default();
        let about = Merge {
            manifest: Path::new("/m.csv"),
            root: Path::new("/a"),
            catalogue: &catalogue,
            overrides: &HashMap::new(),
            vocabulary: &Vocabulary::drums(),
            keep: false,
        };
        let error = merge(&about, b"file;class\na;b\n").unwrap_err().to_string();
        assert_eq!(error, "/m.csv: there is no column `path`: its first line names the columns: path,label,kit");
        assert!(merge(&about, b"path,label\na,b,c\n").unwrap_err().to_string().contains("line"));
    }
}
