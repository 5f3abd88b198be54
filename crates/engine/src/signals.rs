//! Signal names and numbers, as `--signal` takes them.

use crate::{Error, Result};

const NAMES: [(&str, i32); 31] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// Real-time signals, `RTMIN` to `RTMAX` as glibc numbers them.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// Reads a signal's number or name, with or without `SIG`, in any case.
pub fn parse(text: &str) -> Result<i32> {
    let upper = text.trim().to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let named = NAMES
        .iter()
        .find(|(n, _)| *n == name)
        .map(|(_, number)| *number);
    let real_time = || {
        let offset = |rest: &str| {
            if rest.is_empty() {
                Some(0)
            } else {
                rest.parse::<i32>().ok()
            }
        };
        match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
            (Some(rest), _) => offset(rest).map(|n| REAL_TIME.start() + n),
            (_, Some(rest)) => offset(rest).map(|n| REAL_TIME.end() + n),
            _ => None,
        }
    };
    let number = named.or_else(real_time).or_else(|| name.parse().ok());
    number
        .filter(|n| (1..=31).contains(n) || REAL_TIME.contains(n))
        .ok_or_else(|| Error::invalid(format!("`{text}` is not a signal")))
}

/// A signal's name, with `SIG`; its number where it has none.
pub fn name(number: i32) -> String {
    let named = NAMES.iter().find(|(_, n)| *n == number);
    named.map_or_else(|| number.to_string(), |(name, _)| format!("SIG{name}"))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("SIGTERM", 15),
            ("kill", 9),
            ("2", 2),
            ("SIGRTMIN+3", 37),
            ("rtmax-1", 63),
        ] {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
        for bad in ["", "0", "65", "SIGNOPE", "-9", "33"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
