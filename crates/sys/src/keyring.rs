//! The kernel's keyrings.

use rustix::io::Errno;

use crate::{Error, Result};

/// Gives the calling process a new and empty session keyring in place of the one that it
/// was born with: keys of the caller's login would be reachable from inside, because
/// keyrings know no namespaces. It is anonymous, so that nobody else can join it.
///
/// False where that cannot be had and is no way in: kernels without keyrings have none to
/// leak (`ENOSYS`), a filter around us that refuses this call refuses every use of keys
/// (`EPERM`), and a plain user may own 200 keyrings only (`EDQUOT`), so that a hundred
/// containers with a hundred `exec` would fail for a ring that our own filter closes anyway.
pub fn leave() -> Result<bool> {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: with a null name the kernel reads no memory.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        )
    };
    if answer >= 0 {
        return Ok(true);
    }
    let error = Error::last("make", "a session keyring");
    match error.errno() {
        Some(Errno::NOSYS | Errno::PERM | Errno::DQUOT) => Ok(false),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Fork, exit_now, fork};

    /// What the calling process's session keyring is, by its number.
    fn session() -> i64 {
        const GET_ID: libc::c_int = 0;
        const SESSION: libc::c_int = -3;
        // SAFETY: three numbers.
        unsafe { libc::syscall(libc::SYS_keyctl, GET_ID, SESSION, 0) }
    }

    #[test]
    fn the_keyring_of_the_login_stays_behind() {
        let before = session();
        let Fork::Parent(child) = fork().unwrap() else {
            let left = leave();
            let new = matches!(left, Ok(true)) && session() != before;
            exit_now(if new || matches!(left, Ok(false)) {
                0
            } else {
                1
            });
        };
        let pid = rustix::process::Pid::from_raw(child);
        let status = rustix::process::waitpid(pid, rustix::process::WaitOptions::empty());
        let (_, status) = status.unwrap().unwrap();
        assert_eq!(status.exit_status(), Some(0));
        assert_eq!(session(), before, "ours is untouched");
    }
}
