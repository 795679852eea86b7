//! What an ONNX file says of its input and outputs, and fixing what it leaves open.
//!
//! Models that come from Keras leave the size of a batch open (`unk__6`). The embedded backend can't optimise a graph
//! with an open size, so it is set to what the sound has, which is one at a time.

use prost::Message;
use tract_onnx::pb::tensor_shape_proto::Dimension;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Size;
use tract_onnx::pb::type_proto::Value as Kind;
use tract_onnx::pb::{GraphProto, ModelProto, ValueInfoProto};

/// What a file says of itself.
pub(super) struct Interface {
    model: ModelProto,
    /// Sizes of its one input; none where a size is left open.
    pub input: Vec<Option<usize>>,
    /// Its outputs by name, in order, with the last size of each, where the file says it.
    outputs: Vec<(String, Option<usize>)>,
}

impl Interface {
    /// Reads a file.
    ///
    /// # Errors
    /// A sentence, where the bytes are no ONNX file, or one with several inputs or none.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let model = ModelProto::decode(bytes).map_err(|error| format!("not an ONNX file: {error}"))?;
        let graph = model.graph.as_ref().ok_or("not an ONNX file: there is no graph in it")?;
        let inputs: Vec<&ValueInfoProto> = inputs(graph).collect();
        let [input] = inputs[..] else {
            let names: Vec<&str> = inputs.iter().map(|input| &input.name[..]).collect();
            return Err(format!("it has {} inputs ({}); a model has one", names.len(), names.join(", ")));
        };
        let input = sizes(input);
        let size = |output: &ValueInfoProto| sizes(output).last().copied().flatten();
        let outputs = graph.output.iter().map(|output| (output.name.clone(), size(output))).collect();
        Ok(Self { input, outputs, model })
    }

    /// The last size of its first output that is not called `other`, where the file says it.
    pub fn size_but(&self, other: Option<&str>) -> Option<usize> {
        self.outputs.iter().find(|(name, _)| Some(&name[..]) != other)?.1
    }

    /// The file with its input's sizes set to `shape`; none where the file says them all.
    ///
    /// # Errors
    /// A sentence, where the file says something else than `shape`.
    pub fn fixed(mut self, shape: &[usize]) -> Result<Option<Vec<u8>>, String> {
        let agrees = self.input.len() == shape.len()
            && self.input.iter().zip(shape).all(|(said, size)| said.is_none_or(|said| said == *size));
        if !agrees {
            let said: Vec<String> =
                self.input.iter().map(|size| size.map_or("?".to_owned(), |size| size.to_string())).collect();
            return Err(format!("its input is [{}] in the ONNX file, not {shape:?}", said.join(", ")));
        }
        if self.input.iter().all(Option::is_some) {
            return Ok(None);
        }
        let Some(graph) = &mut self.model.graph else { return Ok(None) };
        let initialized: Vec<String> = graph.initializer.iter().map(|tensor| tensor.name.clone()).collect();
        for input in graph.input.iter_mut().filter(|input| !initialized.contains(&input.name)) {
            for (dimension, size) in dimensions_mut(input).into_iter().flatten().zip(shape) {
                dimension.value = Some(Size::DimValue(*size as i64));
            }
        }
        // The sizes of everything else follow from the input's; what was written of them is in terms of open ones.
        for output in &mut graph.output {
            for dimension in dimensions_mut(output).into_iter().flatten() {
                if let Some(Size::DimParam(_)) = dimension.value {
                    dimension.value = None;
                }
            }
        }
        graph.value_info.clear();
        Ok(Some(self.model.encode_to_vec()))
    }
}

/// The inputs that are not constants: older files list those, too.
fn inputs(graph: &GraphProto) -> impl Iterator<Item = &ValueInfoProto> {
    graph.input.iter().filter(|input| !graph.initializer.iter().any(|constant| constant.name == input.name))
}

fn sizes(value: &ValueInfoProto) -> Vec<Option<usize>> {
    let Some(Kind::TensorType(tensor)) = value.r#type.as_ref().and_then(|kind| kind.value.as_ref()) else {
        return Vec::new();
    };
    let dimensions = tensor.shape.as_ref().map(|shape| &shape.dim[..]).unwrap_or_default();
    let size = |dimension: &Dimension| match dimension.value {
        // Some exporters write -1 or 0 for what is open.
        Some(Size::DimValue(size)) if size > 0 => usize::try_from(size).ok(),
        _ => None,
    };
    dimensions.iter().map(size).collect()
}

fn dimensions_mut(value: &mut ValueInfoProto) -> Option<impl Iterator<Item = &mut Dimension>> {
    let Some(Kind::TensorType(tensor)) = value.r#type.as_mut().and_then(|kind| kind.value.as_mut()) else {
        return None;
    };
    tensor.shape.as_mut().map(|shape| shape.dim.iter_mut())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_onnx_file_is_told() {
        for bytes in [&b"not ONNX"[..], b"", b"\x08\x08"] {
            assert!(Interface::read(bytes).err().unwrap().contains("not an ONNX file"), "{bytes:?}");
        }
    }
}
