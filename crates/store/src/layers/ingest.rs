//! One streaming pass from compressed bytes to a verified layer.

use std::io::Read;
use std::sync::mpsc;

use model::{Descriptor, Digest};
use sys::fs::DirFd;

use super::pipeline::{self, Compressed, DEPTH, Plain};
use super::unpack::{Unpacked, Unpacker};
use super::{LayerInfo, LayerRecord, Layers, Limits, VERSION};
use crate::root::TempDir;
use crate::{Error, Result};

/// Unpacks, verifies, and makes layer and blob visible. The caller holds the layer's
/// lock.
pub(super) fn ingest(
    layers: &Layers<'_>,
    reader: impl Read,
    descriptor: &Descriptor,
    diff_id: &Digest,
    keep_blob: bool,
    limits: Limits,
) -> Result<LayerInfo> {
    let store = layers.store;
    let temp = fresh_root(layers)?;
    let blob = keep_blob.then(|| store.temp_file()).transpose()?;
    let file = match &blob {
        Some(blob) => Some(
            blob.file()
                .try_clone()
                .map_err(|e| sys::Error::new("duplicate", "a blob's file", e))?,
        ),
        None => None,
    };
    let mut compressed = Compressed::new(reader, descriptor, file);
    let root = DirFd::open(&temp.path().join("fs"))?;
    let outcome = run(&mut compressed, descriptor.size, root, limits);
    // What was announced is compared first: bytes that are not the announced ones need
    // no further explanation. Only then is a refusal to unpack worth telling.
    let verified = match &outcome {
        Err(e) if is_local(e) || compressed.failed() => Ok(()),
        _ => compressed.finish(),
    };
    verified?;
    let (unpacked, actual, size) = outcome?;
    if actual != *diff_id {
        let expected = diff_id.clone();
        return Err(Error::Digest {
            what: "uncompressed layer",
            expected,
            actual,
        });
    }
    if let Some(blob) = blob {
        let path = store.blobs().path(&descriptor.digest);
        blob.file()
            .sync_data()
            .map_err(|e| sys::Error::new("sync", path.display().to_string(), e))?;
        blob.keep(&path)?;
    }
    let record = LayerRecord {
        version: VERSION,
        diff_id: actual,
        size,
        notes: unpacked.notes,
        implied: unpacked.implied,
        generated: false,
        owners_noted: false,
        unsynced: None,
    };
    layers.publish(temp, record)
}

/// Unpacks a tar of any compression whose digest nobody announced into `fs/` of a
/// fresh directory. The second value says what was left out.
pub(super) fn unpack_unverified(
    layers: &Layers<'_>,
    reader: impl Read,
) -> Result<(TempDir, Vec<String>)> {
    let temp = fresh_root(layers)?;
    let root = DirFd::open(&temp.path().join("fs"))?;
    // The ratio of an unannounced stream is unknown.
    let (unpacked, _, _) = run(reader, u64::MAX, root, Limits::default())?;
    Ok((temp, unpacked.notes))
}

fn fresh_root(layers: &Layers<'_>) -> Result<TempDir> {
    let temp = layers.store.temp_dir()?;
    let dir = DirFd::open(temp.path())?;
    dir.mkdir("fs".as_ref(), 0o755)?;
    dir.open_dir("fs".as_ref())?.chmod_self(0o755)?;
    Ok(temp)
}

/// Runs both threads until one fails or all is unpacked.
fn run(
    compressed: impl Read,
    compressed_size: u64,
    root: DirFd,
    limits: Limits,
) -> Result<(Unpacked, Digest, u64)> {
    std::thread::scope(|scope| {
        let (full, full_receiver) = mpsc::sync_channel(DEPTH);
        let (empty, empty_receiver) = mpsc::channel();
        let unpacking = scope.spawn(move || {
            let mut plain = Plain::new(full_receiver, empty);
            let unpacked = Unpacker::new(root, limits).run(&mut plain)?;
            let (digest, size) = plain.finish().map_err(|e| pipeline::unwrap(e, "layer"))?;
            Ok((unpacked, digest, size))
        });
        let pumped = pipeline::decoder(compressed)
            .and_then(|d| pipeline::pump(d, compressed_size, limits, &full, &empty_receiver));
        let mut failed = None;
        if let Err(error) = pumped {
            failed = Some(pipeline::unwrap(error, "layer"));
            // Ends the other thread's reading with an error, not with a short tar.
            let _ = full.send(Err(std::io::ErrorKind::BrokenPipe.into()));
        }
        drop(full);
        let unpacked = unpacking.join().expect("unpacking does not panic");
        match failed {
            Some(error) => Err(error),
            None => unpacked,
        }
    })
}

/// Whether a failure is this machine's, not the stream's.
fn is_local(error: &Error) -> bool {
    matches!(error, Error::Sys(_) | Error::Write { .. })
}
