//! A profile of the user's, in docker's JSON format, becomes a filter.
//!
//! What an entry means is what docker and libseccomp make of it: entries whose `includes`
//! or `excludes` do not fit are left out, and so are those that say what the default says;
//! an entry without `args` goes before all with them, and of several without, the first
//! counts; conditions on different arguments must all hold, those on the same one make an
//! entry each. Two things are stricter. 32-bit and x32 programs are refused whatever
//! `archMap` says: their calls have other numbers. And arguments that the kernel takes as
//! `int` are compared by their lower 32 bits, or `socket(AF_VSOCK | 1 << 32)` would pass.

mod read;

use std::collections::BTreeMap;
use std::path::Path;

use model::container::SeccompSource;
use sys::caps::Set;
use sys::seccomp::{
    Action, Case, Condition, Filter, MAX_CONDITIONS, MAX_INSTRUCTIONS, Program, Rule, Test, Width,
};

use self::read::{Document, Entry, Restriction};
use super::{ENOSYS, calls};

/// Text that is read at most; docker's own profile has some 15 KB.
const MAX_TEXT: usize = 1 << 20;

/// A profile that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", place(path, *.position))]
pub struct ProfileError {
    /// The profile.
    pub path: String,
    /// Line and column, from 1; absent where the whole is at fault.
    pub position: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
}

fn place(path: &str, position: Option<(usize, usize)>) -> String {
    match position {
        Some((line, column)) => format!("{path}:{line}:{column}"),
        None => path.to_owned(),
    }
}

impl ProfileError {
    fn whole(path: &Path, message: impl Into<String>) -> Self {
        Self {
            path: path.display().to_string(),
            position: None,
            message: message.into(),
        }
    }

    /// serde_json appends the position to its messages; here it goes before them.
    fn json(source: &SeccompSource, error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let tail = format!(" at line {line} column {column}");
        Self {
            position: (line > 0).then(|| step_back(&source.text, line, column)),
            ..Self::whole(&source.path, text.strip_suffix(&tail).unwrap_or(&text))
        }
    }
}

/// What is wrong with an object as a whole is noticed one token later, which may be lines
/// away: the end of that object is meant.
fn step_back(text: &str, line: usize, column: usize) -> (usize, usize) {
    let here = (line, column);
    let start: usize = text
        .split_inclusive('\n')
        .take(line - 1)
        .map(str::len)
        .sum();
    let Some(before) = text.get(..(start + column).saturating_sub(1)) else {
        return here;
    };
    let next = text.as_bytes().get(before.len());
    let before = before.trim_ascii_end();
    match next {
        Some(b',' | b']' | b'}') if before.ends_with('}') => {
            let of_line = before.rsplit('\n').next().unwrap_or_default();
            (before.matches('\n').count() + 1, of_line.len())
        }
        _ => here,
    }
}

/// What decides which entries apply.
#[derive(Debug, Clone, Copy)]
struct Circumstances {
    capabilities: Set,
    /// Of the running kernel, major and minor.
    kernel: (u32, u32),
}

/// The program of a profile for a process with these capabilities.
pub(super) fn program(source: &SeccompSource, capabilities: Set) -> Result<Program, ProfileError> {
    let here = Circumstances {
        capabilities,
        kernel: kernel(),
    };
    compile(source, here)
}

/// Whether a profile can be used: with the fewest and with the most capabilities.
pub(super) fn check(source: &SeccompSource) -> Result<(), ProfileError> {
    program(source, Set::ALL)?;
    program(source, Set::EMPTY).map(drop)
}

fn compile(source: &SeccompSource, here: Circumstances) -> Result<Program, ProfileError> {
    let filter = filter(source, here)?;
    let program = sys::seccomp::compile(&filter);
    match program.len() {
        0..=MAX_INSTRUCTIONS => Ok(program),
        _ => Err(too_long(&source.path)),
    }
}

fn too_long(path: &Path) -> ProfileError {
    let message = format!("needs more than the {MAX_INSTRUCTIONS} instructions of a filter");
    ProfileError::whole(path, message)
}

fn filter(source: &SeccompSource, here: Circumstances) -> Result<Filter, ProfileError> {
    let path = &source.path;
    if source.text.len() > MAX_TEXT {
        let message = format!("is longer than {MAX_TEXT} bytes");
        return Err(ProfileError::whole(path, message));
    }
    let document: Document =
        serde_json::from_str(&source.text).map_err(|error| ProfileError::json(source, &error))?;
    let mut answers = Answers::default();
    for entry in document.entries.iter().filter(|entry| applies(entry, here)) {
        if entry.action != document.default {
            answers.add(entry);
        }
        if answers.count > MAX_INSTRUCTIONS {
            return Err(too_long(path));
        }
    }
    Ok(Filter {
        rules: answers.rules(document.default),
        last_known: last_known(&document),
        known: document.default,
        newer: newer(document.default),
        foreign: ENOSYS,
        log: document.log,
    })
}

