use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;

use crate::error::CliError;
use crate::host::Host;

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
    engine.logs(&record, &query, &|| true, &mut |mut line| {
        if args.details {
            // Docker writes the blank even where there is nothing before it.
            let mut details = attributes(&line.attributes).into_bytes();
            details.push(b' ');
            line.bytes.splice(..0, details);
        }
        super::project::write_log(line, query.timestamps, None)
    })?;
    Ok(ExitCode::SUCCESS)
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
