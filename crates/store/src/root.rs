//! The store as a whole: its layout, its lock, what crashes left behind.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};

use sys::fs::{DirFd, FileLock};

use crate::{
    Abandoned, Blobs, BuildCache, Containers, Error, Images, Layers, Networks, Projects, Result,
    Volumes,
};

/// The layout that we read and write.
const FORMAT: u32 = 1;

/// Directories of the layout, parents first.
const DIRECTORIES: [&str; 15] = [
    "blobs",
    "blobs/sha256",
    "layers",
    "images",
    "images/refs",
    "images/ids",
    "containers",
    "names",
    "volumes",
    "networks",
    "projects",
    "build",
    "build/mounts",
    "tmp",
    "trash",
];

/// Takes the damage and what the user can do.
pub type OnDamage = fn(&(dyn std::error::Error + 'static), Option<String>);

/// How a store is used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The caller is not the host's root; it is root of a user namespace at most.
    pub rootless: bool,
    /// Is told of each record that cannot be read, where that need not stop a command.
    pub on_damage: Option<OnDamage>,
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
pub struct SharedLock {
    _lock: FileLock,
}

impl Store {
    /// Opens the store in `root`, making its layout if it is absent. What a crash left
    /// in `tmp/` goes to the trash.
    pub fn open(root: &Path, options: Options) -> Result<Self> {
        Self::open_healing(root, options).map(|(store, _)| store)
    }

    /// As [`Store::open`]. The containers that come along are the caller's to remove
    /// unless they run.
    pub fn open_healing(root: &Path, options: Options) -> Result<(Self, Vec<Abandoned>)> {
        let store = Self {
            root: root.to_owned(),
            options,
        };
        match sys::fs::read_limited(&store.format_path(), 64)? {
            Some(found) => store.check_format(&found)?,
            None => store.make_layout()?,
        }
        let abandoned = store.heal()?;
        Ok((store, abandoned))
    }

    fn format_path(&self) -> PathBuf {
        self.root.join("format")
    }

    fn check_format(&self, found: &[u8]) -> Result<()> {
        let found = String::from_utf8_lossy(found).trim().to_owned();
        match found.parse() == Ok(FORMAT) {
            true => Ok(()),
            false => Err(Error::Format {
                root: self.root.clone(),
                found,
                wanted: FORMAT,
            }),
        }
    }

    /// `format` is written last: a layout without it is made again, which is harmless,
    /// also when two commands do it at once.
    fn make_layout(&self) -> Result<()> {
        make_dirs(&self.root)?;
        for name in DIRECTORIES {
            make_dirs(&self.root.join(name))?;
        }
        // Made in time: what is removed from a full disk needs them, too.
        for name in ["lock", "uses.lock", "names/.lock"] {
            drop(FileLock::shared(&self.root.join(name))?);
        }
        let text = format!("{FORMAT}\n");
        crate::record::write_bytes(self, &self.format_path(), text.as_bytes(), true)
    }

    /// Moves what nobody holds from `tmp/` to `trash/`, and ends claims.
    fn heal(&self) -> Result<Vec<Abandoned>> {
        let mut abandoned = Vec::new();
        let mut half_made = false;
        let tmp = DirFd::open(&self.root.join("tmp"))?;
        for item in tmp.items()? {
            let path = tmp.path().join(&item.name);
            // What vanishes meanwhile was finished by its maker.
            let free = match item.is_dir {
                true => tmp.open_dir(&item.name).and_then(FileLock::try_dir),
                false => tmp
                    .open_file(&item.name)
                    .and_then(|f| FileLock::try_file(f, &path))
                    .map(std::result::Result::ok),
            };
            let Ok(Some(lock)) = free else { continue };
            // The lock may be of an entry whose holder has just finished it.
            if tmp.stat(&item.name)?.is_none() {
                continue;
            }
            match item.is_dir {
                false if let Some(found) = self.heal_claim(&item.name, &path, lock) => {
                    abandoned.extend(found);
                }
                _ => {
                    half_made = true;
                    drop(self.discard(&path));
                }
            }
        }
        if half_made {
            self.containers().free_names()?;
        }
        Ok(abandoned)
    }

    /// Moves something to the trash: gone for every reader at once.
    pub(crate) fn discard(&self, path: &Path) -> Result<()> {
        let grave = self.root.join("trash").join(random_name());
        Ok(sys::fs::rename(path, &grave)?)
    }

    /// A fresh file in `tmp/`, held until the returned value is dropped or kept.
    pub(crate) fn temp_file(&self) -> Result<TempFile> {
        let tmp = DirFd::open(&self.root.join("tmp"))?;
        loop {
            let name = random_name();
            let path = tmp.path().join(&name);
            let file = tmp.create_file(&name, 0o644)?;
            // A healer that was quicker with the lock takes the entry away: try again.
            if let Ok(lock) = FileLock::try_file(file, &path)?
                && tmp.stat(&name)?.is_some()
            {
                return Ok(TempFile {
                    path: Some(path),
                    lock,
                });
            }
        }
    }

    /// A fresh directory in `tmp/`, held until the returned value is dropped or kept.
    pub(crate) fn temp_dir(&self) -> Result<TempDir> {
        let tmp = DirFd::open(&self.root.join("tmp"))?;
        loop {
            let name = random_name();
            tmp.mkdir(&name, 0o755)?;
            // As for files.
            if let Ok(dir) = tmp.open_dir(&name)
                && let Some(lock) = FileLock::try_dir(dir)?
                && tmp.stat(&name)?.is_some()
            {
                let path = tmp.path().join(&name);
                return Ok(TempDir {
                    store: self.clone(),
                    path: Some(path),
                    _lock: lock,
                });
            }
        }
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
        let _lock = FileLock::shared(&self.root.join("lock"))?;
        Ok(SharedLock { _lock })
    }

    /// Empties the trash as far as permissions allow. Rootless, call it inside the
    /// user namespace.
    pub fn sweep(&self) {
        let Ok(trash) = DirFd::open(&self.root.join("trash")) else {
            return;
        };
        for item in trash.items().unwrap_or_default() {
            // Two commands may sweep at once, and a later one may do what this one
            // has no permission for.
            let _ = trash.remove_tree(&item.name);
        }
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

/// Makes a directory and its parents, for our eyes only; what is there stays.
pub(crate) fn make_dirs(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| sys::Error::new("create directory", path.display().to_string(), e).into())
}

/// A file in the making.
#[derive(Debug)]
pub(crate) struct TempFile {
    path: Option<PathBuf>,
    lock: FileLock,
}

impl TempFile {
    /// The file, open for reading and writing.
    pub(crate) fn file(&self) -> &File {
        self.lock.file()
    }

    /// Makes it visible under its final path.
    pub(crate) fn keep(mut self, path: &Path) -> Result<()> {
        let temp = self.path.take().expect("taken only here and on drop");
        Ok(sys::fs::rename(&temp, path)?)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            // Failing that, the next command heals.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A directory in the making.
#[derive(Debug)]
pub(crate) struct TempDir {
    store: Store,
    path: Option<PathBuf>,
    _lock: FileLock,
}

impl TempDir {
    pub(crate) fn path(&self) -> &Path {
        self.path.as_deref().expect("taken only when it ends")
    }

    /// Makes it visible under its final path, which must not exist.
    pub(crate) fn keep(mut self, path: &Path) -> Result<()> {
        let temp = self.path.take().expect("taken only here and on drop");
        Ok(sys::fs::rename(&temp, path)?)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            // Out of sight first; what cannot be removed now, a later sweep removes.
            let name = path.file_name().expect("has just been made").to_owned();
            let trash = self.store.root.join("trash");
            if sys::fs::rename(&path, &trash.join(&name)).is_ok() {
                let _ = DirFd::open(&trash).and_then(|dir| dir.remove_tree(&name));
            }
        }
    }
}

/// 32 random hexadecimal digits.
pub(crate) fn random_name() -> OsString {
    OsStr::new(&random_hex()[..32]).to_owned()
}

/// 64 random hexadecimal digits.
pub(crate) fn random_hex() -> String {
    let mut bytes = [0; 32];
    let mut filled = 0;
    while filled < bytes.len() {
        // Fails only when interrupted before the kernel's pool is ready at boot.
        if let Ok(more) =
            rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())
        {
            filled += more;
        }
    }
    model::Digest::from_sha256(bytes).hex().to_owned()
}

/// Now, RFC 3339 with nanoseconds.
pub(crate) fn now() -> String {
    format!("{:.9}", jiff::Timestamp::now())
}

/// Changes with every start of the host.
pub(crate) fn boot_id() -> String {
    // Without it every layer counts as synced before the last boot, which only costs
    // making it again.
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}
