//! Everything on disk, its locks, its collection.
//!
//! ```text
//! <root>/format                 version of this layout
//! <root>/blobs/sha256/<hex>     verified bytes: manifests, configs, compressed layers
//! <root>/layers/<diff-id>/      layer.json, fs/ (overlay's own form, read-only once here)
//! <root>/layers/<chain-id>/     fs/ with nothing but directories: see `layers`
//! <root>/images/refs/<hash>     reference → image; one JSON file each
//! <root>/images/ids/<hex>       image id → manifest, tagged or not
//! <root>/containers/<id>/       record.json, config.json, lock, upper/, work/, log
//! <root>/names/<name>           claimed by exclusive create; holds the container's id
//! <root>/volumes/<name>/        record.json, data/
//! <root>/networks/<name>.json   subnet and options
//! <root>/projects/<name>/       state.json; logs/ of removed containers
//! <root>/build/<key>.json       build cache; build/mounts/<id>/ are cache mounts
//! <root>/tmp/ <root>/trash/     everything half-made; everything half-deleted
//! <root>/lock                   shared while references are read or made, exclusive to collect
//! <root>/uses.lock              shared while a container is recorded, exclusive while a
//!                               volume or network goes
//! ```
//!
//! An object appears by rename and disappears by rename, so that no reader ever meets
//! half of one. Whoever makes something holds the flock of its entry in `tmp/`; an
//! entry that nobody holds is garbage of a crash, and [`Store::open`] moves it to
//! `trash/`. What is made in several steps has a claim there meanwhile (`claims`).
//! A record that cannot be read is told of and passed over ([`Options::on_damage`]);
//! nothing is collected until it is mended or removed. A power cut may lose what is marked volatile (containers made with
//! `durable: false`, which do not outlive the boot they were made in), never more.
//!
//! This crate knows neither network nor processes. Rootless, the caller has entered
//! the user namespace before it touches layers, uppers or volumes; records, blobs and
//! locks need none.

pub mod archive;
pub mod blobs;
pub mod buildcache;
mod claims;
pub mod collect;
mod compress;
pub mod containers;
pub mod error;
pub mod images;
pub mod layers;
pub mod networks;
pub mod projects;
mod record;
mod root;
mod tarread;
pub mod usage;
pub mod volumes;

pub use blobs::{BlobWriter, Blobs};
pub use buildcache::BuildCache;
pub use claims::{Abandoned, Claim, UseLock};
pub use containers::{ContainerImage, ContainerRecord, Containers};
pub use error::{Error, Result};
pub use images::{Image, ImageSummary, Images};
pub use layers::{LayerInfo, Layers, Limits};
pub use networks::{NetworkRecord, Networks};
pub use projects::Projects;
pub use root::{OnDamage, Options, SharedLock, Store};
pub use volumes::{VolumeRecord, Volumes};

#[cfg(test)]
mod tests;
