//! Listening to files whose labels are known: a manifest, and what the model says of each of its files.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use thiserror::Error;

use super::analysis::{Analyses, Status};
use super::listen::{Listener, Source};
use crate::archive::{ContentHash, HashAlgorithm, kind};
use crate::classify::{Ensemble, ModelError};
use crate::csv_lines::noted;

/// Columns that say where a file comes from, the first that is there.
const KIT_COLUMNS: [&str; 2] = ["kit", "pack"];

/// A manifest that can't be used.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// It can't be read, or a line is no CSV.
    #[error("{}: {error}", path.display())]
    Csv {
        /// The manifest.
        path: PathBuf,
        /// Why, with the line.
        error: csv::Error,
    },
    /// A column is missing.
    #[error(
        "{}: there is no column `{missing}`; the columns are {found}. The first line names the columns: path, label \
         and, where files come from several kits, kit",
        path.display()
    )]
    Column {
        /// The manifest.
        path: PathBuf,
        /// The column.
        missing: String,
        /// The columns that are there.
        found: String,
    },
    /// A line has more or fewer fields than the first.
    #[error("{}: line {line}: it has {found} fields, and the first line has {expected}", path.display())]
    Fields {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// Its fields.
        found: usize,
        /// Those of the first line.
        expected: usize,
    },
    /// A logit that is none.
    #[error("{}: line {line}: column `{column}` is `{found}`; expected a number", path.display())]
    Number {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column.
        column: String,
        /// What is there.
        found: String,
    },
    /// It has no lines but the first.
    #[error("{}: no file is listed in it", path.display())]
    Empty {
        /// The manifest.
        path: PathBuf,
    },
    /// The threads can't be started.
    #[error("the threads that listen can't be started: {0}")]
    Threads(String),
    /// The model does not run.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// One file with its label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The line of the manifest, from 1.
    pub number: u64,
    /// The file; absolute, or relative to the working folder.
    pub path: PathBuf,
    /// What it is, as written.
    pub label: String,
    /// The kit or pack it is from: the manifest's column, or else the folder that the file lies in.
    pub kit: String,
}

/// Reads a manifest: a CSV file whose first line names its columns, `path` and `label` among them. A relative path
/// starts from the manifest's folder. `kit` or `pack` says which files are from one source; where it is empty or there
/// is no such column, the file's folder does. Other columns are passed over.
///
/// # Errors
/// [`ManifestError`].
pub fn read_manifest(path: &Path) -> Result<Vec<Line>, ManifestError> {
    Ok(read(path, &[])?.into_iter().map(|(line, _)| line).collect())
}

/// Reads what a model said of files elsewhere, as a training does of those it held out: a manifest with one more column
/// for each of `labels`, its logits. The same file may come several times, as it was judged by several networks.
///
/// # Errors
/// [`ManifestError`].
pub fn read_logits(path: &Path, labels: &[String]) -> Result<Vec<(Line, Vec<f32>)>, ManifestError> {
    read(path, labels)
}

