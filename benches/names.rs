//! What names are worth beside the audio, when they are true and when they lie. By the router itself.
//!
//!     cargo bench --bench names -- --predictions heldout.csv [--names provenance.csv]
//!
//! `heldout.csv` has the columns `path` and `label` and one column for each label with what a model that did not train on
//! the file said of it: logits, or probabilities. `--names` is a CSV file with `path` and `original_path`: what the file
//! was called before it was collected. Without it the path itself is the name, which tells too much where a collection
//! is sorted by label.

#![allow(clippy::expect_used, clippy::print_stdout)] // a bench may

use std::collections::HashMap;
use std::path::PathBuf;

use clap::Parser;
use drumfs::index::Status;
use drumfs::rules::{Reason, Router, Rules, Subject, Vocabulary};
use serde::Serialize;

#[derive(Parser)]
struct Options {
    /// What a model said of files that it did not train on
    #[arg(long, value_name = "CSV")]
    predictions: Option<PathBuf>,
    /// What the files were called: a CSV file with path and original_path
    #[arg(long, value_name = "CSV")]
    names: Option<PathBuf>,
    /// Divide logits by this
    #[arg(long, default_value_t = 1.0)]
    temperature: f32,
    /// Print files whose true names say what they are not
    #[arg(long)]
    wrong: bool,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// What cargo says
    #[arg(long, hide = true)]
    bench: bool,
}

/// A file that was heard.
struct File {
    name: String,
    label: u8,
    probs: Vec<f32>,
}

/// Numbers that are the same in every run: a 64-bit linear congruential generator with Knuth's constants.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 32) as usize) % end.max(1)
    }
}

/// What routing is worth.
#[derive(Debug, Default, Serialize)]
struct Worth {
    names: String,
    rule: &'static str,
    /// Files whose label among the 34 is right, before any threshold.
    top1_of_34: f64,
    /// Files whose canonical label is right, before any threshold.
    top1_of_7: f64,
    /// Of what is in the six class folders, at the default threshold of 0.5, how much belongs there.
    precision: f64,
    /// Of what belongs there, how much is in its folder.
    found: f64,
    /// Files that a name decided.
    decided: f64,
}

fn main() {
    let options = Options::parse();
    let Some(predictions) = &options.predictions else {
        // `cargo bench` runs every bench: without a file there is nothing to measure.
        println!("names: give --predictions CSV (see benches/names.rs)");
        return;
    };
    let drums = Vocabulary::drums();
    let files = read(predictions, &options, &drums);
    let mut worth = Vec::new();
    for (what, names) in settings(&files, &drums) {
        for rule in ["ignore", "tiebreak", "trust"] {
            // Where names say nothing, or are not asked, there is one figure.
            if (rule == "ignore") == (what == "true names") || rule != "ignore" {
                worth.push(measure(&files, &names, &what, rule, &drums));
            }
        }
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&worth).expect("figures are JSON"));
    } else {
        let (says, right) = names_alone(&files, &drums, options.wrong);
        println!(
            "{} files; {says:.3} of the names say one thing, of which {right:.3} have the right one of 7\n",
            files.len()
        );
        println!(
            "{:<18} {:<9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "names", "rule", "of 34", "of 7", "precision", "found", "decided"
        );
        for w in &worth {
            println!(
                "{:<18} {:<9} {:>9.4} {:>9.4} {:>9.4} {:>9.4} {:>9.4}",
                w.names, w.rule, w.top1_of_34, w.top1_of_7, w.precision, w.found, w.decided
            );
        }
    }
}

fn read(predictions: &PathBuf, options: &Options, drums: &Vocabulary) -> Vec<File> {
    let mut originals = HashMap::new();
    if let Some(path) = &options.names {
        let mut reader = csv::Reader::from_path(path).expect("--names can be read");
        for row in reader.deserialize::<HashMap<String, String>>().map(|row| row.expect("a row of --names")) {
            originals.insert(row["path"].clone(), row["original_path"].clone());
        }
    }
    let mut reader = csv::Reader::from_path(predictions).expect("--predictions can be read");
    let mut files = Vec::new();
    for row in reader.deserialize::<HashMap<String, String>>().map(|row| row.expect("a row of --predictions")) {
        let values: Vec<f32> = drums.fine().iter().map(|label| row[label].parse().expect("a number")).collect();
        let sum: f32 = values.iter().sum();
        let are_probabilities = values.iter().all(|value| *value >= 0.0) && (sum - 1.0).abs() < 0.01;
        let probs = if are_probabilities { values } else { softmax(&values, options.temperature) };
        let path = &row["path"];
        let name =
            if options.names.is_some() { originals.get(path).cloned().unwrap_or_default() } else { path.clone() };
        let label = drums.index_of(&row["label"]).expect("a label of the model");
        files.push(File { name, label, probs });
    }
    files
}

