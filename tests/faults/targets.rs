//! What is fuzzed, as plain functions of bytes. `fuzz/` calls each with bytes of the fuzzer's making, and
//! [`corpora`](super::corpora) with everything the fuzzer has found, so that both try the same.
//!
//! A target returns where the bytes were refused or read, and panics where a promise is broken.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use drumfs::archive::{ArchiveRoot, ContentHash, HashAlgorithm};
use drumfs::audio::decode::{MAX_CHANNELS, MAX_SAMPLE_RATE, MAX_SECONDS};
use drumfs::audio::{Decoder, Extractor, Source};
use drumfs::classify::{
    Calibration, Classifier, Embedding, Ensemble, EnsembleFiles, Knowledge, Labels, ModelFiles, knowledge,
};
use drumfs::config::Config;
use drumfs::exchange::{IndexReader, LineError, Order, Probs, Record, rows};
use drumfs::index::record::{RecordContext, parse_line};
use drumfs::index::{Status, Update};
use drumfs::learn::Learned;
use drumfs::mount::{Unmounted, parse_override};
use drumfs::rules::{Router, Rules, Subject, Vocabulary};
use drumfs::store::{JournalEntry, OpenOptions, SampleEntry};

/// A target by its name.
pub type Target = fn(&[u8]);

/// Every target, by the name of its corpus.
pub const ALL: [(&str, Target); 14] = [
    ("riff", riff),
    ("decode", decode),
    ("rules", rules),
    ("config", config),
    ("overrides", overrides),
    ("record", record),
    ("exchange", exchange),
    ("calibration", calibration),
    ("labels", labels),
    ("learned", learned),
    ("description", description),
    ("model", model),
    ("knowledge", knowledge),
    ("journal", journal),
];

/// The readers of WAV, AIFF and CAF: the same samples from memory and from a file, never more than the bytes can hold.
pub fn riff(data: &[u8]) {
    let tag = data.get(..4).unwrap_or_default();
    if ![&b"RIFF"[..], b"RF64", b"BW64", b"FORM", b"caff"].contains(&tag) {
        return;
    }
    let (mut one, mut other) = (Decoder::new(), Decoder::new());
    let in_memory = one.decode(Source::Bytes(data), data.len() as u64, Some("wav"));
    let file = file_of(data);
    let on_disk = other.decode(Source::File(&file), data.len() as u64, Some("wav"));
    match (in_memory, on_disk) {
        (Ok(in_memory), Ok(on_disk)) => {
            assert_eq!(in_memory.samples, on_disk.samples);
            assert_eq!(in_memory.total_frames, on_disk.total_frames);
            let plain = in_memory.codec.starts_with("pcm_");
            assert!(!plain || in_memory.total_frames <= data.len() as u64, "more frames than bytes");
            check_decoded(&in_memory, data);
        }
        (Err(in_memory), Err(on_disk)) => assert_eq!(in_memory.to_string(), on_disk.to_string()),
        (one, other) => panic!("in memory {:?}, on disk {:?}", one.map(drop), other.map(drop)),
    }
}

/// Every format, as far as the features a model is shown.
pub fn decode(data: &[u8]) {
    thread_local! {
        static EAR: std::cell::RefCell<(Decoder, Extractor)> = Default::default();
    }
    EAR.with_borrow_mut(|(decoder, extractor)| {
        let Ok(decoded) = decoder.decode(Source::Bytes(data), data.len() as u64, Some("mp3")) else { return };
        check_decoded(&decoded, data);
        let sound = extractor.extract(decoded.samples, decoded.sample_rate);
        for value in [sound.rms_dbfs, sound.centroid_hz, sound.rolloff_hz] {
            assert!(value.is_finite(), "an attribute is no number");
        }
        if let Ok(features) = sound.features {
            assert!(features.as_slice().iter().all(|value| value.is_finite()), "a feature is no number");
        }
    });
}

