//! Reads tars: ustar, PAX and GNU's long names, as Go's reader does, because Go's tools
//! wrote nearly every layer there is.
//!
//! The tar crate reads header fields. Its walk over entries is not used: it ends PAX
//! records at the first newline, where the format counts bytes, so that a capability
//! whose bits happen to spell a newline breaks a layer, and a `size` behind it is
//! missed. It also reads extension headers of any length into memory.

use std::io::{self, Read};

use sys::fs::Timespec;
use tar::{EntryType, Header};

const BLOCK: u64 = 512;

/// Extension headers before one entry, in bytes; more is an attack on memory.
const MAX_EXTENSIONS: u64 = 1 << 20;

/// Walks over a tar's entries. Reading from it gives the current entry's content.
pub(crate) struct Reader<R> {
    inner: R,
    position: u64,
    /// Of the current entry's content.
    left: u64,
    /// After it, up to the next block.
    padding: u64,
}

/// One entry, all extensions applied.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: EntryType,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) size: u64,
    pub(crate) time: Timespec,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Its content is a map and pieces, which we do not put together.
    pub(crate) sparse: bool,
    /// Where its content starts in the tar.
    pub(crate) at: u64,
}

/// What extension headers say of the entry that follows.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    gnu_path: Option<Vec<u8>>,
    gnu_link: Option<Vec<u8>>,
    uid: Option<u64>,
    gid: Option<u64>,
    size: Option<u64>,
    time: Option<Timespec>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    sparse: bool,
    bytes: u64,
}

fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self {
            inner,
            position: 0,
            left: 0,
            padding: 0,
        }
    }

    /// The next entry; what is left of the current one is skipped.
    pub(crate) fn next(&mut self) -> io::Result<Option<Entry>> {
        let mut extensions = Extensions::default();
        let mut pending = false;
        loop {
            self.skip_rest()?;
            let Some(block) = self.block()? else {
                return match pending {
                    true => Err(invalid("the tar ends after an extended header")),
                    false => Ok(None),
                };
            };
            let header = Header::from_byte_slice(&block);
            match header.entry_type() {
                EntryType::XHeader => {
                    let bytes = self.extension(header, &mut extensions)?;
                    extensions.pax(&bytes)?;
                }
                EntryType::GNULongName => {
                    extensions.gnu_path = Some(c_string(self.extension(header, &mut extensions)?));
                }
                EntryType::GNULongLink => {
                    extensions.gnu_link = Some(c_string(self.extension(header, &mut extensions)?));
                }
                // Nobody applies global records to layers.
                EntryType::XGlobalHeader => {
                    self.content(header.entry_size()?)?;
                    continue;
                }
                _ => return self.entry(header, extensions).map(Some),
            }
            pending = true;
        }
    }

    fn entry(&mut self, header: &Header, ext: Extensions) -> io::Result<Entry> {
        let kind = header.entry_type();
        // Some writers give a hard link its file's size without the content.
        let bare = matches!(
            kind,
            EntryType::Link
                | EntryType::Symlink
                | EntryType::Char
                | EntryType::Block
                | EntryType::Directory
                | EntryType::Fifo
        );
        let size = match (bare, ext.size) {
            (true, _) => 0,
            (false, Some(size)) => size,
            (false, None) => header.entry_size()?,
        };
        self.content(size)?;
        let seconds = header
            .mtime()
            .ok()
            .and_then(|t| i64::try_from(t).ok())
            .unwrap_or(0);
        let link = || header.link_name_bytes().map(|l| l.into_owned());
        Ok(Entry {
            path: ext
                .gnu_path
                .or(ext.path)
                .unwrap_or_else(|| header.path_bytes().into_owned()),
            link: ext.gnu_link.or(ext.link).or_else(link).unwrap_or_default(),
            kind,
            mode: header.mode()? & 0o7777,
            uid: ext.uid.map_or_else(|| header.uid(), Ok)?,
            gid: ext.gid.map_or_else(|| header.gid(), Ok)?,
            size,
            time: ext.time.unwrap_or(Timespec {
                tv_sec: seconds,
                tv_nsec: 0,
            }),
            xattrs: ext.xattrs,
            sparse: ext.sparse || kind.is_gnu_sparse(),
            at: self.position,
        })
    }

    /// Announces the content of the entry whose header was just read.
    fn content(&mut self, size: u64) -> io::Result<()> {
        // Positions in a file are signed.
        if size > i64::MAX as u64 {
            return Err(invalid("an entry's size is impossible"));
        }
        self.left = size;
        self.padding = size.next_multiple_of(BLOCK) - size;
        Ok(())
    }

    fn extension(&mut self, header: &Header, ext: &mut Extensions) -> io::Result<Vec<u8>> {
        let size = header.entry_size()?;
        ext.bytes = ext.bytes.saturating_add(size);
        if ext.bytes > MAX_EXTENSIONS {
            return Err(invalid("an entry's extended header is longer than 1 MiB"));
        }
        self.content(size)?;
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn skip_rest(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink())?;
        let padding = std::mem::take(&mut self.padding);
        let skipped = io::copy(&mut (&mut self.inner).take(padding), &mut io::sink())?;
        self.position += skipped;
        match skipped == padding {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// A header's block; `None` at the end: of the stream, or two blocks of zeros.
    fn block(&mut self) -> io::Result<Option<[u8; BLOCK as usize]>> {
        let Some(block) = self.raw_block()? else {
            return Ok(None);
        };
        if block.iter().all(|b| *b == 0) {
            return match self.raw_block()? {
                Some(next) if next.iter().any(|b| *b != 0) => {
                    Err(invalid("the tar goes on after its end"))
                }
                _ => Ok(None),
            };
        }
        let header = Header::from_byte_slice(&block);
        let outside = |at: usize, b: u8| if (148..156).contains(&at) { b' ' } else { b };
        let summed = block.iter().enumerate().map(|(at, b)| outside(at, *b));
        let unsigned: i64 = summed.clone().map(i64::from).sum();
        // Some old writers summed signed bytes.
        let signed: i64 = summed.map(|b| i64::from(b.cast_signed())).sum();
        let sum = i64::from(header.cksum()?);
        match sum == unsigned || sum == signed {
            true => Ok(Some(block)),
            false => Err(invalid("a header's checksum is wrong: this is no tar")),
        }
    }

    fn raw_block(&mut self) -> io::Result<Option<[u8; BLOCK as usize]>> {
        let mut block = [0; BLOCK as usize];
        let mut length = 0;
        while length < block.len() {
            match self.inner.read(&mut block[length..]) {
                Ok(0) if length == 0 => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(more) => length += more,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.position += BLOCK;
        Ok(Some(block))
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let length = self.inner.read(&mut buffer[..most])?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= length as u64;
        self.position += length as u64;
        Ok(length)
    }
}

/// GNU ends names with a zero byte.
fn c_string(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

impl Extensions {
    /// Applies PAX records; the last of equal ones counts.
    fn pax(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (key, value, rest) =
                record(bytes).ok_or_else(|| invalid("an extended header is malformed"))?;
            bytes = rest;
            let number = || {
                let text = std::str::from_utf8(value).ok();
                text.and_then(|t| t.parse::<u64>().ok())
                    .ok_or_else(|| invalid("a number of an extended header is malformed"))
            };
            match key {
                // An empty value means the header's own.
                b"path" => self.path = Some(value.to_vec()).filter(|v| !v.is_empty()),
                b"linkpath" => self.link = Some(value.to_vec()).filter(|v| !v.is_empty()),
                b"uid" | b"gid" | b"size" if value.is_empty() => {}
                b"uid" => self.uid = Some(number()?),
                b"gid" => self.gid = Some(number()?),
                b"size" => self.size = Some(number()?),
                b"mtime" => self.time = parse_time(value).or(self.time),
                _ if key.starts_with(b"GNU.sparse.") => self.sparse = true,
                _ => {
                    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                        self.xattrs.retain(|(known, _)| known != name);
                        self.xattrs.push((name.to_vec(), value.to_vec()));
                    }
                }
            }
        }
        Ok(())
    }
}

/// `length key=value\n`, where the length counts everything.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|b| *b == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    if length > bytes.len() {
        return None;
    }
    let body = bytes[..length].get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|b| *b == b'=')?;
    Some((&body[..equals], &body[equals + 1..], &bytes[length..]))
}

