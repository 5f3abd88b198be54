use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufWriter, Stdout, Write};
use std::process::ExitCode;

use clap::Args;
use engine::LogLine;

use crate::error::CliError;
use crate::host::Host;

/// Output is gathered while there is more of it.
const BUFFER: usize = 64 * 1024;

/// Shows what a container has written.
#[derive(Args)]
pub(crate) struct LogsArgs {
    /// Container by name or id, or a service of this directory's project.
    container: String,
    /// Puts what --log-opt attaches to the log (tag, labels, env) before each line.
    #[arg(long)]
    details: bool,
    #[command(flatten)]
    query: QueryArgs,
}

/// Which part of a log.
#[derive(Args, Clone)]
pub(crate) struct QueryArgs {
    /// Goes on as long as the container does, over restarts.
    #[arg(short, long)]
    follow: bool,
    /// Shows only so many lines from the end, or `all`.
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all")]
    tail: String,
    /// Shows lines written since a time: RFC 3339, seconds since 1970, or a duration such
    /// as 10m ago.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Shows lines written until a time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Puts the time before each line.
    #[arg(short, long)]
    timestamps: bool,
}

pub(crate) fn run(args: &LogsArgs, host: &Host) -> Result<ExitCode, CliError> {
    let query = args.query.query()?;
    let engine = host.engine(true)?;
    let record = super::project::find(&engine, host, &args.container)?;
    let out = RefCell::new(BufWriter::with_capacity(BUFFER, std::io::stdout()));
    // Asked when there is nothing more for the moment.
    let pause = || out.borrow_mut().flush().is_ok();
    engine.logs(&record, &query, &pause, &mut |line| {
        write(&mut out.borrow_mut(), args.details, query.timestamps, &line)
    })?;
    match out.into_inner().flush() {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Writes a line where its process wrote it.
fn write(
    out: &mut BufWriter<Stdout>,
    details: bool,
    timestamps: bool,
    line: &LogLine,
) -> std::io::Result<()> {
    let mut text = String::new();
    if timestamps {
        text.push_str(&line.time);
        text.push(' ');
    }
    if details {
        // Docker writes the blank even where there is nothing before it.
        text.push_str(&attributes(&line.attributes));
        text.push(' ');
    }
    match line.stderr {
        true => {
            out.flush()?;
            std::io::stderr().write_all(&[text.as_bytes(), &line.bytes].concat())
        }
        false => {
            out.write_all(text.as_bytes())?;
            out.write_all(&line.bytes)
        }
    }
}

/// `name=value,…`, escaped as in a URL's query, as docker has it.
fn attributes(attributes: &BTreeMap<String, String>) -> String {
    let pairs = attributes
        .iter()
        .map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
    pairs.collect::<Vec<_>>().join(",")
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let escape = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        byte if plain(byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

impl QueryArgs {
    /// What these flags mean.
    pub(super) fn query(&self) -> Result<engine::LogQuery, CliError> {
        let time = |flag: &str, text: &Option<String>| {
            text.as_deref()
                .map(|text| {
                    engine::parse_time(text).ok_or_else(|| {
                        CliError::usage(format!("invalid {flag} `{text}`"))
                            .hint("want e.g. 10m, 2026-01-31T12:00:00Z or seconds since 1970")
                    })
                })
                .transpose()
        };
        let tail = match self.tail.as_str() {
            "all" => None,
            text => Some(text.parse().map_err(|_| {
                CliError::usage(format!("invalid --tail `{text}`: want a number or `all`"))
            })?),
        };
        Ok(engine::LogQuery {
            since: time("--since", &self.since)?,
            until: time("--until", &self.until)?,
            tail,
            follow: self.follow,
            timestamps: self.timestamps,
        })
    }
}
