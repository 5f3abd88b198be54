//! The system calls that a container may make: by default, or by a profile of the user's
//! ([`file`]).
//!
//! Written as what is refused, each group with its reason: the rest of what we know is
//! allowed, and anything newer is answered with "not implemented", so that C libraries
//! fall back. A capability that the container was given lifts the refusals that only
//! stand in for it. At least as strict as moby's default profile; the tests hold it
//! against a list of what that one refuses.

mod calls;
mod file;

use libc::{
    SYS_acct, SYS_add_key, SYS_bpf, SYS_chroot, SYS_clock_settime, SYS_clone, SYS_clone3,
    SYS_delete_module, SYS_fanotify_init, SYS_finit_module, SYS_fsconfig, SYS_fsmount, SYS_fsopen,
    SYS_fspick, SYS_get_mempolicy, SYS_init_module, SYS_io_uring_enter, SYS_io_uring_register,
    SYS_io_uring_setup, SYS_ioctl, SYS_kcmp, SYS_kexec_file_load, SYS_kexec_load, SYS_keyctl,
    SYS_lookup_dcookie, SYS_mbind, SYS_migrate_pages, SYS_mount, SYS_mount_setattr, SYS_move_mount,
    SYS_move_pages, SYS_nfsservctl, SYS_open_by_handle_at, SYS_open_tree, SYS_perf_event_open,
    SYS_personality, SYS_pidfd_getfd, SYS_pivot_root, SYS_process_madvise, SYS_quotactl,
    SYS_quotactl_fd, SYS_reboot, SYS_request_key, SYS_set_mempolicy, SYS_set_mempolicy_home_node,
    SYS_setdomainname, SYS_sethostname, SYS_setns, SYS_settimeofday, SYS_socket, SYS_swapoff,
    SYS_swapon, SYS_syslog, SYS_umount2, SYS_unshare, SYS_userfaultfd, SYS_vhangup,
};
use model::container::{Seccomp, SeccompSource};
use sys::caps::Set;
use sys::seccomp::{Action, Case, Condition, Filter, Program, Rule, Test, Width};

pub use file::ProfileError;

const EPERM: Action = Action::Errno(libc::EPERM as u16);
const ENOSYS: Action = Action::Errno(libc::ENOSYS as u16);

/// `futex_requeue`. Of the few calls above it none is needed by programs of today.
const LAST_KNOWN: u32 = 456;

/// A group of refused calls.
struct Refused {
    calls: &'static [libc::c_long],
    /// Any of these capabilities lifts the refusal.
    lifted_by: &'static [&'static str],
}

const REFUSED: &[Refused] = &[
    // Mounts and namespaces: the container's walls, and new walls with more rights inside.
    Refused {
        calls: &[
            SYS_mount,
            SYS_umount2,
            SYS_pivot_root,
            SYS_mount_setattr,
            SYS_move_mount,
            SYS_open_tree,
            SYS_fsopen,
            SYS_fsconfig,
            SYS_fsmount,
            SYS_fspick,
            SYS_unshare,
            SYS_setns,
            SYS_sethostname,
            SYS_setdomainname,
            SYS_quotactl,
            SYS_quotactl_fd,
            SYS_fanotify_init,
            SYS_lookup_dcookie,
        ],
        lifted_by: &["SYS_ADMIN"],
    },
    // Code in the kernel, and the kernel's own measurements.
    Refused {
        calls: &[SYS_bpf],
        lifted_by: &["SYS_ADMIN", "BPF"],
    },
    Refused {
        calls: &[SYS_perf_event_open],
        lifted_by: &["SYS_ADMIN", "PERFMON"],
    },
    Refused {
        calls: &[SYS_syslog],
        lifted_by: &["SYS_ADMIN", "SYSLOG"],
    },
    Refused {
        calls: &[SYS_init_module, SYS_finit_module, SYS_delete_module],
        lifted_by: &["SYS_MODULE"],
    },
    Refused {
        calls: &[SYS_reboot, SYS_kexec_load, SYS_kexec_file_load],
        lifted_by: &["SYS_BOOT"],
    },
    Refused {
        calls: &[SYS_acct],
        lifted_by: &["SYS_PACCT"],
    },
    // The machine's clock and terminals.
    Refused {
        calls: &[SYS_settimeofday, SYS_clock_settime],
        lifted_by: &["SYS_TIME"],
    },
    Refused {
        calls: &[SYS_vhangup],
        lifted_by: &["SYS_TTY_CONFIG"],
    },
    // Opens any file by number, past every mount: how containers have been left before.
    Refused {
        calls: &[SYS_open_by_handle_at],
        lifted_by: &["DAC_READ_SEARCH"],
    },
    Refused {
        calls: &[SYS_chroot],
        lifted_by: &["SYS_CHROOT"],
    },
    // Looking into other processes. (ptrace itself is guarded by the kernel.)
    Refused {
        calls: &[SYS_kcmp, SYS_pidfd_getfd, SYS_process_madvise],
        lifted_by: &["SYS_PTRACE"],
    },
    // Placement in the machine's memory banks.
    Refused {
        calls: &[
            SYS_get_mempolicy,
            SYS_set_mempolicy,
            SYS_set_mempolicy_home_node,
            SYS_mbind,
        ],
        lifted_by: &["SYS_NICE"],
    },
    // Key rings know no namespaces.
    Refused {
        calls: &[SYS_add_key, SYS_keyctl, SYS_request_key],
        lifted_by: &[],
    },
    // Large and much attacked, or of no use inside.
    Refused {
        calls: &[
            SYS_io_uring_setup,
            SYS_io_uring_enter,
            SYS_io_uring_register,
            SYS_userfaultfd,
            SYS_move_pages,
            SYS_migrate_pages,
            SYS_swapon,
            SYS_swapoff,
            SYS_nfsservctl,
        ],
        lifted_by: &[],
    },
    #[cfg(target_arch = "x86_64")]
    Refused {
        calls: &[libc::SYS_ioperm, libc::SYS_iopl],
        lifted_by: &["SYS_RAWIO"],
    },
    // Relics.
    #[cfg(target_arch = "x86_64")]
    Refused {
        calls: &[
            libc::SYS_uselib,
            libc::SYS_ustat,
            libc::SYS_sysfs,
            libc::SYS__sysctl,
            SYS_CREATE_MODULE,
            SYS_GET_KERNEL_SYMS,
            SYS_QUERY_MODULE,
            libc::SYS_getpmsg,
            libc::SYS_putpmsg,
            libc::SYS_afs_syscall,
            libc::SYS_tuxcall,
            libc::SYS_security,
            libc::SYS_epoll_ctl_old,
            libc::SYS_epoll_wait_old,
            libc::SYS_vserver,
        ],
        lifted_by: &[],
    },
];

