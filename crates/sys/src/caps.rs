//! Capabilities of the calling thread.

use rustix::fs::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::{Error, Result};

/// A set of capabilities, one bit each, as the kernel numbers them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Set(u64);

/// By number, without `CAP_`.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

impl Set {
    /// No capability.
    pub const EMPTY: Self = Self(0);
    /// Every capability that is named here.
    pub const ALL: Self = Self((1 << NAMES.len()) - 1);
    /// `CAP_SETPCAP`: may drop from the bounding set.
    pub const SETPCAP: Self = Self(1 << 8);
    /// `CAP_SYS_ADMIN`: may, among much else, load a system call filter.
    pub const SYS_ADMIN: Self = Self(1 << 21);

    /// From names with or without `CAP_`, in any case; unknown ones are handed back.
    pub fn from_names<'a>(
        names: impl IntoIterator<Item = &'a str>,
    ) -> std::result::Result<Self, &'a str> {
        names.into_iter().try_fold(Self::EMPTY, |set, name| {
            Self::from_name(name).map(|one| set.union(one)).ok_or(name)
        })
    }

    fn from_name(name: &str) -> Option<Self> {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        let number = NAMES.iter().position(|known| *known == bare)?;
        Some(Self(1 << number))
    }

    /// The names, with `CAP_`, by number.
    pub fn names(self) -> impl Iterator<Item = String> {
        let has = move |number: usize| self.0 & (1 << number) != 0;
        NAMES
            .iter()
            .enumerate()
            .filter(move |(n, _)| has(*n))
            .map(|(_, name)| format!("CAP_{name}"))
    }

    /// What is in either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in it and not in the other.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether all of `other` is in it.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The kernel's bits.
    pub fn bits(self) -> u64 {
        self.0
    }
}

/// What the calling thread may use.
pub fn permitted() -> Result<Set> {
    let sets = rustix::thread::capabilities(None)
        .map_err(|errno| Error::new("read", "our capabilities", errno))?;
    Ok(Set(sets.permitted.bits()))
}

/// Sets the effective and permitted sets to `set`, and the inheritable one to nothing.
pub fn set(set: Set) -> Result<()> {
    let bits = CapabilitySet::from_bits_retain(set.0);
    let sets = CapabilitySets {
        effective: bits,
        permitted: bits,
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, sets)
        .map_err(|errno| Error::new("set", "our capabilities", errno))
}

/// Becomes a user with these groups, for good, and keeps `keep` as effective and permitted
/// capabilities whoever that is.
pub fn become_user(uid: u32, gid: u32, groups: &[u32], keep: Set) -> Result<()> {
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
    let fail = |errno| Error::new("become", format!("user {uid}:{gid}"), errno);
    rustix::thread::set_keep_capabilities(true).map_err(fail)?;
    let groups: Vec<_> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
    match set_thread_groups(&groups) {
        // Where one id is all there is, groups can be neither had nor given up.
        Err(rustix::io::Errno::PERM | rustix::io::Errno::INVAL)
            if crate::userns::maps_one_id()? => {}
        set => set.map_err(fail)?,
    }
    let (gid, uid) = (Gid::from_raw(gid), Uid::from_raw(uid));
    set_thread_res_gid(gid, gid, gid).map_err(fail)?;
    set_thread_res_uid(uid, uid, uid).map_err(fail)?;
    set(keep)
}

/// Empties the ambient set.
pub fn clear_ambient() -> Result<()> {
    rustix::thread::clear_ambient_capability_set()
        .map_err(|errno| Error::new("clear", "our ambient capabilities", errno))
}

/// Drops from the bounding set whatever is not in `keep`.
pub fn limit_bounding(keep: Set) -> Result<()> {
    for number in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        match rustix::thread::capability_is_in_bounding_set(one) {
            Ok(true) if !keep.contains(Set(1 << number)) => {
                rustix::thread::remove_capability_from_bounding_set(one)
                    .map_err(|errno| Error::new("drop", format!("capability {number}"), errno))?;
            }
            Ok(_) => {}
            // Past the last that this kernel knows.
            Err(_) => break,
        }
    }
    Ok(())
}

/// Forbids gaining privileges by executing programs.
pub fn forbid_new_privileges() -> Result<()> {
    rustix::thread::set_no_new_privs(true).map_err(|errno| Error::new("set", "no_new_privs", errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let set = Set::from_names(["CAP_CHOWN", "sys_admin", "Checkpoint_Restore"]).unwrap();
        let names: Vec<_> = set.names().collect();
        assert_eq!(
            names,
            ["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE"]
        );
        assert!(set.contains(Set::SYS_ADMIN) && !set.contains(Set::SETPCAP));
        assert_eq!(Set::from_names(["CAP_CHOWN", "CAP_FLY"]), Err("CAP_FLY"));
    }
}
