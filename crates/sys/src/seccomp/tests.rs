//! The compiler against two oracles: what the filter says, and what seccompiler makes of
//! the same rules. The programs are interpreted here, call by call.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

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
            // Greater-than, which only the oracle uses.
            0x25 => at += jump(a > k),
            other => panic!("instruction {other:#x} is not known here"),
        }
    }
}

fn sample() -> Filter {
    let rule = |call, otherwise| Rule {
        call,
        conditions: vec![],
        otherwise,
    };
    let eperm = Action::Errno(1);
    let mut rules: Vec<_> = (0..300).step_by(3).map(|call| rule(call, eperm)).collect();
    rules.push(Rule {
        call: 16,
        conditions: vec![(
            Condition {
                argument: 1,
                mask: u32::MAX,
                value: 0x5412,
            },
            eperm,
        )],
        otherwise: Action::Allow,
    });
    Filter {
        rules,
        last_known: 460,
        known: Action::Allow,
        foreign: Action::Errno(38),
    }
}

fn meant(filter: &Filter, call: u32, args: [u64; 6]) -> u32 {
    let action = match filter.rules.iter().find(|rule| rule.call == call) {
        _ if call > filter.last_known => filter.foreign,
        None => filter.known,
        Some(rule) => rule
            .conditions
            .iter()
            .find(|(c, _)| args[c.argument as usize] as u32 & c.mask == c.value)
            .map_or(rule.otherwise, |(_, action)| *action),
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
    let condition = Condition {
        argument: 0,
        mask: 7,
        value: 3,
    };
    for rule in &mut filter.rules {
        rule.conditions = vec![(condition, Action::Errno(5)); 3];
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
        let conditions: Vec<_> = rule.conditions.iter().map(|(c, _)| theirs(c)).collect();
        rules.insert(i64::from(rule.call), conditions);
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

fn theirs(condition: &Condition) -> SeccompRule {
    let operator = SeccompCmpOp::MaskedEq(u64::from(condition.mask));
    let value = u64::from(condition.value);
    let width = SeccompCmpArgLen::Dword;
    let condition = SeccompCondition::new(condition.argument, width, operator, value);
    SeccompRule::new(vec![condition.unwrap()]).unwrap()
}
