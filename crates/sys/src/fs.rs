//! Files: directories by fd, whole-file writes, locks, removal of trees.
//!
//! Everything below a [`DirFd`] is named relative to it and opened without following
//! symbolic links, so that a hostile tree cannot lead outside.

mod dir;
mod lock;
mod marks;
mod remove;
mod write;
mod xattr;

pub use dir::{DirFd, DirItem, set_umask_zero};
pub use lock::FileLock;
pub use marks::{is_mark, is_opaque, is_whiteout, is_whiteout_kind, note_owner, noted_owner, own};
pub use write::{read_limited, rename, sync_dir, sync_fs, write_atomic, write_volatile};
pub use xattr::Xattr;

pub use rustix::fs::{FileType, Gid, Mode, OFlags, Stat, Timespec, Uid};
