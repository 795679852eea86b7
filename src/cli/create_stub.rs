//! `drumfs create-stub`: a label list to fill in.

use std::path::PathBuf;

use clap::Args;

use super::context::Ear;
use super::{Failure, Global, Outcome, output};
use crate::classify::ModelFiles;
use crate::classify::validate::write_label_stub;

/// Write a label list to fill in, with a line for each output of a model of your own
///
/// Put the label of each output in, in the order of the model's outputs; then `drumfs validate --model FILE --mapping FILE`
/// says whether all is right. A file that is there is never written over.
#[derive(Debug, Args)]
pub struct CreateStubArgs {
    /// The model, an ONNX file
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Where the list goes
    #[arg(long, value_name = "FILE", default_value = "models/label_mapping_stub.json")]
    output: PathBuf,
}

/// Runs the command.
pub(super) fn run(global: &Global, args: &CreateStubArgs) -> Result<Outcome, Failure> {
    let config = Ear::config(global)?;
    // What config.yml says of the input of its model says it of this one.
    let of_config = config.ensemble.members.into_iter().next().map(|member| member.files).unwrap_or_default();
    let files = ModelFiles { model: Some(args.model.clone()), ..of_config };
    let outputs = write_label_stub(&files, &args.output)?;
    output::line(format_args!("{}: {outputs} labels to put in, in the order of the outputs", args.output.display()))?;
    Ok(Outcome::Done)
}
