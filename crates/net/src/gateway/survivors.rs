//! What a gateway that was killed leaves to its successor: who was attached, so that those
//! come back to the links and addresses that they had before anybody new gets any.
//!
//! The links live on in a router namespace that only the containers' supervisors hold. A
//! newcomer that is served first would have the successor make another one, and might be
//! given an address that is in use.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::ContainerId;
use serde::{Deserialize, Serialize};

/// Supervisors try every quarter of a second. One that takes longer than this has trouble of
/// its own, and the others need not wait for it.
const GRACE: Duration = Duration::from_secs(3);

/// One attached container, as the record names it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tenant {
    /// Which.
    container: ContainerId,
    /// Its supervisor, which attaches it again.
    pid: i32,
    /// When that process started, in clock ticks since boot: not one that has only inherited
    /// the number.
    start_time: u64,
    /// What it has.
    addresses: Vec<Ipv4Addr>,
}

impl Tenant {
    /// A container that the process `pid` has attached.
    pub(crate) fn new(
        container: ContainerId,
        pid: i32,
        addresses: impl Iterator<Item = Ipv4Addr>,
    ) -> Self {
        Self {
            container,
            pid,
            // One that ended already is not waited for.
            start_time: sys::process::start_time(pid).unwrap_or(0),
            addresses: addresses.collect(),
        }
    }

    fn lives(&self) -> bool {
        sys::process::start_time(self.pid).is_ok_and(|it| it == self.start_time)
    }
}

/// The record, and those of an earlier gateway's who are not back yet.
#[derive(Debug)]
pub(crate) struct Survivors {
    path: PathBuf,
    missing: Vec<Tenant>,
    until: Instant,
}

impl Survivors {
    /// Reads what an earlier gateway left behind; one that ended by itself left nothing.
    pub(crate) fn of(run_dir: &Path) -> Self {
        let path = run_dir.join("gateway-tenants.json");
        let missing = fs::read(&path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        Self {
            path,
            missing,
            until: Instant::now() + GRACE,
        }
    }

    /// Writes down who is attached now. On a full disk there is no record: containers must
    /// start and stop all the same, and a successor then knows of nobody.
    pub(crate) fn write<'a>(&'a self, attached: impl Iterator<Item = &'a Tenant>) {
        // Those who are not back yet are still missed by the next successor.
        let all: Vec<&Tenant> = attached.chain(&self.missing).collect();
        if all.is_empty() {
            return self.forget();
        }
        let text = serde_json::to_vec(&all).expect("plain numbers and words");
        let fresh = self.path.with_extension("new");
        let written = fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&fresh);
            self.forget();
        }
    }

    /// Leaves nothing to a successor.
    pub(crate) fn forget(&self) {
        let _ = fs::remove_file(&self.path);
    }

    /// Somebody is back, or starts anew.
    pub(crate) fn is_back(&mut self, container: &ContainerId) {
        self.missing.retain(|it| it.container != *container);
    }

    /// Must somebody new wait? Supervisors that died meanwhile are not waited for.
    pub(crate) fn are_awaited(&mut self) -> bool {
        self.missing.retain(Tenant::lives);
        !self.missing.is_empty() && Instant::now() < self.until
    }

    /// The addresses that are in use although nobody came back for them.
    pub(crate) fn addresses(&self) -> Vec<Ipv4Addr> {
        let missing = self.missing.iter().flat_map(|it| &it.addresses);
        missing.copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(number: u8, pid: i32) -> Tenant {
        let address = Ipv4Addr::new(10, 89, 0, number);
        let id = ContainerId::from_random([number; 32]);
        Tenant::new(id, pid, std::iter::once(address))
    }

    #[test]
    fn the_living_are_awaited_until_they_are_back() {
        let dir = tempfile::tempdir().unwrap();
        let own = std::process::id().cast_signed();
        let first = Survivors::of(dir.path());
        let mut dead = tenant(4, own);
        dead.start_time += 1;
        first.write([tenant(2, own), tenant(3, own), dead].iter());
        let mut second = Survivors::of(dir.path());
        assert!(second.are_awaited());
        assert_eq!(
            second.addresses(),
            [2, 3].map(|it| Ipv4Addr::new(10, 89, 0, it))
        );
        second.is_back(&tenant(2, own).container);
        assert!(second.are_awaited());
        // Killed too: the next one still knows of the one that is missing.
        second.write([tenant(2, own)].iter());
        assert_eq!(Survivors::of(dir.path()).missing.len(), 2);
        second.is_back(&tenant(3, own).container);
        assert!(!second.are_awaited());
        second.write([].iter());
        assert!(!Survivors::of(dir.path()).are_awaited());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn nobody_waits_for_ever_or_for_rubbish() {
        let dir = tempfile::tempdir().unwrap();
        let own = std::process::id().cast_signed();
        Survivors::of(dir.path()).write([tenant(2, own)].iter());
        let mut late = Survivors::of(dir.path());
        late.until = Instant::now();
        assert!(!late.are_awaited());
        assert_eq!(late.addresses().len(), 1);
        fs::write(&late.path, "[{").unwrap();
        assert!(!Survivors::of(dir.path()).are_awaited());
    }
}
