//! The builder against real steps, a real overlay, and buildah.

#![allow(
    clippy::result_large_err,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "test code"
)]

mod buildah;
mod builds;
mod kit;
