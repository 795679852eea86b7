//! What a model says of itself: the JSON file beside it, of the same name.

use serde::Deserialize;

use super::input::{Arrangement, Layout, OldInput};
use super::onnx::Interface;

/// What a model's outputs are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Numbers whose softmax (or sigmoid, of one output) are probabilities.
    #[default]
    Logits,
    /// Probabilities: the model ends in a softmax (or a sigmoid).
    Probabilities,
}

/// The output that holds what goes into a model's last layer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct EmbeddingOutput {
    /// Its name in the ONNX file.
    pub output: String,
    /// How many values it has.
    pub size: usize,
}

/// The JSON as written. Keys that mean nothing here are passed over: training may note what it likes.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct DescriptionText {
    pub name: Option<String>,
    pub features: serde_json::Value,
    pub input: Option<Vec<usize>>,
    pub outputs: Option<usize>,
    #[serde(default)]
    pub output: Output,
    pub labels: Option<serde_json::Value>,
    pub labels_checksum: Option<String>,
    pub embedding: Option<EmbeddingOutput>,
}

impl DescriptionText {
    /// What stands for the JSON of a model of the older pipeline, whose config.yml describes its input and whose outputs
    /// are Keras's softmax.
    pub(super) fn of_the_older_pipeline() -> Self {
        Self {
            name: None,
            features: serde_json::Value::Null,
            input: None,
            outputs: None,
            output: Output::Probabilities,
            labels: None,
            labels_checksum: None,
            embedding: None,
        }
    }

    /// The number of outputs that the ONNX file says, where it does.
    pub(super) fn declared_outputs(&self, interface: &Interface) -> Option<usize> {
        interface.size_but(self.embedding.as_ref().map(|embedding| &embedding.output[..]))
    }

    /// The number of outputs, as it says itself or as the ONNX file `model` does.
    ///
    /// # Errors
    /// A sentence where neither does.
    pub(super) fn outputs_with(&self, model: &[u8]) -> Result<usize, String> {
        let said = match self.outputs {
            Some(outputs) => Some(outputs),
            None => self.declared_outputs(&Interface::read(model)?),
        };
        said.filter(|outputs| *outputs > 0).ok_or_else(|| {
            "the ONNX file does not say how many outputs it has: put `outputs` into the JSON beside it".to_owned()
        })
    }

    /// The layout it names.
    ///
    /// # Errors
    /// A sentence.
    pub(super) fn layout(&self, old: &OldInput) -> Result<Layout, String> {
        if self.features.is_null() { old.layout() } else { Layout::parse(&self.features) }
    }
}

/// A model's description, with everything that its JSON left to its ONNX file and its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelDescription {
    /// A short name.
    pub name: String,
    /// What the features are, as the model's id names them: the
    /// [`FEATURES_VERSION`](crate::audio::FEATURES_VERSION), or [`Layout::tag`].
    pub features: String,
    /// What the model reads.
    pub layout: Layout,
    /// Shape of its input.
    pub input: Vec<usize>,
    /// How the layout's values lie in that shape.
    pub arrangement: Arrangement,
    /// Number of its outputs.
    pub outputs: usize,
    /// What they are.
    pub output: Output,
    /// [`Labels::checksum`](super::Labels::checksum) of its labels.
    pub labels_checksum: String,
    /// A second output: what goes into the last layer. Without it nothing can be learnt from corrections.
    pub embedding: Option<EmbeddingOutput>,
}

/// The shape of a model's input: what its JSON says, else what its ONNX file says with ones for what that leaves open,
/// else what is usual for the layout.
///
/// # Errors
/// A sentence where the layout does not fit in.
pub(super) fn input_shape(
    layout: &Layout,
    said: Option<&[usize]>,
    interface: Option<&Interface>,
) -> Result<(Vec<usize>, Arrangement), String> {
    let arranged = |shape: Vec<usize>| layout.arrangement(&shape).map(|arrangement| (shape, arrangement));
    if let Some(said) = said {
        let refused = || format!("`input` is {said:?}, which can't hold the features {layout}");
        return arranged(said.to_vec()).ok_or_else(refused);
    }
    let declared = interface.map(|interface| interface.input.iter().map(|size| size.unwrap_or(1)).collect());
    if let Some(found) = declared.and_then(arranged) {
        return Ok(found);
    }
    let usual = layout.usual_shape();
    arranged(usual).ok_or_else(|| format!("nothing can hold the features {layout}"))
}
