//! Rules about devices, as `--device-cgroup-rule` writes them: `c 1:3 rwm`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Devices that processes of a container may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    /// Which of the two kinds; both when absent.
    #[serde(default)]
    pub kind: Option<DeviceKind>,
    /// Major number; all of them when absent.
    #[serde(default)]
    pub major: Option<u32>,
    /// Minor number; all of them when absent.
    #[serde(default)]
    pub minor: Option<u32>,
    /// What may be done with them.
    pub access: DeviceAccess,
}

/// The two kinds of device nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// Terminals, `/dev/null` and their like.
    Character,
    /// Disks.
    Block,
}

/// What may be done with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceAccess {
    /// Opening it for reading.
    pub read: bool,
    /// Opening it for writing.
    pub write: bool,
    /// Making a node of it.
    pub make: bool,
}

impl DeviceAccess {
    /// `rwm`.
    pub const ALL: Self = Self {
        read: true,
        write: true,
        make: true,
    };
}

impl DeviceRule {
    /// Every device: what `--privileged` gives.
    pub const ALL: Self = Self {
        kind: None,
        major: None,
        minor: None,
        access: DeviceAccess::ALL,
    };

    /// Full access to a character device.
    pub const fn character(major: u32, minor: u32) -> Self {
        Self {
            kind: Some(DeviceKind::Character),
            major: Some(major),
            minor: Some(minor),
            access: DeviceAccess::ALL,
        }
    }
}

/// A text that is no rule about devices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Not `KIND MAJOR:MINOR ACCESS`.
    #[error("`{0}` is not a device rule (want e.g. `c 1:3 rwm`, `b *:* r`, `a *:* rwm`)")]
    Rule(String),
    /// Not some of `r`, `w` and `m`.
    #[error("`{0}` is not an access to devices (want some of r, w and m, each once)")]
    Access(String),
}

impl FromStr for DeviceAccess {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let mut access = Self {
            read: false,
            write: false,
            make: false,
        };
        for letter in text.chars() {
            let right = match letter {
                'r' => &mut access.read,
                'w' => &mut access.write,
                'm' => &mut access.make,
                _ => return Err(DeviceError::Access(text.to_owned())),
            };
            if std::mem::replace(right, true) {
                return Err(DeviceError::Access(text.to_owned()));
            }
        }
        match text.is_empty() {
            true => Err(DeviceError::Access(text.to_owned())),
            false => Ok(access),
        }
    }
}

impl FromStr for DeviceRule {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let bad = || DeviceError::Rule(text.to_owned());
        let mut words = text.split(' ');
        let (Some(kind), Some(numbers), Some(access), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(bad());
        };
        let kind = match kind {
            "a" => None,
            "b" => Some(DeviceKind::Block),
            "c" => Some(DeviceKind::Character),
            _ => return Err(bad()),
        };
        let (major, minor) = numbers.split_once(':').ok_or_else(bad)?;
        Ok(Self {
            kind,
            major: number(major, 12).ok_or_else(bad)?,
            minor: number(minor, 20).ok_or_else(bad)?,
            access: access.parse()?,
        })
    }
}

/// `*`, or digits that make a number of at most so many bits, as the kernel keeps them.
fn number(text: &str, bits: u32) -> Option<Option<u32>> {
    if text == "*" {
        return Some(None);
    }
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse::<u32>().ok().filter(|_| digits)?;
    (number >> bits == 0).then_some(Some(number))
}

impl fmt::Display for DeviceAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (right, letter) in [(self.read, "r"), (self.write, "w"), (self.make, "m")] {
            f.write_str(if right { letter } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for DeviceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            None => 'a',
            Some(DeviceKind::Block) => 'b',
            Some(DeviceKind::Character) => 'c',
        };
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |n| n.to_string());
        let (major, minor) = (number(self.major), number(self.minor));
        write!(f, "{kind} {major}:{minor} {}", self.access)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_round_trip() {
        for text in [
            "c 1:3 rwm",
            "b *:* r",
            "a *:* rwm",
            "c 136:* rw",
            "b 8:1048575 m",
        ] {
            assert_eq!(text.parse::<DeviceRule>().unwrap().to_string(), text);
        }
        assert_eq!("a *:* rwm".parse(), Ok(DeviceRule::ALL));
        assert_eq!("c 1:3 mwr".parse(), Ok(DeviceRule::character(1, 3)));
    }

    #[test]
    fn nonsense_is_told() {
        for text in [
            "",
            "c",
            "c 1:3",
            "c 1 rwm",
            "d 1:3 r",
            "c 1:3 r x",
            "c  1:3 r",
            "c -1:3 r",
            "c +1:3 r",
            "c 4096:0 r",
            "c 1:1048576 r",
            "c 99999999999:0 r",
            "c :3 r",
        ] {
            assert_eq!(
                text.parse::<DeviceRule>(),
                Err(DeviceError::Rule(text.into())),
                "{text}"
            );
        }
        for access in ["rr", "x", "rwmr"] {
            let rule = format!("c 1:3 {access}").parse::<DeviceRule>();
            assert_eq!(rule, Err(DeviceError::Access(access.into())), "{access}");
        }
    }
}
