//! The bytes of a layer on their way: socket → digest → blob → plain → digest.
//!
//! Two threads share the work, because inflating and writing files cost about the
//! same: the caller's thread reads, hashes, keeps and inflates the compressed bytes;
//! the other hashes the plain ones and unpacks them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Cursor, Read, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender};

use model::{Descriptor, Digest};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use sha2::{Digest as _, Sha256};

use super::Limits;
use crate::Error;

/// One chunk of plain bytes; large enough that handing it over costs nothing.
const CHUNK: usize = 256 << 10;

/// Chunks under way.
pub(super) const DEPTH: usize = 8;

/// Counts, hashes and keeps what passes.
pub(super) struct Compressed<R> {
    inner: R,
    hash: Sha256,
    size: u64,
    announced: Descriptor,
    blob: Option<BufWriter<File>>,
    failed: bool,
}

impl<R: Read> Compressed<R> {
    pub(super) fn new(inner: R, announced: &Descriptor, blob: Option<File>) -> Self {
        let blob = blob.map(|file| BufWriter::with_capacity(CHUNK, file));
        Self {
            inner,
            hash: Sha256::new(),
            size: 0,
            announced: announced.clone(),
            blob,
            failed: false,
        }
    }

    /// Whether the source itself failed, so that nothing can be said of its digest.
    pub(super) fn failed(&self) -> bool {
        self.failed
    }

    /// Reads what a decoder left (padding, further members' trailers) and compares the
    /// whole with what was announced.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        let read = |source| unwrap(source, "layer");
        io::copy(&mut self, &mut io::sink()).map_err(read)?;
        if let Some(blob) = &mut self.blob {
            blob.flush().map_err(|source| Error::Write {
                what: "layer blob".into(),
                source,
            })?;
        }
        let (expected, actual) = (self.announced.size, self.size);
        if actual != expected {
            let digest = self.announced.digest;
            return Err(Error::Size {
                what: "layer",
                digest,
                expected,
                actual,
            });
        }
        let actual = Digest::from_sha256(self.hash.finalize().into());
        match actual == self.announced.digest {
            true => Ok(()),
            false => Err(Error::Digest {
                what: "layer",
                expected: self.announced.digest,
                actual,
            }),
        }
    }
}

impl<R: Read> Read for Compressed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer).inspect_err(|e| {
            self.failed |= e.kind() != io::ErrorKind::Interrupted;
        })?;
        self.size += length as u64;
        if self.size > self.announced.size {
            return Err(io::Error::other(Error::Size {
                what: "layer",
                digest: self.announced.digest.clone(),
                expected: self.announced.size,
                actual: self.size,
            }));
        }
        self.hash.update(&buffer[..length]);
        if let Some(blob) = &mut self.blob {
            blob.write_all(&buffer[..length]).map_err(|source| {
                io::Error::other(Error::Write {
                    what: "layer blob".into(),
                    source,
                })
            })?;
        }
        Ok(length)
    }
}

/// The error that one of ours was wrapped in, or a failure to read `what`.
pub(super) fn unwrap(error: io::Error, what: &str) -> Error {
    match error.downcast::<Error>() {
        Ok(ours) => ours,
        Err(source) => Error::Read {
            what: what.to_owned(),
            source,
        },
    }
}

/// Decompresses by what the first bytes say; the media type of a descriptor is often
/// wrong and never needed.
pub(crate) fn decoder<'r, R: Read + 'r>(mut reader: R) -> io::Result<Box<dyn Read + 'r>> {
    let mut magic = [0; 4];
    let mut length = 0;
    while length < magic.len() {
        match reader.read(&mut magic[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let whole = Cursor::new(magic).take(length as u64).chain(reader);
    Ok(match magic {
        [0x1f, 0x8b, _, _] => Box::new(flate2::bufread::MultiGzDecoder::new(
            BufReader::with_capacity(CHUNK, whole),
        )),
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            Box::new(Zstd::new(BufReader::with_capacity(CHUNK, whole)))
        }
        _ => Box::new(whole),
    })
}

/// All frames of a zstd stream one after the other, skippable ones skipped.
struct Zstd<R> {
    source: R,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<R: BufRead> Zstd<R> {
    fn new(source: R) -> Self {
        Self {
            source,
            decoder: FrameDecoder::new(),
            in_frame: false,
        }
    }

    /// Begins the next frame; `false` at the end of the stream.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    if io::copy(&mut (&mut self.source).take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(e) => return Err(io::Error::new(io::ErrorKind::InvalidData, e)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.in_frame {
                self.in_frame = self.next_frame()?;
                if !self.in_frame {
                    return Ok(0);
                }
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let strategy = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder
                    .decode_blocks(&mut self.source, strategy)
                    .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
            }
            let length = self.decoder.read(buffer)?;
            if length > 0 || buffer.is_empty() {
                return Ok(length);
            }
            self.in_frame = false;
        }
    }
}

