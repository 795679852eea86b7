//! The project folder of an engineer of the older pipeline, written as that pipeline wrote it.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use drumfs::archive::{ContentHash, HashAlgorithm};
use serde_json::{Value, json};

use crate::support::{archive, ensemble, listing};

/// When the runs were made: names of their folders.
pub const RUNS: [&str; 2] = ["run_20251005_145016", "run_20251006_090000"];

/// A project of the older pipeline.
pub struct Project {
    dir: tempfile::TempDir,
}

/// A sound, and what the old model made of it.
pub struct Heard {
    /// Path in the archive.
    pub path: String,
    /// What it is.
    pub label: String,
}

impl Project {
    /// An archive of real sounds, a config.yml, models, two runs (the second compressed), the cache and overrides.
    pub fn new() -> Self {
        let project = Self { dir: tempfile::tempdir().unwrap() };
        let at = |path: &str| project.path().join(path);
        let sounds = project.sounds();
        for sound in &sounds {
            let to = at("complete_drum_archive").join(&sound.path);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(archive().join(&sound.path), &to).unwrap();
        }
        fs::create_dir_all(at("models")).unwrap();
        fs::write(at("models/model1.keras"), b"PK\x03\x04 what Keras saves").unwrap();
        fs::write(at("models/label_mapping.json"), json!(ensemble().labels().names()).to_string()).unwrap();
        let mapping =
            json!({"model_class_to_canonical": {"Noise": "FX", "Reverse": "FX", "Rim": "Rim", "Clap": "Clap"}});
        fs::write(at("models/canonical_mapping.json"), mapping.to_string()).unwrap();
        fs::write(at("config.yml"), CONFIG).unwrap();
        // The first run ended in the middle; the second knew what the first had seen.
        let mut seen = Vec::new();
        let (first, second) = sounds.split_at(sounds.len() / 2);
        let run = |name: &str| {
            let folder = at("ClassifiedArchive").join(name);
            fs::create_dir_all(&folder).unwrap();
            folder
        };
        let lines: String = first.iter().map(|sound| project.record(sound, &mut seen)).collect();
        fs::write(run(RUNS[0]).join("index.jsonl"), lines).unwrap();
        let lines: String = second.iter().chain(&first[..1]).map(|sound| project.record(sound, &mut seen)).collect();
        let file = fs::File::create(run(RUNS[1]).join("index.jsonl.gz")).unwrap();
        let mut file = flate2::write::GzEncoder::new(file, flate2::Compression::default());
        file.write_all(lines.as_bytes()).unwrap();
        file.finish().unwrap();
        seen.sort();
        fs::create_dir_all(at(".cache/archive_classifier")).unwrap();
        fs::write(at(".cache/archive_classifier/seen_hashes.txt"), seen.join("\n")).unwrap();
        let overrides: String = project
            .overridden()
            .iter()
            .map(|(sound, label)| json!({"hash": project.md5(sound), "correct_label": label}).to_string() + "\n")
            .collect();
        fs::write(at("overrides.jsonl"), overrides).unwrap();
        project
    }

    /// The project's folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What is in the archive, in order.
    pub fn sounds(&self) -> Vec<Heard> {
        let mut sounds: Vec<Heard> = listing("archive-labels.csv")
            .into_iter()
            .filter(|row| [".wav", ".flac", ".aif"].iter().any(|end| row["path"].ends_with(end)))
            .map(|row| Heard { path: row["path"].clone(), label: row["label"].clone() })
            .take(40)
            .collect();
        sounds.sort_by(|a, b| a.path.cmp(&b.path));
        sounds
    }

    /// What a person had corrected: paths and labels.
    pub fn overridden(&self) -> Vec<(String, &'static str)> {
        let sounds = self.sounds();
        let path = |index: usize| sounds[index].path.clone();
        vec![(path(0), "Tom"), (path(5), "Ride"), (path(30), "misc")]
    }

