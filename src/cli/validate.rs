//! `drumfs validate`: do a model and its companions belong together?

use std::fs;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::context::Ear;
use super::{Failure, Global, Outcome, output};
use crate::classify::validate::{Check, Level, validate_all};
use crate::classify::{Backend, ModelFiles};
use crate::config::Ignored;
use crate::rules::Rules;

/// Check whether a model, its labels, its mapping and its calibration belong together
///
/// Looks at what config.yml names (or at what is compiled in), says everything that is wrong and what to do, and exits
/// with 1 where something is. Where `label_mapping.json` or `canonical_mapping.json` is missing beside a model of your
/// own and the compiled-in one does not fit, a stub to fill in is written; nothing is ever written over.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Check this model, an ONNX file, instead of what config.yml names
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Its label list [default: label_mapping.json beside it]
    #[arg(long, value_name = "FILE", requires = "model")]
    mapping: Option<PathBuf>,
    /// Check this rules file against the model's labels, too
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Print the checks as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Printed<'a> {
    ok: bool,
    checks: &'a [Check],
}

/// Runs the command.
pub(super) fn run(global: &Global, args: &ValidateArgs) -> Result<Outcome, Failure> {
    let mut config = Ear::quiet_config(global)?;
    if let Some(model) = &args.model {
        // What config.yml says of the input of its model it says of this one.
        let old_input =
            config.ensemble.members.first().map(|member| member.files.old_input.clone()).unwrap_or_default();
        let label_mapping = args.mapping.clone();
        config.ensemble =
            ModelFiles { model: Some(model.clone()), label_mapping, old_input, ..ModelFiles::default() }.into();
    }
    let backend = Backend::start(config.onnxruntime.as_deref())?;
    output::tell(format_args!("run by {}", backend.describe()));
    let mut checks = validate_all(&config.ensemble);
    checks.extend(config.ignored.iter().map(|Ignored { key, instead }| {
        let instead = instead.as_deref().map(|instead| format!(": {instead}")).unwrap_or_default();
        Check {
            model: None,
            what: "config.yml",
            level: Level::Note,
            found: format!("`{key}` means nothing here{instead}"),
        }
    }));
    if let Some(path) = &args.rules {
        checks.push(rules(global, path));
    }
    let ok = checks.iter().all(|check| check.level != Level::Wrong);
    if args.json {
        output::json(&Printed { ok, checks: &checks })?;
    } else {
        let mut model = None;
        for check in &checks {
            if check.model != model {
                model.clone_from(&check.model);
                model.iter().try_for_each(output::line)?;
            }
            let level = match check.level {
                Level::Ok => "ok",
                Level::Note => "note",
                Level::Wrote => "wrote",
                Level::Wrong => "WRONG",
            };
            output::line(format_args!("{level:<6} {:<18} {}", check.what, check.found))?;
        }
    }
    Ok(if ok { Outcome::Done } else { Outcome::Failed })
}

/// Whether a rules file speaks of labels that the model has, and is right otherwise.
fn rules(global: &Global, path: &std::path::Path) -> Check {
    let check = |level, found| {
        let found = format!("{}: {found}", path.display());
        Check { model: None, what: "rules", level, found }
    };
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) => return check(Level::Wrong, error.to_string()),
    };
    // What is wrong with the model was said.
    let Ok(ear) = Ear::uncalibrated(global) else {
        return check(Level::Note, "not looked at: the model can't be opened as it is".to_owned());
    };
    match Rules::parse_bytes(&text, &ear.vocabulary) {
        Ok(_) => check(Level::Ok, "every label in it is one of the model's".to_owned()),
        Err(error) => check(Level::Wrong, error.to_string()),
    }
}
