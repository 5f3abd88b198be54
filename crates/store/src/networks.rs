//! Networks' records, and which subnet each has.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use model::NetworkMode;
use serde::{Deserialize, Serialize};
use sys::fs::FileLock;

use crate::containers::PlanFile;
use crate::record::{self, check_name};
use crate::root::{now, random_hex};
use crate::{Error, Result, Store};

const VERSION: u32 = 1;

/// Where subnets are taken from, 24 bits each, in this order. None of them is a
/// default of docker's or of a usual home router.
const POOLS: [(Ipv4Addr, u8); 2] = [
    (Ipv4Addr::new(10, 89, 0, 0), 16),
    (Ipv4Addr::new(10, 90, 0, 0), 15),
];

/// Bits of a subnet that we choose.
const CHOSEN_PREFIX: u8 = 24;

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
    fn path(&self, name: &str) -> PathBuf {
        self.store
            .root()
            .join("networks")
            .join(format!("{name}.json"))
    }

    /// Held while a subnet is chosen.
    fn lock(&self) -> Result<FileLock> {
        Ok(FileLock::exclusive(
            &self.store.root().join("networks/.lock"),
        )?)
    }

    /// Makes a network; an error if the name exists.
    pub fn create(&self, name: &str, options: &NetworkOptions) -> Result<NetworkRecord> {
        check_name("network", name)?;
        let _lock = self.lock()?;
        match self.by_name(name) {
            Ok(None) => self.create_locked(name, options),
            Err(error) if !error.is_damage() => Err(error),
            _ => Err(Error::NetworkExists {
                name: name.to_owned(),
            }),
        }
    }

    /// The network of this name, made if it is absent.
    pub fn ensure(&self, name: &str, options: &NetworkOptions) -> Result<NetworkRecord> {
        check_name("network", name)?;
        if let Ok(Some(found)) = self.by_name(name) {
            return Ok(found);
        }
        let _lock = self.lock()?;
        match self.by_name(name) {
            Ok(Some(found)) => Ok(found),
            Ok(None) => self.create_locked(name, options),
            Err(error) if error.is_damage() => self.recover(name, options),
            Err(error) => Err(error),
        }
    }

    /// Records a network anew whose record is damaged: with the subnet that the
    /// containers in it have, if there are any.
    fn recover(&self, name: &str, options: &NetworkOptions) -> Result<NetworkRecord> {
        let mut options = options.clone();
        for file in self.store.containers().plan_files()? {
            if let Ok(plan) = &file.plan
                && let NetworkMode::Gateway(network) = &plan.network
                && let Some(found) = network.attachments.iter().find(|a| a.network == name)
            {
                options.subnet = Some(found.subnet);
                options.internal = found.internal;
            }
        }
        self.create_locked(name, &options)
    }

    fn create_locked(&self, name: &str, options: &NetworkOptions) -> Result<NetworkRecord> {
        let mut taken = self.list()?;
        taken.retain(|n| n.name != name);
        let subnet = match options.subnet {
            Some(subnet) => wanted(name, subnet, &taken)?,
            None => free_subnet(&taken, &options.avoid)
                .ok_or_else(|| Error::NoSubnet(name.to_owned()))?,
        };
        let network = NetworkRecord {
            version: VERSION,
            name: name.to_owned(),
            id: random_hex(),
            created: now(),
            subnet,
            internal: options.internal,
            labels: options.labels.clone(),
        };
        record::write(self.store, &self.path(name), &network, true)?;
        Ok(network)
    }

    fn by_name(&self, name: &str) -> Result<Option<NetworkRecord>> {
        record::read(&self.path(name), VERSION)
    }

    /// All networks, by name.
    pub fn list(&self) -> Result<Vec<NetworkRecord>> {
        let mut found = Vec::new();
        for file in record::names(&self.store.root().join("networks"))? {
            let Some(name) = file.strip_suffix(".json") else {
                continue;
            };
            // One that goes meanwhile is none.
            found.extend(self.store.whole(self.by_name(name))?);
        }
        Ok(found)
    }

    /// One network, by name or id prefix.
    pub fn get(&self, name: &str) -> Result<NetworkRecord> {
        if check_name("network", name).is_ok()
            && let Some(found) = self.by_name(name)?
        {
            return Ok(found);
        }
        let mut fitting = self.list()?;
        fitting.retain(|n| !name.is_empty() && n.id.starts_with(name));
        match fitting.len() {
            0 => Err(Error::NoNetwork(name.to_owned())),
            1 => Ok(fitting.remove(0)),
            _ => Err(Error::Ambiguous {
                kind: "network",
                prefix: name.to_owned(),
                matches: fitting.iter().map(|n| n.id[..12].to_owned()).collect(),
            }),
        }
    }

    /// Short ids and names of the containers that are attached to a network.
    pub fn users(&self, name: &str) -> Result<Vec<String>> {
        let plans = self.store.containers().plan_files()?;
        let users = plans.iter().filter(|plan| joins(plan, name));
        Ok(users.map(PlanFile::display).collect())
    }

    /// Networks that no container is attached to.
    pub fn unused(&self) -> Result<Vec<NetworkRecord>> {
        let plans = self.store.containers().plan_files()?;
        let mut networks = self.list()?;
        networks.retain(|n| !plans.iter().any(|plan| joins(plan, &n.name)));
        Ok(networks)
    }

    /// Forgets a network; refused if a container's plan is attached to it.
    pub fn remove(&self, name: &str) -> Result<()> {
        let _uses = self.store.exclude_uses()?;
        let name = match self.get(name) {
            Err(error) if error.is_damage() => name.to_owned(),
            found => found?.name,
        };
        let users = self.users(&name)?;
        if !users.is_empty() {
            return Err(Error::InUse {
                what: format!("network {name}"),
                by: format!("container {}", users.join(", ")),
            });
        }
        record::remove(&self.path(&name)).map(drop)
    }
}

