//! The compiler against two oracles: what the filter says, and what seccompiler makes of
//! the same rules. The programs are interpreted here, call by call.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

const EPERM: Action = Action::Errno(1);
const ENOSYS: Action = Action::Errno(38);

use super::*;

/// Runs a classic BPF program on one call.
fn run(
    program: impl Iterator<Item = (u16, u8, u8, u32)>,
    arch: u32,
    call: u32,
    args: [u64; 6],
) -> u32 {
    let code: Vec<_> = program.collect();
    let word = |offset: u32| match offset {
        NUMBER => call,
        ARCH => arch,
        other => {
            let argument = args[(other as usize - ARGUMENTS as usize) / 8];
            if other % 8 == 0 {
                argument as u32
            } else {
                (argument >> 32) as u32
            }
        }
    };
    let (mut at, mut a) = (0, 0u32);
    loop {
        let (op, jt, jf, k) = code[at];
        at += 1;
        let jump = |yes: bool| if yes { jt as usize } else { jf as usize };
        match op {
            LOAD => a = word(k),
            AND => a &= k,
            JUMP => at += k as usize,
            IF_EQUAL => at += jump(a == k),
            IF_AT_LEAST => at += jump(a >= k),
            RETURN => return k,
            IF_GREATER => at += jump(a > k),
            other => panic!("instruction {other:#x} is not known here"),
        }
    }
}

fn rule(call: u32, cases: Vec<Case>, otherwise: Action) -> Rule {
    Rule {
        call,
        cases,
        otherwise,
    }
}

fn lower(argument: u8, test: Test) -> Condition {
    Condition {
        argument,
        width: Width::Lower,
        test,
    }
}

fn sample() -> Filter {
    let mut rules: Vec<_> = (0..300)
        .step_by(3)
        .map(|call| rule(call, vec![], EPERM))
        .collect();
    let types = Case {
        conditions: vec![lower(1, Test::Equal(0x5412))],
        action: EPERM,
    };
    rules.push(rule(16, vec![types], Action::Allow));
    Filter {
        rules,
        last_known: 460,
        known: Action::Allow,
        newer: ENOSYS,
        foreign: ENOSYS,
        log: false,
    }
}

fn holds(condition: &Condition, args: [u64; 6]) -> bool {
    let whole = args[condition.argument as usize];
    let cut = |value: u64| match condition.width {
        Width::Whole => value,
        Width::Lower => value & 0xffff_ffff,
    };
    let a = cut(whole);
    match condition.test {
        Test::Equal(b) => a == cut(b),
        Test::NotEqual(b) => a != cut(b),
        Test::Less(b) => a < cut(b),
        Test::AtMost(b) => a <= cut(b),
        Test::Greater(b) => a > cut(b),
        Test::AtLeast(b) => a >= cut(b),
        Test::Masked { mask, value } => a & cut(mask) == cut(value),
    }
}

fn meant(filter: &Filter, call: u32, args: [u64; 6]) -> u32 {
    let action = match filter.rules.iter().find(|rule| rule.call == call) {
        _ if call >= X32 => filter.foreign,
        Some(rule) => rule
            .cases
            .iter()
            .find(|case| case.conditions.iter().all(|c| holds(c, args)))
            .map_or(rule.otherwise, |case| case.action),
        None if call > filter.last_known => filter.newer,
        None => filter.known,
    };
    give(action).k
}

#[test]
fn every_call_gets_what_the_filter_says() {
    let filter = sample();
    let program = compile(&filter);
    let numbers = (0..1000).chain([0x4000_0000, 0x4000_0010, u32::MAX]);
    for call in numbers {
        for argument in [0, 0x5412, 0x1_0000_5412, u64::MAX] {
            let args = [0, argument, 0, 0, 0, 0];
            let got = run(program.instructions(), ARCHITECTURE, call, args);
            assert_eq!(
                got,
                meant(&filter, call, args),
                "call {call} with {argument:#x}"
            );
        }
    }
}

#[test]
fn calls_of_another_architecture_are_foreign() {
    let program = compile(&sample());
    let i386 = 0x4000_0003;
    assert_eq!(
        run(program.instructions(), i386, 1, [0; 6]),
        give(Action::Errno(38)).k
    );
}

#[test]
fn long_programs_jump_far() {
    let mut filter = sample();
    for rule in &mut filter.rules {
        let case = Case {
            conditions: vec![lower(0, Test::Masked { mask: 7, value: 3 })],
            action: Action::Errno(5),
        };
        rule.cases = vec![case; 3];
    }
    let program = compile(&filter);
    assert!(program.len() > 1000);
    for call in 0..500 {
        for argument in [0, 3, 11] {
            let args = [argument, 0, 0, 0, 0, 0];
            let got = run(program.instructions(), ARCHITECTURE, call, args);
            assert_eq!(
                got,
                meant(&filter, call, args),
                "call {call} with {argument}"
            );
        }
    }
}

