//! A device filter for a control group: which device nodes its processes may open.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use model::{DeviceAccess, DeviceKind, DeviceRule};
use rustix::io::Errno;

use crate::{Error, Result};

/// One instruction, as the kernel lays it out.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

const LOAD_WORD: u8 = 0x61;
const COPY: u8 = 0xbf;
const SET: u8 = 0xb7;
const AND: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

const PROGRAM_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;
const MAKE_NODE: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;

/// Registers. The context is passed in the first; the answer goes to 0.
const CONTEXT: u8 = 1;
const TYPE: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

/// The head of `union bpf_attr` for loading a program.
#[repr(C)]
struct LoadArgument {
    program_type: u32,
    count: u32,
    instructions: u64,
    license: u64,
    rest: [u64; 14],
}

/// The head of `union bpf_attr` for attaching one.
#[repr(C)]
struct AttachArgument {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    rest: [u64; 2],
}

/// Lets the processes of a control group (version 2) use these devices and no others.
/// What rules say of the same devices adds up; making nodes is not a use where `make` is
/// granted by any rule that covers the node, so a policy of "any node may be made" is
/// itself a rule.
pub fn allow_only(cgroup: impl AsFd, rules: &[DeviceRule]) -> Result<()> {
    let program = load(&program(rules))?;
    let argument = AttachArgument {
        target: raw(cgroup.as_fd().as_raw_fd()),
        program: raw(program.as_raw_fd()),
        kind: ATTACH_CGROUP_DEVICE,
        flags: 0,
        rest: [0; 2],
    };
    const ATTACH: libc::c_int = 8;
    // SAFETY: the argument outlives the call, has the size passed, and holds no pointers.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            ATTACH,
            &raw const argument,
            size_of::<AttachArgument>(),
        )
    };
    match answer {
        0 => Ok(()),
        _ => Err(Error::last("attach", "a device filter")),
    }
}

fn load(code: &[Instruction]) -> Result<OwnedFd> {
    let license = c"Apache-2.0";
    let too_long = |_| Error::new("load", "a device filter of so many rules", Errno::TOOBIG);
    let count = u32::try_from(code.len()).map_err(too_long)?;
    let argument = LoadArgument {
        program_type: PROGRAM_TYPE_CGROUP_DEVICE,
        count,
        instructions: code.as_ptr() as u64,
        license: license.as_ptr() as u64,
        rest: [0; 14],
    };
    const LOAD: libc::c_int = 5;
    // SAFETY: the argument outlives the call and has the size passed; its pointers lead to
    // `count` instructions and to a NUL-terminated text, which the kernel only reads.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            LOAD,
            &raw const argument,
            size_of::<LoadArgument>(),
        )
    };
    match i32::try_from(answer) {
        // SAFETY: a non-negative answer is a new descriptor that nobody else owns.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(Error::last("load", "a device filter")),
    }
}

fn raw(fd: i32) -> u32 {
    u32::try_from(fd).expect("descriptors are not negative")
}

