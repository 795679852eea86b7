//! `drumfs learn`: fit the model's last layer to the overrides.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::Serialize;

use super::context::{self, Ear};
use super::known::{self, From, Known};
use super::progress::PassBar;
use super::{Failure, Global, Outcome, output};
use crate::archive::{ArchiveRoot, ContentHash};
use crate::index;
use crate::learn::{self, Course, Effect, Figures, FittedOn, Learned, LearnedError, Sources};
use crate::mount::told;
use crate::rules::{Diff, Router, Verdict, diff};
use crate::view::{Catalogue, SampleRef};

/// Learn from your corrections
///
/// Fits the last layer of the model to your overrides (the samples you moved, and the lines of overrides.jsonl) and to
/// what the model learnt before it was shipped, in seconds. It is measured on overrides that were kept apart, one pack
/// after another, and adopted only where it does better there. The view changes at once, running mounts included;
/// overrides keep the last word. --undo takes it back.
#[derive(Debug, Args)]
pub struct LearnArgs {
    /// The folder that holds the samples
    archive: PathBuf,
    /// Measure and say what it would do, and change nothing
    #[arg(long, conflicts_with_all = ["force", "undo", "status"])]
    dry_run: bool,
    /// Adopt it even where it does no better
    #[arg(long, conflicts_with_all = ["undo", "status"])]
    force: bool,
    /// Take back what was learnt last: what was learnt before it is in force again, or the model as it was shipped
    #[arg(long, conflicts_with = "status")]
    undo: bool,
    /// Say what was learnt, and whether it is in use
    #[arg(long)]
    status: bool,
    /// Listen to and fit so many things at a time [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(global: &Global, args: &LearnArgs) -> Result<Outcome, Failure> {
    let root = ArchiveRoot::new(&args.archive)?;
    let ear = Ear::new(global)?;
    let folder = context::store_folder(global, &ear.config, &root)?;
    if args.status {
        return status(&ear, &folder, args.json);
    }
    if args.undo {
        return undo(&ear, &folder, &root, args.json);
    }
    let knowledge = ear.ensemble.leading().knowledge()?;
    let known = Known::read(global, &ear, &root)?;
    let router = known.router(&ear)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(ear.threads(args.threads.map(usize::from))).build()?;
    ear.start()?;
    let leading = ear.ensemble.leading();
    let analysis = |hash: &ContentHash| match &known.from {
        // What can't be read is heard again.
        From::Store(store) => store.analysis(hash, leading.model_id()).ok().flatten(),
        From::Mount(_) => None,
    };
    let bar = PassBar::new();
    bar.planned(known.overrides.len() as u64);
    let sources = Sources {
        overrides: &known.overrides,
        catalogue: &known.catalogue,
        router: &router,
        root: &root,
        ensemble: &ear.ensemble,
        known: &analysis,
        tell: &|| bar.heard(1),
    };
    let gathered = pool.install(|| sources.gather());
    bar.finish();
    let gathered = gathered?;
    let probabilities = |logits: &[f32]| leading.calibration().probabilities(logits);
    let (change, effect) = pool
        .install(|| Course::new(&knowledge, leading.labels(), &probabilities).learn(&gathered.lessons))
        .map_err(|error| format!("{error}{}", left_out(gathered.no_label, gathered.unheard)))?;
    let packs: std::collections::BTreeSet<&[u8]> = gathered.lessons.iter().map(|lesson| &lesson.pack[..]).collect();
    let learned = Learned {
        model: leading.model_id().to_owned(),
        labels_checksum: leading.labels().checksum().to_owned(),
        at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()),
        fitted_on: FittedOn {
            overrides: gathered.lessons.len(),
            no_label: gathered.no_label,
            unheard: gathered.unheard,
            packs: packs.len(),
            shipped: knowledge.samples().len(),
            hash: gathered.hash,
        },
        effect,
        change,
    };
    let objection = effect.objection();
    let adopted = !args.dry_run && (args.force || objection.is_none());
    if adopted {
        learned.adopt(&folder)?;
    }
    let after = match &known.from {
        From::Store(store) => Some(index::load(store, &ear.ensemble.with_head(Some(learned.change.clone())))?),
        From::Mount(mount) if adopted => {
            judge_again(mount);
            Some(Known::read(global, &ear, &root)?.catalogue)
        }
        From::Mount(_) => None,
    };
    let moved = after.map(|after| compare(&known, &after, &router));
    let done = Done {
        model: &learned.model,
        adopted,
        objection: objection.as_deref(),
        fitted_on: &learned.fitted_on,
        effect: &effect,
        moved: moved.as_ref(),
    };
    if args.json {
        output::json(&done)?;
    } else {
        tell(&done, args)?;
    }
    Ok(if adopted || args.dry_run { Outcome::Done } else { Outcome::Failed })
}

