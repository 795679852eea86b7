//! Any index.jsonl is read: drumfs's own and the older pipeline's, plain or gzip, line by line.

use std::io::Write;
use std::path::{Path, PathBuf};

use drumfs::archive::{ContentHash, HashAlgorithm};
use drumfs::exchange::{BadLines, Form, IndexError, IndexReader, Record};
use drumfs::index::Status;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exchange/golden").join(name)
}

fn all(path: &Path) -> (Vec<Record>, BadLines) {
    let mut bad = BadLines::default();
    let records = bad.passing(IndexReader::open(path).unwrap()).collect::<Result<_, _>>().unwrap();
    (records, bad)
}

fn read(bytes: &[u8]) -> Vec<Result<Record, IndexError>> {
    IndexReader::new(Path::new("index.jsonl"), std::io::Cursor::new(bytes.to_vec())).unwrap().collect()
}

#[test]
fn each_kind_of_line_of_the_older_pipeline_is_read() {
    let (records, bad) = all(&golden("old.jsonl"));
    assert_eq!((records.len(), bad.count()), (10, 0));
    let by_path = |path: &[u8]| records.iter().find(|record| &record.sample.path[..] == path).unwrap();

    let kick = by_path(b"Akai/Layered/BD_019.wav");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archive/Akai/Layered/BD_019.wav");
    let bytes = std::fs::read(file).unwrap();
    assert_eq!(kick.form, Form::Old);
    assert_eq!(kick.sample.hash, Some(ContentHash::of(HashAlgorithm::Md5, &bytes)));
    assert_eq!((kick.sample.size, kick.has_stat), (bytes.len() as u64, true));
    assert_eq!(kick.sample.mtime_ns, 1_730_723_456_123_456_700);
    assert_eq!((kick.label(), kick.label_top1.as_deref()), (Some("Kick"), Some("Kick")));
    assert_eq!((kick.conf_top1, kick.sample.probs.len(), kick.sample.probs[15]), (Some(0.90625), 34, 0.90625));
    assert_eq!(kick.topk[1], ("Tom".to_owned(), 0.0625));
    assert_eq!((kick.sample.status, kick.assigned_reason.as_deref()), (Status::Ok, Some("top1")));
    assert_eq!(kick.abs_path.as_deref(), Some(&b"/old/archive/Akai/Layered/BD_019.wav"[..]));
    assert_eq!((kick.sound.rms_dbfs, kick.sound.centroid_hz), (Some(-24.713), Some(812.25)));
    assert_eq!(kick.sample.attributes, None, "measured on a sound that was cut or padded");

    let rim = by_path(b"Akai/Layered/RM_01.wav");
    assert_eq!((rim.label(), rim.label_top1.as_deref()), (Some("Snare"), Some("Rim")));
    let clap = by_path(b"TR-808/CP.WAV");
    assert!(clap.misc_routed && clap.out_of_target && !clap.below_misc_threshold);
    let twin = by_path(b"Copies/kick.wav");
    assert!(twin.skipped_duplicate && twin.sample.probs.is_empty() && twin.label().is_none());
    assert_eq!(twin.sample.hash, kick.sample.hash);
    assert_eq!(by_path(b"TR-808/BD.WAV").sample.hash, None);
    assert_eq!(by_path(b"Caf\xe9/x.wav").abs_path.as_deref(), Some(&b"/old/archive/Caf\xe9/x.wav"[..]));

    let nan = by_path(b"TR-808/MA.WAV");
    assert_eq!((nan.sample.status, nan.sample.probs.len(), nan.topk.len()), (Status::LoadError, 0, 0));
    assert!(nan.sample.error.as_deref().unwrap().contains("no numbers"));
    let short = by_path(b"_unsorted/click.wav");
    assert_eq!((short.sample.status, short.has_stat), (Status::TooShort, false));
    let broken = by_path(b"_unsorted/broken/empty.aif");
    assert_eq!(broken.sample.status, Status::LoadError);
    assert_eq!(broken.sample.error.as_deref(), Some("Error opening: Format not recognised."));
    assert_eq!(broken.abs_path.as_deref(), Some(&b"/old/archive/_unsorted/broken/empty.aif"[..]));
}