/// Numbers around every border of the halves.
const NUMBERS: [u64; 12] = [
    0,
    1,
    0x27,
    0x28,
    0x29,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0028,
    0x1_0000_0029,
    0x2_0000_0027,
    0xffff_ffff_0000_0028,
    u64::MAX,
];

fn tests_of(value: u64) -> [Test; 7] {
    [
        Test::Equal(value),
        Test::NotEqual(value),
        Test::Less(value),
        Test::AtMost(value),
        Test::Greater(value),
        Test::AtLeast(value),
        Test::Masked {
            mask: value | 0x7,
            value: value & 0xffff_ffff_0000_00f8,
        },
    ]
}

/// Each comparison in both widths, for every pair of numbers, alone and as the second of
/// two conditions; and what seccompiler makes of the same.
#[test]
fn comparisons_mean_what_they_say() {
    for width in [Width::Lower, Width::Whole] {
        for test in NUMBERS.into_iter().flat_map(tests_of) {
            let condition = Condition {
                argument: 2,
                width,
                test,
            };
            let first = Condition {
                argument: 0,
                width: Width::Whole,
                test: Test::AtMost(7),
            };
            let one = |conditions: Vec<Condition>| Case {
                conditions,
                action: EPERM,
            };
            let mut filter = sample();
            filter.rules = vec![
                rule(1, vec![one(vec![condition])], Action::Allow),
                rule(2, vec![one(vec![first, condition])], Action::Allow),
            ];
            let program = compile(&filter);
            let oracle = oracle(&filter);
            for (call, a) in [(1, 9), (2, 9), (2, 7)] {
                for b in NUMBERS {
                    let args = [a, 0, b, 0, 0, 0];
                    let got = run(program.instructions(), ARCHITECTURE, call, args);
                    let said = format!("{test:?} {width:?} of call {call} with {a}, {b:#x}");
                    assert_eq!(got, meant(&filter, call, args), "{said}");
                    let theirs = oracle.iter().map(|i| (i.code, i.jt, i.jf, i.k));
                    assert_eq!(got, run(theirs, ARCHITECTURE, call, args), "{said}");
                }
            }
        }
    }
}

#[test]
fn the_first_case_that_holds_decides() {
    let case = |value, action| Case {
        conditions: vec![lower(0, Test::AtLeast(value))],
        action,
    };
    let mut filter = sample();
    let cases = vec![
        case(10, Action::KillProcess),
        case(5, Action::Log),
        case(3, Action::Trap),
    ];
    filter.rules = vec![rule(7, cases, Action::Trace(9))];
    let program = compile(&filter);
    for argument in 0..12 {
        let args = [argument, 0, 0, 0, 0, 0];
        let got = run(program.instructions(), ARCHITECTURE, 7, args);
        assert_eq!(got, meant(&filter, 7, args), "{argument}");
    }
}

#[test]
fn seccompiler_agrees() {
    let filter = sample();
    let oracle = oracle(&filter);
    let program = compile(&filter);
    for call in 0..=filter.last_known {
        for argument in [0, 0x5412] {
            let args = [0, argument, 0, 0, 0, 0];
            let theirs = oracle.iter().map(|i| (i.code, i.jt, i.jf, i.k));
            assert_eq!(
                run(program.instructions(), ARCHITECTURE, call, args),
                run(theirs, ARCHITECTURE, call, args),
                "call {call} with {argument:#x}"
            );
        }
    }
}

/// The same filter by seccompiler, which knows one action for matches: the refusals.
fn oracle(filter: &Filter) -> BpfProgram {
    let mut rules = BTreeMap::new();
    for rule in &filter.rules {
        let cases: Vec<_> = rule.cases.iter().map(theirs).collect();
        rules.insert(i64::from(rule.call), cases);
    }
    SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(1),
        TargetArch::x86_64,
    )
    .unwrap()
    .try_into()
    .unwrap()
}

fn theirs(case: &Case) -> SeccompRule {
    let condition = |condition: &Condition| {
        let width = match condition.width {
            Width::Lower => SeccompCmpArgLen::Dword,
            Width::Whole => SeccompCmpArgLen::Qword,
        };
        let (operator, value) = match condition.test {
            Test::Equal(value) => (SeccompCmpOp::Eq, value),
            Test::NotEqual(value) => (SeccompCmpOp::Ne, value),
            Test::Less(value) => (SeccompCmpOp::Lt, value),
            Test::AtMost(value) => (SeccompCmpOp::Le, value),
            Test::Greater(value) => (SeccompCmpOp::Gt, value),
            Test::AtLeast(value) => (SeccompCmpOp::Ge, value),
            Test::Masked { mask, value } => (SeccompCmpOp::MaskedEq(mask), value),
        };
        SeccompCondition::new(condition.argument, width, operator, value).unwrap()
    };
    SeccompRule::new(case.conditions.iter().map(condition).collect()).unwrap()
}
