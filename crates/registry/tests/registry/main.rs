//! The client against a real registry, and against servers that lie.
//!
//! Needs Debian's docker-registry, skopeo and apache2-utils. Everything stays on
//! loopback.

#![expect(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is meant"
)]

mod integrity;
mod kit;
mod login;
mod oracle;
mod pull;
mod push;