#[test]
fn gzip_is_read_whatever_the_name_and_in_several_parts() {
    let text = std::fs::read(golden("old.jsonl")).unwrap();
    let half = text.len() / 2;
    let mut bytes = Vec::new();
    for part in [&text[..half], &text[half..]] {
        let mut gzip = flate2::write::GzEncoder::new(&mut bytes, flate2::Compression::fast());
        gzip.write_all(part).unwrap();
        gzip.finish().unwrap();
    }
    let plain: Vec<Record> = all(&golden("old.jsonl")).0;
    let packed: Vec<Record> = read(&bytes).into_iter().map(Result::unwrap).collect();
    assert_eq!(plain, packed);
}

#[test]
fn a_bad_line_costs_itself_alone_and_is_told_with_file_and_line() {
    let text = b"\xEF\xBB\xBF{\"relative_path\": \"a.wav\"}\r\n\n{\"relative_path\": \n[]\n{}\n{\"relative_path\": \"b.wav\", \
                 \"hash\": \"xyz\"}\n{\"relative_path\": \"c.wav\", \"rms\": 1e39}\n{\"relative_path\": \"d.wav\"}";
    let lines = read(text);
    let good: Vec<&[u8]> = lines.iter().filter_map(|line| line.as_ref().ok()).map(|r| &r.sample.path[..]).collect();
    assert_eq!(good, [b"a.wav", b"d.wav"]);
    let bad: Vec<String> = lines.iter().filter_map(|line| line.as_ref().err()).map(ToString::to_string).collect();
    assert_eq!(bad.len(), 5);
    for (said, line) in bad.iter().zip([3, 4, 5, 6, 7]) {
        assert!(said.starts_with(&format!("index.jsonl:{line}: not a record")), "{said}");
    }
    assert!(bad[0].contains("EOF"), "{}", bad[0]);
    assert!(bad[2].contains("relative_path"), "{}", bad[2]);
    assert!(bad[3].contains("md5"), "{}", bad[3]);
    assert!(bad[4].contains("out of range"), "{}", bad[4]);
}

#[test]
fn a_line_that_never_ends_is_passed_over() {
    let mut text = b"{\"relative_path\": \"a.wav\"}\n".to_vec();
    text.resize(text.len() + (9 << 20), b' ');
    text.extend_from_slice(b"\n{\"relative_path\": \"b.wav\"}\n");
    let lines = read(&text);
    assert_eq!(lines.len(), 3);
    let said = lines[1].as_ref().unwrap_err().to_string();
    assert!(said.starts_with("index.jsonl:2:") && said.contains("longer"), "{said}");
    assert_eq!(&lines[2].as_ref().unwrap().sample.path[..], b"b.wav");
}

#[test]
fn a_file_that_was_cut_off_says_so_after_what_could_be_read() {
    let text = std::fs::read(golden("old.jsonl")).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    gzip.write_all(&text).unwrap();
    let mut bytes = gzip.finish().unwrap();
    bytes.truncate(bytes.len() - 100);
    let mut lines = read(&bytes);
    assert!(matches!(lines.last(), Some(Err(IndexError::Io { .. }))));
    let said = lines.pop().unwrap().unwrap_err().to_string();
    assert!(said.contains("index.jsonl") && said.contains("copied whole"), "{said}");
    assert!(lines.len() >= 9 && lines.iter().all(Result::is_ok), "{}", lines.len());
    assert!(IndexReader::open(Path::new("/nowhere/index.jsonl")).unwrap_err().to_string().contains("/nowhere"));
    assert!(IndexReader::open(Path::new("/")).unwrap_err().to_string().contains("a folder"));
}

#[test]
fn only_the_first_bad_lines_are_told_one_by_one() {
    let text = "x\n".repeat(12);
    let mut bad = BadLines::default();
    let reader = IndexReader::new(Path::new("i"), std::io::Cursor::new(text.into_bytes())).unwrap();
    assert_eq!(bad.passing(reader).count(), 0);
    let said = bad.sentences();
    assert_eq!((bad.count(), said.len()), (12, 6));
    assert!(said[0].starts_with("i:1:") && said[5].contains("7 more"), "{said:?}");
}
