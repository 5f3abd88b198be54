//! System call filters: compiled to a search tree over sorted ranges, then loaded.
//!
//! A tree over ranges of call numbers with the same answer is short (some 150
//! instructions for a usual profile) and takes about seven comparisons a call, where a
//! linear list takes hundreds.

use libc::sock_filter;

use crate::{Error, Result};

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// It is carried out.
    Allow,
    /// It fails with this error number.
    Errno(u16),
}

/// A condition on the lower 32 bits of an argument. Upper bits are not looked at: the
/// kernel itself ignores them for the `int` arguments this is meant for, so a comparison
/// of all 64 could be dodged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Which argument, from 0.
    pub argument: u8,
    /// Bits that are compared.
    pub mask: u32,
    /// What they must be.
    pub value: u32,
}

/// What happens to one call: the first condition that holds decides, else `otherwise`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The call's number.
    pub call: u32,
    /// In this order.
    pub conditions: Vec<(Condition, Action)>,
    /// When none holds.
    pub otherwise: Action,
}

/// A filter to compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Calls with an answer of their own.
    pub rules: Vec<Rule>,
    /// Highest number that is not foreign.
    pub last_known: u32,
    /// Calls up to `last_known` without a rule.
    pub known: Action,
    /// Calls of other architectures, of the x32 convention, and of newer kernels.
    pub foreign: Action,
}

/// A compiled filter.
#[derive(Debug, Clone)]
pub struct Program(Vec<sock_filter>);

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

impl Program {
    /// How many instructions it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none; never so for a compiled one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The instructions, as `(code, jt, jf, k)`.
    pub fn instructions(&self) -> impl Iterator<Item = (u16, u8, u8, u32)> {
        self.0.iter().map(|i| (i.code, i.jt, i.jf, i.k))
    }

    /// Loads the filter for the calling thread and all that it becomes. Needs
    /// `CAP_SYS_ADMIN` or `no_new_privs`.
    pub fn load(&self) -> Result<()> {
        let fail = || Error::last("load", "the system call filter");
        let length = u16::try_from(self.0.len()).expect("far below the kernel's 4096");
        let program = libc::sock_fprog {
            len: length,
            filter: self.0.as_ptr().cast_mut(),
        };
        // SAFETY: the kernel only reads the program, which outlives the call.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                0,
                &raw const program,
            )
        };
        if answer == 0 { Ok(()) } else { Err(fail()) }
    }
}

/// One range of call numbers: from here up to where the next begins.
struct Range<'a> {
    from: u32,
    answer: Answer<'a>,
}

#[derive(Clone, Copy, PartialEq)]
enum Answer<'a> {
    Plain(Action),
    Conditional(&'a Rule),
}

/// Compiles a filter.
pub fn compile(filter: &Filter) -> Program {
    let mut code = vec![
        instruction(LOAD, 0, 0, ARCH),
        instruction(IF_EQUAL, 1, 0, ARCHITECTURE),
        give(filter.foreign),
        instruction(LOAD, 0, 0, NUMBER),
    ];
    tree(&ranges(filter), &mut code);
    Program(code)
}

fn ranges(filter: &Filter) -> Vec<Range<'_>> {
    let mut rules: Vec<&Rule> = filter.rules.iter().collect();
    rules.sort_by_key(|rule| rule.call);
    let mut ranges: Vec<Range<'_>> = Vec::new();
    let mut add = |from, answer| match ranges.last_mut() {
        Some(last) if last.from == from => last.answer = answer,
        _ => ranges.push(Range { from, answer }),
    };
    add(0, Answer::Plain(filter.known));
    for rule in rules {
        let answer = match rule.conditions.is_empty() {
            true => Answer::Plain(rule.otherwise),
            false => Answer::Conditional(rule),
        };
        add(rule.call, answer);
        add(rule.call + 1, Answer::Plain(filter.known));
    }
    add(filter.last_known + 1, Answer::Plain(filter.foreign));
    ranges.dedup_by(|later, earlier| later.answer == earlier.answer);
    ranges
}

fn tree(ranges: &[Range<'_>], code: &mut Vec<sock_filter>) {
    if let [only] = ranges {
        return leaf(only.answer, code);
    }
    let (low, high) = ranges.split_at(ranges.len() / 2);
    let at = code.len();
    // Conditional jumps reach 255 instructions, so a far one goes through a jump.
    code.push(instruction(IF_AT_LEAST, 0, 1, high[0].from));
    code.push(instruction(JUMP, 0, 0, 0));
    tree(low, code);
    let distance = code.len() - (at + 2);
    match u8::try_from(distance) {
        Ok(near) => {
            code.remove(at + 1);
            code[at] = instruction(IF_AT_LEAST, near, 0, high[0].from);
        }
        Err(_) => code[at + 1].k = u32::try_from(distance).expect("programs are short"),
    }
    tree(high, code);
}

fn leaf(answer: Answer<'_>, code: &mut Vec<sock_filter>) {
    let rule = match answer {
        Answer::Plain(action) => return code.push(give(action)),
        Answer::Conditional(rule) => rule,
    };
    for (condition, action) in &rule.conditions {
        // The lower half comes first on the little-endian machines we build for.
        let offset = ARGUMENTS + 8 * u32::from(condition.argument);
        code.push(instruction(LOAD, 0, 0, offset));
        code.push(instruction(AND, 0, 0, condition.mask));
        code.push(instruction(IF_EQUAL, 0, 1, condition.value));
        code.push(give(*action));
    }
    code.push(give(rule.otherwise));
}

fn give(action: Action) -> sock_filter {
    let value = match action {
        Action::Allow => libc::SECCOMP_RET_ALLOW,
        Action::Errno(number) => libc::SECCOMP_RET_ERRNO | u32::from(number),
    };
    instruction(RETURN, 0, 0, value)
}

fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests;
