//! A container's log: docker's json-file lines, written by the supervisor, read by anyone.
//!
//! ```text
//! {"log":"a line\n","stream":"stdout","time":"2026-01-01T00:00:00.000000000Z"}
//! ```
//!
//! One `write` appends whole lines, so a reader sees at most one line cut short, by a
//! crash or by a full disk. Output without a line's end is held until it has one, until
//! it is 16 KiB long, or until the process ends.

mod read;
mod write;

pub use read::{Follow, LogError, LogQuery, LogRecord, read, time_text};
pub(crate) use write::LogWriter;
