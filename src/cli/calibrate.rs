//! `drumfs calibrate`: fit how sure the model may be, on sounds whose labels are known.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::context::{self, Ear};
use super::{Failure, Global, Outcome, output, progress};
use crate::classify::figures::{bins, canonical_pairs, fine_pairs};
use crate::classify::fit::data_hash;
use crate::classify::{Calibration, Classifier, Figures, Fitted, FittedOn, Labelled, Labels, Member, fit, places};
use crate::index::labelled::{self, Heard, Line, Listened};
use crate::mount::told::{Told, tell_all};
use crate::report::{Diagram, Panel};

/// Fit how sure the model may be, on sounds whose labels you know
///
/// Reads a CSV file with the columns `path` and `label` (one of the model's labels) and, if there is one, `kit` or
/// `pack`: which sounds come from one source. Without it that is the folder a file lies in. It takes 100 sounds of 3 kits
/// that the model was not trained on; a thousand of 20 are better.
///
/// Fits a temperature, and a slope and an offset for each label that is better off with its own, and writes them where
/// drumfs looks for them, with a reliability diagram (SVG) beside. Every figure it prints is of kits that were held out.
/// Mounts take the new calibration up at once; nothing is listened to again.
#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// The CSV file
    #[arg(long, value_name = "FILE", required_unless_present = "val_logits")]
    val_manifest: Option<PathBuf>,
    /// Listen to nothing, and fit on what the model said elsewhere, as in a training that held the sounds out: a CSV file
    /// like the other with one more column for each label, its logits
    #[arg(long, value_name = "FILE", conflicts_with = "val_manifest")]
    val_logits: Option<PathBuf>,
    /// Write the calibration here [default: in the place of the one in force, else into the data folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Calibrate this model of several alone: its name, or its id
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Fit and judge, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Listen to so many files at a time [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Print the figures as JSON on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Printed {
    left_out: usize,
    repeated: usize,
    models: Vec<PrintedModel>,
}

#[derive(Serialize)]
struct PrintedModel {
    #[serde(flatten)]
    calibration: Calibration,
    temperature_alone: Figures,
    file: Option<PathBuf>,
    diagram: Option<PathBuf>,
    in_force: bool,
    mounts: Vec<PathBuf>,
}

/// Runs the command.
pub(super) fn run(global: &Global, args: &CalibrateArgs) -> Result<Outcome, Failure> {
    let ear = Ear::uncalibrated(global)?;
    let members = chosen(&ear, args)?;
    let (mut models, mut repeated) = (Vec::new(), 0);
    let left_out;
    match (&args.val_manifest, &args.val_logits, &members[..]) {
        (_, Some(path), [(_, member)]) => {
            let classifier = member.classifier();
            let lines = labelled::read_logits(path, classifier.labels().names())?;
            let sounds: Vec<Sound> = lines.into_iter().map(Sound::from).collect();
            let known = |label: &str| classifier.labels().names().iter().any(|name| name.eq_ignore_ascii_case(label));
            left_out = sounds.iter().filter(|sound| !known(&sound.label)).count();
            if left_out > 0 {
                output::tell(format_args!(
                    "{left_out} lines have labels that the model does not have, and are left out"
                ));
            }
            models.push(calibrate(args, classifier, &sounds)?);
        }
        (_, Some(_), _) => return Err("--val-logits are of one model: say which with --model".into()),
        (None, None, _) => return Err("give --val-manifest or --val-logits".into()),
        (Some(path), None, _) => {
            let Some(listened) = listen(&ear, args, path)? else { return Ok(Outcome::Failed) };
            left_out = listened.left_out;
            repeated = listened.repeated;
            for (index, member) in members {
                let sounds: Vec<Sound> = listened.heard.iter().filter_map(|heard| Sound::heard(heard, index)).collect();
                models.push(calibrate(args, member.classifier(), &sounds)?);
            }
        }
    }
    if !args.dry_run {
        report_mounts(&mut models);
    }
    if args.json {
        output::json(&Printed { left_out, repeated, models })?;
    } else {
        if repeated > 0 {
            output::line(format_args!("{repeated} lines have the bytes of another and count once"))?;
        }
        for model in &models {
            output::line(table(model).trim_end())?;
        }
    }
    Ok(if left_out > 0 { Outcome::SomeFailed } else { Outcome::Done })
}

/// The models to calibrate, with their places in an analysis.
fn chosen<'e>(ear: &'e Ear, args: &CalibrateArgs) -> Result<Vec<(usize, &'e Member)>, Failure> {
    let of = |member: &Member, name: &str| {
        let classifier = member.classifier();
        classifier.model_id() == name || classifier.description().name == name
    };
    let all = ear.ensemble.members().iter().enumerate();
    let members: Vec<_> = all.filter(|(_, member)| args.model.as_deref().is_none_or(|name| of(member, name))).collect();
    let names = || {
        let names = ear.ensemble.members().iter().map(|member| member.classifier().description().name.clone());
        names.collect::<Vec<_>>().join(", ")
    };
    match (&args.model, &args.out) {
        (Some(name), _) if members.is_empty() => {
            Err(format!("there is no model `{name}`: there is {}", names()).into())
        }
        (_, Some(_)) if members.len() > 1 => {
            Err(format!("--out is one file, and there are several models: say which with --model ({})", names()).into())
        }
        _ => Ok(members),
    }
}

