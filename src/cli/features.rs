//! `drumfs features`: what training reads, computed by the code that inference uses.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use ndarray::{Array1, Array2, ShapeError};
use ndarray_npy::{NpzWriter, WriteNpzError};
use rayon::prelude::*;
use thiserror::Error;

use super::output;
use crate::archive::identity::{ContentHash, HashAlgorithm};
use crate::audio::{Decoder, Extractor, Features, Source};
use crate::classify::{Backend, Classifier, ModelError, Session};

/// Compute the features of labelled samples, for training a model.
///
/// Reads a CSV file with a column `path` (further columns are ignored) and writes a NumPy archive with one row a line,
/// in the same order: `features` (float32, rows x 5183: a picture
/// of 64 bands x 64 frames, one of the attack of 32 x 32, 63 descriptors), `ok` (uint8, 1 where the row was heard;
/// the others are zeros) and `attributes` (float32, rows x 4: duration in s, RMS in dBFS, centroid and rolloff in Hz).
#[derive(Debug, Clone, Args)]
pub struct FeaturesArgs {
    /// The CSV file.
    #[arg(long, value_name = "CSV")]
    pub manifest: PathBuf,
    /// Folder that relative paths start from [default: the CSV file's].
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// The NumPy archive to write.
    #[arg(long, value_name = "NPZ")]
    pub out: PathBuf,
    /// Run the model too, and print the median time of each stage in microseconds a file. Exact with
    /// RAYON_NUM_THREADS=1.
    #[arg(long)]
    pub times: bool,
}

