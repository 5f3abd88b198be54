use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use engine::{EventQuery, Happening};
use serde_json::{Value, json};

use super::follow::Interrupt;
use crate::error::{CliError, Kind};
use crate::format::Format;
use crate::host::Host;

const KEYS: [&str; 8] = [
    "container",
    "event",
    "image",
    "label",
    "network",
    "scope",
    "type",
    "volume",
];

/// Shows what happens to containers, images, volumes and networks, as it happens.
#[derive(Args)]
pub(crate) struct EventsArgs {
    /// Begins with events since a time (RFC 3339, seconds since 1970, or a duration such
    /// as 10m ago), as far as they are kept: until the machine restarts, 1 MiB at least.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Ends at a time, which may be to come.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Shows only what fits, e.g. type=container, event=die, label=NAME[=VALUE].
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Prints each event by this Go template, or as `json`.
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
}

pub(crate) fn run(args: &EventsArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    let format = Format::of(args.format.as_deref())?;
    let filters = filters(&args.filter)?;
    let query = EventQuery {
        since: time("--since", args.since.as_deref())?,
        until: time("--until", args.until.as_deref())?,
    };
    let interrupt = Interrupt::catch()?;
    let mut failure = None;
    engine.events(&query, &|| !interrupt.seen(), &mut |happening| {
        if !fits(&filters, &happening) {
            return true;
        }
        match render(&happening, format.as_ref()).and_then(|text| write(&text)) {
            Ok(go_on) => go_on,
            Err(error) => {
                failure = Some(error);
                false
            }
        }
    })?;
    failure.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// `false` once the reader has seen enough, such as `head`.
fn write(text: &str) -> Result<bool, CliError> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn time(flag: &str, text: Option<&str>) -> Result<Option<String>, CliError> {
    let read = |text: &str| {
        engine::parse_time(text).ok_or_else(|| {
            CliError::usage(format!("invalid {flag} `{text}`"))
                .hint("want e.g. 10m, 2026-01-31T12:00:00Z or seconds since 1970")
        })
    };
    text.map(read).transpose()
}

fn filters(texts: &[String]) -> Result<BTreeMap<String, Vec<String>>, CliError> {
    let mut filters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for text in texts {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) if KEYS.contains(&key) => (key, value),
            _ => {
                return Err(
                    CliError::new(Kind::Usage, format!("invalid filter `{text}`"))
                        .hint(format!("want KEY=VALUE with one of {}", KEYS.join(", "))),
                );
            }
        };
        filters
            .entry(key.to_owned())
            .or_default()
            .push(value.to_owned());
    }
    Ok(filters)
}

/// Values of one key are alternatives, but all labels must be there.
fn fits(filters: &BTreeMap<String, Vec<String>>, happening: &Happening) -> bool {
    let attribute = |name: &str| happening.attributes.get(name).map(String::as_str);
    let named = |kind: &str, value: &str| {
        happening.kind == kind
            && (happening.id.starts_with(value) || attribute("name") == Some(value))
    };
    filters.iter().all(|(key, values)| {
        let one = |value: &String| match key.as_str() {
            "type" => happening.kind == *value,
            // `exec_start` stands for every command, `health_status` for every verdict.
            "event" => {
                let word = happening.action.split(':').next().unwrap_or_default();
                happening.action == *value || word == value
            }
            "image" => {
                named("image", value)
                    || (happening.kind == "container" && attribute("image") == Some(value))
            }
            "scope" => value == "local",
            "label" => match value.split_once('=') {
                Some((name, wanted)) => attribute(name) == Some(wanted),
                None => attribute(value).is_some(),
            },
            "container" => {
                named("container", value)
                    || attribute("container").is_some_and(|id| id.starts_with(value.as_str()))
            }
            kind => named(kind, value),
        };
        match key.as_str() {
            "label" => values.iter().all(one),
            _ => values.iter().any(one),
        }
    })
}

fn render(happening: &Happening, format: Option<&Format>) -> Result<String, CliError> {
    match format {
        None => Ok(line(happening)),
        Some(Format::Json) => Ok(format!("{}\n", document(happening))),
        Some(format) => {
            let document = document(happening);
            let row = json!({
                "Status": document["status"],
                "ID": document["id"],
                "From": document["from"],
                "Type": document["Type"],
                "Action": document["Action"],
                "Actor": document["Actor"],
                "Scope": document["scope"],
                "Time": document["time"],
                "TimeNano": document["timeNano"],
            });
            Ok(format.render(&[row])?)
        }
    }
}

/// Docker's line: `TIME TYPE ACTION ID (NAME=VALUE, …)`.
fn line(happening: &Happening) -> String {
    let attributes = happening.attributes.iter();
    let pairs: Vec<String> = attributes
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let pairs = match pairs.is_empty() {
        true => String::new(),
        false => format!(" ({})", pairs.join(", ")),
    };
    let Happening {
        time,
        kind,
        action,
        id,
        ..
    } = happening;
    format!("{time} {kind} {action} {id}{pairs}\n")
}

/// Docker's JSON of an event.
fn document(happening: &Happening) -> Value {
    let nanos = happening.time.parse::<jiff::Timestamp>();
    let nanos = nanos.map_or(0, |time| time.as_nanosecond());
    let nanos = i64::try_from(nanos).unwrap_or(0);
    let mut document = json!({
        "Type": happening.kind,
        "Action": happening.action,
        "Actor": {
            "ID": happening.id,
            "Attributes": happening.attributes,
        },
        "scope": "local",
        "time": nanos / 1_000_000_000,
        "timeNano": nanos,
    });
    if happening.kind != "volume" && happening.kind != "network" {
        document["status"] = happening.action.as_str().into();
        document["id"] = happening.id.as_str().into();
    }
    if let Some(image) = happening.attributes.get("image") {
        document["from"] = image.as_str().into();
    }
    document
}
