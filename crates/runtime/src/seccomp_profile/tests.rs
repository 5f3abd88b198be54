//! What must be refused, what must be allowed, and how long the program gets.

use super::*;

fn default_filter() -> Filter {
    filter(Set::from_names(model::container::DEFAULT_CAPABILITIES).unwrap())
}

fn answer(filter: &Filter, call: libc::c_long, args: [u32; 6]) -> Action {
    let call = number(call);
    match filter.rules.iter().find(|rule| rule.call == call) {
        _ if call > filter.last_known => filter.newer,
        None => filter.known,
        Some(rule) => rule
            .cases
            .iter()
            .find(|case| case.conditions.iter().all(|c| holds(c, args)))
            .map_or(rule.otherwise, |case| case.action),
    }
}

fn holds(condition: &Condition, args: [u32; 6]) -> bool {
    let argument = u64::from(args[condition.argument as usize]);
    match condition.test {
        Test::Equal(value) => argument == value,
        Test::Masked { mask, value } => argument & mask == value,
        other => panic!("{other:?} is not used"),
    }
}

fn allowed(filter: &Filter, call: libc::c_long) -> bool {
    answer(filter, call, [0; 6]) == Action::Allow
}

/// What docker's documentation lists as blocked by its default profile.
const BLOCKED_BY_DOCKER: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_clock_settime,
    SYS_CREATE_MODULE,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    SYS_GET_KERNEL_SYMS,
    libc::SYS_get_mempolicy,
    libc::SYS_init_module,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mbind,
    libc::SYS_mount,
    libc::SYS_move_pages,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_perf_event_open,
    libc::SYS_pivot_root,
    SYS_QUERY_MODULE,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_set_mempolicy,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_sysfs,
    libc::SYS__sysctl,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_uselib,
    libc::SYS_userfaultfd,
    libc::SYS_ustat,
    libc::SYS_io_uring_setup,
    libc::SYS_clone3,
];

#[test]
fn refuses_what_docker_refuses() {
    let filter = default_filter();
    for call in BLOCKED_BY_DOCKER {
        assert!(!allowed(&filter, *call), "call {call}");
    }
    let new_user = libc::CLONE_NEWUSER as u32;
    assert_eq!(answer(&filter, SYS_clone, [new_user, 0, 0, 0, 0, 0]), EPERM);
    assert_eq!(answer(&filter, SYS_socket, [40, 1, 0, 0, 0, 0]), EPERM);
    assert_eq!(answer(&filter, SYS_socket, [38, 5, 0, 0, 0, 0]), EPERM);
    assert_eq!(answer(&filter, SYS_ioctl, [0, 0x541c, 0, 0, 0, 0]), EPERM);
    assert_eq!(answer(&filter, SYS_ioctl, [0, 0x5412, 0, 0, 0, 0]), EPERM);
    assert_eq!(
        answer(&filter, SYS_personality, [0x40_0000, 0, 0, 0, 0, 0]),
        EPERM
    );
    assert_eq!(answer(&filter, SYS_clone3, [0; 6]), ENOSYS);
}

#[test]
fn allows_what_programs_need() {
    let filter = default_filter();
    for call in [
        libc::SYS_read,
        libc::SYS_openat,
        libc::SYS_execve,
        libc::SYS_clone,
        libc::SYS_futex,
        libc::SYS_ptrace,
        libc::SYS_chroot,
        libc::SYS_mknod,
        libc::SYS_capset,
        libc::SYS_setgroups,
        libc::SYS_openat2,
        libc::SYS_statx,
        libc::SYS_rseq,
        libc::SYS_close_range,
        libc::SYS_fchmodat2,
        libc::SYS_pidfd_open,
        libc::SYS_landlock_create_ruleset,
        libc::SYS_seccomp,
        libc::SYS_prctl,
        libc::SYS_socket,
        libc::SYS_ioctl,
        libc::SYS_personality,
        libc::SYS_faccessat2,
    ] {
        assert!(allowed(&filter, call), "call {call}");
    }
}

#[test]
fn a_capability_lifts_what_stands_in_for_it() {
    let filter = filter(Set::from_names(["SYS_ADMIN"]).unwrap());
    assert!(allowed(&filter, SYS_mount) && allowed(&filter, SYS_clone3));
    assert!(!allowed(&filter, SYS_chroot) && !allowed(&filter, SYS_keyctl));
}

#[test]
fn the_program_is_short() {
    let program = sys::seccomp::compile(&default_filter());
    assert!(program.len() < 200, "{} instructions", program.len());
}
