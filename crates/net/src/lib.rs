//! A network plan becomes links, addresses, names and published ports.
//!
//! One process a user, the *gateway*, does all of it: it sits in the host's network
//! namespace and owns one more, the *router namespace*, with a bridge for every network
//! and a veth into every container. [`gateway::main`] is that process, [`Client`] the way
//! to it. The words between them are [`model::network`]'s.
//!
//! The crate knows nothing of what is inside a container, nor of images.

mod client;
mod dns;
mod error;
pub mod gateway;
mod hosts;
mod subnet;

pub use client::{Client, socket_path};
pub use dns::{Answer, Query, parse_query, respond};
pub use error::{Error, Result};
