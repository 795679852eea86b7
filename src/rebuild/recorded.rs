//! The view of an index: samples in the folders that their records say.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use thiserror::Error;

use super::plan::Originals;
use crate::archive::{ArchiveError, ArchiveRoot, ContentHash};
use crate::exchange::{BadLines, IndexError, IndexReader, Record};
use crate::index::Status;
use crate::rules::{FolderId, Layout, NoFolder, Reason, Router, Rules, Vocabulary};
use crate::store::Override;
use crate::view::{Assigned, Builder, Catalogue, Sample, View, ViewInput};

/// An index that no tree can be made of.
#[derive(Debug, Error)]
pub enum RecordedError {
    /// It can't be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The archive that it speaks of can't be used.
    #[error(
        "the originals that the index speaks of: {0}. If they are elsewhere now, name their folder: rebuild ARCHIVE --index …"
    )]
    Archive(#[from] ArchiveError),
    /// Records of different archives have the same path.
    #[error(
        "{} is in {} and in {}, which can't be in one tree: name one of them, rebuild ARCHIVE --index …",
        path.display(),
        first.display(),
        second.display()
    )]
    Twice {
        /// The path in both.
        path: PathBuf,
        /// One archive.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Its probabilities are in another order than the labels of the model.
    #[error(
        "{}: line {line} says `{said}` is likeliest, and by this model's labels its probabilities say `{is}`: they are of \
         another model. Without --rules the index's own folders are used",
        path.display()
    )]
    OtherLabels {
        /// The index.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The label in the record.
        said: String,
        /// The label at the place of the highest probability.
        is: String,
    },
    /// A folder was asked for that the index does not have.
    #[error(transparent)]
    NoFolder(#[from] NoFolder),
}

/// What an index says.
#[derive(Debug)]
pub struct Recorded {
    catalogue: Arc<Catalogue>,
    /// What the records say of each sample, in the order of the catalogue.
    said: Vec<Said>,
    /// The folders that records name.
    folders: Vec<String>,
    /// Where the originals are.
    pub originals: Originals,
    /// Lines that are no records of a sample.
    pub bad: BadLines,
}

/// What a record says of the place of its sample.
#[derive(Debug, Clone, Copy)]
struct Said {
    /// Place in [`Recorded::folders`]; none where the record names none.
    folder: Option<u16>,
    reason: Reason,
    confidence: f32,
    below_threshold: bool,
    out_of_target: bool,
}

/// A sample while an index is read.
struct Read {
    sample: Sample,
    archive: u16,
    said: Said,
    is_duplicate: bool,
}

/// How a tree of an index is narrowed.
#[derive(Debug, Clone, Copy)]
pub struct Narrowed<'a> {
    /// Rules to sort by, instead of the folders that the records say.
    pub rules: Option<&'a Rules>,
    /// How the archive's own folders show.
    pub layout: Option<Layout>,
    /// Only these folders and misc; all where there are none.
    pub labels: &'a [String],
    /// What people said, by content.
    pub overrides: &'a HashMap<ContentHash, Override>,
}

