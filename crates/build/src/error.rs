//! Why there is no image.

use std::fmt;
use std::path::PathBuf;

use dockerfile::Step;
use text::{Diagnostic, Sources};

use crate::step::StepError;
use crate::upper::WriteError;

/// Result of the builder.
pub(crate) type Result<T, E = BuildError> = std::result::Result<T, E>;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The Dockerfile cannot be built, whatever the machine; nothing was executed.
    #[error("{0}")]
    Dockerfile(Box<Complaints>),
    /// The program of a RUN instruction failed.
    #[error("{at} failed with exit code {code}{}", tail(.output))]
    Exit {
        /// The instruction.
        at: At,
        /// Its exit code.
        code: i32,
        /// The last lines that it wrote.
        output: Vec<String>,
    },
    /// The program of a RUN instruction could not be executed.
    #[error("{at} could not be executed")]
    Step {
        /// The instruction.
        at: At,
        /// Why.
        #[source]
        source: StepError,
    },
    /// A COPY or ADD names something that does not exist.
    #[error("{at}: no `{pattern}` in {place}")]
    Missing {
        /// The instruction.
        at: At,
        /// The source as it is written.
        pattern: String,
        /// The context, stage or image that was searched.
        place: String,
        /// Whether `.dockerignore` hides it.
        ignored: bool,
    },
    /// An instruction cannot be carried out on this image or context.
    #[error("{at}: {problem}")]
    Instruction {
        /// The instruction.
        at: At,
        /// What is wrong, with the object in it.
        problem: String,
    },
    /// A COPY or ADD could not write what it copies.
    #[error("{at}: cannot copy")]
    Write {
        /// The instruction.
        at: At,
        /// Why.
        #[source]
        source: WriteError,
    },
    /// An image that the Dockerfile names cannot be had.
    #[error("{place}: {message}")]
    Base {
        /// Where it is named, as `file:line:column`.
        place: String,
        /// What failed, with the image's name.
        message: String,
        /// What the user may do about it.
        hint: Option<String>,
        /// Why.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The context cannot be read.
    #[error("cannot read the build context {}", path.display())]
    Context {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: sys::Error,
    },
    /// A file of the store or of a layer cannot be read or written.
    #[error(transparent)]
    Sys(#[from] sys::Error),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl BuildError {
    /// What the user may do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Step { source, .. } => source.hint.clone(),
            Self::Base { hint, .. } => hint.clone(),
            Self::Missing { ignored: true, .. } => {
                Some("a pattern of the .dockerignore file excludes it".into())
            }
            Self::Missing { pattern, .. } if pattern.starts_with("..") => {
                Some("COPY reaches nothing outside the build context".into())
            }
            _ => None,
        }
    }
}

/// What is wrong with a Dockerfile, all of it at once.
#[derive(Debug, Clone)]
pub struct Complaints {
    /// The Dockerfile's text, and those of triggers.
    pub sources: Sources,
    /// In the order of lines.
    pub diagnostics: Vec<Diagnostic>,
}

impl Complaints {
    fn errors(&self) -> Vec<Diagnostic> {
        let errors = self.diagnostics.iter().filter(|d| d.is_error());
        errors.cloned().collect()
    }

    /// The errors with the lines they are about, for a user to read.
    pub fn rendered(&self) -> String {
        text::render(&self.sources, &self.errors(), false)
    }
}

impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.errors();
        let count = errors.len();
        let file = errors
            .iter()
            .find_map(|d| d.span)
            .map(|s| self.sources.name(s.file));
        let file = file.unwrap_or("Dockerfile");
        let noun = if count == 1 { "error" } else { "errors" };
        let rendered = text::render(&self.sources, &errors, false);
        write!(f, "{count} {noun} in {file}\n{}", rendered.trim_end())
    }
}

/// An instruction and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// The Dockerfile's name.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// The instruction in one line.
    pub instruction: String,
}

/// Longer instructions are cut in messages.
const SHOWN: usize = 120;

impl At {
    pub(crate) fn new(sources: &Sources, step: &Step) -> Self {
        let (line, _) = sources.line_col(step.span.file, step.span.start);
        Self {
            file: sources.name(step.span.file).to_owned(),
            line,
            instruction: shorten(&step.text),
        }
    }
}

/// The beginning of an instruction's text, in one line.
pub(crate) fn shorten(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim_end();
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: `{}`", self.file, self.line, self.instruction)
    }
}

fn tail(lines: &[String]) -> String {
    if lines.is_empty() {
        return " and without output".into();
    }
    let lines: Vec<_> = lines.iter().map(|line| format!("\n  | {line}")).collect();
    format!("; it last wrote:{}", lines.concat())
}
