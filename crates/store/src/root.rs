//! The store as a whole.

use std::path::{Path, PathBuf};

use crate::{Blobs, BuildCache, Containers, Images, Layers, Networks, Projects, Result, Volumes};

/// How a store is used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The caller is not the host's root; it is root of a user namespace at most.
    pub rootless: bool,
}

/// A store. Cheap to clone; clones share nothing but the directory.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    options: Options,
}

/// Keeps collection away while it lives.
#[derive(Debug)]
#[must_use]
pub struct SharedLock;

impl Store {
    /// Opens the store in `root`, making its layout if it is absent. What a crash left
    /// in `tmp/` goes to the trash.
    pub fn open(root: &Path, options: Options) -> Result<Self> {
        let _ = (root, options);
        todo!()
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// As given to [`Store::open`].
    pub fn options(&self) -> Options {
        self.options
    }

    /// Keeps collection away: hold it from the first look for a blob or layer until
    /// the reference that needs it is recorded.
    pub fn share(&self) -> Result<SharedLock> {
        todo!()
    }

    /// Empties the trash as far as permissions allow. Rootless, call it inside the
    /// user namespace.
    pub fn sweep(&self) {
        todo!()
    }

    /// Verified bytes.
    pub fn blobs(&self) -> Blobs<'_> {
        Blobs { store: self }
    }

    /// Unpacked layers.
    pub fn layers(&self) -> Layers<'_> {
        Layers { store: self }
    }

    /// Images and their names.
    pub fn images(&self) -> Images<'_> {
        Images { store: self }
    }

    /// Containers' records and directories.
    pub fn containers(&self) -> Containers<'_> {
        Containers { store: self }
    }

    /// Volumes.
    pub fn volumes(&self) -> Volumes<'_> {
        Volumes { store: self }
    }

    /// Networks' records.
    pub fn networks(&self) -> Networks<'_> {
        Networks { store: self }
    }

    /// Compose projects' state.
    pub fn projects(&self) -> Projects<'_> {
        Projects { store: self }
    }

    /// The build cache.
    pub fn build_cache(&self) -> BuildCache<'_> {
        BuildCache { store: self }
    }
}
