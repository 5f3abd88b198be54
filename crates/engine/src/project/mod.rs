//! Compose projects: observe → plan → apply.
//!
//! [`plan`] is pure: the project and what was observed go in, a [`Plan`] comes out, which
//! one may print instead of applying it. Containers are known by docker compose's labels,
//! so that other tools see the same project.

mod apply;
mod down;
mod images;
mod observe;
mod plan;
mod service;
mod wait;

pub use apply::{UpOutcome, UpRequest};
pub use down::DownRequest;
pub use observe::Observed;
pub use plan::{Action, Plan, plan};
pub use service::unsupported;

/// Labels that docker compose gives its containers.
pub mod labels {
    /// The project's name.
    pub const PROJECT: &str = "com.docker.compose.project";
    /// The service's name.
    pub const SERVICE: &str = "com.docker.compose.service";
    /// `1` for the first replica.
    pub const NUMBER: &str = "com.docker.compose.container-number";
    /// `True` for `compose run`.
    pub const ONE_OFF: &str = "com.docker.compose.oneoff";
    /// The compose files, separated by commas.
    pub const FILES: &str = "com.docker.compose.project.config_files";
    /// The project directory.
    pub const DIRECTORY: &str = "com.docker.compose.project.working_dir";
    /// The network's key in the file.
    pub const NETWORK: &str = "com.docker.compose.network";
    /// The volume's key in the file.
    pub const VOLUME: &str = "com.docker.compose.volume";
}