    /// The md5 of a sound's bytes, as the older pipeline names it.
    pub fn md5(&self, path: &str) -> String {
        let bytes = fs::read(self.path().join("complete_drum_archive").join(path)).unwrap();
        ContentHash::of(HashAlgorithm::Md5, &bytes).to_hex()
    }

    /// A line of index.jsonl, as the older pipeline made it.
    fn record(&self, sound: &Heard, seen: &mut Vec<String>) -> String {
        let file = self.path().join("complete_drum_archive").join(&sound.path);
        let names = ensemble().labels().names();
        let place = names.iter().position(|name| *name == sound.label);
        let (Some(place), bytes) = (place, fs::read(&file).unwrap()) else {
            let record = json!({"file": file, "relative_path": sound.path, "error": "too_short"});
            return record.to_string() + "\n";
        };
        let hash = self.md5(&sound.path);
        let mut record = json!({
            "relative_path": sound.path,
            "abs_path": file,
            "size": bytes.len(),
            "mtime": 1_730_723_456.25,
            "duration_sec": 0.5,
            "rms_db": -20.5,
            "spectral_centroid": 900.25,
            "spectral_rolloff": 2100.5,
            "hash": hash,
        });
        let fields = record.as_object_mut().unwrap();
        let mut say = |key: &str, value: Value| drop(fields.insert(key.to_owned(), value));
        if seen.contains(&hash) {
            say("skipped_duplicate", true.into());
            say("assigned_label", Value::Null);
            say("assigned_reason", "duplicate".into());
            return record.to_string() + "\n";
        }
        seen.push(hash);
        // Sure of every third sound, at a loss with the rest.
        let sure = if sound.path.len().is_multiple_of(3) { 0.3 } else { 0.8 };
        let rest = (1.0 - sure) / (names.len() - 1) as f64;
        let probs: Vec<f64> = (0..names.len()).map(|index| if index == place { sure } else { rest }).collect();
        let kit = ["Crash", "Hihat", "Kick", "Ride", "Snare", "Tom"].contains(&&sound.label[..]);
        let others = names.iter().filter(|name| **name != sound.label).take(2).map(|name| json!([name, rest]));
        let topk: Vec<Value> = std::iter::once(json!([sound.label, sure])).chain(others).collect();
        let (label, reason) = match (kit, sure < 0.5) {
            (false, _) => ("misc", "out_of_target"),
            (true, true) => ("misc", "low_confidence"),
            (true, false) => (&sound.label[..], "top1"),
        };
        say("label_top1", sound.label.clone().into());
        say("conf_top1", sure.into());
        say("topk", topk.into());
        say("probs", probs.into());
        say("assigned_label", label.into());
        say("assigned_reason", reason.into());
        say("misc_routed", (label == "misc").into());
        say("below_misc_threshold", (sure < 0.5).into());
        say("out_of_target", (!kit).into());
        say("errors", Value::Null);
        record.to_string() + "\n"
    }
}

/// A config.yml with every key of the older pipeline's.
const CONFIG: &str = "\
model_path: models/model1.keras
label_map: models/label_mapping.json
canonical_mapping: models/canonical_mapping.json
fallback_labels: [Crash, Hihat, Kick, Ride, Snare, Tom]
target_labels: [Crash, Hihat, Kick, Ride, Snare, Tom]
target_sr: 44100
target_samples: 50000
n_mfcc: 40
n_fft: 2048
hop_length: 512
normalize: true
min_duration_sec: 0.05
batch_size: 32
confidence_threshold: 0.0
top_k: 3
misc:
  threshold: 0.55
  label: misc
supported_formats: [.wav, .flac, .aiff, .aif]
max_files_per_run: null
dedup_hash: true
hash_algorithm: md5
include_audio_stats: true
paths:
  archive_root: complete_drum_archive
  runs_root: ClassifiedArchive
  regenerated_root: RegeneratedArchive
cache_dir: .cache/archive_classifier
compress_index: false
";
