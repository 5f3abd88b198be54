//! System call filters: compiled to a search tree over sorted ranges, then loaded.
//!
//! A tree over ranges of call numbers with the same answer is short (some 150
//! instructions for a usual profile) and takes about seven comparisons a call, where a
//! linear list takes hundreds.

use libc::sock_filter;
use rustix::io::Errno;

use crate::{Error, Result};

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// It is carried out.
    Allow,
    /// It is carried out and written to the kernel's audit log.
    Log,
    /// It fails with this error number.
    Errno(u16),
    /// A tracer decides, and is told this; without one the call is "not implemented".
    Trace(u16),
    /// The thread gets SIGSYS.
    Trap,
    /// The thread ends, by SIGSYS.
    KillThread,
    /// The process ends, by SIGSYS.
    KillProcess,
}

/// A condition on an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Which argument, 0 to 5.
    pub argument: u8,
    /// How much of it.
    pub width: Width,
    /// What must be true of it.
    pub test: Test,
}

/// How much of an argument is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// The lower 32 bits. For arguments that the kernel takes as `int`: it ignores the
    /// upper bits, so a comparison of all 64 could be dodged.
    Lower,
    /// All 64 bits.
    Whole,
}

/// A comparison, without sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// It is this.
    Equal(u64),
    /// It is not this.
    NotEqual(u64),
    /// It is less.
    Less(u64),
    /// It is less, or this.
    AtMost(u64),
    /// It is greater.
    Greater(u64),
    /// It is greater, or this.
    AtLeast(u64),
    /// Some of its bits are these.
    Masked {
        /// Bits that are compared.
        mask: u64,
        /// What they must be.
        value: u64,
    },
}

/// What happens to one call: the first case all of whose conditions hold decides, else
/// `otherwise`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The call's number.
    pub call: u32,
    /// In this order.
    pub cases: Vec<Case>,
    /// When none holds.
    pub otherwise: Action,
}

/// One answer of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// At most [`MAX_CONDITIONS`]; those beyond would not fit the kernel's short jumps.
    pub conditions: Vec<Condition>,
    /// The answer when all of them hold.
    pub action: Action,
}

/// Conditions of one case: one for each argument of a call.
pub const MAX_CONDITIONS: usize = 6;

/// A filter to compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Calls with an answer of their own.
    pub rules: Vec<Rule>,
    /// Highest number of a call that whoever wrote the filter knew.
    pub last_known: u32,
    /// Calls up to `last_known` without a rule.
    pub known: Action,
    /// Calls of newer kernels.
    pub newer: Action,
    /// Calls of other architectures and of the x32 convention.
    pub foreign: Action,
    /// Whether the kernel logs each answer but `Allow`.
    pub log: bool,
}

/// A compiled filter.
#[derive(Debug, Clone)]
pub struct Program {
    code: Vec<sock_filter>,
    log: bool,
}

/// Instructions that the kernel takes at most.
pub const MAX_INSTRUCTIONS: usize = 4096;

/// The first number of the x32 convention: 64-bit calls with 32-bit pointers.
const X32: u32 = 0x4000_0000;

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
const IF_GREATER: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

impl Program {
    /// How many instructions it has.
    pub fn len(&self) -> usize {
        self.code.len()
    }

    /// Whether it has none; never so for a compiled one.
    pub fn is_empty(&self) -> bool {
        self.code.is_empty()
    }

    /// The instructions, as `(code, jt, jf, k)`.
    pub fn instructions(&self) -> impl Iterator<Item = (u16, u8, u8, u32)> {
        self.code.iter().map(|i| (i.code, i.jt, i.jf, i.k))
    }

    /// Loads the filter for the calling thread and all that it becomes. Needs
    /// `CAP_SYS_ADMIN` or `no_new_privs`.
    pub fn load(&self) -> Result<()> {
        let too_long = |_| Error::new("load", "so long a system call filter", Errno::TOOBIG);
        let length = u16::try_from(self.code.len()).map_err(too_long)?;
        let flags = match self.log {
            true => libc::SECCOMP_FILTER_FLAG_LOG,
            false => 0,
        };
        let program = libc::sock_fprog {
            len: length,
            filter: self.code.as_ptr().cast_mut(),
        };
        // SAFETY: the kernel only reads the program, which outlives the call.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const program,
            )
        };
        match answer {
            0 => Ok(()),
            _ => Err(Error::last("load", "the system call filter")),
        }
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
    Program {
        code,
        log: filter.log,
    }
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
        let answer = match rule.cases.is_empty() {
            true => Answer::Plain(rule.otherwise),
            false => Answer::Conditional(rule),
        };
        add(rule.call, answer);
        add(rule.call + 1, Answer::Plain(filter.known));
    }
    add(filter.last_known + 1, Answer::Plain(filter.newer));
    add(X32, Answer::Plain(filter.foreign));
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
    for case in &rule.cases {
        one_case(case, code);
    }
    code.push(give(rule.otherwise));
}

