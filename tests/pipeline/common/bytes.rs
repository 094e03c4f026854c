//! Models as bytes: taken apart and put together again, and what reading them allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashMap;

use genias::Model;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use xxhash_rust::xxh3::Xxh3;

/// An allocator that notes the largest allocation of each thread.
pub struct Noting;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

fn note(size: usize) {
    // A thread that is ending has nothing to note.
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
}

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as demanded of the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as demanded of the caller.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: as demanded of the caller.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as demanded of the caller.
        unsafe { System.dealloc(old, layout) }
    }
}

/// What reading gives, and the largest allocation on the way.
pub fn read(bytes: &[u8]) -> (genias::Result<Model>, usize) {
    LARGEST.set(0);
    let result = Model::from_bytes(bytes);
    (result, LARGEST.get())
}

/// Largest allocation that these bytes justify: twice their number, and a page for what is fixed.
pub fn allowed(bytes: &[u8]) -> usize {
    2 * bytes.len() + 4096
}

/// A model's bytes, taken apart: metadata and tensors, which can be changed and signed again.
#[derive(Clone)]
pub struct Parts {
    pub json: String,
    pub tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
}

impl Parts {
    pub fn of(model: &Model) -> Self {
        let bytes = model.to_bytes().unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let json = header.metadata().as_ref().unwrap()["genias"].clone();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let part = |(name, view): (String, TensorView<'_>)| {
            (name, view.dtype(), view.shape().to_vec(), view.data().to_vec())
        };
        Self { json, tensors: tensors.tensors().into_iter().map(part).collect() }
    }

    fn checksum(&self) -> Option<&str> {
        let (_, rest) = self.json.split_once("\"checksum\":\"")?;
        Some(rest.split_once('"')?.0)
    }

    /// Bytes with the checksum that belongs to them; as they are where a mutation has hit its entry.
    pub fn signed(&self) -> Vec<u8> {
        let Some(checksum) = self.checksum() else { return self.bytes() };
        let mut parts = self.clone();
        parts.tensors.sort_by(|a, b| a.0.cmp(&b.0));
        let entry = |sum: &str| format!("\"checksum\":\"{sum}\"");
        let unsigned = self.json.replace(&entry(checksum), &entry(""));
        let mut hash = Xxh3::new();
        hash.update(unsigned.as_bytes());
        for (name, _, _, data) in &parts.tensors {
            hash.update(name.as_bytes());
            hash.update(data);
        }
        parts.json = unsigned.replace(&entry(""), &entry(&format!("{:032x}", hash.digest128())));
        parts.bytes()
    }

    /// Bytes with the checksum as it is.
    pub fn bytes(&self) -> Vec<u8> {
        let views = self.tensors.iter().map(|(name, dtype, shape, data)| {
            (name.as_str(), TensorView::new(*dtype, shape.clone(), data).unwrap())
        });
        let info = HashMap::from([("genias".to_string(), self.json.clone())]);
        safetensors::serialize(views, Some(info)).unwrap()
    }

    /// Replaces one piece of the metadata.
    pub fn with(&self, old: &str, new: &str) -> Self {
        assert!(self.json.contains(old), "{old} is not in {}", self.json);
        Self { json: self.json.replacen(old, new, 1), ..self.clone() }
    }
}
