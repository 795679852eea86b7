//! Every format says what index.jsonl says.

use std::collections::BTreeMap;
use std::fs;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use crate::place::{few, golden, json, record_of, records, run, run_to};
use crate::support::Place;

fn rows(path: &std::path::Path) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
}

/// An archive that was heard, one word of a person in it, and its index.jsonl.
fn heard() -> Place {
    let place = few();
    place.index(&[]);
    run_to(&place, 0, &["override", "archive/TR-808/CP.WAV", "Clap", "--archive", "archive"]);
    run_to(&place, 0, &["export", "archive", "-o", "index.jsonl"]);
    place
}

#[test]
fn an_index_of_the_store_is_what_the_mount_would_show_and_gzip_is_the_same() {
    let place = heard();
    let plain = fs::read(place.path().join("index.jsonl")).unwrap();
    let all = records(&place, "index.jsonl");
    assert_eq!(all.len(), 7);
    assert!(all.is_sorted_by_key(|record| record.sample.path.clone()));
    let clap = record_of(&all, "TR-808/CP.WAV");
    assert_eq!((clap.assigned_label.as_deref(), clap.is_said()), (Some("misc"), true));
    assert_eq!((clap.sample.probs.len(), clap.features.is_some()), (34, true));
    let said = json(&place, &["export", "archive", "-o", "index.jsonl.gz", "--json"]);
    assert_eq!(said["written"], 7);
    let packed = fs::read(place.path().join("index.jsonl.gz")).unwrap();
    assert_eq!(packed[..2], [0x1F, 0x8B]);
    assert_eq!(records(&place, "index.jsonl.gz"), all);
    assert_eq!(run(&place, &["export", "archive", "--format", "jsonl"]).stdout, plain);
    // A file in place of the store says the same in the same bytes.
    run_to(&place, 0, &["export", "--index", "index.jsonl.gz", "-o", "again.jsonl"]);
    assert_eq!(fs::read(place.path().join("again.jsonl")).unwrap(), plain);
}

#[test]
fn csv_has_every_column_and_every_probability() {
    let place = heard();
    run_to(&place, 0, &["export", "archive", "-o", "all.csv"]);
    let (rows, all) = (rows(&place.path().join("all.csv")), records(&place, "index.jsonl"));
    assert_eq!(rows.len(), all.len());
    for (row, record) in rows.iter().zip(&all) {
        assert_eq!(row["relative_path"].as_bytes(), &record.sample.path[..]);
        assert_eq!(row["label"], record.assigned_label.clone().unwrap_or_default());
        assert_eq!(row["label_was"], row["label"]);
        assert_eq!(row["hash"], record.sample.hash.map(|hash| hash.to_hex()).unwrap_or_default());
        assert_eq!(row["conf_top1"].parse::<f32>().ok(), record.conf_top1);
        assert_eq!(row["duration_sec"].parse::<f64>().ok(), record.sound.duration_sec);
        assert_eq!(row["mtime"].len() - row["mtime"].find('.').unwrap(), 10, "nanoseconds");
        if let Some(best) = &record.label_top1 {
            assert_eq!(row[&format!("prob_{best}")].parse::<f32>().ok(), record.conf_top1);
        }
    }
    run_to(&place, 0, &["export", "archive", "-o", "fine.csv", "--label", "fine", "--no-probs"]);
    let text = fs::read_to_string(place.path().join("fine.csv")).unwrap();
    assert!(!text.contains("prob_") && text.starts_with("relative_path,label,label_was,relative_path_bytes,abs_path,"));
}

#[test]
fn a_manifest_is_ordered_by_path_whatever_the_order_of_the_index() {
    let place = heard();
    let text = fs::read_to_string(place.path().join("index.jsonl")).unwrap();
    let backwards: Vec<&str> = text.lines().rev().collect();
    fs::write(place.path().join("backwards.jsonl"), backwards.join("\n")).unwrap();
    run_to(&place, 0, &["export", "archive", "-o", "one.csv", "--format", "manifest"]);
    run_to(&place, 0, &["export", "--index", "backwards.jsonl", "-o", "other.csv", "--format", "manifest"]);
    let [one, other] = ["one.csv", "other.csv"].map(|name| fs::read_to_string(place.path().join(name)).unwrap());
    assert_eq!(one, other);
    assert!(one.lines().skip(1).is_sorted() && one.lines().count() > 3, "{one}");
    assert_eq!(run_to(&place, 0, &["export", "--index", "backwards.jsonl", "--format", "manifest"]), one);
}

