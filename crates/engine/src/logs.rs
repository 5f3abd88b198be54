//! Reading containers' logs.

use runtime::logs::{Follow, LogRecord};

use crate::{ContainerRecord, Engine, Error, Result};

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
}

impl Engine {
    /// Gives the lines that are wanted to `take`, in order, until it fails. Following ends
    /// when `go_on` says so, too: a container that writes nothing must not hide that.
    pub fn logs(
        &self,
        record: &ContainerRecord,
        query: &LogQuery,
        go_on: &dyn Fn() -> bool,
        take: &mut dyn FnMut(LogLine) -> std::io::Result<()>,
    ) -> Result<()> {
        let path = self.store.containers().dir(&record.id).join("log");
        let wanted = runtime::logs::LogQuery {
            since: query.since.clone(),
            until: query.until.clone(),
            tail: query.tail,
        };
        let mut alive = || {
            go_on()
                && self
                    .observe(record)
                    .is_ok_and(|observed| observed.is_alive())
        };
        let follow = match query.follow {
            true => Follow::While(&mut alive),
            false => Follow::No,
        };
        let mut failure = None;
        let mut each = |line: LogRecord| {
            let stderr = line.stream == runtime::frames::Stream::Stderr;
            let line = LogLine {
                bytes: line.log.into_bytes(),
                stderr,
                time: line.time,
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
}

/// A time as `--since` takes it: RFC 3339, seconds since 1970, or a duration before now;
/// RFC 3339 with nanoseconds comes out.
pub fn parse_time(text: &str) -> Option<String> {
    let now = jiff::Timestamp::now();
    let time = if let Ok(duration) = model::units::parse_duration(text) {
        now.checked_sub(duration).ok()?
    } else if let Ok(time) = text.parse::<jiff::Timestamp>() {
        time
    } else if let Ok(date) = text.parse::<jiff::civil::Date>() {
        date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp()
    } else {
        let seconds: f64 = text.parse().ok()?;
        jiff::Timestamp::from_nanosecond((seconds * 1e9) as i128).ok()?
    };
    Some(format!("{time:.9}"))
}

#[cfg(test)]
mod tests {
    use super::parse_time;

    #[test]
    fn times() {
        let full = "2026-01-31T12:00:00.000000000Z";
        assert_eq!(parse_time("2026-01-31T12:00:00Z").as_deref(), Some(full));
        assert_eq!(parse_time("1769860800").as_deref(), Some(full));
        assert!(parse_time("10m").is_some_and(|t| t.ends_with('Z')));
        assert_eq!(parse_time("soon"), None);
    }
}
