//! From what was seen to what it means. Pure.

use sys::probe::Reach;

use super::{Facts, Finding, Severity};

/// The least that an image of a usual size needs.
const LOW_BYTES: u64 = 1 << 30;
const LOW_FILES: u64 = 20_000;

/// A range shorter than this lacks ids that images use: `nobody` is 65534.
const USUAL_RANGE: u32 = 65_536;

/// Before that this program did not exist.
const FIRST_YEAR: i16 = 2025;

/// Judges everything, in the order in which it matters.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![
        kernel(facts),
        namespaces(facts),
        overlay(facts),
        filters(facts),
    ];
    if facts.uid != 0 {
        findings.extend([ids(facts), mappers(facts)]);
    }
    findings.extend([
        limits(facts),
        runtime(facts),
        store(facts),
        ports(facts),
        certificates(facts),
        names(facts),
        clock(facts),
    ]);
    if facts.uid != 0 {
        findings.extend(linger(facts));
    }
    findings
}

fn fine(check: &'static str, finding: impl Into<String>) -> Finding {
    Finding {
        check,
        severity: Severity::Fine,
        finding: finding.into(),
        consequence: None,
        remedy: None,
    }
}

fn bad(
    check: &'static str,
    severity: Severity,
    finding: impl Into<String>,
    consequence: &str,
    remedy: Option<String>,
) -> Finding {
    Finding {
        check,
        severity,
        finding: finding.into(),
        consequence: Some(consequence.to_owned()),
        remedy,
    }
}

fn kernel(facts: &Facts) -> Finding {
    const CHECK: &str = "kernel";
    let release = &facts.kernel;
    if facts.missing_calls.is_empty() {
        return fine(
            CHECK,
            format!("Linux {release} has every call that is needed"),
        );
    }
    let missing = facts.missing_calls.join(", ");
    if facts.confined {
        // Its filter answers so for calls that containers are not to make.
        return fine(
            CHECK,
            format!("Linux {release}; this container has no {missing}"),
        );
    }
    bad(
        CHECK,
        Severity::Fatal,
        format!("Linux {release} lacks {missing}"),
        "containers cannot be started; Linux 5.12 and later have them all",
        None,
    )
}

fn namespaces(facts: &Facts) -> Finding {
    const CHECK: &str = "namespaces";
    let Reach::Nothing(why) = &facts.namespaces.reach else {
        return fine(CHECK, "they can be made");
    };
    if facts.confined {
        return bad(
            CHECK,
            Severity::Degraded,
            format!("this container's root may not make any ({why})"),
            "images can be built, by a change of root on copies of the layers, pulled and \
             pushed, but no container can run",
            None,
        );
    }
    let finding = format!("they are refused ({why})");
    let sysctl = |name: &str, value: u64| Some(format!("sysctl -w {name}={value}"));
    let switches = &facts.namespaces;
    let remedy = if switches.allowed == Some(false) {
        sysctl("kernel.unprivileged_userns_clone", 1)
    } else if switches.most == Some(0) {
        sysctl("user.max_user_namespaces", 15_000)
    } else if switches.apparmor == Some(true) {
        sysctl("kernel.apparmor_restrict_unprivileged_userns", 0)
    } else {
        None
    };
    let consequence = match remedy {
        Some(_) => "no container can run, no image be built or pulled",
        None => {
            "no container can run, no image be built or pulled; a sandbox or container \
             around this shell may be what refuses them"
        }
    };
    bad(CHECK, Severity::Fatal, finding, consequence, remedy)
}

fn overlay(facts: &Facts) -> Finding {
    const CHECK: &str = "overlay";
    match &facts.namespaces.reach {
        Reach::Overlay => fine(
            CHECK,
            format!("layers can be mounted on {}", facts.store_kind),
        ),
        Reach::Namespace(why) => bad(
            CHECK,
            Severity::Fatal,
            format!("layers cannot be mounted on {}: {why}", facts.store_kind),
            "no container can run; the store must lie on a file system that overlay takes, \
             such as ext4, xfs, btrfs or tmpfs",
            Some("export SHIM_ROOT=/path/on/such/a/file/system".to_owned()),
        ),
        Reach::Nothing(_) => bad(
            CHECK,
            match facts.confined {
                true => Severity::Degraded,
                false => Severity::Fatal,
            },
            "layers cannot be mounted without namespaces",
            "see there",
            None,
        ),
    }
}