fn read(path: &Path, numbers: &[String]) -> Result<Vec<(Line, Vec<f32>)>, ManifestError> {
    let failed = |error| ManifestError::Csv { path: path.to_owned(), error };
    let file = std::fs::File::open(path).map_err(|error| failed(error.into()))?;
    let (input, mut numbering) = noted(file);
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::Headers).from_reader(input);
    let headers = reader.byte_headers().map_err(failed)?.clone();
    let column = |name: &str| headers.iter().position(|header| header.eq_ignore_ascii_case(name.as_bytes()));
    let missing = |missing: &str| {
        let found: Vec<_> = headers.iter().map(|header| format!("`{}`", String::from_utf8_lossy(header))).collect();
        ManifestError::Column { path: path.to_owned(), missing: missing.to_owned(), found: found.join(", ") }
    };
    let needed = |name: &str| column(name).ok_or_else(|| missing(name));
    let (path_at, label_at) = (needed("path")?, needed("label")?);
    let kit_at = KIT_COLUMNS.iter().find_map(|name| column(name));
    // Labels are told apart by case elsewhere, and `label` may be one.
    let exact =
        |name: &String| headers.iter().position(|header| header == name.as_bytes()).ok_or_else(|| missing(name));
    let numbers_at: Vec<usize> = numbers.iter().map(exact).collect::<Result<_, _>>()?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut lines = Vec::new();
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(failed)? {
        let number = numbering.of(&record, reader.position().byte());
        if record.len() != headers.len() {
            let (found, expected) = (record.len(), headers.len());
            return Err(ManifestError::Fields { path: path.to_owned(), line: number, found, expected });
        }
        let field = |at: usize| record.get(at).unwrap_or_default();
        let text = |at: usize| String::from_utf8_lossy(field(at)).trim().to_owned();
        let file = folder.join(OsStr::from_bytes(field(path_at)));
        let kit = kit_at.map(text).filter(|kit| !kit.is_empty());
        let kit = kit.unwrap_or_else(|| file.parent().unwrap_or(folder).to_string_lossy().into_owned());
        let value = |(at, name): (&usize, &String)| {
            let found = text(*at);
            found.parse().ok().filter(|value: &f32| value.is_finite()).ok_or_else(|| ManifestError::Number {
                path: path.to_owned(),
                line: number,
                column: name.clone(),
                found,
            })
        };
        let values = numbers_at.iter().zip(numbers).map(value).collect::<Result<_, _>>()?;
        lines.push((Line { number, path: file, label: text(label_at), kit }, values));
    }
    if lines.is_empty() {
        return Err(ManifestError::Empty { path: path.to_owned() });
    }
    Ok(lines)
}

/// One file that was heard.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// Its content.
    pub hash: ContentHash,
    /// What it is, spelt as the first model that has the label spells it.
    pub label: String,
    /// The kit it is from.
    pub kit: String,
    /// What the models heard.
    pub analyses: Analyses,
}

/// What came of a manifest.
#[derive(Debug, Default)]
pub struct Listened {
    /// Each content once, in the manifest's order.
    pub heard: Vec<Heard>,
    /// How many files are left out.
    pub left_out: usize,
    /// Why, in sentences: one a file, one for all files with the same unknown label.
    pub problems: Vec<String>,
    /// Lines whose bytes are those of an earlier line with the same label: they count once.
    pub repeated: usize,
    /// Whether it was stopped before the end.
    pub interrupted: bool,
}

/// Listens to the files of a manifest. `tell` is called once a file, from any thread. Set `cancel` to stop.
///
/// A file that can't be heard, whose label no model knows, or that another line gives another label costs itself alone.
///
/// # Errors
/// [`ManifestError::Model`] where the model does not run, [`ManifestError::Threads`].
pub fn listen(
    lines: &[Line],
    ensemble: &Arc<Ensemble>,
    threads: usize,
    cancel: &AtomicBool,
    tell: &(dyn Fn() + Sync),
) -> Result<Listened, ManifestError> {
    // What is wrong with a model is said once, here.
    ensemble.check()?;
    let labels: Vec<Option<&str>> = lines.iter().map(|line| label_of(ensemble, &line.label)).collect();
    let next = AtomicUsize::new(0);
    let (sender, receiver) = crossbeam_channel::unbounded();
    let worker = |sender: crossbeam_channel::Sender<(usize, Sound)>| {
        let mut listener = None;
        while !cancel.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let (Some(line), Some(label)) = (lines.get(index), labels.get(index)) else { return };
            if label.is_some() && sender.send((index, hear(line, ensemble, &mut listener))).is_err() {
                return;
            }
            tell();
        }
    };
    std::thread::scope(|scope| {
        for number in 0..threads.max(1) {
            let sender = sender.clone();
            let builder = std::thread::Builder::new().name(format!("listen-{number}"));
            if let Err(error) = builder.spawn_scoped(scope, || worker(sender)) {
                cancel.store(true, Ordering::Relaxed);
                return Err(ManifestError::Threads(error.to_string()));
            }
        }
        Ok(())
    })?;
    drop(sender);
    let mut results: HashMap<usize, _> = receiver.into_iter().collect();
    let mut listened = Listened { interrupted: cancel.load(Ordering::Relaxed), ..Listened::default() };
    let mut first: HashMap<ContentHash, (&str, u64)> = HashMap::new();
    let mut unknown: BTreeMap<&str, (u64, usize)> = BTreeMap::new();
    for (index, (line, label)) in lines.iter().zip(&labels).enumerate() {
        let mut leave_out = |why: String| {
            listened.left_out += 1;
            listened.problems.push(format!("line {}: {}: {why}", line.number, line.path.display()));
        };
        let Some(label) = *label else {
            listened.left_out += 1;
            unknown.entry(&line.label).or_insert((line.number, 0)).1 += 1;
            continue;
        };
        match results.remove(&index) {
            None => {}
            Some(Err(why)) => leave_out(why),
            Some(Ok((hash, analyses))) => match first.get(&hash) {
                None => {
                    first.insert(hash, (label, line.number));
                    listened.heard.push(Heard { hash, label: label.to_owned(), kit: line.kit.clone(), analyses });
                }
                Some((same, _)) if *same == label => listened.repeated += 1,
                Some((_, number)) => leave_out(format!(
                    "`{}` here, another label in line {number}, and the bytes are the same",
                    line.label
                )),
            },
        }
    }
    listened.problems.extend(unknown.into_iter().map(|(label, (number, count))| {
        let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        format!("line {number}{more}: {}", unknown_label(ensemble, label))
    }));
    Ok(listened)
}