// Gone from the kernel since 2.6; the C library's headers do not name them.
#[cfg(target_arch = "x86_64")]
const SYS_CREATE_MODULE: libc::c_long = 174;
#[cfg(target_arch = "x86_64")]
const SYS_GET_KERNEL_SYMS: libc::c_long = 177;
#[cfg(target_arch = "x86_64")]
const SYS_QUERY_MODULE: libc::c_long = 178;

/// Numbers that no call has, on x86_64; 335 is the kernel's own trampoline.
#[cfg(target_arch = "x86_64")]
const UNUSED: std::ops::Range<u32> = 336..424;
#[cfg(not(target_arch = "x86_64"))]
const UNUSED: std::ops::Range<u32> = 295..424;

/// New namespaces of any kind, as bits of clone's flags (time namespaces aside, which
/// clone cannot make).
const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;

/// The filter for a container with these capabilities.
pub(crate) fn filter(capabilities: Set) -> Filter {
    let lifted = |names: &[&str]| {
        names
            .iter()
            .any(|name| Set::from_names([*name]).is_ok_and(|set| capabilities.contains(set)))
    };
    let refused = REFUSED.iter().filter(|group| !lifted(group.lifted_by));
    let mut rules: Vec<Rule> = refused
        .flat_map(|group| group.calls)
        .map(|call| plain(*call, EPERM))
        .collect();
    rules.extend(UNUSED.map(|call| plain(call.into(), ENOSYS)));
    if !lifted(&["SYS_ADMIN"]) {
        rules.push(clone_rule());
        // Its flags are behind a pointer, where no filter can look.
        rules.push(plain(SYS_clone3, ENOSYS));
    }
    rules.extend([personality(), socket(), ioctl()]);
    Filter {
        rules,
        last_known: LAST_KNOWN,
        known: Action::Allow,
        newer: ENOSYS,
        foreign: ENOSYS,
        log: false,
    }
}

/// The program for a process with these capabilities; none where it is unconfined.
pub(crate) fn program(
    seccomp: &Seccomp,
    capabilities: Set,
) -> Result<Option<Program>, ProfileError> {
    Ok(match seccomp {
        Seccomp::Default => Some(sys::seccomp::compile(&filter(capabilities))),
        Seccomp::Unconfined => None,
        Seccomp::Profile(source) => Some(file::program(source, capabilities)?),
    })
}

/// Whether a profile can be used on this machine, whatever the capabilities. For whoever
/// makes a plan, so that a mistake is told before anything is made.
pub fn check(source: &SeccompSource) -> Result<(), ProfileError> {
    file::check(source)
}

fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).expect("call numbers are small")
}

fn plain(call: libc::c_long, otherwise: Action) -> Rule {
    with_cases(call, Vec::new(), otherwise)
}

fn with_cases(call: libc::c_long, cases: Vec<Case>, otherwise: Action) -> Rule {
    Rule {
        call: number(call),
        cases,
        otherwise,
    }
}

/// An answer to calls with such an argument. All that are looked at here are `int` to the
/// kernel.
fn case(argument: u8, test: Test, action: Action) -> Case {
    let condition = Condition {
        argument,
        width: Width::Lower,
        test,
    };
    Case {
        conditions: vec![condition],
        action,
    }
}

fn clone_rule() -> Rule {
    let none = Test::Masked {
        mask: NAMESPACES.into(),
        value: 0,
    };
    with_cases(SYS_clone, vec![case(0, none, Action::Allow)], EPERM)
}

/// Linux, with or without the uname of 2.6, for 64 and 32 bits, and the question what it is.
fn personality() -> Rule {
    let is = |value| case(0, Test::Equal(value), Action::Allow);
    let cases = [0, 0x0008, 0x2_0000, 0x2_0008, u32::MAX.into()].map(is);
    with_cases(SYS_personality, cases.to_vec(), EPERM)
}

/// Not the hypervisor's sockets, which know no namespaces, and not the kernel's own
/// ciphers: large, much attacked, and every program has its own.
fn socket() -> Rule {
    let family = |number: libc::c_int| {
        let number = u64::try_from(number).expect("families are positive");
        case(0, Test::Equal(number), EPERM)
    };
    let cases = [libc::AF_VSOCK, libc::AF_ALG].map(family);
    with_cases(SYS_socket, cases.to_vec(), Action::Allow)
}

/// Not the two that type into the terminal: its other end may be the user's own shell.
fn ioctl() -> Rule {
    let types = |request: libc::c_ulong| case(1, Test::Equal(request), EPERM);
    let cases = [libc::TIOCSTI, libc::TIOCLINUX].map(types);
    with_cases(SYS_ioctl, cases.to_vec(), Action::Allow)
}

#[cfg(test)]
mod tests;