fn check_decoded(decoded: &drumfs::audio::Decoded<'_>, data: &[u8]) {
    assert!((1..=MAX_SAMPLE_RATE).contains(&decoded.sample_rate));
    assert!((1..=MAX_CHANNELS).contains(&decoded.channels));
    assert!(decoded.samples.len() <= (decoded.sample_rate * MAX_SECONDS) as usize);
    assert!(decoded.samples.iter().all(|sample| sample.is_finite()), "a sample is no number");
    assert!(decoded.samples.len() as u64 <= decoded.total_frames.max(1), "more samples than frames");
    assert!(decoded.total_frames <= (data.len() as u64).saturating_mul(8192), "more frames than bytes can hold");
    assert!(decoded.duration_sec().is_finite());
}

/// rules.yml: what is accepted routes any sample into folders that can be made; what is refused is told with a place
/// in the text.
pub fn rules(data: &[u8]) {
    let drums = Vocabulary::drums();
    let rules = match Rules::parse_bytes(data, &drums) {
        Ok(rules) => rules,
        Err(error) => {
            let lines =
                data.iter().filter(|&&byte| byte == b'\n').count() + data.iter().filter(|&&b| b == b'\r').count();
            assert!(error.line <= lines + 2, "line {} of {lines}", error.line);
            assert!(!error.to_string().is_empty());
            error.could_be_unfinished();
            return;
        }
    };
    let router = Router::new(&rules, &drums);
    for folder in router.folders() {
        assert!(!folder.is_empty() && !folder.starts_with(['/', '_']) && !folder.ends_with('/'), "{folder:?}");
        assert!(folder.split('/').all(|part| !part.is_empty() && part != "." && part != ".."), "{folder:?}");
        assert!(!folder.chars().any(char::is_control), "{folder:?}");
    }
    let mut probs = vec![0.01f32; drums.fine().len()];
    probs[0] = 1.0 - 0.01 * (probs.len() - 1) as f32;
    let paths: [&[u8]; 4] = [b"pack/BD_019.wav", b"808/\xff\n.wav", b"x", b"Loops/demo snare (1).flac"];
    for path in paths {
        for probs in [&probs[..], &[]] {
            let status = if probs.is_empty() { Status::Silent } else { Status::Ok };
            let subject = Subject {
                path,
                size: 1000,
                status,
                attributes: None,
                probs,
                override_label: None,
                gate_refused: false,
                gate_probability: None,
                read_name: None,
            };
            let verdict = router.route(&subject);
            assert!(verdict.confidence.is_finite());
            assert!(!router.explain(&subject).to_string().is_empty());
        }
    }
}

/// config.yml.
pub fn config(data: &[u8]) {
    if let Err(error) = Config::parse(&String::from_utf8_lossy(data), Path::new("/nowhere")) {
        assert!(!error.is_empty());
    }
}