/// A PAX time: seconds since 1970, perhaps negative, perhaps with a fraction.
fn parse_time(text: &[u8]) -> Option<Timespec> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanos: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    // -1.25 is three quarters of a second after -2.
    Some(match whole.starts_with('-') && nanos > 0 {
        true => Timespec {
            tv_sec: seconds.checked_sub(1)?,
            tv_nsec: 1_000_000_000 - nanos,
        },
        false => Timespec {
            tv_sec: seconds,
            tv_nsec: nanos,
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times() {
        let time = |text: &str| parse_time(text.as_bytes()).map(|t| (t.tv_sec, t.tv_nsec));
        assert_eq!(time("12"), Some((12, 0)));
        assert_eq!(time("12.5"), Some((12, 500_000_000)));
        assert_eq!(time("-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time("-0.25"), Some((-1, 750_000_000)));
        assert_eq!(time("1.1234567899"), Some((1, 123_456_789)));
        assert_eq!(time("x"), None);
        assert_eq!(time("1.-5"), None);
    }

    #[test]
    fn records_count_bytes() {
        let (key, value, rest) = record(b"10 k=a\nb=\n9 x=yyyy\n").unwrap();
        assert_eq!(
            (key, value, rest),
            (&b"k"[..], &b"a\nb="[..], &b"9 x=yyyy\n"[..])
        );
        for bad in [
            "", "x k=v\n", "5 k=v\n", "7 k=v\n", "6 k=v ", "3 \n", "99 k=v\n", "5 kv\n",
        ] {
            assert!(record(bad.as_bytes()).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn extended_headers_are_limited() {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_size(5 << 30);
        header.set_cksum();
        let bytes = [&header.as_bytes()[..], &[b'0'; 4096]].concat();
        let error = Reader::new(&bytes[..]).next().unwrap_err();
        assert!(error.to_string().contains("longer than 1 MiB"), "{error}");
    }

    /// What the two readers say of one tar: paths, links, sizes, contents.
    type Seen = Vec<(Vec<u8>, Vec<u8>, u64, Vec<u8>)>;

    fn ours(bytes: &[u8]) -> io::Result<Seen> {
        let mut reader = Reader::new(bytes);
        let mut seen = Vec::new();
        while let Some(entry) = reader.next()? {
            let mut content = Vec::new();
            reader.read_to_end(&mut content)?;
            seen.push((entry.path, entry.link, entry.size, content));
        }
        Ok(seen)
    }

    fn theirs(bytes: &[u8]) -> io::Result<Seen> {
        let mut archive = tar::Archive::new(bytes);
        let mut seen = Vec::new();
        for entry in archive.entries()? {
            let mut entry = entry?;
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            let link = entry
                .link_name_bytes()
                .map(|l| l.into_owned())
                .unwrap_or_default();
            seen.push((entry.path_bytes().into_owned(), link, entry.size(), content));
        }
        Ok(seen)
    }

    proptest! {
        #[test]
        fn agrees_with_the_tar_crate(files in proptest::collection::vec(("[a-zé]{1,150}", "[a-z]{0,700}"), 0..5)) {
            let mut builder = tar::Builder::new(Vec::new());
            for (path, content) in &files {
                let mut header = Header::new_gnu();
                header.set_size(content.len() as u64);
                header.set_mode(0o644);
                header.set_uid(0);
                header.set_gid(0);
                builder.append_data(&mut header, path, content.as_bytes()).unwrap();
            }
            let bytes = builder.into_inner().unwrap();
            prop_assert_eq!(ours(&bytes).unwrap(), theirs(&bytes).unwrap());
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let _ = ours(&bytes);
            let _ = Extensions::default().pax(&bytes);
        }
    }
}
