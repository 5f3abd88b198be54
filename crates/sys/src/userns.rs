//! User namespaces: their making, and the files that say who may map what.

use std::os::fd::OwnedFd;

use crate::{Error, Result, ns, process};

/// Moves the calling process, which must have one thread, into a new user namespace whose
/// mapping is still empty.
pub fn unshare() -> Result<()> {
    ns::unshare(&[ns::Kind::User])
}

/// Makes a user namespace below the caller's, with these mappings in the kernel's form, and
/// without entering it. Only for a process with one thread.
pub fn make(users: &str, groups: &str) -> Result<OwnedFd> {
    let pipe = || {
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|errno| Error::new("make", "a pipe", errno))
    };
    let ((ready, tell), (wait, go)) = (pipe()?, pipe()?);
    let pid = match process::fork()? {
        process::Fork::Child => {
            drop((ready, go));
            let made = unshare().is_ok();
            let _ = rustix::io::write(&tell, &[u8::from(made)]);
            // Until the caller has what it wants, or is gone.
            let _ = rustix::io::read(&wait, &mut [0]);
            process::exit_now(0)
        }
        process::Fork::Parent(pid) => pid,
    };
    drop((tell, wait));
    let made = map(pid, &ready, users, groups);
    drop(go);
    let _ = rustix::process::waitpid(
        rustix::process::Pid::from_raw(pid),
        rustix::process::WaitOptions::empty(),
    );
    made
}

fn map(pid: i32, ready: &OwnedFd, users: &str, groups: &str) -> Result<OwnedFd> {
    let mut answer = [0];
    let heard = rustix::io::retry_on_intr(|| rustix::io::read(ready, &mut answer));
    if heard != Ok(1) || answer != [1] {
        return Err(Error::new(
            "make",
            "a nested user namespace",
            rustix::io::Errno::PERM,
        ));
    }
    for (file, text) in [("uid_map", users), ("gid_map", groups)] {
        let path = format!("/proc/{pid}/{file}");
        // One write: the kernel takes a mapping whole, and once.
        std::fs::write(&path, text).map_err(|error| Error::new("write", path, error))?;
    }
    ns::open_of(pid, ns::Kind::User)
}

/// Maps one user and one group id of the calling process, which has just made its
/// namespace; without privilege no more can be had.
pub fn map_one(inside: u32, uid: u32, gid: u32) -> Result<()> {
    let write = |file: &str, text: String| {
        let path = format!("/proc/self/{file}");
        std::fs::write(&path, text).map_err(|error| Error::new("write", path, error))
    };
    // The kernel asks for it first, lest a group be given up that something is denied to.
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("{inside} {uid} 1"))?;
    write("gid_map", format!("{inside} {gid} 1"))
}

/// Whether the calling process is in the machine's first user namespace, the only one that
/// maps every id to itself.
pub fn is_initial() -> Result<bool> {
    let map = crate::process::read_proc("self/uid_map")?;
    let fields: Vec<_> = map.split_ascii_whitespace().collect();
    Ok(fields == ["0", "0", "4294967295"])
}

/// Whether the calling process is in a user namespace that maps one id only: then every
/// file belongs to one user, and no process can become another.
pub fn maps_one_id() -> Result<bool> {
    let map = crate::process::read_proc("self/uid_map")?;
    let fields: Vec<_> = map.split_ascii_whitespace().collect();
    Ok(matches!(fields[..], [_, _, "1"]))
}

/// How many ids the calling process's user namespace maps from 0 on, without a gap.
pub fn mapped_ids() -> Result<u32> {
    let map = crate::process::read_proc("self/uid_map")?;
    Ok(count_from_zero(&map))
}

fn count_from_zero(map: &str) -> u32 {
    let mut lines: Vec<(u32, u32)> = map
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let first = fields.next()?.parse().ok()?;
            Some((first, fields.nth(1)?.parse().ok()?))
        })
        .collect();
    lines.sort_unstable();
    lines.into_iter().fold(0, |end, (first, count)| {
        if first == end {
            end.saturating_add(count)
        } else {
            end
        }
    })
}

/// A range of subordinate ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// Finds the first range of a user in `/etc/subuid` or `/etc/subgid`, where lines look
/// like `name:first:count` or `uid:first:count`.
pub fn find_range(file: &str, user: &str, uid: u32) -> Option<Range> {
    let number = uid.to_string();
    file.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        if owner != user && owner != number {
            return None;
        }
        let first = fields.next()?.parse().ok()?;
        let count: u32 = fields.next()?.parse().ok()?;
        (count > 0).then_some(Range { first, count })
    })
}

/// The first id above all ranges of `/etc/subuid` or `/etc/subgid`, for a proposal.
pub fn first_free(file: &str) -> u32 {
    let ends = file.lines().filter_map(|line| {
        let mut numbers = line.trim().split(':').skip(1);
        let first: u32 = numbers.next()?.parse().ok()?;
        first.checked_add(numbers.next()?.parse().ok()?)
    });
    ends.fold(100_000, u32::max)
}

/// The name of a user in an `/etc/passwd`.
pub fn user_name(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        (number == uid && !name.is_empty()).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_by_name_or_number() {
        let file = "# none\nanna:100000:65536\n1001:300000:1000\nben:1:0\nben:500000:65536\n";
        let range = |first, count| Some(Range { first, count });
        assert_eq!(find_range(file, "anna", 1000), range(100_000, 65_536));
        assert_eq!(find_range(file, "nobody", 1001), range(300_000, 1000));
        assert_eq!(find_range(file, "ben", 7), range(500_000, 65_536));
        assert_eq!(find_range(file, "carl", 9), None);
        assert_eq!(first_free(file), 565_536);
        assert_eq!(first_free(""), 100_000);
    }

    #[test]
    fn mapped_ids_are_counted_up_to_the_first_gap() {
        for (map, count) in [
            ("0 1000 1\n1 100000 65536\n", 65_537),
            ("0 1000 1\n", 1),
            ("0 0 4294967295\n", u32::MAX),
            ("1 100000 65536\n0 1000 1\n", 65_537),
            ("0 1000 1\n5 100000 65536\n", 1),
            ("999 0 1\n", 0),
            ("", 0),
        ] {
            assert_eq!(count_from_zero(map), count, "{map}");
        }
    }

    #[test]
    fn users_are_found_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nanna:x:1000:1000::/home/anna:\n";
        assert_eq!(user_name(passwd, 1000), Some("anna"));
        assert_eq!(user_name(passwd, 5), None);
    }
}