/// What travels between the two threads: plain bytes, or why there are no more.
pub(super) type Message = io::Result<Vec<u8>>;

/// Reads a plain stream to its end and sends it on; used buffers come back by
/// `empty`. The other side hanging up is not an error of this one.
pub(super) fn pump(
    mut plain: impl Read,
    compressed_size: u64,
    limits: Limits,
    full: &SyncSender<Message>,
    empty: &Receiver<Vec<u8>>,
) -> io::Result<()> {
    let mut total = 0u64;
    loop {
        let mut buffer = empty.try_recv().unwrap_or_default();
        buffer.resize(CHUNK, 0);
        let length = fill(&mut plain, &mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        buffer.truncate(length);
        total += length as u64;
        let by_ratio = (1 << 30).max(compressed_size.saturating_mul(limits.max_ratio));
        let limit = limits.max_bytes.min(by_ratio);
        if total > limit {
            let what = "layer unpacked".to_owned();
            return Err(io::Error::other(Error::TooLarge {
                what,
                size: total,
                limit,
            }));
        }
        if full.send(Ok(buffer)).is_err() {
            return Ok(());
        }
    }
}

/// Fills a buffer as far as the stream goes.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match reader.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(length)
}

/// The receiving side: hashes and counts plain bytes as they are read.
pub(super) struct Plain {
    full: Receiver<Message>,
    empty: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
    hash: Sha256,
    size: u64,
}

impl Plain {
    pub(super) fn new(full: Receiver<Message>, empty: Sender<Vec<u8>>) -> Self {
        Self {
            full,
            empty,
            chunk: Vec::new(),
            at: 0,
            hash: Sha256::new(),
            size: 0,
        }
    }

    /// Digest and length of everything that was read.
    pub(super) fn finish(mut self) -> io::Result<(Digest, u64)> {
        io::copy(&mut self, &mut io::sink())?;
        Ok((Digest::from_sha256(self.hash.finalize().into()), self.size))
    }
}

impl Read for Plain {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            // Hung up without an error: the end.
            let Ok(message) = self.full.recv() else {
                return Ok(0);
            };
            let used = std::mem::replace(&mut self.chunk, message?);
            // The sender may be done already; then the buffer is freed here.
            let _ = self.empty.send(used);
            self.at = 0;
            self.hash.update(&self.chunk);
            self.size += self.chunk.len() as u64;
        }
        let length = buffer.len().min(self.chunk.len() - self.at);
        buffer[..length].copy_from_slice(&self.chunk[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        decoder(bytes)?.read_to_end(&mut plain).map(|_| plain)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn streams_of_several_members_are_one() {
        let gz = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(decode(&gz).unwrap(), b"one two");
        let frame = |bytes: &[u8]| {
            ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
        };
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        let zst = [
            &skippable[..],
            &frame(b"one "),
            &skippable,
            &frame(b"two"),
            &skippable,
        ]
        .concat();
        assert_eq!(decode(&zst).unwrap(), b"one two");
        assert!(decode(&zst[..zst.len() - 1]).is_err());
        assert_eq!(decode(b"plain").unwrap(), b"plain");
        assert_eq!(decode(b"").unwrap(), b"");
    }

    proptest::proptest! {
        #[test]
        fn hostile_streams_end_in_errors(tail in proptest::collection::vec(0u8.., 0..200), kind in 0..3usize) {
            let magic: [&[u8]; 3] = [&[0x1f, 0x8b], &[0x28, 0xb5, 0x2f, 0xfd], &[0x51, 0x2a, 0x4d, 0x18]];
            let _ = decode(&[magic[kind], &tail].concat());
        }
    }
}