/// Listens to the manifest's files; none where it was stopped.
fn listen(ear: &Ear, args: &CalibrateArgs, manifest: &Path) -> Result<Option<Listened>, Failure> {
    let lines = labelled::read_manifest(manifest)?;
    ear.start()?;
    let cancel = context::stop_flag()?;
    let bar = progress::listening(lines.len() as u64);
    let threads = ear.threads(args.threads.map(usize::from));
    let listened = labelled::listen(&lines, &ear.ensemble, threads, &cancel, &|| bar.heard(1));
    bar.finish();
    let listened = listened?;
    listened.problems.iter().for_each(output::tell);
    if listened.interrupted {
        output::tell("stopped before the end: nothing was written");
        return Ok(None);
    }
    Ok(Some(listened))
}

/// What one model said of one sound.
struct Sound {
    /// What tells it from others: its content hash, or its path where the logits were made elsewhere.
    key: String,
    label: String,
    kit: String,
    logits: Vec<f32>,
}

impl Sound {
    /// What the model at `index` said of it; none where it could say nothing.
    fn heard(heard: &Heard, index: usize) -> Option<Self> {
        let logits = heard.analyses.get(index)?.logits.clone();
        let heard = Self { key: heard.hash.to_hex(), label: heard.label.clone(), kit: heard.kit.clone(), logits };
        (!heard.logits.is_empty()).then_some(heard)
    }
}

impl From<(Line, Vec<f32>)> for Sound {
    fn from((line, logits): (Line, Vec<f32>)) -> Self {
        let key = line.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { key, label: line.label, kit: line.kit, logits }
    }
}

