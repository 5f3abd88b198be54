//! `-e NAME[=value]` and `--env-file`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{CliError, Kind};

/// Reads one `-e`: a name alone takes the caller's value, or nothing if it has none.
pub(crate) fn variable(
    text: &str,
    environment: &BTreeMap<String, String>,
) -> Result<Option<(String, String)>, CliError> {
    match text.split_once('=') {
        Some(("", _)) => Err(CliError::usage(format!(
            "invalid environment variable `{text}`"
        ))),
        None if text.is_empty() => Err(CliError::usage("an environment variable has no name")),
        Some((name, value)) => Ok(Some((name.to_owned(), value.to_owned()))),
        None => Ok(environment
            .get(text)
            .map(|value| (text.to_owned(), value.clone()))),
    }
}

/// Reads docker's env-file: a `NAME=value` a line, nothing unquoted or expanded.
pub(crate) fn read_env_file(
    path: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, CliError> {
    let mut out = Vec::new();
    for line in lines(path, "env file", "sets no variable")? {
        out.extend(variable(&line, environment)?);
    }
    Ok(out)
}

/// Reads docker's label-file: a `NAME=value` or a `NAME` a line.
pub(crate) fn read_label_file(path: &Path) -> Result<Vec<(String, String)>, CliError> {
    let label = |line: String| {
        let (name, value) = line.split_once('=').unwrap_or((&line, ""));
        (name.to_owned(), value.to_owned())
    };
    let lines = lines(path, "label file", "is no label")?;
    Ok(lines.into_iter().map(label).collect())
}

/// Lines that are neither empty nor comments; each begins with a name.
fn lines(path: &Path, what: &str, complaint: &str) -> Result<Vec<String>, CliError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let message = format!("cannot read {what} {}: {error}", path.display());
        CliError::new(Kind::Usage, message)
    })?;
    let mut out = Vec::new();
    // Editors of another system begin with a mark and end lines with a return.
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.split('=').next().unwrap_or_default();
        if name.is_empty() || name.contains(char::is_whitespace) {
            let at = format!("{}:{}", path.display(), number + 1);
            return Err(CliError::usage(format!("{at}: `{line}` {complaint}")));
        }
        out.push(line.to_owned());
    }
    Ok(out)
}