#[test]
fn parquet_has_typed_columns_and_probabilities_as_a_list() {
    let place = heard();
    run_to(&place, 0, &["export", "archive", "-o", "all.parquet"]);
    let file = fs::File::open(place.path().join("all.parquet")).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let metadata = reader.metadata().file_metadata().clone();
    let labels = metadata.key_value_metadata().unwrap().iter().find(|pair| pair.key == "drumfs.labels").unwrap();
    let labels: Vec<String> = serde_json::from_str(labels.value.as_ref().unwrap()).unwrap();
    assert_eq!((labels.len(), &labels[0][..]), (34, "Agogo"));
    let all = records(&place, "index.jsonl");
    let mut count = 0;
    for (row, record) in reader.get_row_iter(None).unwrap().zip(&all) {
        let row: BTreeMap<String, Field> = row.unwrap().into_columns().into_iter().collect();
        assert_eq!(row["relative_path"], Field::Str(String::from_utf8_lossy(&record.sample.path).into_owned()));
        assert_eq!(row["size"], Field::Long(record.sample.size as i64));
        assert_eq!(row["duration_sec"], record.sound.duration_sec.map_or(Field::Null, Field::Double));
        assert_eq!(row["conf_top1"], record.conf_top1.map_or(Field::Null, Field::Float));
        assert_eq!(row["misc_routed"], Field::Bool(record.misc_routed));
        assert_eq!(row["label"], record.assigned_label.clone().map_or(Field::Null, Field::Str));
        let probs: Vec<f32> = match &row["probs"] {
            Field::ListInternal(list) => list
                .elements()
                .iter()
                .map(|field| match field {
                    Field::Float(p) => *p,
                    other => panic!("{other}"),
                })
                .collect(),
            Field::Null => Vec::new(),
            other => panic!("{other}"),
        };
        assert_eq!(probs, record.sample.probs.to_vec());
        count += 1;
    }
    assert_eq!(count, all.len());
}

#[test]
fn eight_bits_keep_what_was_heard_within_the_stated_error() {
    let place = heard();
    run_to(&place, 0, &["export", "archive", "-o", "small.jsonl", "--quantize"]);
    let (exact, small) = (records(&place, "index.jsonl"), records(&place, "small.jsonl"));
    for (exact, small) in exact.iter().zip(&small) {
        assert_eq!(exact.sample.probs.len(), small.sample.probs.len());
        for (a, b) in exact.sample.probs.iter().zip(&small.sample.probs) {
            assert!((a - b).abs() < 1.0 / 255.0, "{a} became {b}");
        }
        assert_eq!((&exact.label_top1, exact.conf_top1), (&small.label_top1, small.conf_top1));
        assert_eq!(
            (&exact.assigned_label, exact.assigned_confidence),
            (&small.assigned_label, small.assigned_confidence)
        );
    }
    let len = |name: &str| fs::metadata(place.path().join(name)).unwrap().len();
    assert!(len("small.jsonl") < len("index.jsonl"));
    run_to(&place, 0, &["export", "archive", "-o", "small.parquet", "--quantize"]);
    let refused = run(&place, &["export", "archive", "-o", "small.csv", "--quantize"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--quantize is for jsonl and parquet"));
}

/// Golden files: what is written of the golden index, byte for byte.
#[test]
fn other_programs_formats_are_what_they_were() {
    let place = Place::new();
    let index = golden("drumfs.jsonl");
    for (name, more) in [
        ("metadata.csv", &["--prefix", "audio/"][..]),
        ("manifest.csv", &["--label", "fine"]),
        ("tasks.json", &["--prefix", "/data/local-files/?d=drums/"]),
        ("small.jsonl", &["--quantize"]),
        ("all.csv", &[]),
    ] {
        let mut arguments = vec!["export", "--index", index.to_str().unwrap(), "-o", name];
        arguments.extend(more);
        run_to(&place, 0, &arguments);
        let (made, kept) = (fs::read(place.path().join(name)).unwrap(), golden(name));
        if std::env::var_os("BLESS").is_some() {
            fs::write(&kept, &made).unwrap();
        }
        assert_eq!(String::from_utf8_lossy(&made), String::from_utf8_lossy(&fs::read(&kept).unwrap()), "{name}");
    }
}

#[test]
fn a_label_order_that_nothing_says_is_told_from_the_lines() {
    let place = Place::new();
    let index = golden("old.jsonl");
    run_to(&place, 0, &["export", "--index", index.to_str().unwrap(), "-o", "old.csv"]);
    let rows = rows(&place.path().join("old.csv"));
    let rim = rows.iter().find(|row| row["relative_path"] == "Akai/Layered/RM_01.wav").unwrap();
    assert_eq!((&rim["prob_Rim"][..], &rim["prob_Snare"][..], &rim["label"][..]), ("0.75", "0.125", "Snare"));
    let latin = rows.iter().find(|row| row["relative_path_bytes"] == "436166e92f782e776176").unwrap();
    assert_eq!(latin["relative_path"], "Caf\u{fffd}/x.wav");
}

#[test]
fn what_can_not_be_written_says_so_and_leaves_nothing_behind() {
    let place = heard();
    let told = |arguments: &[&str]| {
        let output = run(&place, arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(told(&["export", "archive", "-o", "archive/metadata.csv"]).contains("would lie inside the archive"));
    assert!(told(&["export", "archive", "-o", "index.xyz"]).contains("--format"));
    assert!(told(&["export", "archive"]).contains("--format"));
    assert!(told(&["export", "archive", "-o", "no/such/folder.csv"]).contains("no/such/folder.csv"));
    fs::write(place.path().join("kept.csv"), "kept").unwrap();
    assert!(told(&["export", "--index", "none.jsonl", "-o", "kept.csv"]).contains("none.jsonl"));
    assert_eq!(fs::read(place.path().join("kept.csv")).unwrap(), b"kept");
    let left: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".tmp")), "{left:?}");
    fs::write(place.path().join("bad.jsonl"), "{\"relative_path\": \"a.wav\"}\nnothing\n").unwrap();
    let output = run(&place, &["export", "--index", "bad.jsonl", "-o", "bad.csv"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("bad.jsonl:2: not a record"), "{output:?}");
}