/// Fits one model, and writes what was fitted.
fn calibrate(args: &CalibrateArgs, classifier: &Classifier, sounds: &[Sound]) -> Result<PrintedModel, Failure> {
    let labels = classifier.labels();
    // Models of an ensemble may have other labels than the first: each is fitted on those that it has.
    let mine: Vec<(&Sound, Labelled<'_>)> = sounds
        .iter()
        .filter_map(|sound| {
            let label = labels.names().iter().position(|name| name.eq_ignore_ascii_case(&sound.label))?;
            Some((sound, Labelled { logits: &sound.logits, label, kit: &sound.kit }))
        })
        .collect();
    let samples: Vec<Labelled<'_>> = mine.iter().map(|(_, labelled)| *labelled).collect();
    let name = &classifier.description().name;
    let mut fitted = fit(&samples, classifier.model_id(), labels).map_err(|error| format!("{name}: {error}"))?;
    let kits: std::collections::BTreeSet<&str> = samples.iter().map(|sample| sample.kit).collect();
    fitted.calibration.data = Some(FittedOn {
        hash: data_hash(mine.iter().map(|(sound, _)| (sound.key.clone(), sound.label.as_str()))),
        samples: samples.len(),
        kits: kits.len(),
    });
    let printed = |file, diagram, in_force| PrintedModel {
        calibration: fitted.calibration.clone(),
        temperature_alone: fitted.temperature_alone,
        file,
        diagram,
        in_force,
        mounts: Vec::new(),
    };
    if args.dry_run {
        return Ok(printed(None, None, false));
    }
    let file = match &args.out {
        Some(out) => out.clone(),
        None => places::calibration_to_write(classifier.files(), classifier.model_id())
            .ok_or("no home folder is known: say where to write with --out")?,
    };
    let file = std::path::absolute(file)?;
    if file.extension().is_some_and(|extension| extension == "svg") {
        return Err(format!("{}: the calibration is JSON; the diagram goes beside it", file.display()).into());
    }
    let write = |path: &Path, text: String| {
        places::write_whole(path, text.as_bytes()).map_err(|error| format!("{}: {error}", path.display()))
    };
    let picture = file.with_extension("svg");
    // The picture first: whoever sees the new calibration finds what belongs to it.
    write(&picture, diagram(&fitted, &samples, labels).svg())?;
    write(&file, serde_json::to_string_pretty(&fitted.calibration)? + "\n")?;
    let in_force = classifier.calibration_path().is_some_and(|path| same(&path, &file));
    Ok(printed(Some(file), Some(picture), in_force))
}

fn same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// Tells the mounts, and says which of them use it now.
fn report_mounts(models: &mut [PrintedModel]) {
    for Told { path, status } in tell_all() {
        let status = match status {
            Ok(status) => status,
            Err(error) => {
                output::tell(format_args!("the mount at {} was not told: {error}", path.display()));
                continue;
            }
        };
        let in_force = status["calibration"].as_array().cloned().unwrap_or_default();
        for model in models.iter_mut() {
            let hash = model.calibration.data.as_ref().map(|data| data.hash.as_str());
            let of_model = in_force.iter().find(|calibration| calibration["model"] == model.calibration.model.as_str());
            let Some(of_model) = of_model else { continue };
            let file = of_model["file"].as_str().map(Path::new);
            let used = model.file.as_deref().zip(file).is_some_and(|(one, other)| same(one, other));
            if used && of_model["data_hash"].as_str() == hash {
                model.mounts.push(path.clone());
            } else if let Some(error) = status["last_error"].as_str() {
                output::tell(format_args!("the mount at {} did not take it up: {error}", path.display()));
            }
        }
    }
}

fn diagram(fitted: &Fitted, samples: &[Labelled<'_>], labels: &Labels) -> Diagram {
    let truth = || samples.iter().map(|sample| sample.label);
    let folders = |title: &str, probabilities: &[Vec<f32>]| Panel {
        title: format!("{} folders, {title}", crate::classify::CANONICAL.len()),
        bins: bins(canonical_pairs(probabilities, truth(), labels)),
    };
    let fine = |title: &str, probabilities: &[Vec<f32>]| Panel {
        title: format!("{} labels, {title}", labels.len()),
        bins: bins(fine_pairs(probabilities, truth())),
    };
    let calibration = &fitted.calibration;
    let data = calibration.data.as_ref();
    Diagram {
        heading: "How sure, and how often right".to_owned(),
        about: [
            format!(
                "{}: {} sounds of {} kits",
                calibration.model,
                data.map_or(0, |data| data.samples),
                data.map_or(0, |data| data.kits)
            ),
            "bars: share that is right; short lines: mean confidence; after: by calibrations fitted on other kits"
                .to_owned(),
        ],
        rows: vec![
            [folders("before", &fitted.before), folders("after", &fitted.after)],
            [fine("before", &fitted.before), fine("after", &fitted.after)],
        ],
    }
}

/// What was fitted, for people.
fn table(model: &PrintedModel) -> String {
    let PrintedModel { calibration, temperature_alone, file, diagram, in_force, mounts, .. } = model;
    let mut text = String::new();
    let (samples, kits) = calibration.data.as_ref().map_or((0, 0), |data| (data.samples, data.kits));
    // Writing to a string can't fail.
    let _ = writeln!(text, "{}: {samples} sounds of {kits} kits", calibration.model);
    let _ =
        writeln!(text, "{:<22}{:>14}{:>14}{:>12}{:>12}", "", "error of 7", "error of all", "NLL of 7", "NLL of all");
    let mut row = |name: &str, figures: &Figures| {
        let _ = writeln!(
            text,
            "{name:<22}{:>14.4}{:>14.4}{:>12.4}{:>12.4}",
            figures.ece_canonical, figures.ece_fine, figures.nll_canonical, figures.nll_fine
        );
    };
    calibration.before.iter().for_each(|figures| row("uncalibrated", figures));
    if !calibration.platt.is_empty() {
        row("temperature alone", temperature_alone);
    }
    calibration.after.iter().for_each(|figures| row("calibrated, held out", figures));
    let _ = writeln!(text, "temperature {:.3}", calibration.temperature);
    for (label, [slope, offset]) in &calibration.platt {
        let _ = writeln!(text, "{label}: slope {slope:.3}, offset {offset:+.3}");
    }
    match (file, diagram) {
        (Some(file), Some(diagram)) => {
            let _ = writeln!(text, "written to {}\ndiagram in {}", file.display(), diagram.display());
            if !in_force {
                let _ = writeln!(text, "to use it, put `calibration: {}` into config.yml", file.display());
            }
        }
        _ => text.push_str("nothing was written\n"),
    }
    for mount in mounts {
        let _ = writeln!(text, "the mount at {} uses it now", mount.display());
    }
    text
}
