//! Named tensors with one entry of JSON: safetensors files.

use std::collections::{BTreeMap, HashMap};

use candle_core::{Device, Tensor};
use safetensors::tensor::{
    Dtype, Metadata as Header, SafeTensorError, SafeTensors, TensorInfo, TensorView,
};

use super::header;
use crate::error::{Error, Result};
use crate::kernels::with_slices;
use crate::nn::{Parameters, Shapes};

/// A tensor to be written: name, shape and values.
pub(super) type Packed = (String, Vec<usize>, Vec<u8>);

/// The tensors of a file by name.
pub(super) type Tensors<'a> = BTreeMap<String, TensorView<'a>>;

/// Tensors as safetensors, with one entry of metadata.
pub(super) fn file(entry: &str, metadata: String, tensors: &[Packed]) -> Result<Vec<u8>> {
    let info = HashMap::from([(entry.to_string(), metadata)]);
    let views = tensors.iter().map(view).collect::<Result<Vec<_>>>()?;
    safetensors::serialize(views, Some(info)).map_err(broken)
}

fn view((name, shape, bytes): &Packed) -> Result<(&str, TensorView<'_>)> {
    let view = TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(broken)?;
    Ok((name.as_str(), view))
}

/// Values as little-endian bytes.
pub(super) fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A tensor to be written.
pub(super) fn pack(name: String, tensor: &Tensor) -> Result<Packed> {
    let values = with_slices([tensor], |[values]| Ok(bytes(values)))?;
    Ok((name, tensor.dims().to_vec(), values))
}

/// The header of a file, and the bytes after it.
pub(super) fn opened(bytes: &[u8]) -> Result<(Header, &[u8])> {
    header::check(bytes).map_err(broken)?;
    let (length, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    Ok((header, bytes.get(header::LENGTH + length..).unwrap_or_default()))
}

/// An entry of the metadata.
pub(super) fn entry_of<'a>(header: &'a Header, entry: &str) -> Result<&'a str> {
    let entries = header.metadata().as_ref();
    let json = entries.and_then(|entries| entries.get(entry));
    json.map(String::as_str)
        .ok_or_else(|| Error::Model(format!("safetensors without a `{entry}` entry")))
}

/// The tensors of a header, from the bytes after it.
pub(super) fn tensors<'a>(header: &Header, data: &'a [u8]) -> Result<Tensors<'a>> {
    let view = |(name, info): (String, &TensorInfo)| {
        let (start, end) = info.data_offsets;
        let data = data.get(start..end).unwrap_or_default();
        let view = TensorView::new(info.dtype, info.shape.clone(), data).map_err(broken)?;
        Ok((name, view))
    };
    header.tensors().into_iter().map(view).collect()
}

/// Removes and returns the tensors whose names begin with `prefix`, without the prefix.
pub(super) fn taken(parameters: &mut Parameters, prefix: &str) -> Parameters {
    let mut taken = Parameters::new();
    parameters.retain(|name, tensor| match name.strip_prefix(prefix) {
        None => true,
        Some(name) => {
            taken.insert(name.to_string(), tensor.clone());
            false
        }
    });
    taken
}

/// The tensors, which must be exactly those of `shapes`.
pub(super) fn parameters(shapes: Shapes, tensors: &Tensors<'_>) -> Result<Parameters> {
    if tensors.len() != shapes.len() {
        let found = tensors.len();
        return Err(Error::Model(format!("{found} tensors, {} expected", shapes.len())));
    }
    let mut parameters = Parameters::new();
    for (name, shape) in shapes {
        let missing = || broken(SafeTensorError::TensorNotFound(name.clone()));
        let view = tensors.get(&name).ok_or_else(missing)?;
        if view.dtype() != Dtype::F32 || view.shape() != shape {
            return Err(Error::Model(format!("tensor `{name}` is not f32 of shape {shape:?}")));
        }
        let values: Vec<f32> = view
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        if !values.iter().all(|value| value.is_finite()) {
            return Err(Error::Model(format!("tensor `{name}` holds a value that is not finite")));
        }
        parameters.insert(name, Tensor::from_vec(values, shape, &Device::Cpu)?);
    }
    Ok(parameters)
}

pub(super) fn broken(error: impl std::fmt::Display) -> Error {
    Error::Model(format!("not a readable model: {error}"))
}
