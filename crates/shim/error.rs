//! The one error of the command line: what, why, hints, and the exit code.

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use crate::terminal;

/// What kind of failure it is; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The command line itself is wrong.
    Usage,
    /// The request failed.
    Failed,
    /// `run`, `create`, `start` or `exec` failed before the container's process existed.
    NotStarted,
    /// The container's program exists and cannot be executed.
    NotExecutable,
    /// The container's program does not exist.
    NoProgram,
}

impl Kind {
    /// Docker's exit codes.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotStarted => 125,
            Self::NotExecutable => 126,
            Self::NoProgram => 127,
        }
    }
}

/// A failure to show.
#[derive(Debug)]
pub(crate) struct CliError {
    pub(crate) kind: Kind,
    /// What failed and why, outermost first.
    chain: Vec<String>,
    hints: Vec<String>,
    /// Rendered diagnostics that stand for the message.
    rendered: Option<String>,
}

impl CliError {
    /// A failure without an underlying error.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            chain: vec![message.into()],
            hints: Vec::new(),
            rendered: None,
        }
    }

    /// A mistake in the command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Diagnostics that are rendered already.
    pub(crate) fn rendered(text: String) -> Self {
        Self {
            rendered: Some(text),
            ..Self::new(Kind::Failed, "")
        }
    }

    /// An error with all its causes.
    pub(crate) fn from_error(kind: Kind, error: &(dyn StdError + 'static)) -> Self {
        let mut chain: Vec<String> = Vec::new();
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            // Transparent wrappers repeat their source.
            if chain.last() != Some(&text) {
                chain.push(text);
            }
            next = error.source();
        }
        Self {
            kind,
            chain,
            hints: Vec::new(),
            rendered: None,
        }
    }

    /// Adds a hint.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same failure, of another kind.
    pub(crate) fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// What failed, without causes and hints.
    #[cfg(test)]
    pub(crate) fn message(&self) -> &str {
        self.chain.first().map_or("", String::as_str)
    }

    /// Writes it to standard error.
    pub(crate) fn report(&self) -> ExitCode {
        match &self.rendered {
            Some(text) => write_line(&terminal::coloured(text.trim_end())),
            None => line(&format!("error: {}", self.chain.join(": "))),
        }
        for hint in &self.hints {
            line(&format!("hint: {hint}"));
        }
        ExitCode::from(self.kind.code())
    }
}

/// Tells, once, of a damaged record that the command goes on without.
pub(crate) fn warn_of_damage(error: &(dyn StdError + 'static), hint: Option<String>) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let text = CliError::from_error(Kind::Failed, error).chain.join(": ");
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.insert(text.clone()) {
        line(&format!("warning: {text}"));
        if let Some(hint) = hint {
            line(&format!("hint: {hint}"));
        }
    }
}

/// One line to standard error, whatever it names made harmless.
fn line(text: &str) {
    write_line(&terminal::message(text));
}

/// A closed standard error is no reason to fail again.
fn write_line(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}

impl From<engine::Error> for CliError {
    fn from(error: engine::Error) -> Self {
        let kind = match error.start_code() {
            Some(126) => Kind::NotExecutable,
            Some(127) => Kind::NoProgram,
            Some(_) => Kind::NotStarted,
            None => Kind::Failed,
        };
        if let Some(rendered) = error.rendered() {
            return Self::rendered(rendered);
        }
        let mut out = Self::from_error(kind, &error);
        out.hints.extend(error.hint());
        out
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        Self::from_error(Kind::Failed, &error)
    }
}

impl From<crate::format::TemplateError> for CliError {
    fn from(error: crate::format::TemplateError) -> Self {
        Self::from_error(Kind::Usage, &error)
    }
}
