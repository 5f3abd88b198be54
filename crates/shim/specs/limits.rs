//! Flags about how much of the machine a container may use.

use model::container::{DeviceLimit, Limits, Rlimit};

use crate::error::CliError;

/// Docker's least.
const LEAST_MEMORY: u64 = 6 << 20;

/// Bytes, e.g. `512m`.
pub(crate) fn bytes(flag: &str, text: &str) -> Result<u64, CliError> {
    model::units::parse_size(text)
        .map_err(|_| bad(flag, text).hint("write bytes, e.g. 512m, 1.5g or 4096"))
}

/// Bytes, or -1 for no limit.
pub(crate) fn bytes_or_unlimited(flag: &str, text: &str) -> Result<i64, CliError> {
    match text {
        "-1" => Ok(-1),
        text => bytes(flag, text)?
            .try_into()
            .map_err(|_| bad(flag, text).hint("write bytes, e.g. 1g, or -1 for no limit")),
    }
}

/// `--cpus 1.5`, in thousand-millionths.
pub(crate) fn cpus(text: &str) -> Result<u64, CliError> {
    let wrong =
        || bad("--cpus", text).hint("write a number of processors, e.g. 1.5; the least is 0.01");
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let number: f64 = text.parse().ok().filter(|_| plain).ok_or_else(wrong)?;
    match (0.01..=1e6).contains(&number) {
        true => Ok((number * 1e9).round() as u64),
        false => Err(wrong()),
    }
}

/// A list of processors or memory nodes: `0-2,5`.
pub(crate) fn set(flag: &str, text: &str) -> Result<String, CliError> {
    let number = |text: &str| text.parse::<u16>().ok();
    let range = |part: &str| match part.split_once('-') {
        None => number(part).is_some(),
        Some((first, last)) => {
            matches!((number(first), number(last)), (Some(a), Some(b)) if a <= b)
        }
    };
    match text.split(',').all(range) {
        true => Ok(text.to_owned()),
        false => Err(bad(flag, text).hint("write a list of numbers and ranges, e.g. 0-2,5")),
    }
}

/// `PATH:RATE`; a rate in bytes may have a unit.
pub(crate) fn device_limit(
    flag: &str,
    text: &str,
    in_bytes: bool,
) -> Result<DeviceLimit, CliError> {
    let wrong = || {
        let example = if in_bytes {
            "/dev/sda:10mb"
        } else {
            "/dev/sda:1000"
        };
        bad(flag, text).hint(format!("write DEVICE:NUMBER, e.g. {example}"))
    };
    let (path, value) = text.rsplit_once(':').ok_or_else(wrong)?;
    if !path.starts_with("/dev/") {
        return Err(wrong());
    }
    let value = match in_bytes {
        true => model::units::parse_size(value).ok(),
        false => value.parse().ok(),
    };
    Ok(DeviceLimit {
        path: path.into(),
        value: value.ok_or_else(wrong)?,
    })
}

/// Names that `setrlimit` knows, as docker writes them.
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Reads one `--ulimit NAME=SOFT[:HARD]`.
pub(crate) fn ulimit(text: &str) -> Result<Rlimit, CliError> {
    let wrong = |why: String| {
        CliError::usage(format!("invalid ulimit `{text}`: {why}"))
            .hint("write NAME=SOFT[:HARD], e.g. nofile=1024:4096; -1 is without limit")
    };
    let (name, values) = text
        .split_once('=')
        .ok_or_else(|| wrong("it has no value".into()))?;
    if !ULIMITS.contains(&name) {
        return Err(wrong(format!("`{name}` is none of {}", ULIMITS.join(", "))));
    }
    let number = |text: &str| match text {
        "-1" => Ok(u64::MAX),
        text => text
            .parse::<u64>()
            .map_err(|_| wrong(format!("`{text}` is not a number"))),
    };
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let (soft, hard) = (number(soft)?, number(hard)?);
    match soft <= hard {
        true => Ok(Rlimit {
            name: name.to_owned(),
            soft,
            hard,
        }),
        false => Err(wrong("the soft limit is above the hard one".into())),
    }
}