impl Recorded {
    /// Reads an index. With `archive` the originals are in there; without, where the records say. `labels` are those of
    /// the model in force, and `check` asks whether the probabilities are in their order.
    ///
    /// Of several records of one sample the last that has a label counts.
    ///
    /// # Errors
    /// [`RecordedError`]. A line that is no record costs itself alone.
    pub fn read(
        index: &Path,
        archive: Option<ArchiveRoot>,
        labels: &[String],
        check: bool,
    ) -> Result<Self, RecordedError> {
        let mut bad = BadLines::default();
        let mut archives: Vec<PathBuf> = archive.iter().map(|archive| archive.path().to_owned()).collect();
        let mut folders: Vec<String> = Vec::new();
        let mut samples: Vec<Read> = Vec::new();
        let mut reader = IndexReader::open(index)?;
        while let Some(record) = reader.next() {
            let mut record = match record {
                Err(error @ IndexError::Line { .. }) => {
                    bad.note(error);
                    continue;
                }
                record => record?,
            };
            let wrong = |what: &str| format!("{}:{}: {what}", index.display(), reader.line());
            if !stays_inside(&record.sample.path) {
                bad.note(wrong("its path leads out of the archive, or is none"));
                continue;
            }
            let root = match (&archive, root_of(&mut record)) {
                (Some(archive), _) => archive.path().to_owned(),
                (None, Some(root)) => root,
                (None, None) => {
                    bad.note(wrong("it does not say where the file is: name the archive, rebuild ARCHIVE --index …"));
                    continue;
                }
            };
            let of = match archives.iter().position(|known| *known == root) {
                Some(place) => place,
                None => {
                    archives.push(root);
                    archives.len() - 1
                }
            };
            let Ok(of) = u16::try_from(of) else {
                bad.note(wrong("more than 65,536 archives"));
                continue;
            };
            if record.sample.probs.len() != labels.len() {
                record.sample.probs = [].into();
            }
            if check {
                agrees(&record, labels).map_err(|(said, is)| RecordedError::OtherLabels {
                    path: index.to_owned(),
                    line: reader.line(),
                    said,
                    is,
                })?;
            }
            let said = said_of(&record, &mut folders);
            samples.push(Read { sample: record.sample, archive: of, said, is_duplicate: record.skipped_duplicate });
        }
        let samples = each_once(samples, &archives)?;
        let archives = match archive {
            Some(archive) => vec![archive],
            None => archives.iter().map(|path| ArchiveRoot::new(path)).collect::<Result<_, _>>()?,
        };
        Ok(Self::of(samples, folders, archives, bad))
    }

    fn of(mut samples: Vec<Read>, folders: Vec<String>, archives: Vec<ArchiveRoot>, bad: BadLines) -> Self {
        // The older pipeline heard each content once: its copies have the same probabilities.
        let heard: HashMap<ContentHash, Box<[f32]>> = if samples.iter().any(|read| read.is_duplicate) {
            let known = samples.iter().filter(|read| !read.sample.probs.is_empty());
            known.filter_map(|read| Some((read.sample.hash?, read.sample.probs.clone()))).collect()
        } else {
            HashMap::new()
        };
        let mut builder = Builder::default();
        let (mut of, mut said) = (Vec::with_capacity(samples.len()), Vec::with_capacity(samples.len()));
        for mut read in samples.drain(..) {
            of.push(read.archive);
            said.push(read.said);
            if read.is_duplicate && read.sample.probs.is_empty() {
                let probs = read.sample.hash.and_then(|hash| heard.get(&hash));
                read.sample.probs = probs.cloned().unwrap_or_default();
            }
            builder.add([read.sample]);
        }
        if archives.len() < 2 {
            of.clear();
        }
        let originals = Originals::in_several(archives, of).unwrap_or_else(Originals::nowhere);
        Self { catalogue: Arc::new(builder.finish()), said, folders, originals, bad }
    }

    /// The folders that records name.
    pub fn folders(&self) -> &[String] {
        &self.folders
    }

    /// The samples.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The view of the index.
    ///
    /// # Errors
    /// [`RecordedError::NoFolder`].
    pub fn view(
        &self,
        vocabulary: &Vocabulary,
        labels: Arc<[String]>,
        narrowed: &Narrowed<'_>,
    ) -> Result<View, RecordedError> {
        let mut rules = narrowed.rules.cloned().unwrap_or_else(|| Rules::defaults(vocabulary));
        if let Some(layout) = narrowed.layout {
            rules = rules.with_layout(layout);
        }
        let mut router = Router::new(&rules, vocabulary);
        // Records name folders of rules that nobody has any more.
        let mut ids: Vec<FolderId> = Vec::with_capacity(self.folders.len());
        if narrowed.rules.is_none() {
            ids.extend(self.folders.iter().map(|folder| router.with_folder(folder).unwrap_or(router.misc_folder())));
        }
        if !narrowed.labels.is_empty() {
            router = router.limited_to(narrowed.labels)?;
        }
        let decided = narrowed.rules.is_none().then(|| self.decided(&router, &ids, narrowed.overrides));
        let input = ViewInput {
            catalogue: Arc::clone(&self.catalogue),
            router: Arc::new(router),
            labels,
            overrides: narrowed.overrides,
            previous: None,
            now: SystemTime::now(),
            epoch: 0,
            rules_error: None,
        };
        Ok(match decided {
            Some(decided) => input.build_decided(&decided),
            None => input.build(),
        })
    }