fn filters(facts: &Facts) -> Finding {
    const CHECK: &str = "system call filters";
    match facts.filters {
        true => fine(CHECK, "the kernel has them"),
        false => bad(
            CHECK,
            Severity::Fatal,
            "the kernel has none (CONFIG_SECCOMP_FILTER)",
            "containers are not started without their filter, unless each is asked to go \
             without by --security-opt seccomp=unconfined",
            None,
        ),
    }
}

fn ids(facts: &Facts) -> Finding {
    const CHECK: &str = "subordinate ids";
    let (user, free) = (&facts.user, facts.free_ids);
    let range = format!("{free}-{}", free.saturating_add(USUAL_RANGE - 1));
    let flags = match (facts.subuid, facts.subgid) {
        (Some((_, users)), Some((_, groups))) => {
            let count = users.min(groups);
            if count >= USUAL_RANGE {
                return fine(CHECK, format!("{user} has {count}"));
            }
            return bad(
                CHECK,
                Severity::Degraded,
                format!("{user} has {count} only"),
                "images with files of higher ids cannot be unpacked",
                Some(format!(
                    "usermod --add-subuids {range} --add-subgids {range} {user}"
                )),
            );
        }
        (Some(_), None) => format!("--add-subgids {range}"),
        (None, Some(_)) => format!("--add-subuids {range}"),
        (None, None) => format!("--add-subuids {range} --add-subgids {range}"),
    };
    let file = match facts.subuid {
        None => "/etc/subuid",
        Some(_) => "/etc/subgid",
    };
    bad(
        CHECK,
        Severity::Degraded,
        format!("{user} has no range in {file}"),
        "every file belongs to you, in containers too; changes of owner and user inside are \
         only pretended",
        Some(format!("usermod {flags} {user}")),
    )
}

fn mappers(facts: &Facts) -> Finding {
    const CHECK: &str = "newuidmap and newgidmap";
    let unmapped = "subordinate ids cannot be used: every file belongs to you, in containers too";
    for mapper in &facts.mappers {
        let Some(path) = &mapper.path else {
            return bad(
                CHECK,
                Severity::Degraded,
                format!("{} is not installed", mapper.name),
                unmapped,
                Some("apt-get install uidmap".to_owned()),
            );
        };
        if !mapper.privileged {
            return bad(
                CHECK,
                Severity::Fatal,
                format!(
                    "{} is neither setuid root nor has its capability",
                    path.display()
                ),
                "subordinate ids cannot be mapped, and containers not be started",
                Some(format!("chmod u+s {}", path.display())),
            );
        }
    }
    fine(CHECK, "both are installed, with what they need")
}

fn limits(facts: &Facts) -> Finding {
    const CHECK: &str = "limits";
    let kind = &facts.cgroups;
    let Some((_, cause, remedy)) = facts.limits.first() else {
        return fine(CHECK, format!("control groups, {kind}, enforce them"));
    };
    let flags: Vec<&str> = facts.limits.iter().map(|(flag, _, _)| *flag).collect();
    let unlimited = flags.contains(&"--pids-limit");
    let consequence = match unlimited {
        true => {
            "a run with these flags is refused, a compose file's keys are warned about, and \
             containers have no limit of processes"
        }
        false => "a run with these flags is refused, a compose file's keys are warned about",
    };
    bad(
        CHECK,
        Severity::Degraded,
        format!(
            "control groups, {kind}, do not enforce {}: {cause}",
            flags.join(", ")
        ),
        consequence,
        Some(remedy.clone()),
    )
}

