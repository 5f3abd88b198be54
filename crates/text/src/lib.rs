//! Source text with spans, diagnostics and their rendering, `${VAR}` expansion and
//! Go-style globs: what the Dockerfile and the Compose language share.
//!
//! Everything here is a pure function of its arguments: no files, no environment, no
//! terminal. Offsets are bytes, always on character boundaries.

mod diagnostic;
pub mod expand;
pub mod gomatch;
mod source;
pub mod suggest;

pub use diagnostic::{Diagnostic, Severity, has_errors, render};
pub use source::{FileId, Sources, Span};
