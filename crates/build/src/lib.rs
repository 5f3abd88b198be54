//! A parsed Dockerfile becomes a graph, cache keys, executed steps and an image.
//!
//! This crate starts no process, reaches no network and shows nothing: programs are
//! executed by a [`StepRunner`], base images come from [`Bases`], progress goes to an
//! [`model::event::EventSink`].

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