#[derive(Serialize)]
struct Done<'a> {
    model: &'a str,
    adopted: bool,
    /// Why it should not be adopted.
    objection: Option<&'a str>,
    fitted_on: &'a FittedOn,
    effect: &'a Effect,
    /// What it moves in the view; null where a mount has the store and nothing was adopted.
    moved: Option<&'a Diff>,
}

fn tell(done: &Done<'_>, args: &LearnArgs) -> Result<(), Failure> {
    print_fit(done.fitted_on, done.effect)?;
    if let Some(moved) = done.moved {
        let would = if done.adopted { "go" } else { "would go" };
        output::line(format_args!("{} of {} samples {would} to another folder", moved.moved(), moved.samples))?;
    }
    let archive = args.archive.display();
    match (done.adopted, done.objection) {
        (true, None) => output::line(format_args!(
            "adopted{}; `drumfs learn {archive} --undo` takes it back",
            if done.effect.helps_others() { "" } else { ": it helps in the packs you corrected, hardly in others" }
        ))?,
        (true, Some(why)) => {
            output::line(format_args!("adopted because of --force, although {why}; --undo takes it back"))?;
        }
        (false, None) => output::line("it would be adopted; nothing was changed")?,
        (false, Some(why)) if args.dry_run => output::line(format_args!("it would not be adopted: {why}"))?,
        (false, Some(why)) => output::line(format_args!(
            "not adopted: {why}. Nothing has changed; more corrections from several packs help most, --force adopts \
             it all the same"
        ))?,
    }
    Ok(())
}

fn left_out(no_label: usize, unheard: usize) -> String {
    let mut said = String::new();
    if no_label > 0 {
        said.push_str(&format!("; {no_label} name a folder that says nothing of the sound"));
    }
    if unheard > 0 {
        said.push_str(&format!("; {unheard} are of sounds that are not there, can't be heard or have changed"));
    }
    said
}

/// What was learnt from, and the table of what that did.
fn print_fit(on: &FittedOn, effect: &Effect) -> Result<(), Failure> {
    output::line(format_args!(
        "{} overrides of {} packs, beside {} sounds that the model knew{}",
        on.overrides,
        on.packs,
        on.shipped,
        left_out(on.no_label, on.unheard)
    ))?;
    output::line(format_args!("held out: {}", effect.held_out))?;
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let number = |value: f64| format!("{value:.3}");
    type Row<'a> = (&'a str, &'a dyn Fn(f64) -> String, fn(&Figures) -> f64);
    let rows: [Row<'_>; 4] = [
        ("right of the canonical labels", &percent, |figures| figures.top1_canonical),
        ("right of the fine labels", &percent, |figures| figures.top1_fine),
        ("negative log likelihood", &number, |figures| figures.nll),
        ("calibration error", &number, |figures| figures.ece_canonical),
    ];
    let same = effect.after_same_packs;
    let (after, heading) = if same.is_some() { ("other packs", "same packs") } else { ("after", "") };
    output::line(format_args!("{:32}{:>10}{after:>14}{heading:>14}", "", "before"))?;
    for (name, show, of) in rows {
        let same = same.map_or(String::new(), |same| show(of(&same)));
        let (before, after) = (show(of(&effect.before)), show(of(&effect.after)));
        output::line(format_args!("{name:32}{before:>10}{after:>14}{same:>14}"))?;
    }
    let shipped = [effect.shipped_before, effect.shipped_after].map(|figures| percent(figures.top1_canonical));
    output::line(format_args!("{:32}{:>10}{:>14}", "what the model knew, right", shipped[0], shipped[1]))?;
    Ok(())
}

