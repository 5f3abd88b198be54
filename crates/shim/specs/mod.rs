//! From what was typed to what is meant: the small grammars inside docker's flags.

mod csv;
mod devices;
mod env;
mod hosts;
pub(crate) mod limits;
mod logging;
mod mount;
pub(crate) mod namespaces;
mod ports;
mod refused;
pub(crate) mod security;
mod volumes;

pub(crate) use devices::{device, gpus, rule};
pub(crate) use env::{read_env_file, read_label_file, variable};
pub(crate) use hosts::host;
pub(crate) use logging::logging;
pub(crate) use mount::mount;
pub(crate) use ports::{expose, ports};
pub(crate) use refused::refused;
pub(crate) use volumes::{tmpfs, volume, volumes_from};
