//! The client against a real registry, and against servers that lie.
//!
//! Needs Debian's docker-registry, skopeo and apache2-utils. Everything stays on
//! loopback.

mod integrity;
mod kit;
mod login;
mod pull;
mod push;
