//! What a container believes where one id is all that there is.
//!
//! A user without subordinate ids can map a single id. In such a container no file can
//! change hands and no process can become another user, yet package managers and entry
//! points try all day long and give up when they are refused. So those calls succeed
//! without doing anything: the owner stays the one there is.

use libc::{
    S_IFBLK, S_IFCHR, S_IFMT, SYS_capset, SYS_fchown, SYS_fchownat, SYS_mknodat, SYS_setfsgid,
    SYS_setfsuid, SYS_setgid, SYS_setgroups, SYS_setregid, SYS_setresgid, SYS_setresuid,
    SYS_setreuid, SYS_setuid,
};
use sys::seccomp::{Action, Case, Condition, Filter, Program, Rule, Test, Width, compile};

/// No error: the call returns 0 and has done nothing.
const DONE: Action = Action::Errno(0);

const FAKED: &[libc::c_long] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    SYS_fchown,
    SYS_fchownat,
    SYS_setuid,
    SYS_setgid,
    SYS_setreuid,
    SYS_setregid,
    SYS_setresuid,
    SYS_setresgid,
    SYS_setfsuid,
    SYS_setfsgid,
    SYS_setgroups,
    SYS_capset,
];

/// The filter. It allows all that it does not fake; the container's own one stands beside
/// it.
pub(crate) fn filter() -> Program {
    let mut rules: Vec<Rule> = FAKED
        .iter()
        .map(|call| rule(*call, Vec::new(), DONE))
        .collect();
    // Pipes, sockets and files anybody may make; devices only the machine's root.
    #[cfg(target_arch = "x86_64")]
    rules.push(rule(libc::SYS_mknod, devices(1), Action::Allow));
    rules.push(rule(SYS_mknodat, devices(2), Action::Allow));
    compile(&Filter {
        rules,
        last_known: u32::try_from(libc::SYS_mknodat).expect("call numbers are small"),
        known: Action::Allow,
        newer: Action::Allow,
        foreign: Action::Allow,
        log: false,
    })
}

fn rule(call: libc::c_long, cases: Vec<Case>, otherwise: Action) -> Rule {
    Rule {
        call: u32::try_from(call).expect("call numbers are small"),
        cases,
        otherwise,
    }
}

fn devices(mode: u8) -> Vec<Case> {
    [S_IFCHR, S_IFBLK]
        .map(|kind| Case {
            conditions: vec![Condition {
                argument: mode,
                width: Width::Lower,
                test: Test::Masked {
                    mask: S_IFMT.into(),
                    value: kind.into(),
                },
            }],
            action: DONE,
        })
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Run in a thread: a filter stays with it for good.
    #[test]
    fn faked_calls_succeed_and_do_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().to_owned();
        let worker = std::thread::spawn(move || {
            sys::caps::forbid_new_privileges().unwrap();
            filter().load().unwrap();
            let file = path.join("f");
            std::fs::write(&file, "").unwrap();
            std::os::unix::fs::chown(&file, Some(4242), Some(4242)).unwrap();
            let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&file).unwrap());
            assert_eq!(owner, rustix::process::getuid().as_raw());
            let dir = sys::fs::DirFd::open(&path).unwrap();
            dir.mkwhiteout("device".as_ref()).unwrap();
            dir.mkfifo("pipe".as_ref(), 0o600).unwrap();
            assert!(!path.join("device").exists() && path.join("pipe").exists());
            rustix::thread::set_thread_groups(&[]).unwrap();
            rustix::thread::set_thread_uid(rustix::fs::Uid::from_raw(4242)).unwrap();
            assert_ne!(rustix::process::getuid().as_raw(), 4242);
        });
        worker.join().unwrap();
    }
}
