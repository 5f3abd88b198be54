//! One blob's way: streamed once, resumed where it broke, verified at its end.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use model::{Descriptor, Digest, Reference};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::wire::{Fault, Wire, back_off};
use crate::{BoxError, Error, Result};

/// Chunks between the network and a layer's thread: some hundreds of KiB, so that
/// neither waits for the other's every step and memory stays small.
pub(crate) const IN_FLIGHT: usize = 32;

/// Configurations larger than this are not believed.
const MAX_DOCUMENT: u64 = 8 << 20;

/// Why an attempt ended before the blob did.
enum Stop {
    /// A later attempt may go on from here.
    Broken(BoxError),
    /// It would fail again.
    Final(Error),
}

/// Streams a blob from its first byte to its last into `take`, which returns false
/// when it wants no more. A connection that breaks is resumed from where it broke;
/// only failures without any progress in between count against the retries.
pub(crate) async fn stream(
    wire: &Wire<'_>,
    blob: &Descriptor,
    mut take: impl AsyncFnMut(Bytes) -> bool,
) -> Result<()> {
    let (mut done, mut failures) = (0, 0);
    while done < blob.size {
        let before = done;
        match attempt(wire, blob, &mut done, &mut take).await {
            Ok(()) => return Ok(()),
            Err(Stop::Final(error)) => return Err(error),
            Err(Stop::Broken(source)) => {
                failures = if done > before { 1 } else { failures + 1 };
                if failures > wire.retries() {
                    return Err(Error::Interrupted {
                        reference: wire.reference().familiar(),
                        digest: blob.digest.clone(),
                        done,
                        total: blob.size,
                        source,
                    });
                }
                back_off(failures).await;
            }
        }
    }
    Ok(())
}

/// One request for the rest of a blob.
async fn attempt(
    wire: &Wire<'_>,
    blob: &Descriptor,
    done: &mut u64,
    take: &mut impl AsyncFnMut(Bytes) -> bool,
) -> std::result::Result<(), Stop> {
    let body = match wire.blob(&blob.digest, *done).await {
        Ok(body) => body,
        Err(fault) => return Err(stop_for(fault, wire, blob, *done)),
    };
    let mut skip = if body.whole { *done } else { 0 };
    let mut stream = body.stream;
    if let Some(length) = body.length {
        let whole = *done - skip + length;
        if whole != blob.size {
            return Err(Stop::Final(wrong_size(wire.reference(), blob, whole)));
        }
    }
    while let Some(chunk) = stream.next().await {
        let mut chunk = chunk.map_err(|e| Stop::Broken(e.into()))?;
        let unwanted = skip.min(chunk.len() as u64);
        skip -= unwanted;
        chunk.advance(unwanted as usize);
        *done += chunk.len() as u64;
        if *done > blob.size {
            return Err(Stop::Final(wrong_size(wire.reference(), blob, *done)));
        }
        if !chunk.is_empty() && !take(chunk).await {
            return Ok(());
        }
    }
    if *done < blob.size {
        return Err(Stop::Broken("the connection ended early".into()));
    }
    Ok(())
}

fn stop_for(fault: Fault, wire: &Wire<'_>, blob: &Descriptor, done: u64) -> Stop {
    match fault {
        // The registry answered before; it may just be restarting.
        Fault::Connection { source, .. } => Stop::Broken(source),
        Fault::NoSuchRange => Stop::Final(wrong_size(wire.reference(), blob, done)),
        Fault::NotFound => Stop::Final(Error::BlobMissing {
            registry: wire.reference().domain().into(),
            reference: wire.reference().familiar(),
            digest: blob.digest.clone(),
        }),
        fault if fault.may_pass() => Stop::Broken(wire.error(fault).into()),
        fault => Stop::Final(wire.error(fault)),
    }
}

fn wrong_size(reference: &Reference, blob: &Descriptor, actual: u64) -> Error {
    Error::WrongSize {
        reference: reference.familiar(),
        digest: blob.digest.clone(),
        expected: blob.size,
        actual,
    }
}

/// Fetches a small blob into memory and verifies it.
pub(crate) async fn collect(
    wire: &Wire<'_>,
    blob: &Descriptor,
    what: &'static str,
) -> Result<Vec<u8>> {
    if blob.size > MAX_DOCUMENT {
        return Err(Error::Malformed {
            reference: wire.reference().familiar(),
            what,
            digest: blob.digest.clone(),
            reason: format!("{} bytes are more than such a document has", blob.size),
        });
    }
    let mut bytes = Vec::with_capacity(blob.size as usize);
    stream(wire, blob, async |chunk| {
        bytes.extend_from_slice(&chunk);
        true
    })
    .await?;
    let actual = crate::manifest::digest_of(&bytes);
    match actual == blob.digest {
        true => Ok(bytes),
        false => Err(Error::Corrupt {
            reference: wire.reference().familiar(),
            what,
            expected: blob.digest.clone(),
            actual: actual.to_string(),
        }),
    }
}

/// The receiving end of a blob for a thread that reads it. Ends cleanly only after
/// exactly the promised bytes; in every other case its last read is an error.
pub(crate) struct VerifyingReader {
    chunks: mpsc::Receiver<Bytes>,
    current: Bytes,
    hasher: Sha256,
    received: u64,
    size: u64,
    expected: Digest,
    end: Option<End>,
}

/// How a blob ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// All bytes came, and they are the right ones.
    Verified,
    /// As many bytes as promised, but others.
    Corrupt(Digest),
    /// The sending side gave up.
    GivenUp,
}

impl VerifyingReader {
    pub(crate) fn new(blob: &Descriptor, chunks: mpsc::Receiver<Bytes>) -> Self {
        Self {
            chunks,
            current: Bytes::new(),
            hasher: Sha256::new(),
            received: 0,
            size: blob.size,
            expected: blob.digest.clone(),
            end: None,
        }
    }

    /// How the blob ended, if it was read that far.
    pub(crate) fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    fn conclude(&mut self) -> &End {
        let (received, size) = (self.received, self.size);
        let hasher = &mut self.hasher;
        let expected = &self.expected;
        self.end.get_or_insert_with(|| {
            let actual = Digest::from_sha256(std::mem::take(hasher).finalize().into());
            match (received == size, actual == *expected) {
                (true, true) => End::Verified,
                (true, false) => End::Corrupt(actual),
                (false, _) => End::GivenUp,
            }
        })
    }
}

impl Read for VerifyingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.current.len().min(buffer.len());
            if read > 0 || buffer.is_empty() {
                self.current.copy_to_slice(&mut buffer[..read]);
                return Ok(read);
            }
            if let Some(chunk) = self.chunks.blocking_recv() {
                self.hasher.update(&chunk);
                self.received += chunk.len() as u64;
                self.current = chunk;
                continue;
            }
            return match self.conclude() {
                End::Verified => Ok(0),
                End::Corrupt(actual) => {
                    let text = format!("its digest is {actual}");
                    Err(io::Error::new(io::ErrorKind::InvalidData, text))
                }
                End::GivenUp => Err(io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    "the transfer was given up",
                )),
            };
        }
    }
}
