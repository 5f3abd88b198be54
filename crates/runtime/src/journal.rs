//! What has happened to containers, images, volumes and networks, for `events`.
//!
//! ```text
//! <run>/events        one JSON document a line, in the order of their times, nearly
//! <run>/events.old    what was there before; together about 2 MiB at most
//! ```
//!
//! Commands and supervisors append, each under a lock of the file for the moment of its
//! write. It is in the runtime directory: gone with the boot, as docker's are gone with
//! its daemon. An event that cannot be written is lost: no container fails for that.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use model::ContainerPlan;
use serde::{Deserialize, Serialize};

/// Bytes after which the file becomes the old one.
const FULL: u64 = 1 << 20;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// RFC 3339 with nanoseconds.
    pub time: String,
    /// `container`, `image`, `volume` or `network`.
    pub kind: String,
    /// Docker's word, e.g. `start`, `exec_die`, `health_status: healthy`.
    pub action: String,
    /// Id of the container or image, name of the volume or network.
    pub id: String,
    /// What else docker says of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

impl Entry {
    /// An event of this moment.
    pub fn now(kind: &str, action: &str, id: &str) -> Self {
        Self {
            time: crate::supervise::record::now(),
            kind: kind.to_owned(),
            action: action.to_owned(),
            id: id.to_owned(),
            attributes: BTreeMap::new(),
        }
    }

    /// Says more of it.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.attributes.insert(name.to_owned(), value.into());
        self
    }
}

/// An event of a container, told by its supervisor.
pub(crate) fn container(plan: &ContainerPlan, action: &str) -> Entry {
    Entry::now("container", action, plan.id.as_str()).with("name", plan.name.as_str())
}

/// Writes an event down, if that is possible.
pub fn append(run_base: &Path, entry: &Entry) {
    let Ok(mut line) = serde_json::to_vec(entry) else {
        return;
    };
    line.push(b'\n');
    let path = current(run_base);
    // Twice, for the file may become the old one before we have its lock.
    for _ in 0..3 {
        let Ok(mut file) = open(run_base, &path) else {
            return;
        };
        if file.lock().is_err() || !is_at(&file, &path) {
            continue;
        }
        if file.metadata().is_ok_and(|m| m.len() > FULL) {
            let _ = std::fs::rename(&path, old(run_base));
            continue;
        }
        let _ = file.write_all(&line);
        return;
    }
}

/// Opens the file. Before the first container of this boot there is no directory for it.
fn open(run_base: &Path, path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.append(true).create(true).mode(0o600);
    match options.open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut builder = std::fs::DirBuilder::new();
            builder.recursive(true).mode(0o700).create(run_base)?;
            options.open(path)
        }
        other => other,
    }
}

fn current(run_base: &Path) -> PathBuf {
    run_base.join("events")
}

fn old(run_base: &Path) -> PathBuf {
    run_base.join("events.old")
}

/// Whether the path still names this file.
fn is_at(file: &File, path: &Path) -> bool {
    let named = std::fs::metadata(path).map(|m| m.ino()).ok();
    let held = file.metadata().map(|m| m.ino()).ok();
    named.is_some() && named == held
}

/// Reads events from the oldest on.
#[derive(Debug)]
pub struct Reader {
    run_base: PathBuf,
    file: Option<BufReader<File>>,
    at: u64,
}

impl Reader {
    /// Begins with everything that is still there.
    pub fn new(run_base: &Path) -> Self {
        Self {
            run_base: run_base.to_owned(),
            file: File::open(old(run_base)).ok().map(BufReader::new),
            at: 0,
        }
    }

    /// The events that came since the last call.
    pub fn take(&mut self) -> Vec<Entry> {
        let mut found = Vec::new();
        loop {
            // Looked at first: what is written to a file that is no more the current one
            // was written before.
            let path = current(&self.run_base);
            let is_last = self
                .file
                .as_ref()
                .is_some_and(|f| is_at(f.get_ref(), &path));
            self.rest(&mut found);
            if is_last {
                return found;
            }
            match File::open(&path) {
                Ok(file) => {
                    self.file = Some(BufReader::new(file));
                    self.at = 0;
                }
                Err(_) => return found,
            }
        }
    }

    /// Whole lines only; half of one is read again.
    fn rest(&mut self, found: &mut Vec<Entry>) {
        let Some(file) = &mut self.file else {
            return;
        };
        if file.seek(SeekFrom::Start(self.at)).is_err() {
            return;
        }
        let mut line = Vec::new();
        while matches!(file.read_until(b'\n', &mut line), Ok(1..)) && line.ends_with(b"\n") {
            self.at += line.len() as u64;
            // What another version of ours wrote may be more than we know.
            found.extend(serde_json::from_slice::<Entry>(&line));
            line.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_misses_nothing_when_the_file_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let mut reader = Reader::new(dir.path());
        assert!(reader.take().is_empty());
        let filler = "x".repeat(4000);
        let mut seen = Vec::new();
        for n in 0..400 {
            append(
                dir.path(),
                &Entry::now("container", "test", &n.to_string()).with("f", &filler),
            );
            if n % 100 == 7 {
                seen.extend(reader.take());
            }
        }
        seen.extend(reader.take());
        let ids: Vec<usize> = seen.iter().map(|e| e.id.parse().unwrap()).collect();
        assert_eq!(ids, (0..400).collect::<Vec<_>>());
        let sizes = ["events", "events.old"].map(|n| dir.path().join(n).metadata().unwrap().len());
        assert!(sizes.iter().all(|size| *size < 2 * FULL), "{sizes:?}");
        assert!(
            !Reader::new(dir.path()).take().is_empty(),
            "a late reader sees the latest"
        );
    }

    #[test]
    fn half_a_line_waits_for_its_other_half() {
        let dir = tempfile::tempdir().unwrap();
        append(dir.path(), &Entry::now("image", "pull", "a"));
        let mut file = File::options()
            .append(true)
            .open(dir.path().join("events"))
            .unwrap();
        let line = serde_json::to_string(&Entry::now("image", "tag", "b")).unwrap() + "\n";
        file.write_all(&line.as_bytes()[..10]).unwrap();
        let mut reader = Reader::new(dir.path());
        assert_eq!(reader.take().len(), 1);
        file.write_all(&line.as_bytes()[10..]).unwrap();
        assert_eq!(reader.take()[0].id, "b");
    }
}