/// The context has three words: access and type, major, minor. The lower half of the
/// first is the type, the upper half the access.
fn program(rules: &[DeviceRule]) -> Vec<Instruction> {
    let mut code = vec![
        make(LOAD_WORD, TYPE, CONTEXT, 0, 0),
        make(COPY, ACCESS, TYPE, 0, 0),
        make(AND, TYPE, 0, 0, 0xffff),
        make(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        make(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        make(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    for rule in merged(rules) {
        allow(&rule, &mut code);
    }
    code.push(make(SET, 0, 0, 0, 0));
    code.push(make(EXIT, 0, 0, 0, 0));
    code
}

/// One rule for each set of devices, as the kernel's own list of version 1 keeps them: one
/// that lets read and one that lets write together let open for both.
fn merged(rules: &[DeviceRule]) -> Vec<DeviceRule> {
    let mut all: Vec<DeviceRule> = Vec::new();
    for rule in rules {
        let same = |known: &&mut DeviceRule| {
            (known.kind, known.major, known.minor) == (rule.kind, rule.major, rule.minor)
        };
        match all.iter_mut().find(same) {
            Some(known) => {
                known.access = DeviceAccess {
                    read: known.access.read || rule.access.read,
                    write: known.access.write || rule.access.write,
                    make: known.access.make || rule.access.make,
                }
            }
            None => all.push(*rule),
        }
    }
    all
}

/// Ends with "allowed" if the rule covers the device and all of the access, else goes on.
fn allow(rule: &DeviceRule, code: &mut Vec<Instruction>) {
    let mut tests = Vec::new();
    if let Some(kind) = rule.kind {
        let kind = match kind {
            DeviceKind::Block => BLOCK,
            DeviceKind::Character => CHARACTER,
        };
        tests.push(make(JUMP_UNLESS_EQUAL, TYPE, 0, 0, kind));
    }
    if let Some(major) = rule.major {
        tests.push(make(JUMP_UNLESS_EQUAL, MAJOR, 0, 0, major.cast_signed()));
    }
    if let Some(minor) = rule.minor {
        tests.push(make(JUMP_UNLESS_EQUAL, MINOR, 0, 0, minor.cast_signed()));
    }
    let granted = access_bits(rule.access);
    if granted != MAKE_NODE | READ | WRITE {
        tests.push(make(COPY, SCRATCH, ACCESS, 0, 0));
        tests.push(make(AND, SCRATCH, 0, 0, !granted));
        tests.push(make(JUMP_UNLESS_EQUAL, SCRATCH, 0, 0, 0));
    }
    tests.push(make(SET, 0, 0, 0, 1));
    tests.push(make(EXIT, 0, 0, 0, 0));
    let length = tests.len();
    for (at, test) in tests.iter_mut().enumerate() {
        if test.code == JUMP_UNLESS_EQUAL {
            test.offset = i16::try_from(length - at - 1).expect("a rule is a few instructions");
        }
    }
    code.extend(tests);
}

fn access_bits(access: DeviceAccess) -> i32 {
    let bit = |right: bool, bit: i32| if right { bit } else { 0 };
    bit(access.make, MAKE_NODE) | bit(access.read, READ) | bit(access.write, WRITE)
}

fn make(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: to | from << 4,
        offset,
        immediate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program on one access; true is allowed.
    fn allowed(code: &[Instruction], access: u32, kind: u32, major: u32, minor: u32) -> bool {
        let context = [access << 16 | kind, major, minor];
        let (mut at, mut r) = (0, [0u64; 11]);
        loop {
            let i = code[at];
            let (to, from) = (usize::from(i.registers & 15), usize::from(i.registers >> 4));
            at += 1;
            match i.code {
                LOAD_WORD => r[to] = u64::from(context[i.offset as usize / 4]),
                COPY => r[to] = r[from],
                SET => r[to] = i.immediate as u64,
                AND => r[to] &= i64::from(i.immediate) as u64,
                SHIFT_RIGHT => r[to] >>= i.immediate,
                JUMP_UNLESS_EQUAL if r[to] != i64::from(i.immediate) as u64 => {
                    at += i.offset as usize
                }
                JUMP_UNLESS_EQUAL => {}
                EXIT => return r[0] != 0,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    const EVERY: u32 = (READ | WRITE | MAKE_NODE) as u32;

    fn rules(texts: &[&str]) -> Vec<DeviceRule> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// What the rules mean: any one of the merged must cover all of the access.
    fn meant(rules: &[DeviceRule], access: u32, kind: u32, major: u32, minor: u32) -> bool {
        let covers = |rule: &DeviceRule| {
            let of_kind = match rule.kind {
                None => true,
                Some(DeviceKind::Block) => kind == BLOCK as u32,
                Some(DeviceKind::Character) => kind == CHARACTER as u32,
            };
            of_kind
                && rule.major.is_none_or(|n| n == major)
                && rule.minor.is_none_or(|n| n == minor)
                && access & !(access_bits(rule.access) as u32) == 0
        };
        merged(rules).iter().any(covers)
    }

    #[test]
    fn only_the_listed_devices_open() {
        let listed = [
            &["c 1:3 rwm", "c 136:* rwm", "c *:* m", "b *:* m"][..],
            &["b 8:0 r", "b 8:0 w", "b 8:16 r", "c 10:229 rw"],
            &["a *:* r", "c 5:1 w"],
            &["a *:* rwm"],
            &[],
        ];
        let numbers = [
            (1, 3),
            (1, 1),
            (136, 77),
            (8, 0),
            (8, 16),
            (10, 229),
            (5, 1),
        ];
        for texts in listed {
            let rules = rules(texts);
            let code = program(&rules);
            for (major, minor) in numbers {
                for kind in [BLOCK as u32, CHARACTER as u32] {
                    for access in 1..=EVERY {
                        assert_eq!(
                            allowed(&code, access, kind, major, minor),
                            meant(&rules, access, kind, major, minor),
                            "{texts:?}: access {access} of {kind} {major}:{minor}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_container_makes_nodes_that_do_not_open() {
        let code = program(&rules(&["c 1:3 rwm", "c *:* m", "b *:* m"]));
        let (block, character) = (BLOCK as u32, CHARACTER as u32);
        let (read, write, make_node) = (READ as u32, WRITE as u32, MAKE_NODE as u32);
        assert!(allowed(&code, read | write, character, 1, 3));
        assert!(!allowed(&code, read, character, 1, 1), "/dev/mem");
        assert!(
            !allowed(&code, read, block, 1, 3),
            "a block device of the same number"
        );
        assert!(
            allowed(&code, make_node, block, 8, 0),
            "made, but never opened"
        );
        assert!(!allowed(&code, make_node | read, block, 8, 0));
    }

    #[test]
    fn rights_to_the_same_device_add_up() {
        let code = program(&rules(&["b 8:0 r", "b 8:0 w"]));
        assert!(allowed(&code, (READ | WRITE) as u32, BLOCK as u32, 8, 0));
    }
}
