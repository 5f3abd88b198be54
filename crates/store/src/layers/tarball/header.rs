//! One ustar header, with PAX records before it where ustar's fields do not suffice.

const BLOCK: usize = 512;

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) path: Vec<u8>,
    pub(crate) link: Vec<u8>,
    /// `b'0'` file, `b'1'` hard link, `b'2'` symbolic link, `b'3'`/`b'4'` devices,
    /// `b'5'` directory, `b'6'` FIFO.
    pub(crate) kind: u8,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) time: i64,
    /// Major and minor number.
    pub(crate) device: Option<(u32, u32)>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Header {
    /// An empty file without anything of its own but its name.
    pub(crate) fn mark(path: Vec<u8>) -> Self {
        Self::file(path, 0, 0)
    }

    /// A file of root's from 1970.
    pub(crate) fn file(path: Vec<u8>, size: u64, mode: u32) -> Self {
        Self {
            path,
            link: Vec::new(),
            kind: b'0',
            mode,
            uid: 0,
            gid: 0,
            size,
            time: 0,
            device: None,
            xattrs: Vec::new(),
        }
    }

    pub(crate) fn with_xattrs(self, xattrs: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        Self { xattrs, ..self }
    }

    pub(crate) fn has_xattrs(&self) -> bool {
        !self.xattrs.is_empty()
    }

    /// The header's blocks, PAX records first. The file's content follows.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let records = self.records();
        let mut bytes = Vec::with_capacity(BLOCK);
        if !records.is_empty() {
            let name = [&b"PaxHeaders/"[..], base(&self.path)].concat();
            let pax = Self {
                kind: b'x',
                mode: 0o644,
                ..Self::file(name, records.len() as u64, 0o644)
            };
            bytes.extend_from_slice(&pax.block());
            bytes.extend_from_slice(&records);
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        }
        bytes.extend_from_slice(&self.block());
        bytes
    }

    fn records(&self) -> Vec<u8> {
        let mut records = Vec::new();
        let mut add = |key: &[u8], value: &[u8]| record(&mut records, key, value);
        if odd(&self.path) {
            add(b"path", &self.path);
        }
        if odd(&self.link) {
            add(b"linkpath", &self.link);
        }
        if u64::from(self.uid) > octal_max(8) {
            add(b"uid", self.uid.to_string().as_bytes());
        }
        if u64::from(self.gid) > octal_max(8) {
            add(b"gid", self.gid.to_string().as_bytes());
        }
        if self.size > octal_max(12) {
            add(b"size", self.size.to_string().as_bytes());
        }
        if !u64::try_from(self.time).is_ok_and(|t| t <= octal_max(12)) {
            add(b"mtime", self.time.to_string().as_bytes());
        }
        for (key, value) in &self.xattrs {
            add(&[b"SCHILY.xattr.", &key[..]].concat(), value);
        }
        records
    }

    fn block(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        text(&mut block[0..100], &self.path);
        octal(&mut block[100..108], u64::from(self.mode));
        octal(&mut block[108..116], u64::from(self.uid));
        octal(&mut block[116..124], u64::from(self.gid));
        octal(&mut block[124..136], self.size);
        octal(&mut block[136..148], u64::try_from(self.time).unwrap_or(0));
        block[156] = self.kind;
        text(&mut block[157..257], &self.link);
        block[257..265].copy_from_slice(b"ustar\x0000");
        let (major, minor) = self.device.unwrap_or_default();
        octal(&mut block[329..337], u64::from(major));
        octal(&mut block[337..345], u64::from(minor));
        // The sum counts its own field as spaces.
        block[148..156].fill(b' ');
        let sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
        octal(&mut block[148..155], sum);
        block
    }
}

/// Whether ustar's 100 bytes do not do: readers differ on what is not ASCII.
fn odd(name: &[u8]) -> bool {
    name.len() > 100 || !name.is_ascii()
}

/// The last component, for the name of a PAX header, which nobody reads.
fn base(path: &[u8]) -> &[u8] {
    let trimmed = path.strip_suffix(b"/").unwrap_or(path);
    let at = trimmed
        .iter()
        .rposition(|b| *b == b'/')
        .map_or(0, |at| at + 1);
    &trimmed[at..]
}

fn text(field: &mut [u8], value: &[u8]) {
    let length = value.len().min(field.len());
    field[..length].copy_from_slice(&value[..length]);
}

/// The largest number of a field of `width` bytes, one of which ends it.
fn octal_max(width: u32) -> u64 {
    (1 << (3 * (width - 1))) - 1
}

/// Octal digits and a zero byte. What does not fit is in a PAX record, and zero here.
fn octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let fits = value <= octal_max(u32::try_from(field.len()).expect("a field of the header"));
    let text = format!("{:0digits$o}", if fits { value } else { 0 });
    field[..digits].copy_from_slice(text.as_bytes());
}

/// `length key=value\n`, where the length counts its own digits.
fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn record_lengths_count_themselves() {
        for size in 0..2000 {
            let mut out = Vec::new();
            record(&mut out, b"k", &vec![b'v'; size]);
            let text = String::from_utf8(out.clone()).unwrap();
            let (length, _) = text.split_once(' ').unwrap();
            assert_eq!(length.parse::<usize>().unwrap(), out.len());
        }
    }

    proptest! {
        #[test]
        fn our_reader_reads_what_we_write(
            path in "[a-zé/]{0,60}[a-zé]{1,80}",
            link in "[a-zé/]{1,160}",
            mode in 0u32..0o10000,
            uid in any::<u32>(),
            gid in any::<u32>(),
            time in -100i64..1 << 40,
            value in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let header = Header {
                link: link.clone().into_bytes(), uid, gid, time, kind: b'2',
                xattrs: vec![(b"user.k".to_vec(), value.clone())],
                ..Header::file(path.clone().into_bytes(), 0, mode)
            };
            let mut bytes = header.encode();
            bytes.extend([0; 1024]);
            let mut reader = crate::tarread::Reader::new(&bytes[..]);
            let entry = reader.next().unwrap().unwrap();
            prop_assert_eq!(entry.path, path.into_bytes());
            prop_assert_eq!(entry.link, link.into_bytes());
            prop_assert_eq!((entry.mode, entry.uid, entry.gid), (mode, uid.into(), gid.into()));
            prop_assert_eq!(entry.time.tv_sec, time);
            prop_assert_eq!(entry.xattrs, vec![(b"user.k".to_vec(), value)]);
            prop_assert!(reader.next().unwrap().is_none());
        }
    }
}
