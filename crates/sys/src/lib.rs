//! Typed doors to Linux: one function per kernel act, its errors naming act and object.
//!
//! All `unsafe` of the workspace lives here. Knows no policy, no defaults, no logging.
#![expect(unsafe_code, reason = "the one crate that may")]

pub mod bpf;
pub mod caps;
pub mod error;
pub mod fs;
pub mod keyring;
pub mod mount;
pub mod net;
pub mod netlink;
pub mod nft;
pub mod ns;
pub mod probe;
pub mod process;
pub mod pty;
pub mod seccomp;
pub mod unix;
pub mod userns;

pub use error::{Error, Result};