fn softmax(logits: &[f32], temperature: f32) -> Vec<f32> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exp: Vec<f32> = logits.iter().map(|logit| ((logit - max) / temperature).exp()).collect();
    let sum: f32 = exp.iter().sum();
    exp.iter().map(|value| value / sum).collect()
}

fn canonical(drums: &Vocabulary, label: u8) -> u8 {
    drums.canonical_of().get(usize::from(label)).copied().unwrap_or(label)
}

/// The names to measure with: true ones, none, and those where some or all are the names of files of other classes.
fn settings(files: &[File], drums: &Vocabulary) -> Vec<(String, Vec<String>)> {
    let truth: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
    let nothing = (0..files.len()).map(|index| format!("{index:05}.wav")).collect();
    let mut settings = vec![("true names".to_owned(), truth), ("no names".to_owned(), nothing)];
    for percent in [10, 25, 50, 100] {
        let mut numbers = Numbers(percent as u64);
        let lying = files.iter().map(|file| {
            if numbers.below(100) >= percent {
                return file.name.clone();
            }
            // Names of the same canonical label would do no harm.
            loop {
                let Some(other) = files.get(numbers.below(files.len())) else { continue };
                if canonical(drums, other.label) != canonical(drums, file.label) {
                    return other.name.clone();
                }
            }
        });
        settings.push((format!("{percent} % lie"), lying.collect()));
    }
    settings
}

fn subject<'a>(file: &'a File, name: &'a str) -> Subject<'a> {
    Subject {
        path: name.as_bytes(),
        size: 0,
        status: Status::Ok,
        attributes: None,
        probs: &file.probs,
        override_label: None,
        gate_refused: false,
        gate_probability: None,
        read_name: None,
    }
}

fn router(text: &str, drums: &Vocabulary) -> Router {
    Router::new(&Rules::parse(text, drums).expect("valid rules"), drums)
}

fn share(count: usize, of: usize) -> f64 {
    count as f64 / of.max(1) as f64
}

fn measure(files: &[File], names: &[String], what: &str, rule: &'static str, drums: &Vocabulary) -> Worth {
    let folders = router(&format!("names: {rule}"), drums);
    let all = router(&format!("names: {rule}\ntarget_labels: all"), drums);
    let (mut of_34, mut of_7, mut in_folders, mut belongs, mut kit, mut decided) = (0, 0, 0, 0, 0, 0);
    for (file, name) in files.iter().zip(names) {
        let subject = subject(file, name);
        let verdict = folders.route(&subject);
        let truth = canonical(drums, file.label);
        of_34 += usize::from(all.route(&subject).label == Some(file.label));
        of_7 += usize::from(verdict.label == Some(truth));
        decided += usize::from(verdict.reason == Reason::Name);
        kit += usize::from(truth != drums.misc());
        if verdict.folder != folders.misc_folder() {
            in_folders += 1;
            belongs += usize::from(folders.folder_of_label(truth) == Some(verdict.folder));
        }
    }
    Worth {
        names: if rule == "ignore" { "not asked".to_owned() } else { what.to_owned() },
        rule,
        top1_of_34: share(of_34, files.len()),
        top1_of_7: share(of_7, files.len()),
        precision: share(belongs, in_folders),
        found: share(belongs, kit),
        decided: share(decided, files.len()),
    }
}

/// How many true names say one thing, and how many of those have the right canonical label.
fn names_alone(files: &[File], drums: &Vocabulary, print_wrong: bool) -> (f64, f64) {
    let trust = router("names: trust", drums);
    let (mut says, mut right) = (0, 0);
    for file in files {
        let verdict = trust.route(&subject(file, &file.name));
        if verdict.reason != Reason::Name {
            continue;
        }
        says += 1;
        let is_right = verdict.label == Some(canonical(drums, file.label));
        right += usize::from(is_right);
        if print_wrong && !is_right {
            let named = verdict.label.and_then(|label| drums.labels().get(usize::from(label)));
            println!(
                "{} is {}, its name says {}",
                file.name,
                drums.labels()[usize::from(file.label)],
                named.map_or("", |n| n)
            );
        }
    }
    (share(says, files.len()), share(right, says))
}