/// Where a step of a condition goes on.
#[derive(Clone, Copy)]
enum To {
    /// At the next step.
    Next,
    /// Behind the condition: it holds.
    Holds,
    /// Behind the case: the condition does not hold.
    Fails,
}

/// A step of a condition, before its jumps are known.
struct Step {
    code: u16,
    value: u32,
    yes: To,
    no: To,
}

fn one_case(case: &Case, code: &mut Vec<sock_filter>) {
    let parts: Vec<Vec<Step>> = case.conditions.iter().map(steps).collect();
    let mut left: usize = parts.iter().map(Vec::len).sum();
    for part in parts {
        for (at, step) in part.iter().enumerate() {
            left -= 1;
            let distance = |to| match to {
                To::Next => 0,
                To::Holds => part.len() - at - 1,
                // Past the answer.
                To::Fails => left + 1,
            };
            let short = |to| u8::try_from(distance(to)).expect("a case has few conditions");
            code.push(instruction(
                step.code,
                short(step.yes),
                short(step.no),
                step.value,
            ));
        }
    }
    code.push(give(case.action));
}

/// The lower half comes first on the little-endian machines we build for.
fn steps(condition: &Condition) -> Vec<Step> {
    let lower = ARGUMENTS + 8 * u32::from(condition.argument);
    let mut steps = Vec::new();
    if condition.width == Width::Whole {
        upper_half(condition.test, lower + 4, &mut steps);
    }
    lower_half(condition.test, lower, &mut steps);
    steps
}

/// Decides by the upper half alone where that is possible, else leads to the lower one.
fn upper_half(test: Test, offset: u32, steps: &mut Vec<Step>) {
    steps.push(plain(LOAD, offset));
    let equal = |value: u64, no| step(IF_EQUAL, high(value), To::Next, no);
    let greater = |value: u64, yes| step(IF_GREATER, high(value), yes, To::Next);
    match test {
        Test::Equal(value) => steps.push(equal(value, To::Fails)),
        Test::NotEqual(value) => steps.push(equal(value, To::Holds)),
        Test::Less(value) | Test::AtMost(value) => {
            steps.extend([greater(value, To::Fails), equal(value, To::Holds)]);
        }
        Test::Greater(value) | Test::AtLeast(value) => {
            steps.extend([greater(value, To::Holds), equal(value, To::Fails)]);
        }
        Test::Masked { mask, value } => {
            steps.extend([plain(AND, high(mask)), equal(value, To::Fails)]);
        }
    }
}

fn lower_half(test: Test, offset: u32, steps: &mut Vec<Step>) {
    steps.push(plain(LOAD, offset));
    let (yes, no) = (To::Next, To::Fails);
    match test {
        Test::Equal(value) => steps.push(step(IF_EQUAL, low(value), yes, no)),
        Test::NotEqual(value) => steps.push(step(IF_EQUAL, low(value), no, yes)),
        Test::Less(value) => steps.push(step(IF_AT_LEAST, low(value), no, yes)),
        Test::AtMost(value) => steps.push(step(IF_GREATER, low(value), no, yes)),
        Test::Greater(value) => steps.push(step(IF_GREATER, low(value), yes, no)),
        Test::AtLeast(value) => steps.push(step(IF_AT_LEAST, low(value), yes, no)),
        Test::Masked { mask, value } => {
            steps.extend([plain(AND, low(mask)), step(IF_EQUAL, low(value), yes, no)]);
        }
    }
}

fn step(code: u16, value: u32, yes: To, no: To) -> Step {
    Step {
        code,
        value,
        yes,
        no,
    }
}

/// A step that does not jump.
fn plain(code: u16, value: u32) -> Step {
    step(code, value, To::Next, To::Next)
}

fn high(value: u64) -> u32 {
    u32::try_from(value >> 32).expect("half of it is left")
}

fn low(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).expect("half of it is left")
}

fn give(action: Action) -> sock_filter {
    let value = match action {
        Action::Allow => libc::SECCOMP_RET_ALLOW,
        Action::Log => libc::SECCOMP_RET_LOG,
        Action::Errno(number) => libc::SECCOMP_RET_ERRNO | u32::from(number),
        Action::Trace(word) => libc::SECCOMP_RET_TRACE | u32::from(word),
        Action::Trap => libc::SECCOMP_RET_TRAP,
        Action::KillThread => libc::SECCOMP_RET_KILL_THREAD,
        Action::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
    };
    instruction(RETURN, 0, 0, value)
}

fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests;