fn runtime(facts: &Facts) -> Finding {
    const CHECK: &str = "runtime directory";
    let path = facts.runtime.display();
    if facts.runtime_in_memory || facts.uid == 0 {
        return fine(CHECK, path.to_string());
    }
    let remedy = (!facts.runtime_of_session && facts.lingers.is_some())
        .then(|| format!("loginctl enable-linger {}", facts.user));
    bad(
        CHECK,
        Severity::Degraded,
        format!("{path} is not in memory, for XDG_RUNTIME_DIR names no directory that is"),
        "what a restart of the machine leaves there is recognised and swept, but costs disk \
         writes",
        remedy,
    )
}

fn store(facts: &Facts) -> Finding {
    const CHECK: &str = "store";
    let path = facts.store.display();
    let Some(space) = facts.space else {
        return bad(
            CHECK,
            Severity::Fatal,
            format!("{path} cannot be made or looked at"),
            "there is nowhere to keep images and containers",
            Some(format!("mkdir -p {path}")),
        );
    };
    let full = "pulls and builds will not get far";
    let prune = || Some("shim system prune -f".to_owned());
    if space.bytes < LOW_BYTES {
        let left = space.bytes >> 20;
        let finding = format!("{path} has {left} MiB left");
        return bad(CHECK, Severity::Degraded, finding, full, prune());
    }
    match space.files {
        Some(files) if files < LOW_FILES => {
            let finding = format!("{path} has room for {files} more files");
            bad(CHECK, Severity::Degraded, finding, full, prune())
        }
        _ => fine(CHECK, format!("{path} has {} GiB left", space.bytes >> 30)),
    }
}

fn ports(facts: &Facts) -> Finding {
    const CHECK: &str = "ports";
    let first = facts.first_port;
    if facts.uid == 0 || first <= 80 {
        return fine(CHECK, "ports of the web can be published");
    }
    // Not being root has this one consequence on every machine; nothing is wrong.
    Finding {
        consequence: Some(format!("ports below {first} cannot be published")),
        remedy: Some("sysctl -w net.ipv4.ip_unprivileged_port_start=80".to_owned()),
        ..fine(CHECK, format!("plain users may listen from {first} on"))
    }
}

fn certificates(facts: &Facts) -> Finding {
    const CHECK: &str = "certificates";
    match facts.certificates.first() {
        Some(path) => fine(CHECK, format!("{} is there", path.display())),
        None => bad(
            CHECK,
            Severity::Degraded,
            "no file of trusted certificates is there",
            "registries cannot be reached over https",
            Some("apt-get install ca-certificates".to_owned()),
        ),
    }
}

fn names(facts: &Facts) -> Finding {
    const CHECK: &str = "resolver";
    match facts.name_servers.is_empty() {
        false => fine(CHECK, format!("asks {}", facts.name_servers.join(", "))),
        true => bad(
            CHECK,
            Severity::Degraded,
            "/etc/resolv.conf names no server",
            "neither registries nor anything outside is found by name",
            Some("echo nameserver 9.9.9.9 >> /etc/resolv.conf".to_owned()),
        ),
    }
}

fn clock(facts: &Facts) -> Finding {
    const CHECK: &str = "clock";
    if facts.year < FIRST_YEAR {
        return bad(
            CHECK,
            Severity::Degraded,
            format!("it shows the year {}", facts.year),
            "certificates of registries are not valid yet by it",
            Some("timedatectl set-ntp true".to_owned()),
        );
    }
    match facts.clock_kept {
        Some(false) => Finding {
            remedy: Some("timedatectl set-ntp true".to_owned()),
            ..fine(CHECK, "nobody keeps it in step")
        },
        _ => fine(CHECK, format!("it shows the year {}", facts.year)),
    }
}

/// Only where there is a manager of sessions.
fn linger(facts: &Facts) -> Option<Finding> {
    const CHECK: &str = "after logout";
    Some(match facts.lingers? {
        true => fine(CHECK, "containers go on, and start at boot if asked to"),
        false => Finding {
            consequence: Some(
                "containers end with the last session, and do not start at boot".into(),
            ),
            remedy: Some(format!("loginctl enable-linger {}", facts.user)),
            ..fine(CHECK, "the user's processes end with the session")
        },
    })
}

#[cfg(test)]
mod tests;