/// A file's content and what the models heard in it, or why it could not be heard.
type Sound = Result<(ContentHash, Analyses), String>;

/// All labels of the models, those of the first one first.
fn labels_of(ensemble: &Ensemble) -> impl Iterator<Item = &str> {
    ensemble.members().iter().flat_map(|member| member.classifier().labels().names()).map(String::as_str)
}

/// A label as a model spells it, whatever its case here.
fn label_of<'e>(ensemble: &'e Ensemble, name: &str) -> Option<&'e str> {
    let exact = labels_of(ensemble).find(|known| *known == name);
    exact.or_else(|| labels_of(ensemble).find(|known| known.eq_ignore_ascii_case(name)))
}

fn unknown_label(ensemble: &Ensemble, name: &str) -> String {
    let near = |known: &str| strsim::normalized_damerau_levenshtein(&known.to_lowercase(), &name.to_lowercase());
    match labels_of(ensemble).max_by(|a, b| near(a).total_cmp(&near(b))).filter(|closest| near(closest) > 0.6) {
        Some(closest) => format!("the model has no label `{name}`; did you mean `{closest}`?"),
        None => format!("the model has no label `{name}`; it has {}", ensemble.labels().names().join(", ")),
    }
}

fn hear(line: &Line, ensemble: &Arc<Ensemble>, listener: &mut Option<Listener>) -> Sound {
    let bytes = std::fs::read(&line.path).map_err(|error| error.to_string())?;
    let hash = ContentHash::of(HashAlgorithm::Xxh3, &bytes);
    let listener = match listener {
        Some(listener) => listener,
        None => listener.insert(Listener::new(Arc::clone(ensemble)).map_err(|error| error.to_string())?),
    };
    let name = line.path.file_name().unwrap_or_default().as_bytes();
    let extension = kind::extension(name).map(|e| String::from_utf8_lossy(e).to_ascii_lowercase());
    let analyses = listener.listen(Source::Bytes(&bytes), bytes.len() as u64, extension.as_deref());
    match analyses.telling() {
        Some(analysis) if analysis.status == Status::Ok => Ok((hash, analyses)),
        Some(analysis) => Err(analysis.error.clone().unwrap_or_else(|| analysis.status.name().to_owned())),
        None => Err("no model heard it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(text: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest.csv");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn paths_start_from_the_manifest_and_the_kit_is_a_column_or_the_folder() {
        let (folder, path) = manifest(b"label, Path ,kit,more\nKick,a/b.wav,one,x\n Snare ,/c/d.wav,,\n");
        let lines = read_manifest(&path).unwrap();
        assert_eq!(lines[0].path, folder.path().join("a/b.wav"));
        assert_eq!((lines[0].label.as_str(), lines[0].kit.as_str(), lines[0].number), ("Kick", "one", 2));
        assert_eq!((lines[1].label.as_str(), lines[1].kit.as_str(), lines[1].number), ("Snare", "/c", 3));
        let (_folder, path) = manifest(b"path,label,pack\nx\xff.wav,Kick,p\n");
        let lines = read_manifest(&path).unwrap();
        assert_eq!(lines[0].path.file_name().unwrap().as_bytes(), b"x\xff.wav");
        assert_eq!(lines[0].kit, "p");
    }

    #[test]
    fn a_manifest_that_can_not_be_used_says_what_one_looks_like() {
        let error = |text: &[u8]| read_manifest(&manifest(text).1).unwrap_err().to_string();
        assert!(error(b"file;class\na;b\n").contains("no column `path`; the columns are `file;class`"));
        assert!(error(b"path,label\n").contains("no file is listed"));
        assert!(error(b"path,label\na,b\na,b,c\n").contains("line 3: it has 3 fields"));
        assert!(read_manifest(Path::new("/nowhere.csv")).unwrap_err().to_string().contains("/nowhere.csv"));
    }

    #[test]
    fn a_manifest_written_on_windows_has_the_lines_that_an_editor_shows() {
        let (_folder, path) = manifest(b"path,label\r\na.wav,Kick\r\n\r\nb.wav,Tom\r\n");
        let lines = read_manifest(&path).unwrap();
        assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [2, 4]);
    }

    #[test]
    fn logits_that_were_made_elsewhere_are_read_by_their_labels() {
        let labels = ["Kick".to_owned(), "Tom".to_owned()];
        let (_folder, path) = manifest(b"path,label,kit,fold,Tom,Kick\na.wav,Kick,one,0,-1.5,2\n");
        let lines = read_logits(&path, &labels).unwrap();
        assert_eq!((lines[0].0.kit.as_str(), &lines[0].1[..]), ("one", &[2.0, -1.5][..]));
        let (_folder, path) = manifest(b"path,label,Tom\na.wav,Kick,1\n");
        assert!(read_logits(&path, &labels).unwrap_err().to_string().contains("no column `Kick`"));
        let (_folder, path) = manifest(b"path,label,Tom,Kick\na.wav,Kick,1,nan\n");
        let error = read_logits(&path, &labels).unwrap_err().to_string();
        assert!(error.contains("line 2: column `Kick` is `nan`; expected a number"), "{error}");
    }

    #[test]
    fn a_file_that_fails_costs_itself_alone_and_the_same_bytes_count_once() {
        let (folder, path) = manifest(
            b"path,label\narchive/a.wav,kick\narchive/b.wav,Kick\narchive/c.wav,Snare\narchive/none.wav,Kick\n\
              manifest.csv,Kick\narchive/d.wav,Kik\na,Kik\narchive/d.wav,Loop\n",
        );
        let sound = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archive/Akai/Layered/BD_019.wav");
        std::fs::create_dir(folder.path().join("archive")).unwrap();
        for name in ["a", "b", "c", "d"] {
            std::fs::copy(&sound, folder.path().join(format!("archive/{name}.wav"))).unwrap();
        }
        let ensemble = Arc::new(Ensemble::embedded().unwrap());
        let told = AtomicUsize::new(0);
        let tell = || _ = told.fetch_add(1, Ordering::Relaxed);
        let lines = read_manifest(&path).unwrap();
        let listened = listen(&lines, &ensemble, 2, &AtomicBool::new(false), &tell).unwrap();
        assert_eq!((listened.heard.len(), listened.repeated, listened.interrupted), (1, 1, false));
        assert_eq!(told.into_inner(), 8);
        let heard = &listened.heard[0];
        assert_eq!(heard.label, "Kick");
        assert_eq!(heard.analyses.get(0).unwrap().logits.len(), 34);
        let problems = listened.problems;
        assert_eq!((listened.left_out, problems.len()), (6, 5), "{problems:?}");
        assert!(problems[0].starts_with("line 4: ") && problems[0].contains("another label in line 2"));
        assert!(problems[1].contains("none.wav") && problems[2].contains("manifest.csv"));
        assert!(problems[3].contains("line 7 and 1 more: ") && problems[3].contains("did you mean `Kick`"));
        assert!(problems[4].contains("it has Agogo, Bell"));
    }
}
