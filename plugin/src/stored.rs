//! A column of models: Binary, or a struct of models and the backbones that they refer to.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use genias::{apart, backbone_of, Backbone, Backbones, Error, Model};
use polars::prelude::*;
use xxhash_rust::xxh3::xxh3_128;

use crate::call::to_polars;

/// A column of models.
pub struct Stored {
    models: BinaryChunked,
    backbones: Option<BinaryChunked>,
    /// Backbones by the hash of their bytes.
    read: Mutex<HashMap<u128, Arc<Backbone>>>,
}

/// Bytes of a model, and of its backbone.
pub type Parts<'a> = (&'a [u8], Option<&'a [u8]>);

impl Stored {
    /// A column with a model for each of `rows` rows, or one for all.
    pub fn new(column: &Series, rows: usize) -> PolarsResult<Self> {
        if column.len() != rows && column.len() != 1 {
            let (column, found) = (column.name().to_string(), column.len());
            return Err(to_polars(Error::Length { column, found, expected: rows }));
        }
        Self::of(column)
    }

    /// A table of models as a struct: the keys of their groups, and the models.
    pub fn keyed(table: &Series) -> PolarsResult<(Vec<Series>, Self)> {
        let mut columns = table.struct_()?.fields_as_series();
        let models = columns.pop().ok_or_else(|| polars_err!(InvalidOperation: "no models"))?;
        Ok((columns, Self::of(&models)?))
    }

    /// A column of models.
    pub fn of(column: &Series) -> PolarsResult<Self> {
        let (models, backbones) = match column.dtype() {
            DataType::Struct(fields) if is_pair(fields) => {
                let pair = column.struct_()?;
                let pair = pair.propagate_nulls().unwrap_or_else(|| pair.clone());
                let [models, backbones] = &pair.fields_as_series()[..] else {
                    polars_bail!(InvalidOperation: "two fields are needed")
                };
                (binary(models)?, Some(binary(backbones)?))
            }
            _ => (binary(column)?, None),
        };
        Ok(Self { models, backbones, read: Mutex::default() })
    }

    pub fn len(&self) -> usize {
        self.models.len()
    }

    /// The bytes in a row.
    pub fn get(&self, row: usize) -> Option<Parts<'_>> {
        let backbone = || self.backbones.as_ref().and_then(|column| column.get(row));
        self.models.get(row).map(|model| (model, backbone()))
    }

    /// Reads a model; its backbone is read once for all models.
    pub fn read(&self, (model, backbone): Parts<'_>) -> genias::Result<Model> {
        let backbone = backbone.map(|bytes| self.backbone(bytes)).transpose()?;
        Model::from_parts(model, backbone.as_ref())
    }

    fn backbone(&self, bytes: &[u8]) -> genias::Result<Arc<Backbone>> {
        let key = xxh3_128(bytes);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(backbone) = read.get(&key) {
            return Ok(backbone.clone());
        }
        let backbone = Arc::new(apart::read(bytes)?);
        read.insert(key, backbone.clone());
        Ok(backbone)
    }
}

/// Hash of the bytes of a model and of its backbone.
pub fn hash((model, backbone): Parts<'_>) -> u128 {
    backbone.map_or(0, xxh3_128) ^ xxh3_128(model)
}

fn is_pair(fields: &[Field]) -> bool {
    let binary = |field: &Field| matches!(field.dtype(), DataType::Binary | DataType::Null);
    fields.len() == 2 && fields.iter().all(binary)
}

/// The different backbones in a column of backbones or of models, in its order.
pub fn backbones(column: &Series) -> genias::Result<Backbones> {
    let column = binary(column).map_err(|error| Error::Model(error.to_string()))?;
    let one = |bytes: &[u8]| match apart::read(bytes) {
        Ok(backbone) => Ok(Some(backbone)),
        Err(_) => backbone_of(&Model::from_bytes(bytes)?.generator),
    };
    let mut known = HashSet::new();
    let different = column.iter().flatten().filter(|bytes| known.insert(xxh3_128(bytes)));
    let read = different.map(one).collect::<genias::Result<Vec<_>>>()?;
    let mut known = HashSet::new();
    let mut found: Vec<Arc<Backbone>> = read.into_iter().flatten().map(Arc::new).collect();
    found.retain(|backbone| known.insert(backbone.id()));
    Ok(Backbones::new(found))
}

fn binary(column: &Series) -> PolarsResult<BinaryChunked> {
    match column.dtype() {
        DataType::Binary => Ok(column.binary()?.rechunk().into_owned()),
        // A null column: no group has a model.
        DataType::Null => Ok(column.cast(&DataType::Binary)?.binary()?.clone()),
        dtype => {
            let dtype = format!("{dtype} (`model` must be Binary)");
            Err(to_polars(Error::Dtype { column: column.name().to_string(), dtype }))
        }
    }
}