/// Why no features were written.
#[derive(Debug, Error)]
pub enum FeaturesError {
    /// The manifest can't be read.
    #[error("{}: {error}", path.display())]
    Manifest {
        /// The CSV file.
        path: PathBuf,
        /// Why, with the line.
        error: csv::Error,
    },
    /// The archive can't be written.
    #[error("{}: {reason}", path.display())]
    Write {
        /// The NumPy archive.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The model does not run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The result can't be printed.
    #[error("the result can't be printed: {0}")]
    Print(#[from] io::Error),
}

/// One line of a manifest.
struct Line {
    path: PathBuf,
}

/// One row of the archive.
struct Row {
    features: Features,
    attributes: [f32; 4],
    times: Times,
}

/// How long each stage took, in microseconds: reading, hashing, decoding, features and attributes, and the model.
type Times = [f64; STAGES.len()];

const STAGES: [&str; 5] = ["read", "hash", "decode", "features", "model"];

/// What a thread hears with.
struct Ear {
    decoder: Decoder,
    extractor: Extractor,
    session: Option<Session>,
}

/// Runs the command; returns how many rows could not be heard. Each of them is said on stderr.
///
/// # Errors
/// [`FeaturesError`] where the manifest can't be read or the archive can't be written.
pub fn run(args: &FeaturesArgs) -> Result<usize, FeaturesError> {
    let lines = read_manifest(&args.manifest)
        .map_err(|error| FeaturesError::Manifest { path: args.manifest.clone(), error })?;
    let root = args.root.as_deref().or(args.manifest.parent()).unwrap_or(Path::new(""));
    let classifier = if args.times { Some(Classifier::embedded()?) } else { None };
    if let Some(classifier) = &classifier {
        // What is wrong with the model is said once, here.
        classifier.session()?;
        let backend = Backend::start(None).map_err(ModelError::from)?;
        output::line(format_args!("{} on {}", classifier.model_id(), backend.describe()))?;
    }
    let new_ear = || Ear {
        decoder: Decoder::new(),
        extractor: Extractor::new(),
        session: classifier.as_ref().and_then(|classifier| classifier.session().ok()),
    };
    let rows: Vec<Option<Row>> = lines
        .par_iter()
        .map_init(new_ear, |ear, line| {
            let path = root.join(&line.path);
            hear(ear, &path).map_err(|why| output::tell(format_args!("{}: {why}", path.display()))).ok()
        })
        .collect();
    write_archive(&args.out, &rows)
        .map_err(|reason| FeaturesError::Write { path: args.out.clone(), reason: reason.to_string() })?;
    let failed = rows.iter().filter(|row| row.is_none()).count();
    output::line(format_args!("{}: {} rows, {failed} not heard", args.out.display(), rows.len()))?;
    if args.times {
        print_times(&rows)?;
    }
    Ok(failed)
}

fn read_manifest(path: &Path) -> Result<Vec<Line>, csv::Error> {
    let mut rows = csv::Reader::from_path(path)?;
    let column = rows.byte_headers()?.iter().position(|name| name == b"path");
    let missing = || io::Error::new(io::ErrorKind::InvalidData, "there is no column `path`");
    let column = column.ok_or_else(missing)?;
    // Paths are bytes, be they UTF-8 or not.
    let path = |row: csv::ByteRecord| Line { path: OsStr::from_bytes(row.get(column).unwrap_or_default()).into() };
    rows.byte_records().map(|row| row.map(path)).collect()
}

fn hear(ear: &mut Ear, path: &Path) -> Result<Row, String> {
    let mut times = Times::default();
    let mut last = Instant::now();
    let mut lap = |stage: usize| {
        let now = Instant::now();
        if let Some(time) = times.get_mut(stage) {
            *time = (now - last).as_secs_f64() * 1e6;
        }
        last = now;
    };
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    lap(0);
    if ear.session.is_some() {
        std::hint::black_box(ContentHash::of(HashAlgorithm::Xxh3, &bytes));
    }
    lap(1);
    let extension = path.extension().and_then(|extension| extension.to_str());
    let decoded =
        ear.decoder.decode(Source::Bytes(&bytes), bytes.len() as u64, extension).map_err(|error| error.to_string())?;
    lap(2);
    let sound = ear.extractor.extract(decoded.samples, decoded.sample_rate);
    lap(3);
    let attributes = [decoded.duration_sec() as f32, sound.rms_dbfs, sound.centroid_hz, sound.rolloff_hz];
    let features = sound.features.map_err(|why| why.to_string())?;
    if let Some(session) = &mut ear.session {
        session.logits(features.as_slice()).map_err(|error| error.to_string())?;
    }
    lap(4);
    Ok(Row { features, attributes, times })
}

fn print_times(rows: &[Option<Row>]) -> io::Result<()> {
    for (stage, name) in STAGES.iter().enumerate() {
        let mut times: Vec<f64> = rows.iter().flatten().filter_map(|row| row.times.get(stage).copied()).collect();
        times.sort_by(f64::total_cmp);
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        let mean = times.iter().sum::<f64>() / times.len().max(1) as f64;
        output::line(format_args!("{name:>8}: median {median:7.1} µs, mean {mean:7.1} µs"))?;
    }
    Ok(())
}

/// Ways the archive may fail.
#[derive(Debug, Error)]
enum ArchiveError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Npz(#[from] WriteNpzError),
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

fn write_archive(path: &Path, rows: &[Option<Row>]) -> Result<(), ArchiveError> {
    let silence = [0f32; Features::LEN];
    let mut features = Vec::with_capacity(rows.len() * Features::LEN);
    let mut attributes = Vec::with_capacity(rows.len() * 4);
    for row in rows {
        features.extend_from_slice(row.as_ref().map_or(&silence[..], |row| row.features.as_slice()));
        attributes.extend(row.as_ref().map_or([0.0; 4], |row| row.attributes));
    }
    let ok: Vec<u8> = rows.iter().map(|row| u8::from(row.is_some())).collect();
    let mut archive = NpzWriter::new(BufWriter::new(File::create(path)?));
    archive.add_array("features", &Array2::from_shape_vec((rows.len(), Features::LEN), features)?)?;
    archive.add_array("attributes", &Array2::from_shape_vec((rows.len(), 4), attributes)?)?;
    archive.add_array("ok", &Array1::from_vec(ok))?;
    archive.finish()?;
    Ok(())
}
