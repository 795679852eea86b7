//! What people made of labels comes back from every format that carries them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::place::{few, record_of, records, run, run_to};
use crate::support::Place;

fn heard() -> Place {
    let place = few();
    place.index(&[]);
    place
}

/// The label a person gave, as index.jsonl has it now.
fn said(place: &Place, path: &str) -> Option<String> {
    run_to(place, 0, &["export", "archive", "-o", "now.jsonl"]);
    let records = records(place, "now.jsonl");
    let record = record_of(&records, path);
    record.is_said().then(|| record.assigned_label.clone().unwrap())
}

/// Changes the field of a column in the row of a path.
fn change(path: &Path, sample: &str, to: &str) {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let headers = reader.headers().unwrap().clone();
    let label = headers.iter().position(|name| name == "label").unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let mut writer = csv::Writer::from_path(path).unwrap();
    writer.write_record(&headers).unwrap();
    for row in rows {
        let is_it = row[0].ends_with(sample);
        writer.write_record(row.iter().enumerate().map(|(at, f)| if is_it && at == label { to } else { f })).unwrap();
    }
    writer.flush().unwrap();
}

#[test]
fn only_labels_that_were_changed_become_overrides() {
    let place = heard();
    for (name, sample, label) in [
        ("all.csv", "TR-808/BD.WAV", "Tom"),
        ("metadata.csv", "TR-808/CH.WAV", "Ride"),
        ("manifest.csv", "TR-808/CP.WAV", "Snare"),
    ] {
        run_to(&place, 0, &["export", "archive", "-o", name, "--prefix", "x/"]);
        // As it came back untouched, nothing is said.
        run_to(&place, 0, &["import", "archive", name]);
        assert_eq!(said(&place, sample), None, "{name}");
        change(&place.path().join(name), sample, label);
        let output = run_to(&place, 0, &["import", "archive", name]);
        assert!(output.contains("1 taken over"), "{name}: {output}");
        assert_eq!(said(&place, sample).as_deref(), Some(label), "{name}");
        assert!(run_to(&place, 0, &["import", "archive", name]).contains("0 taken over, 1 said so"), "{name}");
    }
}

#[test]
fn a_table_of_ones_own_says_all_its_labels_and_names_the_rows_that_are_wrong() {
    let place = heard();
    let text =
        "\u{feff}file_name;label;x\nTR-808/BD.WAV;tom;1\nTR-808/CH.WAV;Hihatt;\nnone.wav;Kick;\nTR-808/CP.WAV;;\n";
    fs::write(place.path().join("mine.csv"), text).unwrap();
    let output = run(&place, &["import", "archive", "mine.csv"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("line 3: unknown label `Hihatt`; did you mean `Hihat`?"), "{told}");
    assert!(told.contains("line 4: no sample has the path `none.wav`"), "{told}");
    assert_eq!(said(&place, "TR-808/BD.WAV").as_deref(), Some("Tom"));
    fs::write(place.path().join("none.csv"), "a,b\n1,2\n").unwrap();
    let output = run(&place, &["import", "archive", "none.csv"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no column `label`; the columns are `a`, `b`"));
}

/// A Parquet file of strings, as another program writes it.
fn parquet(path: &Path, columns: &[(&str, &[&str])]) {
    let fields: Vec<String> = columns.iter().map(|(name, _)| format!("required binary {name} (STRING);")).collect();
    let schema = Arc::new(parse_message_type(&format!("message x {{ {} }}", fields.concat())).unwrap());
    let file = fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(WriterProperties::default())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for (_, values) in columns {
        let values: Vec<ByteArray> = values.iter().map(|value| ByteArray::from(*value)).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn parquet_that_another_program_wrote_back_is_read() {
    let place = heard();
    let paths: &[&str] = &["TR-808/BD.WAV", "TR-808/CH.WAV"];
    let columns = [("label", &["Tom", "Hihat"][..]), ("path", paths), ("label_was", &["Kick", "Hihat"])];
    parquet(&place.path().join("back.parquet"), &columns);
    run_to(&place, 0, &["import", "archive", "back.parquet"]);
    assert_eq!(said(&place, "TR-808/BD.WAV").as_deref(), Some("Tom"));
    assert_eq!(said(&place, "TR-808/CH.WAV"), None);
    // What drumfs wrote itself has nothing changed.
    run_to(&place, 0, &["export", "archive", "-o", "all.parquet"]);
    assert!(run_to(&place, 0, &["import", "archive", "all.parquet"]).contains("0 taken over"));
    fs::write(place.path().join("bad.parquet"), "PAR1 and no more").unwrap();
    let output = run(&place, &["import", "archive", "bad.parquet"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("bad.parquet"), "{output:?}");
}

#[test]
fn annotations_of_label_studio_come_back_with_who_made_them() {
    let place = heard();
    run_to(&place, 0, &["export", "archive", "-o", "tasks.json"]);
    let text = fs::read(place.path().join("tasks.json")).unwrap();
    let mut tasks: Vec<serde_json::Value> = serde_json::from_slice(&text).unwrap();
    let at = |tasks: &[serde_json::Value], path: &str| tasks.iter().position(|t| t["data"]["path"] == path).unwrap();
    assert!(tasks[0]["data"]["audio"].as_str().unwrap().starts_with("/data/local-files/?d=archive/"));
    assert_eq!(tasks[0]["predictions"][0]["result"][0]["type"], "choices");
    assert!(tasks[0]["predictions"][0]["score"].as_f64().unwrap() > 0.0);
    let (clap, hat) = (at(&tasks, "TR-808/CP.WAV"), at(&tasks, "TR-808/CH.WAV"));
    let annotation = |label: &str| {
        serde_json::json!([{"completed_by": {"email": "ear@example.org"}, "was_cancelled": false, "result": [
            {"from_name": "label", "to_name": "audio", "type": "choices", "value": {"choices": [label]}}]}])
    };
    tasks[clap]["annotations"] = annotation("Snare");
    tasks[hat]["annotations"] = annotation("no such label");
    fs::write(place.path().join("project.json"), serde_json::to_vec(&tasks).unwrap()).unwrap();
    let output = run(&place, &["import", "archive", "project.json"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains(&format!("line {}: unknown label", hat + 1)),
        "{output:?}"
    );
    assert_eq!(said(&place, "TR-808/CP.WAV").as_deref(), Some("Snare"));
    let history = run_to(&place, 0, &["override", "history", "--archive", "archive"]);
    assert!(history.contains("ear@example.org"), "{history}");
}

#[test]
fn a_quote_that_is_left_open_is_told_and_does_not_swallow_the_rows_after_it_without_a_word() {
    let place = few();
    place.index(&[]);
    let rows = "path,label\n\"TR-808/BD.WAV,Tom\nTR-808/CH.WAV,Ride\n";
    fs::write(place.path().join("mine.csv"), rows).unwrap();
    let output = run(&place, &["import", "archive", "mine.csv"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("mine.csv:2: it has 1 of 2 fields, and no label: is a quote left open?"), "{told}");
    // Rows without a label say nothing, and a line of nothing is none.
    fs::write(place.path().join("mine.csv"), "path,label\nTR-808/BD.WAV,\n,\n\nTR-808/CH.WAV,Ride\n").unwrap();
    assert!(run_to(&place, 0, &["import", "archive", "mine.csv"]).contains("1 taken over"));
}
