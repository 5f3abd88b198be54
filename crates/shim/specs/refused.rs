//! Docker's flags that are known and not supported: each is refused by its name, and why.
//! The only place that lists them.

/// Why a whole family is refused.
const V1_ONLY: &str = "kernels have it no more";
const WINDOWS: &str = "it is a matter of Windows";
const LINKS: &str = "containers of one network find each other by name";

/// Flags of `run` and `create`: the flag, why it is refused, and what to do instead.
const RUN: [(&str, &str, &str); 34] = [
    (
        "--cgroup-parent",
        "containers have a place of their own",
        "leave it out",
    ),
    ("--cpu-count", WINDOWS, "use `--cpus`"),
    ("--cpu-percent", WINDOWS, "use `--cpus`"),
    ("--cpu-rt-period", V1_ONLY, "use `--cpu-period`"),
    ("--cpu-rt-runtime", V1_ONLY, "use `--cpu-quota`"),
    ("--credentialspec", WINDOWS, "leave it out"),
    (
        "--disable-content-trust",
        "images are verified by their digests alone",
        "leave it out",
    ),
    (
        "--io-maxbandwidth",
        WINDOWS,
        "use `--device-read-bps` and `--device-write-bps`",
    ),
    (
        "--io-maxiops",
        WINDOWS,
        "use `--device-read-iops` and `--device-write-iops`",
    ),
    (
        "--ip6",
        "there is no IPv6 inside containers yet",
        "use `--ip`",
    ),
    ("--isolation", WINDOWS, "leave it out"),
    ("--kernel-memory", V1_ONLY, "use `--memory`"),
    (
        "--link",
        LINKS,
        "make a network with `shim network create`, and join it with `--network`",
    ),
    (
        "--link-local-ip",
        "addresses come from the network's subnet",
        "use `--ip`",
    ),
    ("--runtime", "shim is its own runtime", "leave it out"),
    (
        "--storage-opt",
        "the store has no quotas",
        "limit volumes and tmpfs instead",
    ),
    (
        "--use-api-socket",
        "there is no daemon, and no API",
        "leave it out",
    ),
    (
        "--volume-driver",
        "volumes are local",
        "leave it out, or mount a host path",
    ),
    (
        "--cgroups",
        "every container has its cgroup",
        "leave it out",
    ),
    ("--conmon-pidfile", "there is no conmon", "use `--pidfile`"),
    (
        "--gidmap",
        "mappings are not written by hand",
        "use `--userns keep-id`",
    ),
    (
        "--uidmap",
        "mappings are not written by hand",
        "use `--userns keep-id`",
    ),
    (
        "--subuidname",
        "mappings are not written by hand",
        "use `--userns`",
    ),
    (
        "--subgidname",
        "mappings are not written by hand",
        "use `--userns`",
    ),
    ("--init-path", "the init is shim itself", "use `--init`"),
    (
        "--pod",
        "there are no pods",
        "use `--network container:NAME`",
    ),
    (
        "--replace",
        "a container is not replaced unasked",
        "use `shim rm -f NAME` first",
    ),
    (
        "--rootfs",
        "containers are made from images",
        "use `shim import`",
    ),
    (
        "--sdnotify",
        "there is no systemd to notify",
        "leave it out",
    ),
    (
        "--secret",
        "there is no store of secrets",
        "mount a file with `-v FILE:/run/secrets/NAME:ro`",
    ),
    (
        "--systemd",
        "no container is set up for systemd",
        "leave it out",
    ),
    (
        "--timeout",
        "containers have no time limit",
        "use `timeout` inside",
    ),
    ("--tz", "time zones are the image's", "use `-e TZ=ZONE`"),
    ("--umask", "the mask is the program's", "set it inside"),
];

/// Flags of `start`.
const START: [(&str, &str, &str); 2] = [
    (
        "--checkpoint",
        "containers cannot be frozen to disk",
        "leave it out",
    ),
    (
        "--checkpoint-dir",
        "containers cannot be frozen to disk",
        "leave it out",
    ),
];

/// Why a flag of this command is refused and what to do instead, if it is a known one.
pub(crate) fn refused(command: &str, flag: &str) -> Option<(&'static str, &'static str)> {
    let table: &[_] = match command {
        "run" | "create" => &RUN,
        "start" => &START,
        _ => return None,
    };
    let name = flag.split('=').next().unwrap_or(flag);
    let (_, why, instead) = table.iter().find(|(known, ..)| *known == name)?;
    Some((why, instead))
}