/// The highest number that the profile names, whether or not it applies: its author knew
/// the calls up to there.
fn last_known(document: &Document) -> u32 {
    let names = document.entries.iter().flat_map(|entry| &entry.names);
    names
        .filter_map(|name| calls::number(name))
        .max()
        .unwrap_or_default()
}

/// A call that the author did not know is "not implemented", so that C libraries fall
/// back; unless it is allowed.
fn newer(default: Action) -> Action {
    match default {
        Action::Allow | Action::Log | Action::Trace(_) => default,
        Action::Errno(_) | Action::Trap | Action::KillThread | Action::KillProcess => ENOSYS,
    }
}

fn applies(entry: &Entry, here: Circumstances) -> bool {
    let arch = |wanted: &Restriction| wanted.arches.iter().any(|arch| arch == ARCHITECTURE);
    let (includes, excludes) = (&entry.includes, &entry.excludes);
    let excluded = arch(excludes)
        || here.capabilities.intersection(excludes.any()) != Set::EMPTY
        || excludes.kernel.is_some_and(|least| here.kernel >= least);
    let included = (includes.arches.is_empty() || arch(includes))
        && here.capabilities.contains(includes.any())
        && includes.kernel.is_none_or(|least| here.kernel >= least);
    included && !excluded
}

/// As profiles write it, which is as Go does.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: &str = "amd64";
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: &str = "arm64";

/// What is said of each call.
#[derive(Default)]
struct Answers {
    calls: BTreeMap<u32, Answer>,
    /// Of all cases, so that a hostile file is left in time.
    count: usize,
}

#[derive(Default)]
struct Answer {
    plain: Option<Action>,
    cases: Vec<Case>,
}

impl Answers {
    fn add(&mut self, entry: &Entry) {
        for name in &entry.names {
            // Names of other machines' calls mean nothing here.
            let Some(number) = calls::number(name) else {
                continue;
            };
            let answer = self.calls.entry(number).or_default();
            match entry.conditions.is_empty() {
                true => {
                    answer.plain.get_or_insert(entry.action);
                }
                false => answer.cases.extend(cases(entry, name)),
            }
            self.count += cases_of(entry);
            if self.count > MAX_INSTRUCTIONS {
                return;
            }
        }
    }

    fn rules(self, default: Action) -> Vec<Rule> {
        let rule = |(call, answer): (u32, Answer)| match answer.plain {
            Some(action) => Rule {
                call,
                cases: Vec::new(),
                otherwise: action,
            },
            None => Rule {
                call,
                cases: answer.cases,
                otherwise: default,
            },
        };
        self.calls.into_iter().map(rule).collect()
    }
}

fn cases_of(entry: &Entry) -> usize {
    match repeats(entry) {
        true => entry.conditions.len(),
        false => entry.conditions.len().min(1),
    }
}

/// Whether two conditions are on the same argument, or there are more than arguments.
fn repeats(entry: &Entry) -> bool {
    let mut seen = [false; MAX_CONDITIONS];
    let mut repeated = |condition: &(u8, Test)| {
        let seen = seen.get_mut(usize::from(condition.0));
        seen.is_none_or(|seen| std::mem::replace(seen, true))
    };
    entry.conditions.iter().any(&mut repeated)
}

fn cases(entry: &Entry, name: &str) -> Vec<Case> {
    let conditions = entry.conditions.iter().map(|(argument, test)| Condition {
        argument: *argument,
        width: width(name, *argument, *test),
        test: *test,
    });
    let case = |conditions| Case {
        conditions,
        action: entry.action,
    };
    match repeats(entry) {
        true => conditions.map(|one| case(vec![one])).collect(),
        false => vec![case(conditions.collect())],
    }
}

/// Arguments that the kernel takes as 32 bits, of calls that profiles look into. (Of
/// clone's flags it reads the lower half.)
const NARROW: [(&str, &[u8]); 12] = [
    ("bpf", &[0]),
    ("clone", &[0]),
    ("fcntl", &[0, 1]),
    ("futex", &[1]),
    ("getsockopt", &[0, 1, 2]),
    ("ioctl", &[0, 1]),
    ("keyctl", &[0]),
    ("personality", &[0]),
    ("prctl", &[0]),
    ("setsockopt", &[0, 1, 2]),
    ("socket", &[0, 1, 2]),
    ("socketpair", &[0, 1, 2]),
];

fn width(name: &str, argument: u8, test: Test) -> Width {
    let narrow = |(call, arguments): &(&str, &[u8])| *call == name && arguments.contains(&argument);
    let (Test::Equal(value)
    | Test::NotEqual(value)
    | Test::Less(value)
    | Test::AtMost(value)
    | Test::Greater(value)
    | Test::AtLeast(value)
    | Test::Masked { mask: value, .. }) = test;
    match NARROW.iter().any(narrow) && u32::try_from(value).is_ok() {
        true => Width::Lower,
        false => Width::Whole,
    }
}

/// Of the running kernel; one whose name is no version is taken for an old one.
fn kernel() -> (u32, u32) {
    let name = rustix::system::uname();
    let text = name.release().to_string_lossy();
    let mut numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => (0, 0),
    }
}

#[cfg(test)]
mod tests;