/// What goes to another folder.
fn compare(known: &Known, after: &Catalogue, router: &Router) -> Diff {
    let verdicts = |catalogue: &Catalogue| -> Vec<Verdict> {
        let route = |sample: SampleRef<'_>| {
            let said = sample.hash.as_ref().and_then(|hash| known.overrides.get(hash));
            router.route(&sample.subject(said.map(|said| &said.label[..])))
        };
        let known_before = |sample: &SampleRef<'_>| {
            known.catalogue.by_path(sample.path).is_some() && after.by_path(sample.path).is_some()
        };
        catalogue.samples().iter().filter(known_before).map(route).collect()
    };
    diff((router, &verdicts(&known.catalogue)), (router, &verdicts(after)))
}

/// Tells the mount that has the store, and says where it did not take up what was meant for it.
fn judge_again(mount: &Path) {
    match told::tell(mount) {
        Ok(status) => {
            if let Some(error) = status["last_error"].as_str() {
                output::tell(format_args!("the mount at {} says: {error}", mount.display()));
            }
        }
        Err(error) => output::tell(format_args!("the mount at {} was not told: {error}", mount.display())),
    }
}

fn undo(ear: &Ear, folder: &Path, root: &ArchiveRoot, json: bool) -> Result<Outcome, Failure> {
    let undone = Learned::undo(folder)?;
    if undone && let Some(mount) = known::mount_of(root.path(), folder) {
        judge_again(&mount);
    }
    if json {
        return status(ear, folder, true);
    }
    if !undone {
        output::line("nothing was learnt, so there is nothing to take back")?;
        return Ok(Outcome::Done);
    }
    match Learned::read(folder)? {
        Some(before) => output::line(format_args!(
            "taken back: what was learnt {} before is in force again ({} overrides)",
            ago(before.at),
            before.fitted_on.overrides
        ))?,
        None => output::line("taken back: the model judges as it was shipped")?,
    }
    Ok(Outcome::Done)
}

#[derive(Serialize)]
struct State<'a> {
    file: String,
    learnt: bool,
    in_use: bool,
    refused: Option<String>,
    model: Option<&'a str>,
    at: Option<f64>,
    fitted_on: Option<&'a FittedOn>,
    effect: Option<&'a Effect>,
    /// How many earlier ones --undo can go back to, besides the model as it was shipped.
    earlier: usize,
}

fn status(ear: &Ear, folder: &Path, json: bool) -> Result<Outcome, Failure> {
    let (_, refused) = learn::in_force(&ear.ensemble, folder);
    let learned = match Learned::read(folder) {
        Err(LearnedError::Damaged { .. }) => None,
        learned => learned?,
    };
    let state = State {
        file: Learned::path(folder).display().to_string(),
        learnt: Learned::path(folder).exists(),
        in_use: learned.is_some() && refused.is_none(),
        refused: refused.map(|refused| refused.to_string()),
        model: learned.as_ref().map(|learned| &learned.model[..]),
        at: learned.as_ref().map(|learned| learned.at),
        fitted_on: learned.as_ref().map(|learned| &learned.fitted_on),
        effect: learned.as_ref().map(|learned| &learned.effect),
        earlier: Learned::earlier(folder)?,
    };
    if json {
        output::json(&state)?;
        return Ok(Outcome::Done);
    }
    if !state.learnt {
        output::line("nothing was learnt: the model judges as it was shipped")?;
        return Ok(Outcome::Done);
    }
    if let Some(learned) = &learned {
        output::line(format_args!("learnt {} ago for {}", ago(learned.at), learned.model))?;
        print_fit(&learned.fitted_on, &learned.effect)?;
    }
    match &state.refused {
        Some(refused) => output::line(refused)?,
        None => output::line(format_args!("in use; {} earlier ones to go back to", state.earlier))?,
    }
    Ok(Outcome::Done)
}

/// How long ago something was, in words.
fn ago(at: f64) -> String {
    let then = UNIX_EPOCH + Duration::try_from_secs_f64(at.max(0.0)).unwrap_or_default();
    let seconds = SystemTime::now().duration_since(then).unwrap_or_default().as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