/// Whether a container is attached to a network.
fn joins(file: &PlanFile, name: &str) -> bool {
    match &file.plan {
        Ok(plan) => match &plan.network {
            NetworkMode::Gateway(network) => network.attachments.iter().any(|a| a.network == name),
            _ => false,
        },
        // A damaged plan keeps what it may mean.
        Err(text) => text.contains(&format!("\"network\": \"{name}\"")),
    }
}

/// Checks a subnet that the user asked for.
fn wanted(name: &str, subnet: (Ipv4Addr, u8), taken: &[NetworkRecord]) -> Result<(Ipv4Addr, u8)> {
    let subnet = (
        Ipv4Addr::from(u32::from(subnet.0) & mask(subnet.1)),
        subnet.1,
    );
    match taken.iter().find(|n| overlaps(n.subnet, subnet)) {
        Some(other) => Err(Error::SubnetTaken {
            name: name.to_owned(),
            subnet: format!("{}/{}", subnet.0, subnet.1),
            with: format!("network {}", other.name),
        }),
        None => Ok(subnet),
    }
}

/// The first subnet of the pools that meets no other.
fn free_subnet(taken: &[NetworkRecord], avoid: &[(Ipv4Addr, u8)]) -> Option<(Ipv4Addr, u8)> {
    let candidates = POOLS.iter().flat_map(|(base, prefix)| {
        let base = u32::from(*base);
        (0..1u32 << (CHOSEN_PREFIX - prefix)).map(move |i| {
            (
                Ipv4Addr::from(base + (i << (32 - CHOSEN_PREFIX))),
                CHOSEN_PREFIX,
            )
        })
    });
    // The host's default route meets everything and means nothing.
    let avoided = |subnet| avoid.iter().any(|a| a.1 > 0 && overlaps(*a, subnet));
    candidates
        .filter(|&subnet| !avoided(subnet))
        .find(|&subnet| !taken.iter().any(|n| overlaps(n.subnet, subnet)))
}

fn mask(prefix: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(prefix.min(32)))
        .unwrap_or(0)
}

fn overlaps(a: (Ipv4Addr, u8), b: (Ipv4Addr, u8)) -> bool {
    let shorter = mask(a.1.min(b.1));
    u32::from(a.0) & shorter == u32::from(b.0) & shorter
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::store;

    #[test]
    fn subnets_do_not_meet() {
        let (_temp, store) = store();
        let networks = store.networks();
        let avoid = vec![
            ("0.0.0.0".parse().unwrap(), 0),
            ("10.89.1.0".parse().unwrap(), 25),
        ];
        let options = NetworkOptions {
            avoid,
            ..NetworkOptions::default()
        };
        let one = networks.create("one", &options).unwrap();
        let two = networks.ensure("two", &options).unwrap();
        assert_eq!(one.subnet, ("10.89.0.0".parse().unwrap(), 24));
        assert_eq!(two.subnet, ("10.89.2.0".parse().unwrap(), 24));
        assert_eq!(networks.ensure("two", &options).unwrap(), two);
        assert!(matches!(
            networks.create("two", &options),
            Err(Error::NetworkExists { .. })
        ));

        let wish = NetworkOptions {
            subnet: Some(("10.89.2.128".parse().unwrap(), 25)),
            ..NetworkOptions::default()
        };
        let error = networks.create("three", &wish).unwrap_err();
        assert_eq!(
            error.to_string(),
            "subnet 10.89.2.128/25 of network three overlaps with network two"
        );
        assert_eq!(networks.get(&two.id[..10]).unwrap(), two);
        networks.remove("one").unwrap();
        assert!(matches!(networks.get("one"), Err(Error::NoNetwork(_))));
        assert_eq!(
            networks.create("four", &options).unwrap().subnet,
            one.subnet
        );
    }

    #[test]
    fn the_pools_are_used_up_before_an_error() {
        let mut taken = Vec::new();
        while let Some(subnet) = free_subnet(&taken, &[]) {
            let record = NetworkRecord {
                version: VERSION,
                name: String::new(),
                id: String::new(),
                created: String::new(),
                subnet,
                internal: false,
                labels: BTreeMap::new(),
            };
            taken.push(record);
        }
        assert_eq!(taken.len(), 256 + 512);
    }
}
