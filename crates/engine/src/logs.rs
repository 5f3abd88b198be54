//! Reading containers' logs.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use model::container::LogDriver;
use runtime::logs::{Follow, LogRecord};

use crate::{ContainerRecord, Engine, Error, Liveness, Result};

/// How often a follower asks whether to go on, while nothing happens.
const ASK: Duration = Duration::from_millis(200);
/// A container that a user stops may be on its way to a new start, with `restart` for
/// instance: looked at again after this time.
const BETWEEN: Duration = Duration::from_millis(100);

/// Which lines are wanted.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// RFC 3339 with nanoseconds.
    pub since: Option<String>,
    /// RFC 3339 with nanoseconds.
    pub until: Option<String>,
    /// At most so many of the last lines.
    pub tail: Option<usize>,
    /// Go on as long as the container runs.
    pub follow: bool,
    /// The reader shows times.
    pub timestamps: bool,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// What was written, as a rule with the line's end.
    pub bytes: Vec<u8>,
    /// Whether it went to standard error.
    pub stderr: bool,
    /// RFC 3339 with nanoseconds.
    pub time: String,
    /// What the log's options attach to it.
    pub attributes: BTreeMap<String, String>,
}

impl Engine {
    /// Gives the lines that are wanted to `take`, in order, until it fails. Following goes
    /// on over restarts. It ends with the container, or when `go_on` says so: a container
    /// that writes nothing must not hide that.
    pub fn logs(
        &self,
        record: &ContainerRecord,
        query: &LogQuery,
        go_on: &dyn Fn() -> bool,
        take: &mut dyn FnMut(LogLine) -> std::io::Result<()>,
    ) -> Result<()> {
        if self.plan(record)?.logging.driver == LogDriver::None {
            return Err(Error::invalid_hint(
                format!("container {} keeps no log", record.name),
                "it was made with --log-driver none",
            ));
        }
        let path = self.store.containers().dir(&record.id).join("log");
        let wanted = runtime::logs::LogQuery {
            since: query.since.clone(),
            until: query.until.clone(),
            tail: query.tail,
        };
        let mut alive = || go_on() && self.may_write(record);
        let follow = match query.follow {
            true => Follow::While {
                alive: &mut alive,
                ask: ASK,
            },
            false => Follow::No,
        };
        let mut failure = None;
        let mut each = |line: LogRecord| {
            let stderr = line.stream == runtime::frames::Stream::Stderr;
            let line = LogLine {
                bytes: line.bytes,
                stderr,
                time: line.time,
                attributes: line.attributes,
            };
            match take(line) {
                Ok(()) => true,
                Err(error) => {
                    failure = Some(error);
                    false
                }
            }
        };
        runtime::logs::read(&path, &wanted, follow, &mut each).map_err(|error| {
            let (name, source) = (record.name.clone(), error.into());
            Error::Container {
                act: "read the log of",
                name,
                source,
            }
        })?;
        match failure {
            // A reader that has seen enough.
            Some(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::File {
                act: "write",
                path: "standard output".into(),
                source: error,
            }),
            _ => Ok(()),
        }
    }

    /// Whether a container lives, or is just being stopped and started anew.
    fn may_write(&self, record: &ContainerRecord) -> bool {
        let alive = || match self.observe(record) {
            Ok(Liveness::Exited(exit)) => exit.stopped_by_user.then_some(false),
            Ok(Liveness::Running(_)) => Some(true),
            _ => None,
        };
        let changing = || matches!(self.store.containers().try_lock(&record.id), Ok(None));
        match alive() {
            Some(true) => true,
            None => false,
            Some(false) => {
                std::thread::sleep(BETWEEN);
                changing() || alive() == Some(true)
            }
        }
    }
}

/// A time as `--since` takes it: RFC 3339, the same without seconds, time of day or offset
/// (then in this machine's time zone), seconds since 1970, or a duration before now. RFC
/// 3339 with nanoseconds comes out.
pub fn parse_time(text: &str) -> Option<String> {
    let now = jiff::Timestamp::now();
    let local = |time: DateTime| Some(time.to_zoned(TimeZone::system()).ok()?.timestamp());
    let time = if let Ok(duration) = model::units::parse_duration(text) {
        now.checked_sub(duration).ok()?
    } else if let Ok(time) = text.parse::<jiff::Timestamp>() {
        time
    } else if let Some(time) = seconds(text) {
        time
    } else if text.contains('T') {
        local(text.parse().ok()?)?
    } else {
        local(
            text.parse::<Date>()
                .ok()?
                .to_datetime(jiff::civil::Time::midnight()),
        )?
    };
    Some(format!("{time:.9}"))
}

/// `SECONDS[.FRACTION]` since 1970; digits beyond nanoseconds are dropped.
fn seconds(text: &str) -> Option<jiff::Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) {
        return None;
    }
    let nanos = format!("{:0<9.9}", fraction).parse().ok()?;
    jiff::Timestamp::new(seconds.parse().ok()?, nanos).ok()
}

#[cfg(test)]
mod tests {
    use super::parse_time;

    #[test]
    fn times() {
        let full = "2026-01-31T12:00:00.000000000Z";
        assert_eq!(parse_time("2026-01-31T12:00:00Z").as_deref(), Some(full));
        assert_eq!(
            parse_time("2026-01-31T13:00:00+01:00").as_deref(),
            Some(full)
        );
        assert_eq!(parse_time("1769860800").as_deref(), Some(full));
        let fraction = parse_time("1769860800.0000000019");
        assert_eq!(fraction.as_deref(), Some("2026-01-31T12:00:00.000000001Z"));
        for recent in [
            "10m",
            "1h30m",
            "2026-01-31",
            "2026-01-31T12:00",
            "2026-01-31T12:00:00.5",
        ] {
            assert!(
                parse_time(recent).is_some_and(|t| t.ends_with('Z')),
                "{recent}"
            );
        }
        for bad in [
            "soon",
            "",
            "-",
            "1.",
            ".5",
            "12:00",
            "1769860800000000000000",
        ] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }
}