/// What docker refuses of limits that contradict each other or make no sense.
pub(crate) fn check(limits: &Limits) -> Result<(), CliError> {
    let wrong = |message: &str, hint: &str| Err(CliError::usage(message).hint(hint));
    let within = |value: Option<u64>, low: u64, high: u64| {
        value.is_none_or(|value| value == 0 || (low..=high).contains(&value))
    };
    if limits.memory.is_some_and(|m| m != 0 && m < LEAST_MEMORY) {
        return wrong("--memory is too little for a container", "the least is 6m");
    }
    let memory = limits.memory.unwrap_or(0);
    match limits.memory_swap {
        Some(swap) if swap > 0 && memory == 0 => {
            return wrong(
                "--memory-swap is of no use without --memory",
                "it limits memory and swap together; write both",
            );
        }
        Some(swap) if swap > 0 && (swap as u64) < memory => {
            return wrong(
                "--memory-swap is less than --memory",
                "it limits memory and swap together",
            );
        }
        _ => {}
    }
    if limits
        .memory_reservation
        .is_some_and(|r| memory != 0 && r > memory)
    {
        return wrong(
            "--memory-reservation is more than --memory",
            "a reservation is the softer limit of the two",
        );
    }
    if limits.memory_swappiness.is_some_and(|s| s > 100) {
        return wrong(
            "invalid --memory-swappiness",
            "write a number from 0 to 100",
        );
    }
    if limits.nano_cpus.is_some() && (limits.cpu_quota.is_some() || limits.cpu_period.is_some()) {
        return wrong(
            "--cpus excludes --cpu-quota and --cpu-period",
            "--cpus 1.5 is --cpu-period 100000 --cpu-quota 150000",
        );
    }
    if !within(limits.cpu_period, 1_000, 1_000_000) {
        return wrong(
            "invalid --cpu-period",
            "write microseconds, from 1000 to 1000000",
        );
    }
    if limits.cpu_quota.is_some_and(|q| q > 0 && q < 1_000) {
        return wrong("invalid --cpu-quota", "write microseconds, 1000 or more");
    }
    if !within(limits.blkio_weight.map(u64::from), 10, 1_000)
        || !limits
            .blkio_weight_device
            .iter()
            .all(|device| within(Some(device.value), 10, 1_000))
    {
        return wrong("invalid --blkio-weight", "write a number from 10 to 1000");
    }
    Ok(())
}

fn bad(flag: &str, text: &str) -> CliError {
    CliError::usage(format!("invalid {flag} `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_kinds() {
        assert_eq!(cpus("1.5").unwrap(), 1_500_000_000);
        assert_eq!(cpus("0.01").unwrap(), 10_000_000);
        for text in ["", "0", "-1", "1e3", "nan", "inf", "x"] {
            assert!(cpus(text).is_err(), "{text}");
        }
        assert!(set("f", "0-2,5").is_ok());
        for text in ["", "a", "2-1", "1-", "1,,2", "0 1"] {
            assert!(set("f", text).is_err(), "{text}");
        }
        assert_eq!(bytes_or_unlimited("f", "-1").unwrap(), -1);
        assert!(bytes("f", "-1").is_err() && bytes("f", "lots").is_err());
        let device = device_limit("f", "/dev/sda:1mb", true).unwrap();
        assert_eq!(
            (device.path.to_str(), device.value),
            (Some("/dev/sda"), 1 << 20)
        );
        assert!(device_limit("f", "/dev/sda:1mb", false).is_err());
        assert!(device_limit("f", "sda:1", false).is_err());
    }

    #[test]
    fn ulimits() {
        let read = |text: &str| ulimit(text).map(|u| (u.name, u.soft, u.hard)).ok();
        assert_eq!(read("nofile=1:2"), Some(("nofile".into(), 1, 2)));
        assert_eq!(read("core=-1"), Some(("core".into(), u64::MAX, u64::MAX)));
        for text in [
            "nofile",
            "nofile=",
            "nofile=2:1",
            "nofile=-1:5",
            "magic=1",
            "core=x",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn contradictions() {
        let wrong = |limits: Limits| check(&limits).is_err();
        let none = Limits::default;
        assert!(!wrong(none()));
        assert!(wrong(Limits {
            memory: Some(1 << 20),
            ..none()
        }));
        assert!(wrong(Limits {
            memory_swap: Some(1 << 30),
            ..none()
        }));
        let swap = Limits {
            memory: Some(1 << 30),
            memory_swap: Some(1 << 20),
            ..none()
        };
        assert!(wrong(swap));
        assert!(wrong(Limits {
            nano_cpus: Some(1),
            cpu_period: Some(5000),
            ..none()
        }));
        assert!(wrong(Limits {
            cpu_period: Some(10),
            ..none()
        }));
        assert!(wrong(Limits {
            blkio_weight: Some(5),
            ..none()
        }));
    }
}
