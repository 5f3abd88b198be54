//! What a profile means, call by call, and how its mistakes are told.

use super::*;

/// A profile of ours with one of each thing that the format has.
const SAMPLE: &str = include_str!("sample.json");

fn source(text: &str) -> SeccompSource {
    SeccompSource {
        path: "profile.json".into(),
        text: text.to_owned(),
    }
}

fn here(capabilities: &[&str], kernel: (u32, u32)) -> Circumstances {
    Circumstances {
        capabilities: Set::from_names(capabilities.iter().copied()).unwrap(),
        kernel,
    }
}

fn read(text: &str, here: Circumstances) -> Filter {
    filter(&source(text), here).unwrap()
}

/// What the filter answers, read off its rules; that the compiler keeps to them is shown
/// where it is.
fn answer(filter: &Filter, name: &str, args: [u64; 6]) -> Action {
    let call = calls::number(name).unwrap();
    let holds = |condition: &Condition| {
        let cut = |value: u64| match condition.width {
            Width::Whole => value,
            Width::Lower => value & 0xffff_ffff,
        };
        let a = cut(args[usize::from(condition.argument)]);
        match condition.test {
            Test::Equal(b) => a == b,
            Test::NotEqual(b) => a != b,
            Test::Less(b) => a < b,
            Test::AtMost(b) => a <= b,
            Test::Greater(b) => a > b,
            Test::AtLeast(b) => a >= b,
            Test::Masked { mask, value } => a & mask == value,
        }
    };
    match filter.rules.iter().find(|rule| rule.call == call) {
        None if call > filter.last_known => filter.newer,
        None => filter.known,
        Some(rule) => rule
            .cases
            .iter()
            .find(|case| case.conditions.iter().all(holds))
            .map_or(rule.otherwise, |case| case.action),
    }
}

const REFUSED: Action = Action::Errno(13);

#[test]
fn a_profile_means_what_it_says() {
    let filter = read(SAMPLE, here(&[], (6, 1)));
    for (name, args, meant) in [
        ("read", [0; 6], Action::Allow),
        ("open_tree", [0; 6], REFUSED),
        ("getpid", [0; 6], Action::Log),
        ("socket", [1, 0, 0, 0, 0, 0], Action::Allow),
        ("socket", [40, 0, 0, 0, 0, 0], REFUSED),
        // The kernel opens that one, too.
        ("socket", [0x1_0000_0028, 0, 0, 0, 0, 0], REFUSED),
        ("mprotect", [0, 4096, 3, 0, 0, 0], Action::Allow),
        ("mprotect", [0, 4096, 7, 0, 0, 0], REFUSED),
        ("mprotect", [0, 1 << 32, 3, 0, 0, 0], REFUSED),
        ("personality", [0; 6], Action::Allow),
        ("personality", [u64::MAX, 0, 0, 0, 0, 0], Action::Allow),
        ("personality", [8, 0, 0, 0, 0, 0], REFUSED),
        ("mount", [0; 6], Action::Errno(38)),
        ("ptrace", [0; 6], Action::Allow),
        ("kcmp", [0; 6], REFUSED),
        ("bpf", [0; 6], Action::KillProcess),
        ("acct", [0; 6], REFUSED),
        ("reboot", [0; 6], Action::Trap),
        ("swapon", [0; 6], Action::Trace(7)),
        ("fcntl", [0, 9, 0, 0, 0, 0], Action::Allow),
        // Above the highest that the profile names.
        ("mseal", [0; 6], ENOSYS),
    ] {
        assert_eq!(answer(&filter, name, args), meant, "{name} {args:x?}");
    }
    assert_eq!((filter.foreign, filter.log), (ENOSYS, true));
    assert_eq!(check(&source(SAMPLE)), Ok(()));
}

#[test]
fn includes_and_excludes_look_at_capabilities_and_kernel() {
    let mount =
        |capabilities: &[&str]| answer(&read(SAMPLE, here(capabilities, (6, 1))), "mount", [0; 6]);
    assert_eq!(mount(&["SYS_ADMIN", "CHOWN"]), Action::Allow);
    assert_eq!(
        mount(&["SYS_ADMIN"]),
        REFUSED,
        "all that are included are needed"
    );
    assert_eq!(mount(&["BPF"]), REFUSED, "any that is excluded excludes");
    let old = read(SAMPLE, here(&[], (4, 7)));
    assert_eq!(answer(&old, "ptrace", [0; 6]), REFUSED);
    assert_eq!(answer(&old, "kcmp", [0; 6]), Action::Allow);
}

