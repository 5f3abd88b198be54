//! Durations as Go writes them (`1m30s`) and sizes as docker writes them (`1.5gb`).

use std::time::Duration;

/// A text that is neither a duration nor a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not Go's `time.ParseDuration` syntax.
    #[error("`{0}` is not a duration (want e.g. 90s, 1m30s, 500ms)")]
    Duration(String),
    /// Not docker's size syntax.
    #[error("`{0}` is not a size (want e.g. 512m, 1.5gb, 4096)")]
    Size(String),
}

/// Reads a Go duration: decimal numbers with units `ns us µs ms s m h`, or `0`.
/// Compose adds `d` and `w`. Negative ones are refused.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let bad = || UnitError::Duration(text.to_owned());
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return Err(bad());
    }
    let mut nanos = 0f64;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(bad)?;
        let number: f64 = rest[..end].parse().map_err(|_| bad())?;
        rest = &rest[end..];
        let end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        nanos += number * nanos_of(&rest[..end]).ok_or_else(bad)?;
        rest = &rest[end..];
    }
    // i64 nanoseconds are Go's own limit, some 292 years.
    if !nanos.is_finite() || nanos > i64::MAX as f64 {
        return Err(bad());
    }
    Ok(Duration::from_nanos(nanos.round() as u64))
}

fn nanos_of(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        "d" => 86_400e9,
        "w" => 604_800e9,
        _ => return None,
    })
}

/// Writes a duration as Go does, e.g. `1m30s`, `500ms`, `0s`.
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let trimmed = |value: f64| {
        let text = format!("{value:.9}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match nanos {
        0 => "0s".into(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{}µs", trimmed(nanos as f64 / 1e3)),
        1_000_000..1_000_000_000 => format!("{}ms", trimmed(nanos as f64 / 1e6)),
        _ => {
            let (hours, minutes) = (duration.as_secs() / 3600, duration.as_secs() / 60 % 60);
            let seconds = trimmed((nanos % 60_000_000_000) as f64 / 1e9);
            match (hours, minutes) {
                (0, 0) => format!("{seconds}s"),
                (0, m) => format!("{m}m{seconds}s"),
                (h, m) => format!("{h}h{m}m{seconds}s"),
            }
        }
    }
}

/// Reads a size in bytes: a number and an optional unit `b k kb m mb g gb t tb`
/// (powers of 1024, also written `kib` and so on), any case.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let bad = || UnitError::Size(text.to_owned());
    let lower = text.trim().to_ascii_lowercase();
    let end = lower
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(lower.len());
    let number: f64 = lower[..end].parse().map_err(|_| bad())?;
    let power = match lower[end..].trim_start() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        _ => return Err(bad()),
    };
    let bytes = number * 1024f64.powi(power);
    if bytes > u64::MAX as f64 {
        Err(bad())
    } else {
        Ok(bytes as u64)
    }
}

/// Writes a size as docker's tables do: four digits, powers of 1000, e.g. `97.5MB`.
pub fn format_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit < UNITS.len() - 1 {
        value /= 1000.0;
        unit += 1;
    }
    // Go's %.3g
    let digits = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    };
    format!("{text}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_trip() {
        for (text, nanos) in [
            ("1m30s", 90_000_000_000u64),
            ("500ms", 500_000_000),
            ("1.5s", 1_500_000_000),
            ("1h0m0s", 3_600_000_000_000),
            ("0s", 0),
        ] {
            assert_eq!(
                parse_duration(text).unwrap().as_nanos() as u64,
                nanos,
                "{text}"
            );
            assert_eq!(format_duration(Duration::from_nanos(nanos)), text);
        }
        for bad in ["", "5", "-1s", "1x", "s", "1..2s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("1.5gb").unwrap(), 1_610_612_736);
        assert_eq!(parse_size("64M").unwrap(), 64 << 20);
        assert_eq!(parse_size("100").unwrap(), 100);
        assert!(parse_size("ten").is_err() && parse_size("1q").is_err());
        assert_eq!(format_size(97_500_000), "97.5MB");
        assert_eq!(format_size(1_240_000), "1.24MB");
        assert_eq!(format_size(0), "0B");
    }
}
