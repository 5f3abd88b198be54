//! A parsed Dockerfile becomes a graph, cache keys, executed steps and an image.
//!
//! ```text
//! text ── dockerfile::parse ──► graph      which stages the target needs
//!                               scope      what a variable is worth
//!                               refuse     what is understood and cannot be done yet
//!         Bases::resolve ─────► lower/meta every word expanded, the configuration changed
//!                               plan       the result: a value, nothing done yet
//!                               exec       a thread for each stage, step by step
//!                                 copy     tree + source + sums ──► upper ──► a layer
//!                                 run      StepRunner, then stubs ──────────► a layer
//!                               cache      key ──► layer
//!                               build      the whole way, and the image at its end
//! ```
//!
//! This crate starts no process, reaches no network and shows nothing: programs are
//! executed by a [`StepRunner`], base images come from [`Bases`], progress goes to an
//! [`model::event::EventSink`]. It mounts nothing either: files are read and written
//! through directory descriptors that follow no link, in layers as overlay stores them.
//!
//! A build that is killed leaves the layers of its finished steps, which the next one
//! finds in the cache, and a half-made directory in the store's `tmp/`, which the next
//! command sweeps away.

mod archive;
mod board;
mod build;
mod cache;
mod chmod;
mod context;
mod copy;
mod error;
mod exec;
mod graph;
mod lower;
mod meta;
mod plan;
mod refuse;
pub mod request;
mod run;
mod scope;
mod source;
pub mod step;
mod stubs;
mod sums;
mod tree;
mod upper;
mod users;

pub use build::build;
pub use error::{At, BuildError, Complaints};
pub use request::{BaseError, Bases, BuildRequest, Built, DockerfileText};
pub use step::{RunStep, StepError, StepNetwork, StepRunner};
pub use upper::WriteError;
