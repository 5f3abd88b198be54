//! What a process may use by itself, whatever its cgroup says: `setrlimit` and the kernel's
//! choice when memory runs out.

use model::container::{ProcessPlan, Rlimit};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::Resource;

/// Docker's names, and the kernel's.
const NAMES: [(&str, Resource); 15] = [
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

/// Sets them for the calling process, which still has the privileges and the `/proc` of who
/// prepares it.
pub(crate) fn apply(process: &ProcessPlan) -> sys::Result<()> {
    if let Some(score) = process.oom_score_adj {
        write("/proc/self/oom_score_adj", &score.to_string())?;
    }
    process.rlimits.iter().try_for_each(set)
}

fn set(limit: &Rlimit) -> sys::Result<()> {
    let shown = format!("the limit {}={}:{}", limit.name, limit.soft, limit.hard);
    let known = NAMES.iter().find(|(name, _)| *name == limit.name);
    let Some((_, resource)) = known else {
        return Err(sys::Error::new("set", shown, rustix::io::Errno::INVAL));
    };
    let bound = |value| (value != u64::MAX).then_some(value);
    let new = rustix::process::Rlimit {
        current: bound(limit.soft),
        maximum: bound(limit.hard),
    };
    rustix::process::setrlimit(*resource, new).map_err(|errno| sys::Error::new("set", shown, errno))
}

/// Has the next program that the calling process executes run under an AppArmor profile
/// (kernel: Documentation/admin-guide/LSM/apparmor.rst).
pub(crate) fn apparmor_at_exec(profile: &str) -> sys::Result<()> {
    write("/proc/self/attr/apparmor/exec", &format!("exec {profile}"))
}

fn write(path: &str, text: &str) -> sys::Result<()> {
    let fail = |errno| sys::Error::new("write", path, errno);
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(fail)?;
    rustix::io::write(&file, text.as_bytes()).map_err(fail)?;
    Ok(())
}
