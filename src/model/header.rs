//! Checks the header of a model's bytes before safetensors reads it: errors of safetensors about a
//! misplaced text quote the whole text, which may be all of the metadata.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

/// Bytes before the header, with its length.
pub(super) const LENGTH: usize = 8;
/// The entry whose values may have any length.
const METADATA: &str = "__metadata__";
/// Longest text elsewhere: names of dtypes are shorter.
const LONGEST: usize = 16;

/// Rejects a header with a misplaced text. safetensors reports all other errors.
pub(super) fn check(bytes: &[u8]) -> serde_json::Result<()> {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH>() else { return Ok(()) };
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let Some(header) = rest.get(..length) else { return Ok(()) };
    let mut reader = serde_json::Deserializer::from_slice(header);
    match HeaderPlace::Header.deserialize(&mut reader) {
        Err(error) if error.classify() == Category::Data => Err(error),
        _ => Ok(()),
    }
}

/// Expected content at a place of the header.
#[derive(Clone, Copy)]
enum HeaderPlace {
    /// An object with the metadata and one entry per tensor.
    Header,
    Metadata,
    Tensor,
    /// Dtype, shape or offsets of a tensor.
    Value,
}

impl<'de> DeserializeSeed<'de> for HeaderPlace {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for HeaderPlace {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the header of a model")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self {
            Self::Value if text.len() <= LONGEST => Ok(()),
            _ => Err(E::custom(format_args!(
                "an unexpected text of {} bytes in the header",
                text.len()
            ))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(name) = entries.next_key::<String>()? {
            match self {
                Self::Header if name == METADATA => entries.next_value_seed(Self::Metadata)?,
                Self::Header => entries.next_value_seed(Self::Tensor)?,
                Self::Tensor => entries.next_value_seed(Self::Value)?,
                Self::Metadata | Self::Value => drop(entries.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        while values.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}
