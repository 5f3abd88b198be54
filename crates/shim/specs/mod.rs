//! From what was typed to what is meant: the small grammars inside docker's flags.

mod env;
mod hosts;
mod ports;
mod volumes;

pub(crate) use env::{read_env_file, variable};
pub(crate) use hosts::host;
pub(crate) use ports::ports;
pub(crate) use volumes::{tmpfs, volume};