    /// Where the records put each sample, but for what people said and for folders that are left out.
    fn decided(&self, router: &Router, ids: &[FolderId], overrides: &HashMap<ContentHash, Override>) -> Vec<Assigned> {
        let one = |(sample, said): (crate::view::SampleRef<'_>, &Said)| {
            let folder = said.folder.and_then(|folder| ids.get(usize::from(folder)).copied());
            let (mut folder, mut reason) = (folder.unwrap_or(router.misc_folder()), said.reason);
            let word = sample.hash.and_then(|hash| overrides.get(&hash));
            if !matches!(reason, Reason::Hidden | Reason::Error)
                && let Some(asked) = word.and_then(|word| router.folder_of_word(&word.label))
            {
                (folder, reason) = (asked, Reason::Override);
            }
            let mut out_of_target = said.out_of_target;
            if router.is_closed(folder) && reason != Reason::Hidden {
                (folder, reason, out_of_target) = (router.misc_folder(), Reason::OutOfTarget, true);
            }
            Assigned::new(folder, reason, said.confidence, said.below_threshold, out_of_target)
        };
        self.catalogue.samples().iter().zip(&self.said).map(one).collect()
    }
}

/// Whether a path of a record is one below an archive, and no other.
fn stays_inside(path: &[u8]) -> bool {
    !path.is_empty() && !path.split(|&byte| byte == b'/').any(|part| matches!(part, b"" | b"." | b".."))
}

/// The archive that a record's file is in: what its absolute path has before the relative one. A record whose two paths
/// do not fit is known by its file's name, in its folder.
fn root_of(record: &mut Record) -> Option<PathBuf> {
    let whole = std::path::absolute(OsStr::from_bytes(record.abs_path.as_deref()?)).ok()?.into_os_string().into_vec();
    let relative = &record.sample.path;
    // The absolute path of a name that is not UTF-8 is text, and only the relative one carries its bytes.
    let shown = String::from_utf8_lossy(relative);
    let before = whole.strip_suffix(&relative[..]).or_else(|| whole.strip_suffix(shown.as_bytes()));
    let before = before.and_then(|before| before.strip_suffix(b"/"));
    match before {
        Some(b"") => Some(PathBuf::from("/")),
        Some(before) => Some(PathBuf::from(OsStr::from_bytes(before))),
        None => {
            let path = Path::new(OsStr::from_bytes(&whole));
            record.sample.path = path.file_name()?.as_bytes().into();
            path.parent().map(Path::to_owned)
        }
    }
}

/// Whether the likeliest label is where the probabilities say; both names where not.
fn agrees(record: &Record, labels: &[String]) -> Result<(), (String, String)> {
    let best = record.sample.borrowed().best_label();
    let (Some((place, highest)), Some(said)) = (best, &record.label_top1) else { return Ok(()) };
    let at = |label: &String| labels.iter().position(|known| known == label);
    // Of equals any may be named.
    let is_as_likely = at(said).and_then(|place| record.sample.probs.get(place)).is_some_and(|p| *p == highest);
    match labels.get(place) {
        Some(is) if !is_as_likely => Err((said.clone(), is.clone())),
        _ => Ok(()),
    }
}