/// A line of overrides.jsonl, in a view of two samples.
pub fn overrides(data: &[u8]) {
    static VIEW: OnceLock<(tempfile::TempDir, Unmounted)> = OnceLock::new();
    let (_, view) = VIEW.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("archive");
        std::fs::create_dir(&archive).unwrap();
        let root = Arc::new(ArchiveRoot::new(&archive).unwrap());
        let purpose = "fuzzing".to_owned();
        let options =
            OpenOptions { folder: dir.path().join("store"), archive: root.path().to_owned(), repair: false, purpose };
        let store = Arc::new(options.open().unwrap().store);
        let view = Unmounted::start(root, store, Arc::clone(ensemble()), Vocabulary::drums()).unwrap();
        let hash = |bytes: &[u8]| Some(ContentHash::of(HashAlgorithm::Xxh3, bytes));
        let heard = [("a/one.wav", hash(b"1")), ("unread.wav", None)].map(|(path, hash)| {
            let entry = SampleEntry { size: 1, mtime_ns: 1, hash, unreadable: None, missing: false };
            Update { path: path.as_bytes().to_vec(), entry, heard: None }
        });
        view.keeper().heard(&heard);
        view.keeper().settle();
        (dir, view)
    });
    match parse_override(data, view.shared()) {
        Ok(Some(word)) => {
            assert_eq!(word.hash.algorithm(), HashAlgorithm::Xxh3);
            assert!(word.label.is_none_or(|label| !label.is_empty()));
        }
        Ok(None) => assert!(data.iter().all(u8::is_ascii_whitespace)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A line of index.jsonl, read back and written again.
pub fn record(data: &[u8]) {
    let Ok(sample) = parse_line(data) else { return };
    static ROUTER: OnceLock<(Vocabulary, Router)> = OnceLock::new();
    let (drums, router) = ROUTER.get_or_init(|| {
        let drums = Vocabulary::drums();
        let router = Router::new(&Rules::defaults(&drums), &drums);
        (drums, router)
    });
    assert!(sample.probs.iter().all(|probability| probability.is_finite()), "a probability is no number");
    let verdict = router.route(&sample.subject(None));
    let context =
        RecordContext { root: Path::new("/archive"), router, labels: drums.fine(), model: "m", features: Some("f") };
    let line = context.line(&sample, &verdict);
    assert_eq!(parse_line(&line).unwrap(), sample, "{}", String::from_utf8_lossy(&line));
}

/// Files of other programs, the kind in the first byte: what is read of an index is written and read again, unchanged.
pub fn exchange(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let path = Path::new("fuzzed");
    let mut take = |_: u64, row: Result<Option<rows::LabelRow>, LineError>| match row {
        Ok(Some(row)) => {
            assert!(!row.label.is_empty());
            row.is_changed();
        }
        Ok(None) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    };
    let wrong = match kind {
        b'i' => {
            let reader = IndexReader::new(path, std::io::Cursor::new(data.to_vec())).unwrap();
            let mut order = Order::default();
            for record in reader.filter_map(Result::ok) {
                assert!(!record.sample.path.is_empty() && !record.sample.path.contains(&0));
                assert!(record.sample.probs.iter().all(|probability| probability.is_finite()));
                let written = Record::parse(&record.line(Probs::Floats)).unwrap();
                assert_eq!(written.line(Probs::Floats), record.line(Probs::Floats));
                let small = Record::parse(&record.line(Probs::Whole)).unwrap();
                assert_eq!(small.sample.probs.len(), record.sample.probs.len());
                order.look(&record);
            }
            assert!(order.labels(&[]).is_none_or(|labels| !labels.is_empty()));
            None
        }
        b'c' => rows::read_csv(path, data, &mut take).err(),
        b'p' => rows::read_parquet(path, file_of(data), &mut take).err(),
        b't' => {
            return rows::read_tasks(data, &mut take).unwrap_or_else(|error| assert!(!error.to_string().is_empty()));
        }
        _ => None,
    };
    assert!(wrong.is_none_or(|error| error.to_string().contains("fuzzed")));
}

/// calibration.json of the model that is compiled in: whatever it says, probabilities are that.
pub fn calibration(data: &[u8]) {
    let classifier = ensemble().leading();
    let text = String::from_utf8_lossy(data);
    let calibration = match Calibration::parse(&text, "m", classifier.labels()) {
        Ok(calibration) => calibration,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let count = classifier.labels().len();
    let logits: [Vec<f32>; 4] = [
        vec![0.0; count],
        (0..count).map(|n| n as f32).collect(),
        (0..count).map(|n| if n == 3 { 1e30 } else { -1e30 }).collect(),
        (0..count).map(|n| if n == 3 { 60.0 } else { -(n as f32) * 1e-3 }).collect(),
    ];
    for logits in logits {
        let probabilities = calibration.probabilities(&logits);
        assert!(probabilities.iter().all(|p| (0.0..=1.0).contains(p)), "{probabilities:?}");
        let sum: f32 = probabilities.iter().sum();
        assert!((sum - 1.0).abs() < 1e-3, "they sum to {sum}");
    }
}

/// label_mapping.json and canonical_mapping.json, a zero byte between them.
pub fn labels(data: &[u8]) {
    let mut parts = data.splitn(2, |&byte| byte == 0);
    let mut text = || String::from_utf8_lossy(parts.next().unwrap_or(b"{}")).into_owned();
    match Labels::parse(&text(), &text()) {
        Ok(labels) => {
            let sums = labels.canonical_probabilities(&vec![1.0; labels.len()]);
            assert_eq!(sums.iter().sum::<f32>(), labels.len() as f32);
            let vocabulary = Vocabulary::new(labels.names().to_vec(), [] as [(&str, &str); 0]);
            drop(vocabulary);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// learned.json, for a model of three outputs and an embedding of two values.
pub fn learned(data: &[u8]) {
    let Ok(learned) = serde_json::from_slice::<Learned>(data) else { return };
    let Ok(head) = learned.head_for(Path::new("store"), "m", "l", 3, 2) else { return };
    let mut logits = [1.0, 2.0, 3.0];
    if let Some(embedding) = Embedding::of(&[0.5, -0.5]) {
        head.apply(&mut logits, &embedding);
    }
    assert!(logits.iter().all(|logit| logit.is_finite()), "{logits:?}");
}

/// The JSON beside a model.
pub fn description(data: &[u8]) {
    let own = include_bytes!("../models/six.onnx");
    open_model(own, data);
}

/// An ONNX file, as far as it is read before the backend has it.
pub fn model(data: &[u8]) {
    open_model(data, include_bytes!("../models/six.json"));
}

fn open_model(onnx: &[u8], json: &[u8]) {
    thread_local! {
        static FOLDER: tempfile::TempDir = tempfile::tempdir().unwrap();
    }
    FOLDER.with(|folder| {
        let model = folder.path().join("own.onnx");
        std::fs::write(&model, onnx).unwrap();
        std::fs::write(folder.path().join("own.json"), json).unwrap();
        let files = ModelFiles { model: Some(model), uncalibrated: true, ..ModelFiles::default() };
        match Classifier::open(&files) {
            Ok(classifier) => {
                let input: usize = classifier.description().input.iter().product();
                assert!(input > 0 && !classifier.labels().is_empty());
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        match Ensemble::open(&EnsembleFiles::from(files)) {
            Ok(ensemble) => assert!(!ensemble.labels().is_empty()),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}

/// knowledge.bin, with the checksum it should have: bytes that are wrong and sealed all the same.
pub fn knowledge(data: &[u8]) {
    let sealed = [data, &xxhash_rust::xxh3::xxh3_64(data).to_le_bytes()].concat();
    let owner = knowledge::Owner { model: "m", labels_checksum: "l", outputs: 3, size: 2 };
    match Knowledge::parse(&sealed, owner) {
        Ok(knowledge) => {
            for (label, embedding) in knowledge.samples() {
                assert!(usize::from(*label) < knowledge.outputs());
                assert!(knowledge.logits(embedding).iter().all(|logit| logit.is_finite()));
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A line of journal.jsonl.
pub fn journal(data: &[u8]) {
    let Ok(entry) = serde_json::from_slice::<JournalEntry>(data) else { return };
    let line = serde_json::to_vec(&entry).unwrap();
    assert!(!line.contains(&b'\n'), "an entry is one line");
    assert_eq!(serde_json::from_slice::<JournalEntry>(&line).unwrap(), entry);
}

fn ensemble() -> &'static Arc<Ensemble> {
    static ENSEMBLE: OnceLock<Arc<Ensemble>> = OnceLock::new();
    ENSEMBLE.get_or_init(|| Arc::new(Ensemble::embedded().unwrap()))
}

/// A file with these bytes that has no name any more.
fn file_of(data: &[u8]) -> std::fs::File {
    use std::io::Write;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(data).unwrap();
    file
}
