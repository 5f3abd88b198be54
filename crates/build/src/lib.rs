//! A parsed Dockerfile becomes a graph, cache keys, executed steps and an image.
//!
//! This crate starts no process, reaches no network and shows nothing: programs are
//! executed by a [`StepRunner`], base images come from [`Bases`], progress goes to an
//! [`model::event::EventSink`].

pub mod request;
pub mod step;

pub use request::{BaseError, Bases, BuildRequest, Built, DockerfileText};
pub use step::{RunStep, StepError, StepNetwork, StepRunner};