fn said_of(record: &Record, folders: &mut Vec<String>) -> Said {
    let label = record.assigned_label.as_deref().filter(|label| Router::may_be_folder(label));
    let folder = label.and_then(|label| {
        let place = folders.iter().position(|known| known == label).unwrap_or_else(|| {
            folders.push(label.to_owned());
            folders.len() - 1
        });
        u16::try_from(place).ok()
    });
    let named = record.assigned_reason.as_deref();
    let known = Reason::ALL.into_iter().find(|reason| Some(reason.name()) == named);
    let reason = match (known, label) {
        _ if record.skipped_duplicate => Reason::Hidden,
        _ if record.sample.status.is_error() && record.sample.status != Status::Missing => match known {
            Some(Reason::Hidden) => Reason::Hidden,
            _ => Reason::Error,
        },
        (Some(reason), _) => reason,
        (None, Some(_)) if record.out_of_target => Reason::OutOfTarget,
        (None, Some(_)) if record.misc_routed => Reason::LowConfidence,
        (None, Some(_)) => Reason::Top1,
        (None, None) => Reason::LowConfidence,
    };
    Said {
        folder,
        reason,
        confidence: record.assigned_confidence.or(record.conf_top1).unwrap_or(0.0),
        below_threshold: record.below_misc_threshold,
        out_of_target: record.out_of_target,
    }
}

/// Samples in the order of their paths, each once.
fn each_once(mut samples: Vec<Read>, archives: &[PathBuf]) -> Result<Vec<Read>, RecordedError> {
    // In most indexes they are. Stable: of one path the later record comes later.
    samples.sort_by(|a, b| a.sample.path.cmp(&b.sample.path));
    let mut once: Vec<Read> = Vec::with_capacity(samples.len());
    for read in samples {
        let Some(last) = once.last_mut().filter(|last| last.sample.path == read.sample.path) else {
            once.push(read);
            continue;
        };
        if last.archive != read.archive {
            let archive = |read: &Read| archives.get(usize::from(read.archive)).cloned().unwrap_or_default();
            return Err(RecordedError::Twice {
                path: PathBuf::from(OsStr::from_bytes(&read.sample.path)),
                first: archive(last),
                second: archive(&read),
            });
        }
        if read.said.folder.is_some() || last.said.folder.is_none() {
            *last = read;
        }
    }
    Ok(once)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_elsewhere_are_none() {
        for bad in [&b""[..], b"/a", b"../a", b"a/../b", b"a//b", b"./a", b"a/"] {
            assert!(!stays_inside(bad), "{}", String::from_utf8_lossy(bad));
        }
        assert!(stays_inside(b"a/..b/c."));
    }

    #[test]
    fn the_archive_is_what_comes_before_the_path() {
        let record = |abs: &str, relative: &str| {
            let line = format!("{{\"relative_path\": \"{relative}\", \"abs_path\": \"{abs}\"}}");
            let mut record = Record::parse(line.as_bytes()).unwrap();
            let root = root_of(&mut record).unwrap();
            (root.display().to_string(), String::from_utf8_lossy(&record.sample.path).into_owned())
        };
        assert_eq!(record("/x/y/a/b.wav", "a/b.wav"), ("/x/y".to_owned(), "a/b.wav".to_owned()));
        assert_eq!(record("/b.wav", "b.wav"), ("/".to_owned(), "b.wav".to_owned()));
        assert_eq!(record("/x/other.wav", "a/b.wav"), ("/x".to_owned(), "other.wav".to_owned()));
        assert_eq!(record("/x/yb.wav", "b.wav"), ("/x".to_owned(), "yb.wav".to_owned()));
        let line = r#"{"relative_path_bytes": "612ffe2e776176", "abs_path": "/x/y/a/�.wav"}"#;
        let mut odd = Record::parse(line.as_bytes()).unwrap();
        assert_eq!(root_of(&mut odd), Some(PathBuf::from("/x/y")), "a name that is not UTF-8");
        assert_eq!(&odd.sample.path[..], b"a/\xfe.wav");
        let here = std::env::current_dir().unwrap();
        assert_eq!(record("old/a/b.wav", "a/b.wav").0, here.join("old").display().to_string());
    }
}
