//! What lists, filters and prunes of containers, images, volumes and networks share.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::error::CliError;
use crate::format::{Format, Table};
use crate::view;

/// Flags of `volume ls` and `network ls`.
#[derive(Args)]
pub(crate) struct ListArgs {
    /// Prints names or ids only.
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Lists only what fits, e.g. name=data, label=NAME[=VALUE].
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(super) filter: Vec<String>,
    /// Prints each by this Go template, or as `json`.
    #[arg(long, value_name = "TEMPLATE")]
    pub(super) format: Option<String>,
}

impl ListArgs {
    /// Prints rows: by the template, the `short` field alone, or a table of these columns
    /// (heading and field).
    pub(super) fn show(
        &self,
        rows: &[Value],
        short: &str,
        columns: &[(&'static str, &str)],
    ) -> Result<ExitCode, CliError> {
        let lines = || {
            rows.iter()
                .map(|row| view::text(row, short) + "\n")
                .collect()
        };
        super::print(&match (&self.format, self.quiet) {
            (Some(format), _) => Format::parse(format)?.render(rows)?,
            (None, true) => lines(),
            (None, false) => table(rows, columns),
        })
    }
}

/// A table of rows' fields under headings.
pub(super) fn table(rows: &[Value], columns: &[(&'static str, &str)]) -> String {
    let mut table = Table::default();
    table.row(columns.iter().map(|(heading, _)| (*heading).to_owned()));
    for row in rows {
        table.row(columns.iter().map(|(_, field)| view::text(row, field)));
    }
    table.finish()
}

/// Flags that every `prune` has.
#[derive(Args)]
pub(crate) struct PruneArgs {
    /// Does not ask.
    #[arg(short, long)]
    pub(super) force: bool,
    /// Removes only what fits, e.g. until=24h, label=NAME[=VALUE], label!=NAME.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) filter: Vec<String>,
}

impl PruneArgs {
    /// Whether the user wants it; asked with docker's words, answered on standard input.
    pub(super) fn agreed(&self, warning: &str) -> Result<bool, CliError> {
        if self.force {
            return Ok(true);
        }
        super::print(&format!(
            "WARNING! {warning}\nAre you sure you want to continue? [y/N] "
        ))?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        let _ = std::io::stdout().flush();
        Ok(answer.trim().eq_ignore_ascii_case("y"))
    }
}

/// What was pruned, as docker prints it.
pub(super) fn removed(heading: &str, names: &[String]) -> String {
    match names {
        [] => String::new(),
        _ => format!("{heading}:\n{}\n\n", names.join("\n")),
    }
}

/// The last line of a prune.
pub(super) fn reclaimed(bytes: u64) -> String {
    let size = model::units::format_size(bytes);
    format!("Total reclaimed space: {size}\n")
}

/// Conditions of `--filter`. Several of one key: any of them; of labels: all.
pub(super) struct Filters(Vec<(String, String)>);

impl Filters {
    /// Reads them; every key must be one of `known`.
    pub(super) fn parse(texts: &[String], known: &[&str]) -> Result<Self, CliError> {
        let one = |text: &String| match text.split_once('=') {
            Some((key, value)) if known.contains(&key) => Ok((key.to_owned(), value.to_owned())),
            _ => Err(CliError::usage(format!("invalid filter `{text}`"))
                .hint(format!("want KEY=VALUE with one of {}", known.join(", ")))),
        };
        let filters = Self(texts.iter().map(one).collect::<Result<_, _>>()?);
        for key in ["dangling", "all"] {
            filters.flag(key)?;
        }
        filters.until().map(|_| filters)
    }

    fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let fits = move |(k, v): &'a (String, String)| (k == key).then_some(v.as_str());
        self.0.iter().filter_map(fits)
    }

    /// Whether no condition on this key was given, or one holds.
    pub(super) fn any(&self, key: &str, holds: impl Fn(&str) -> bool) -> bool {
        self.values(key).next().is_none() || self.values(key).any(holds)
    }

    /// A condition that is true or false.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, CliError> {
        match self.values(key).last() {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(other) => Err(CliError::usage(format!(
                "invalid filter `{key}={other}`: want true or false"
            ))),
        }
    }

    /// The time that things must be older than, RFC 3339.
    fn until(&self) -> Result<Option<String>, CliError> {
        let Some(text) = self.values("until").last() else {
            return Ok(None);
        };
        let time = engine::parse_time(text);
        time.map(Some).ok_or_else(|| {
            CliError::usage(format!("invalid filter `until={text}`"))
                .hint("want a duration like 24h, or a time like 2026-01-31T12:00:00Z")
        })
    }

    /// Whether it was made before `until`, and has the labels asked for and none of those
    /// refused.
    pub(super) fn fit(&self, created: &str, labels: &BTreeMap<String, String>) -> bool {
        let has = |wanted: &str| match wanted.split_once('=') {
            Some((name, value)) => labels.get(name).is_some_and(|had| had == value),
            None => labels.contains_key(wanted),
        };
        let time = |text: &str| text.parse::<jiff::Timestamp>().ok();
        let until = self.until().ok().flatten().and_then(|text| time(&text));
        // What has no age is as old as can be.
        let old = until.is_none_or(|until| time(created).is_none_or(|created| created < until));
        old && self.values("label").all(has) && !self.values("label!").any(has)
    }
}

/// Labels as `--label` gives them.
pub(super) fn labels(texts: &[String]) -> BTreeMap<String, String> {
    let one = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), value.to_owned())
    };
    texts.iter().map(one).collect()
}

/// Labels in docker's rows.
pub(super) fn label_list(labels: &BTreeMap<String, String>) -> String {
    let one = |(name, value): (&String, &String)| format!("{name}={value}");
    labels.iter().map(one).collect::<Vec<_>>().join(",")
}

/// Docker's flags that we know and do not have: each an error that names it.
pub(super) fn refuse(given: &[(&str, bool)]) -> Result<(), CliError> {
    match given.iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(CliError::usage(format!("{flag} is not supported"))),
        None => Ok(()),
    }
}

/// The only driver of a kind of object.
pub(super) fn check_driver(driver: &str, only: &str) -> Result<(), CliError> {
    match driver == only {
        true => Ok(()),
        false => Err(CliError::usage(format!(
            "the driver `{driver}` is not supported: `{only}` is the only one"
        ))),
    }
}
