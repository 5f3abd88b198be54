//! The nouns that every other crate speaks in: digests, references, platforms,
//! image documents, container and network plans, events.
//!
//! Plain data only. This crate performs no I/O, knows no async runtime and shows
//! none of reqwest's or another library's types.

pub mod container;
pub mod device;
pub mod digest;
pub mod event;
pub mod health;
pub mod id;
pub mod image;
pub mod network;
pub mod platform;
pub mod reference;
pub mod units;

pub use container::{ContainerPlan, MountKind, MountPlan, NetworkMode, RestartPolicy};
pub use device::{DeviceAccess, DeviceKind, DeviceRule};
pub use digest::Digest;
pub use event::Event;
pub use health::HealthCheck;
pub use id::ContainerId;
pub use image::{Descriptor, ImageConfig, Manifest};
pub use network::{NetworkPlan, PublishedPort, Transport};
pub use platform::Platform;
pub use reference::Reference;
