//! The JSON of a profile. Everything that it may say is listed here; anything else is an
//! error with its line, because what a misspelt word was to refuse would be allowed.

use serde::Deserialize;
use sys::caps::Set;
use sys::seccomp::{Action, Test};

use super::super::calls;

/// A profile, read and found sound.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawDocument")]
pub(super) struct Document {
    pub(super) default: Action,
    pub(super) entries: Vec<Entry>,
    /// Whether refusals are logged.
    pub(super) log: bool,
}

/// What some calls are answered.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawEntry")]
pub(super) struct Entry {
    pub(super) names: Vec<String>,
    pub(super) action: Action,
    /// Argument and what must be true of it.
    pub(super) conditions: Vec<(u8, Test)>,
    pub(super) includes: Restriction,
    pub(super) excludes: Restriction,
}

/// Where an entry applies, or does not.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "RawRestriction")]
pub(super) struct Restriction {
    capabilities: Set,
    pub(super) arches: Vec<String>,
    pub(super) kernel: Option<(u32, u32)>,
}

impl Restriction {
    /// The capabilities that it names.
    pub(super) fn any(&self) -> Set {
        self.capabilities
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawDocument {
    default_action: ActionName,
    default_errno_ret: Option<u64>,
    default_errno: Option<ErrnoName>,
    architectures: Option<Vec<Architecture>>,
    arch_map: Option<Vec<RawArchitecture>>,
    flags: Option<Vec<Flag>>,
    listener_path: Option<String>,
    #[serde(rename = "listenerMetadata")]
    _listener_metadata: Option<String>,
    #[serde(rename = "comment")]
    _comment: Option<String>,
    syscalls: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawEntry {
    name: Option<String>,
    names: Option<Vec<String>>,
    action: ActionName,
    errno_ret: Option<u64>,
    errno: Option<ErrnoName>,
    args: Option<Vec<RawCondition>>,
    includes: Option<Restriction>,
    excludes: Option<Restriction>,
    #[serde(rename = "comment")]
    _comment: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawRestriction {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// No part of it decides anything here: the machine's own calls are always filtered, and
/// those of its other conventions always refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawArchitecture {
    #[serde(rename = "architecture")]
    _architecture: Architecture,
    #[serde(rename = "subArchitectures")]
    _others: Option<Vec<Architecture>>,
}

/// As libseccomp calls it.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Architecture;

impl TryFrom<String> for Architecture {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.starts_with("SCMP_ARCH_") {
            true => Ok(Self),
            false => Err(format!(
                "`{text}` is not an architecture (want e.g. SCMP_ARCH_X86_64)"
            )),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, try_from = "RawArgument")]
struct RawCondition(u8, Test);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawArgument {
    index: u64,
    #[serde(default)]
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: Operator,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
enum Flag {
    #[serde(rename = "SECCOMP_FILTER_FLAG_LOG")]
    Log,
    // Containers begin with one thread, so there are none to bring along.
    #[serde(rename = "SECCOMP_FILTER_FLAG_TSYNC")]
    AllThreads,
    // What every kernel since 5.16 does anyway.
    #[serde(rename = "SECCOMP_FILTER_FLAG_SPEC_ALLOW")]
    Speculation,
}

#[derive(Deserialize)]
enum Operator {
    #[serde(rename = "SCMP_CMP_NE")]
    NotEqual,
    #[serde(rename = "SCMP_CMP_LT")]
    Less,
    #[serde(rename = "SCMP_CMP_LE")]
    AtMost,
    #[serde(rename = "SCMP_CMP_EQ")]
    Equal,
    #[serde(rename = "SCMP_CMP_GE")]
    AtLeast,
    #[serde(rename = "SCMP_CMP_GT")]
    Greater,
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    Masked,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
enum ActionName {
    #[serde(rename = "SCMP_ACT_KILL", alias = "SCMP_ACT_KILL_THREAD")]
    KillThread,
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    #[serde(rename = "SCMP_ACT_TRACE")]
    Trace,
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    #[serde(rename = "SCMP_ACT_NOTIFY")]
    Notify,
}

impl ActionName {
    fn action(self, number: Option<u64>, name: Option<ErrnoName>) -> Result<Action, String> {
        let named = name.map(|name| u64::from(name.0));
        if let (Some(number), Some(named)) = (number, named)
            && number != named
        {
            return Err(format!(
                "the error number is {number} and, by its name, {named}"
            ));
        }
        let errno = match number.or(named) {
            Some(number) => Some(errno(number)?),
            None => None,
        };
        let or_eperm = errno.unwrap_or(libc::EPERM.unsigned_abs() as u16);
        let plain = match self {
            Self::Errno => return Ok(Action::Errno(or_eperm)),
            Self::Trace => return Ok(Action::Trace(or_eperm)),
            Self::Notify => {
                return Err(
                    "SCMP_ACT_NOTIFY needs a program that is asked, which containers \
                            here do not have"
                        .into(),
                );
            }
            Self::Allow => Action::Allow,
            Self::Log => Action::Log,
            Self::Trap => Action::Trap,
            Self::KillThread => Action::KillThread,
            Self::KillProcess => Action::KillProcess,
        };
        match errno {
            None => Ok(plain),
            Some(_) => Err("only SCMP_ACT_ERRNO and SCMP_ACT_TRACE take an error number".into()),
        }
    }
}

/// The kernel takes no higher ones.
const MAX_ERRNO: u16 = 4095;

fn errno(number: u64) -> Result<u16, String> {
    u16::try_from(number)
        .ok()
        .filter(|number| *number <= MAX_ERRNO)
        .ok_or_else(|| format!("{number} is not an error number (want at most {MAX_ERRNO})"))
}

/// `EPERM`, as podman's profiles repeat the number.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct ErrnoName(u16);

impl TryFrom<String> for ErrnoName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let known = ERRNOS.iter().find(|(name, _)| *name == text);
        known
            .and_then(|(_, number)| u16::try_from(*number).ok())
            .map(Self)
            .ok_or_else(|| {
                format!("`{text}` is not the name of an error number that is known here")
            })
    }
}

macro_rules! errnos {
    ($($name:ident)*) => {
        &[$((stringify!($name), libc::$name)),*]
    };
}

/// Those that a refusal may sensibly give.
#[rustfmt::skip]
const ERRNOS: &[(&str, i32)] = errnos![
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT
    ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG
    ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY
    ELOOP ENODATA EOVERFLOW EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT
    EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE
    EADDRNOTAVAIL ENETDOWN ENETUNREACH ECONNREFUSED ETIMEDOUT EHOSTUNREACH EDQUOT ECANCELED
];

impl TryFrom<RawDocument> for Document {
    type Error = String;

    fn try_from(raw: RawDocument) -> Result<Self, String> {
        let full = |list: Option<usize>| list.is_some_and(|length| length > 0);
        let archs = raw.architectures.as_ref().map(Vec::len);
        if full(archs) && full(raw.arch_map.as_ref().map(Vec::len)) {
            return Err("`architectures` and `archMap` are both given, want one of them".into());
        }
        if full(raw.listener_path.as_ref().map(String::len)) {
            return Err("`listenerPath` is not supported: nobody here asks a listener".into());
        }
        let default = raw
            .default_action
            .action(raw.default_errno_ret, raw.default_errno)?;
        let entries = raw.syscalls.unwrap_or_default();
        entries
            .iter()
            .try_for_each(|entry| refuses_what_exists(entry, default))?;
        let log = raw.flags.is_some_and(|flags| flags.contains(&Flag::Log));
        Ok(Self {
            default,
            entries,
            log,
        })
    }
}

/// A name that is nowhere known is skipped where that leaves the call refused, as docker
/// does: newer kernels have newer calls. Where it would leave it allowed it is an error.
fn refuses_what_exists(entry: &Entry, default: Action) -> Result<(), String> {
    let lets_through = |action| matches!(action, Action::Allow | Action::Log);
    if lets_through(entry.action) || !lets_through(default) {
        return Ok(());
    }
    match entry
        .names
        .iter()
        .find(|name| !calls::is_known_somewhere(name))
    {
        None => Ok(()),
        Some(name) => Err(format!(
            "`{name}` is not a system call that is known here, so it cannot be refused"
        )),
    }
}

impl TryFrom<RawEntry> for Entry {
    type Error = String;

    fn try_from(raw: RawEntry) -> Result<Self, String> {
        let one = raw.name.filter(|name| !name.is_empty());
        let names = match (one, raw.names.unwrap_or_default()) {
            (Some(_), names) if !names.is_empty() => {
                return Err("`name` and `names` are both given, want one of them".into());
            }
            (Some(name), _) => vec![name],
            (None, names) => names,
        };
        let conditions = raw.args.unwrap_or_default();
        Ok(Self {
            names,
            action: raw.action.action(raw.errno_ret, raw.errno)?,
            conditions: conditions.into_iter().map(|c| (c.0, c.1)).collect(),
            includes: raw.includes.unwrap_or_default(),
            excludes: raw.excludes.unwrap_or_default(),
        })
    }
}

impl TryFrom<RawRestriction> for Restriction {
    type Error = String;

    fn try_from(raw: RawRestriction) -> Result<Self, String> {
        let caps = raw.caps.unwrap_or_default();
        let names = caps.iter().map(String::as_str);
        let capabilities =
            Set::from_names(names).map_err(|name| format!("unknown capability `{name}`"))?;
        let kernel = match raw.min_kernel {
            Some(text) => Some(version(&text)?),
            None => None,
        };
        Ok(Self {
            capabilities,
            arches: raw.arches.unwrap_or_default(),
            kernel,
        })
    }
}

fn version(text: &str) -> Result<(u32, u32), String> {
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|_| digits)
    };
    text.split_once('.')
        .and_then(|(major, minor)| Some((number(major)?, number(minor)?)))
        .ok_or_else(|| format!("`{text}` is not a version of a kernel (want e.g. 4.8)"))
}

impl TryFrom<RawArgument> for RawCondition {
    type Error = String;

    fn try_from(raw: RawArgument) -> Result<Self, String> {
        let index = u8::try_from(raw.index).ok().filter(|index| *index < 6);
        let index = index
            .ok_or_else(|| format!("system calls have no argument {} (want 0 to 5)", raw.index))?;
        let value = raw.value;
        let test = match raw.op {
            Operator::NotEqual => Test::NotEqual(value),
            Operator::Less => Test::Less(value),
            Operator::AtMost => Test::AtMost(value),
            Operator::Equal => Test::Equal(value),
            Operator::AtLeast => Test::AtLeast(value),
            Operator::Greater => Test::Greater(value),
            Operator::Masked if raw.value_two & !value != 0 => {
                return Err(format!(
                    "the mask {value:#x} leaves nothing that could be {:#x}",
                    raw.value_two
                ));
            }
            Operator::Masked => Test::Masked {
                mask: value,
                value: raw.value_two,
            },
        };
        Ok(Self(index, test))
    }
}
