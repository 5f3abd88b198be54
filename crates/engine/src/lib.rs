//! Compares what is wanted with what is, does the difference, reports events.
//!
//! The only crate that knows all the others. It never touches the terminal, reads no
//! environment variable and knows no command line: a request goes in, events and an
//! outcome come out.

mod boot;
mod borders;
mod builds;
mod cdi;
mod commit;
mod container_plan;
mod containers;
mod copy;
mod create;
mod diff;
pub mod doctor;
mod error;
mod events;
mod gateway;
mod images;
mod lifecycle;
mod limits;
mod logs;
mod mounts;
mod names;
mod ownership;
mod processes;
pub mod project;
mod prune;
mod removal;
mod request;
mod run_config;
mod settings;
pub mod signals;
mod stats;
mod threads;
mod tree;

use store::Store;

pub use boot::{Occasion, Outcome as RevivalOutcome, Revived, lost_any};
pub use build::StepNetwork;
pub use builds::{BuildCommand, DockerfileSource};
pub use cdi::is_device_name;
pub use commit::CommitRequest;
pub use containers::{ContainerView, Launched, Liveness};
pub use copy::{Copied, CopyOptions, CopyPath};
pub use create::DEFAULT_NETWORK;
pub use diff::{Change, ChangeKind};
pub use error::{Error, Result};
pub use events::{EventQuery, Happening};
pub use gateway::{GATEWAY_ENTRY, run_gateway};
pub use images::{Credentials, RegistryConfig, remove_login, store_login};
pub use lifecycle::WaitCondition;
pub use limits::unenforceable;
pub use logs::{LogLine, LogQuery, parse_time};
pub use processes::{Process, TICKS};
pub use prune::Pruned;
pub use removal::{Making, REMOVE_ENTRY, run_removal};
pub use request::{
    BordersRequest, DeviceRequest, ExecRequest, HealthChanges, IpcRequest, MountRequest,
    MountSource, NamespaceRequest, NetworkAttachment, NetworkRequest, PullPolicy, RunRequest,
    VolumesFrom,
};
pub use runtime::userns::Rung;
pub use settings::Settings;
pub use stats::ContainerUsage;
pub use store::archive::Format as ArchiveFormat;
pub use store::images::Removal;
pub use store::usage::Usage;
pub use store::{
    ContainerRecord, Error as StoreError, ImageSummary, NetworkRecord, OnDamage, VolumeRecord,
};

/// Does what requests ask for. Holds no state that is not on disk.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    store: Store,
}

impl Engine {
    /// Opens the store, and ends what a crash left half-done.
    pub fn open(settings: Settings) -> Result<Self> {
        let options = store::Options {
            rootless: settings.rootless,
            on_damage: settings.on_damage,
        };
        let (store, abandoned) = Store::open_healing(&settings.root, options)?;
        let engine = Self { settings, store };
        engine.heal(abandoned);
        Ok(engine)
    }

    /// The store, for whoever only looks.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Where everything is.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Makes a network.
    pub fn create_network(
        &self,
        name: &str,
        subnet: Option<(std::net::Ipv4Addr, u8)>,
        internal: bool,
        labels: std::collections::BTreeMap<String, String>,
    ) -> Result<NetworkRecord> {
        let mut options = create::network_options();
        options.labels = labels;
        options.subnet = subnet;
        options.internal = internal;
        Ok(self.store.networks().create(name, &options)?)
    }
}

/// This moment, RFC 3339 with nanoseconds in UTC.
pub fn now() -> String {
    format!("{:.9}", jiff::Timestamp::now())
}
