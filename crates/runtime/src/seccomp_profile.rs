//! The system calls that a container may make by default.
//!
//! Written as what is refused, each group with its reason: the rest of what we know is
//! allowed, and anything newer is answered with "not implemented", so that C libraries
//! fall back. A capability that the container was given lifts the refusals that only
//! stand in for it. At least as strict as moby's default profile; the tests hold it
//! against a list of what that one refuses.

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
use sys::caps::Set;
use sys::seccomp::{Action, Condition, Filter, Rule};

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
        foreign: ENOSYS,
    }
}

fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).expect("call numbers are small")
}

fn plain(call: libc::c_long, otherwise: Action) -> Rule {
    Rule {
        call: number(call),
        conditions: Vec::new(),
        otherwise,
    }
}

fn clone_rule() -> Rule {
    let none = Condition {
        argument: 0,
        mask: NAMESPACES,
        value: 0,
    };
    Rule {
        call: number(SYS_clone),
        conditions: vec![(none, Action::Allow)],
        otherwise: EPERM,
    }
}

/// Linux, with or without the uname of 2.6, for 64 and 32 bits, and the question what it is.
fn personality() -> Rule {
    let is = |value| {
        (
            Condition {
                argument: 0,
                mask: u32::MAX,
                value,
            },
            Action::Allow,
        )
    };
    let conditions = [0, 0x0008, 0x2_0000, 0x2_0008, u32::MAX].map(is).to_vec();
    Rule {
        call: number(SYS_personality),
        conditions,
        otherwise: EPERM,
    }
}

/// Not the hypervisor's sockets, which know no namespaces.
fn socket() -> Rule {
    let vsock = libc::AF_VSOCK as u32;
    let is_vsock = Condition {
        argument: 0,
        mask: u32::MAX,
        value: vsock,
    };
    Rule {
        call: number(SYS_socket),
        conditions: vec![(is_vsock, EPERM)],
        otherwise: Action::Allow,
    }
}

/// Not the two that type into the terminal: its other end may be the user's own shell.
fn ioctl() -> Rule {
    let types = |request: libc::c_ulong| {
        let value = u32::try_from(request).expect("requests fit 32 bits");
        (
            Condition {
                argument: 1,
                mask: u32::MAX,
                value,
            },
            EPERM,
        )
    };
    let conditions = vec![types(libc::TIOCSTI), types(libc::TIOCLINUX)];
    Rule {
        call: number(SYS_ioctl),
        conditions,
        otherwise: Action::Allow,
    }
}

#[cfg(test)]
mod tests;
