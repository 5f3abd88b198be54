//! A container's log: docker's json-file lines, written by the supervisor, read by anyone.
//!
//! ```text
//! <log>      the file that is written to
//! <log>.1    the one before, and so on up to the number of files that are kept
//!
//! {"log":"a line\n","stream":"stdout","time":"2026-01-01T00:00:00.000000000Z"}
//! {"log":"\ufffd\n","raw":"\u00ff\n","stream":"stdout","time":"…"}
//! ```
//!
//! JSON holds text only. A line that is no UTF-8 has its bytes in `raw` as well, one
//! character from U+0000 to U+00FF a byte: docker's readers pass that over and show `log`.
//! Output without a line's end is held until it has one, until it is 16 KiB long, or until
//! the process ends.
//!
//! One `write` appends whole lines, so a reader sees at most one line cut short, by a
//! crash. What a full disk has cut is taken back. A new file is begun before a write that
//! would make the present one longer than it may be: first all files are renamed, the
//! oldest over the one that is given up, then the new one is made. Whoever reads knows the
//! files by their inodes and looks twice.
//!
//! What has not reached the file when the supervisor is killed is lost: the output of some
//! 10 ms, or more behind a slow disk.

mod background;
mod encode;
mod file;
mod files;
mod lines;
mod read;
mod write;

pub use lines::LogRecord;
pub use read::{Follow, LogError, LogQuery, read, time_text};
pub(crate) use write::LogWriter;