#[test]
fn what_is_allowed_by_default_stays_so_for_new_calls() {
    let text = r#"{"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["chmod"], "action": "SCMP_ACT_ERRNO"}]}"#;
    let filter = read(text, here(&[], (6, 1)));
    assert_eq!(answer(&filter, "chmod", [0; 6]), Action::Errno(1));
    assert_eq!(answer(&filter, "mseal", [0; 6]), Action::Allow);
    assert_eq!(filter.foreign, ENOSYS, "else 32-bit calls would pass it by");
    let bare = read(r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#, here(&[], (6, 1)));
    assert!(bare.rules.is_empty());
}

/// With a syscall entry in a profile that allows all else.
fn entry(entry: &str) -> String {
    format!("{{\"defaultAction\": \"SCMP_ACT_ALLOW\",\n\"syscalls\": [\n{entry}\n]}}")
}

/// Each text is refused with these words and a place.
fn refused(cases: &[(String, &str)]) {
    for (text, told) in cases {
        let error = check(&source(text)).unwrap_err().to_string();
        let placed = error.starts_with("profile.json:") && !error.contains(" at line");
        assert!(placed && error.contains(told), "{error}\n{text}");
    }
}

#[test]
fn mistakes_of_the_document_are_told_with_their_place() {
    refused(&[
        (String::new(), "profile.json:1:0: EOF"),
        ("{".into(), "profile.json:1:1: EOF"),
        (
            "{}".into(),
            "profile.json:1:2: missing field `defaultAction`",
        ),
        ("[1]".into(), "profile.json:1:"),
        (
            r#"{"defaultAction": "ALLOW"}"#.into(),
            "unknown variant `ALLOW`",
        ),
        (
            "{\"defaultAction\":\n \"SCMP_ACT_ALLOW\",\n \"syscall\": []}".into(),
            "profile.json:3:10: unknown field `syscall`",
        ),
        (
            entry(r#"{"names": ["chomd"], "action": "SCMP_ACT_ERRNO"}"#),
            "`chomd` is not a system call",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["X86"]}"#.into(),
            "`X86` is not an architecture",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"],
               "archMap": [{"architecture": "SCMP_ARCH_X86"}]}"#
                .into(),
            "want one of them",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/x"}"#.into(),
            "`listenerPath` is not supported",
        ),
        (format!("{SAMPLE}x"), "trailing characters"),
    ]);
}

#[test]
fn mistakes_of_an_entry_are_told_with_their_place() {
    let deny = |rest: &str| entry(&format!("{{\"names\": [\"chmod\"], {rest}}}"));
    refused(&[
        (
            deny(r#""action": "SCMP_ACT_NOTIFY""#),
            "profile.json:3:49: SCMP_ACT_NOTIFY",
        ),
        (
            deny(r#""action": "SCMP_ACT_KILL", "errnoRet": 1"#),
            "take an error number",
        ),
        (
            deny(r#""action": "SCMP_ACT_ERRNO", "errnoRet": 4096"#),
            "4096 is not an error number",
        ),
        (
            deny(r#""action": "SCMP_ACT_ERRNO", "errnoRet": -1"#),
            "profile.json:3:",
        ),
        (
            deny(r#""action": "SCMP_ACT_ERRNO", "errno": "ENOSPACE""#),
            "profile.json:3:",
        ),
        (
            deny(r#""action": "SCMP_ACT_ERRNO", "errno": "EIO", "errnoRet": 1"#),
            "is 1 and, by its name, 5",
        ),
        (
            deny(r#""name": "chown", "action": "SCMP_ACT_TRAP""#),
            "`name` and `names`",
        ),
        (
            deny(r#""action": "SCMP_ACT_TRAP", "action": "SCMP_ACT_LOG""#),
            "duplicate field",
        ),
        (
            deny(r#""action": "SCMP_ACT_TRAP", "args": [{"index": 6, "op": "SCMP_CMP_EQ"}]"#),
            "no argument 6",
        ),
        (
            deny(r#""action": "SCMP_ACT_TRAP", "args": [{"index": 0, "op": "EQ"}]"#),
            "unknown variant `EQ`",
        ),
        (
            deny(
                r#""action": "SCMP_ACT_TRAP", "args": [{"index": 0, "value": 4, "valueTwo": 3,
                   "op": "SCMP_CMP_MASKED_EQ"}]"#,
            ),
            "leaves nothing",
        ),
        (
            deny(r#""action": "SCMP_ACT_TRAP", "includes": {"caps": ["CAP_FLY"]}"#),
            "unknown capability `CAP_FLY`",
        ),
        (
            deny(r#""action": "SCMP_ACT_TRAP", "includes": {"minKernel": "4.8.1"}"#),
            "`4.8.1` is not a version",
        ),
    ]);
}

#[test]
fn hostile_profiles_are_left_in_time() {
    let too_long = |text: &str| check(&source(text)).unwrap_err();
    let long = format!("{}{SAMPLE}", " ".repeat(MAX_TEXT));
    assert_eq!(too_long(&long).position, None);
    let deep = "[".repeat(100_000);
    assert!(too_long(&deep).position.is_some());
    let conditions = vec![r#"{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}"#; 9_000].join(",");
    let many =
        format!(r#"{{"names": ["chmod"], "action": "SCMP_ACT_TRAP", "args": [{conditions}]}}"#);
    assert!(
        too_long(&entry(&many))
            .message
            .contains("4096 instructions")
    );
    let conditions = vec![r#"{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}"#; 2_000].join(",");
    let fewer =
        format!(r#"{{"names": ["chmod"], "action": "SCMP_ACT_TRAP", "args": [{conditions}]}}"#);
    assert!(
        too_long(&entry(&fewer))
            .message
            .contains("4096 instructions")
    );
}

#[test]
fn every_listed_call_has_one_number_of_its_own() {
    let filter = super::super::filter(Set::EMPTY);
    for (name, number) in [("read", libc::SYS_read), ("openat2", libc::SYS_openat2)] {
        assert_eq!(calls::number(name), u32::try_from(number).ok(), "{name}");
    }
    assert!(calls::number("futex_requeue").unwrap() <= filter.last_known);
    assert_eq!(calls::number("socketcall"), None);
    assert!(calls::is_known_somewhere("socketcall") && !calls::is_known_somewhere("chomd"));
    let mut numbers: Vec<_> = calls::names().filter_map(calls::number).collect();
    let all = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), all);
}
