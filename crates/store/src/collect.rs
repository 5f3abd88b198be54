//! Collection: blobs and layers that nothing refers to go to the trash.

use crate::{Result, Store};

/// What a collection found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs removed.
    pub blobs: u64,
    /// Layers removed.
    pub layers: u64,
    /// Bytes that the removed blobs and layers' tars had.
    pub bytes: u64,
}

impl Store {
    /// Removes unreferenced blobs and layers. `None` if another command is busy with
    /// references: then a later collection does it.
    pub fn collect(&self) -> Result<Option<Collected>> {
        todo!()
    }
}
