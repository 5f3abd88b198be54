//! A device filter for a control group: which device nodes its processes may open.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use crate::{Error, Result};

/// A character device that may be read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CharDevice {
    /// Major number.
    pub major: u32,
    /// Minor number; all of them when absent.
    pub minor: Option<u32>,
}

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
const CHARACTER: i32 = 2;
const MAKE_NODE: i32 = 1;

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

/// Lets the processes of a control group (version 2) open these devices and no others.
/// Making nodes is left to `CAP_MKNOD`: a node that cannot be opened does no harm.
pub fn allow_only(cgroup: impl AsFd, devices: &[CharDevice]) -> Result<()> {
    let program = load(&program(devices))?;
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
    let argument = LoadArgument {
        program_type: PROGRAM_TYPE_CGROUP_DEVICE,
        count: u32::try_from(code.len()).expect("programs are short"),
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
fn program(devices: &[CharDevice]) -> Vec<Instruction> {
    let mut code = vec![
        make(LOAD_WORD, 2, 1, 0, 0),
        make(COPY, 3, 2, 0, 0),
        make(AND, 2, 0, 0, 0xffff),
        make(SHIFT_RIGHT, 3, 0, 0, 16),
        make(LOAD_WORD, 4, 1, 4, 0),
        make(LOAD_WORD, 5, 1, 8, 0),
        make(JUMP_UNLESS_EQUAL, 3, 0, 2, MAKE_NODE),
        make(SET, 0, 0, 0, 1),
        make(EXIT, 0, 0, 0, 0),
        make(JUMP_UNLESS_EQUAL, 2, 0, rest_of(devices), CHARACTER),
    ];
    for device in devices {
        let major = device.major.cast_signed();
        match device.minor {
            Some(minor) => {
                code.push(make(JUMP_UNLESS_EQUAL, 4, 0, 3, major));
                code.push(make(JUMP_UNLESS_EQUAL, 5, 0, 2, minor.cast_signed()));
            }
            None => code.push(make(JUMP_UNLESS_EQUAL, 4, 0, 2, major)),
        }
        code.push(make(SET, 0, 0, 0, 1));
        code.push(make(EXIT, 0, 0, 0, 0));
    }
    code.push(make(SET, 0, 0, 0, 0));
    code.push(make(EXIT, 0, 0, 0, 0));
    code
}

/// Instructions that all devices' tests take.
fn rest_of(devices: &[CharDevice]) -> i16 {
    let length: usize = devices
        .iter()
        .map(|d| if d.minor.is_some() { 4 } else { 3 })
        .sum();
    i16::try_from(length).expect("lists of devices are short")
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
                AND => r[to] &= i.immediate as u64,
                SHIFT_RIGHT => r[to] >>= i.immediate,
                JUMP_UNLESS_EQUAL if r[to] != i.immediate as u64 => at += i.offset as usize,
                JUMP_UNLESS_EQUAL => {}
                EXIT => return r[0] != 0,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    #[test]
    fn only_the_listed_devices_open() {
        let null = CharDevice {
            major: 1,
            minor: Some(3),
        };
        let terminals = CharDevice {
            major: 136,
            minor: None,
        };
        let code = program(&[null, terminals]);
        let (read, write, make_node) = (2, 4, 1);
        let (block, character) = (1, 2);
        assert!(allowed(&code, read | write, character, 1, 3));
        assert!(allowed(&code, read, character, 136, 77));
        assert!(!allowed(&code, read, character, 1, 1), "/dev/mem");
        assert!(
            !allowed(&code, read, block, 1, 3),
            "a block device of the same number"
        );
        assert!(!allowed(&code, read, block, 8, 0));
        assert!(
            allowed(&code, make_node, block, 8, 0),
            "made, but never opened"
        );
        assert!(!allowed(&code, make_node | read, block, 8, 0));
    }
}
