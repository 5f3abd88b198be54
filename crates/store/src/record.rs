//! Small versioned JSON files.

use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Error, Result, Store};

/// Larger than any record of ours.
const MAX_RECORD: u64 = 64 << 20;

/// Reads a record whose `version` is at most `known`; `None` if there is none.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, known: u32) -> Result<Option<T>> {
    let Some(bytes) = sys::fs::read_limited(path, MAX_RECORD)? else {
        return Ok(None);
    };
    let damaged = |source| Error::Record {
        path: path.to_owned(),
        source,
    };
    match serde_json::from_slice(&bytes) {
        Ok(record) if version(&bytes).is_none_or(|v| v <= known) => Ok(Some(record)),
        // A later version may well not parse: say the true reason.
        parsed => match (version(&bytes), parsed) {
            (Some(found), _) if found > known => Err(Error::RecordVersion {
                path: path.to_owned(),
                found,
                known,
            }),
            (_, parsed) => parsed.map(Some).map_err(damaged),
        },
    }
}

/// Reads any JSON file of ours; `None` if there is none.
pub(crate) fn read_value(path: &Path) -> Result<Option<Value>> {
    read(path, u32::MAX)
}

/// Writes a record; unless `durable`, a power cut may lose it.
pub(crate) fn write<T: Serialize>(
    store: &Store,
    path: &Path,
    record: &T,
    durable: bool,
) -> Result<()> {
    let damaged = |source| Error::Record {
        path: path.to_owned(),
        source,
    };
    let mut bytes = serde_json::to_vec_pretty(record).map_err(damaged)?;
    bytes.push(b'\n');
    write_bytes(store, path, &bytes, durable)
}

/// Writes a file through `tmp/`, held there so that no other command takes it for what
/// a crash left.
pub(crate) fn write_bytes(store: &Store, path: &Path, bytes: &[u8], durable: bool) -> Result<()> {
    let temp = store.temp_file()?;
    let error = |act, e| sys::Error::new(act, path.display().to_string(), e);
    temp.file()
        .write_all(bytes)
        .map_err(|e| error("write", e))?;
    if durable {
        temp.file().sync_all().map_err(|e| error("sync", e))?;
    }
    temp.keep(path)?;
    match path.parent() {
        Some(parent) if durable => Ok(sys::fs::sync_dir(parent)?),
        _ => Ok(()),
    }
}

fn version(bytes: &[u8]) -> Option<u32> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u32,
    }
    serde_json::from_slice::<Versioned>(bytes)
        .ok()
        .map(|v| v.version)
}

/// Removes a record. Whether it was there.
pub(crate) fn remove(path: &Path) -> Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(sys::Error::new("remove", path.display().to_string(), e).into()),
    }
}

/// Names of the entries of a directory of ours, sorted; those that are not UTF-8 are
/// not ours.
pub(crate) fn names(path: &Path) -> Result<Vec<String>> {
    let items = sys::fs::DirFd::open(path)?.items()?;
    Ok(items
        .into_iter()
        .filter_map(|i| i.name.into_string().ok())
        .collect())
}

/// Docker's rule for names of containers, volumes and networks.
pub(crate) fn check_name(kind: &'static str, name: &str) -> Result<()> {
    let first = |b: u8| b.is_ascii_alphanumeric();
    let rest = |b: u8| first(b) || matches!(b, b'_' | b'.' | b'-');
    let fits = name.len() <= 200
        && name.bytes().next().is_some_and(first)
        && name.bytes().skip(1).all(rest);
    match fits {
        true => Ok(()),
        false => Err(Error::BadName {
            kind,
            name: name.to_owned(),
        }),
    }
}
