//! Which paths of a container are hidden, and which may be read but not written.

use model::container::Isolation;

/// What is hidden: it tells about the machine, or lets one reach into it.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What may be read but not written.
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// The paths of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hidden {
    /// Behind the null device, or an empty directory.
    pub(super) masked: Vec<String>,
    /// Bound onto themselves.
    pub(super) read_only: Vec<String>,
}

impl Hidden {
    pub(crate) fn new(isolation: &Isolation) -> Self {
        let list = |asked: &Option<Vec<String>>, usual: &[&str]| match asked {
            Some(asked) => asked.clone(),
            None if isolation.privileged => Vec::new(),
            None => usual.iter().map(|path| (*path).to_owned()).collect(),
        };
        let shown = |path: &String| isolation.unmask.iter().any(|p| takes(p, path));
        let mut masked = list(&isolation.masked_paths, &MASKED);
        let mut read_only = list(&isolation.read_only_paths, &READ_ONLY);
        masked.retain(|path| !shown(path));
        read_only.retain(|path| !shown(path));
        masked.extend(isolation.mask.iter().cloned());
        Self { masked, read_only }
    }
}

/// Whether a pattern stands for a path or for a directory above it.
fn takes(pattern: &str, path: &str) -> bool {
    if pattern.eq_ignore_ascii_case("all") {
        return true;
    }
    let mut path = path.split('/').filter(|part| !part.is_empty());
    pattern
        .split('/')
        .filter(|part| !part.is_empty())
        .all(|part| path.next().is_some_and(|name| fits(part, name)))
}

/// One component, in which `*` stands for anything.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            name.char_indices()
                .map(|(at, _)| at)
                .chain([name.len()])
                .any(|at| fits(rest, &name[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(change: impl FnOnce(&mut Isolation)) -> Hidden {
        let mut isolation = Isolation::default();
        change(&mut isolation);
        Hidden::new(&isolation)
    }

    #[test]
    fn the_usual_paths_but_for_what_was_asked() {
        let usual = hidden(|_| {});
        assert_eq!((usual.masked.len(), usual.read_only.len()), (12, 5));
        let shown = hidden(|i| i.unmask = vec!["/proc/*".into()]);
        assert_eq!(shown.masked.len(), 2, "{shown:?}");
        assert!(shown.read_only.is_empty());
        let more = hidden(|i| {
            i.unmask = vec!["ALL".into()];
            i.mask = vec!["/etc/secret".into()];
        });
        assert_eq!(more.masked, ["/etc/secret"]);
        let nothing = hidden(|i| i.privileged = true);
        assert!(nothing.masked.is_empty() && nothing.read_only.is_empty());
        let own = hidden(|i| {
            i.privileged = true;
            i.masked_paths = Some(vec!["/proc/keys".into()]);
        });
        assert_eq!(own.masked, ["/proc/keys"]);
    }

    #[test]
    fn patterns_take_what_is_below() {
        assert!(takes("/proc", "/proc/keys") && takes("/proc/k*s", "/proc/keys"));
        assert!(takes("/sys/*/virtual", "/sys/devices/virtual/powercap"));
        assert!(!takes("/proc/key", "/proc/keys") && !takes("/proc/keys/x", "/proc/keys"));
    }
}
