//! Networks' records, and which subnet each has.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::{Result, Store};

/// `networks/`.
#[derive(Debug, Clone, Copy)]
pub struct Networks<'s> {
    pub(crate) store: &'s Store,
}

/// `networks/<name>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// Version of this record's layout.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// 64 hexadecimal digits, as docker shows.
    pub id: String,
    /// RFC 3339 with nanoseconds.
    pub created: String,
    /// Its subnet.
    pub subnet: (Ipv4Addr, u8),
    /// No way to the outside.
    #[serde(default)]
    pub internal: bool,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// What a network is to be like.
#[derive(Debug, Clone, Default)]
pub struct NetworkOptions {
    /// A wanted subnet; else the next free one.
    pub subnet: Option<(Ipv4Addr, u8)>,
    /// No way to the outside.
    pub internal: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Subnets that the host uses otherwise, not to be taken by choice.
    pub avoid: Vec<(Ipv4Addr, u8)>,
}

impl Networks<'_> {
    /// Makes a network; an error if the name exists.
    pub fn create(&self, name: &str, options: &NetworkOptions) -> Result<NetworkRecord> {
        let _ = (name, options);
        todo!()
    }

    /// The network of this name, made if it is absent.
    pub fn ensure(&self, name: &str, options: &NetworkOptions) -> Result<NetworkRecord> {
        let _ = (name, options);
        todo!()
    }

    /// All networks, by name.
    pub fn list(&self) -> Result<Vec<NetworkRecord>> {
        todo!()
    }

    /// One network, by name or id prefix.
    pub fn get(&self, name: &str) -> Result<NetworkRecord> {
        let _ = name;
        todo!()
    }

    /// Forgets a network; refused if a container's plan is attached to it.
    pub fn remove(&self, name: &str) -> Result<()> {
        let _ = name;
        todo!()
    }
}
