//! From file names to one tree: reads, expands, checks the names, follows `include` and
//! `extends`, merges.

mod extends;
mod include;

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use text::{Diagnostic, FileId, Sources, Span};

use crate::at::At;
use crate::interpolate::{Environment, interpolate};
use crate::merge::{drop_reset, merge};
use crate::normalise::{self, Base};
use crate::yaml::{self, Node};
use crate::{Files, LoadRequest, dotenv, schema};

/// Files beyond this number are refused: through links, `include` and `extends` could
/// lead on without end.
const MAX_FILES: usize = 256;

/// What all stages of a load share.
pub(crate) struct Assembler<'a> {
    request: &'a LoadRequest,
    files: &'a dyn Files,
    /// Texts read so far.
    pub(crate) sources: Sources,
    /// Complaints so far.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Compose files read so far.
    pub(crate) read: Vec<PathBuf>,
    /// Whether the values cannot be trusted, so that complaining about them would mislead.
    pub(crate) unsound: bool,
    /// Number of files opened.
    opened: usize,
    /// Files that were read for `extends`.
    extended: HashMap<PathBuf, Option<Node>>,
}

/// A file's documents, not yet expanded.
pub(crate) struct Parsed {
    path: PathBuf,
    documents: Vec<Node>,
}

/// What relative paths and variables mean in some files.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'s> {
    /// Relative paths start here.
    pub(crate) directory: &'s Path,
    /// Variables.
    pub(crate) environment: &'s Environment,
}

impl<'a> Assembler<'a> {
    /// Nothing read yet.
    pub(crate) fn new(request: &'a LoadRequest, files: &'a dyn Files) -> Self {
        Self {
            request,
            files,
            sources: Sources::new(),
            diagnostics: Vec::new(),
            read: Vec::new(),
            unsound: false,
            opened: 0,
            extended: HashMap::new(),
        }
    }

    /// Reads and parses a file; `mentioned` is where it is named, if in a file.
    pub(crate) fn parse(&mut self, path: &Path, mentioned: Option<Span>) -> Option<Parsed> {
        let file = self.open(path, mentioned)?;
        let text = self.sources.text(file).to_owned();
        let (documents, complaints) = yaml::parse(file, &text);
        let broken = text::has_errors(&complaints);
        self.diagnostics.extend(complaints);
        if !self.read.iter().any(|read| read == path) {
            self.read.push(path.to_owned());
        }
        (!broken).then(|| Parsed {
            path: path.to_owned(),
            documents,
        })
    }

    fn open(&mut self, path: &Path, mentioned: Option<Span>) -> Option<FileId> {
        let shown = path
            .strip_prefix(&self.request.current_directory)
            .unwrap_or(path);
        let shown = shown.display().to_string();
        self.opened += 1;
        if self.opened > MAX_FILES {
            let diagnostic = Diagnostic::error(format!("more than {MAX_FILES} files to read"));
            self.diagnostics.push(Diagnostic {
                span: mentioned,
                ..diagnostic
            });
            return None;
        }
        match self.files.read(path) {
            Ok(text) => Some(self.sources.add(shown, text)),
            Err(error) => {
                let diagnostic =
                    Diagnostic::error(format!("cannot read {shown}: {}", reason(&error)));
                self.diagnostics.push(Diagnostic {
                    span: mentioned,
                    ..diagnostic
                });
                None
            }
        }
    }

    /// Reads a file of variables; complains where it is malformed or absent.
    pub(crate) fn variables(
        &mut self,
        path: &Path,
        mentioned: Option<Span>,
        strong: dotenv::Lookup<'_>,
        weak: dotenv::Lookup<'_>,
    ) -> dotenv::Variables {
        let Some(file) = self.open(path, mentioned) else {
            return dotenv::Variables::new();
        };
        match dotenv::parse(self.sources.text(file), strong, weak) {
            Ok(variables) => variables,
            Err(error) => {
                let span = Span::new(file, error.start, error.end);
                self.diagnostics
                    .push(Diagnostic::error(error.message).at(span));
                dotenv::Variables::new()
            }
        }
    }

    /// Whether a file is there.
    pub(crate) fn exists(&self, path: &Path) -> bool {
        self.files.exists(path)
    }

    /// Merges parsed files, in their order. `stack` holds the files whose `include` led
    /// here.
    pub(crate) fn merge_all(
        &mut self,
        parsed: Vec<Parsed>,
        scope: Scope<'_>,
        stack: &[PathBuf],
    ) -> Option<Node> {
        let mut result: Option<Node> = None;
        for Parsed { path, documents } in parsed {
            for document in documents {
                let Some(mut document) = self.prepare(document, scope) else {
                    continue;
                };
                self.include(&mut document, &path, scope, stack);
                self.extend(&mut document, &path, scope);
                result = Some(match result.take() {
                    Some(below) => merge(below, document, &At::Top, &mut self.diagnostics),
                    None => document,
                });
            }
        }
        let mut result = result?;
        drop_reset(&mut result);
        Some(result)
    }

    /// Expands variables, checks the names, and normalises.
    fn prepare(&mut self, mut document: Node, scope: Scope<'_>) -> Option<Node> {
        if document.is_null() {
            return None;
        }
        if document.as_map().is_none() {
            self.diagnostics.push(
                Diagnostic::error(format!("the file holds {}, not a mapping", document.kind()))
                    .at(document.span)
                    .hint("a compose file begins with `services:`"),
            );
            return None;
        }
        let before = self.diagnostics.len();
        interpolate(
            &mut document,
            scope.environment,
            &self.sources,
            &mut self.diagnostics,
        );
        self.unsound |= text::has_errors(&self.diagnostics[before..]);
        let sound = schema::check(&document, &self.sources, &mut self.diagnostics);
        self.unsound |= !sound;
        let home = scope.environment.get("HOME");
        let base = Base {
            directory: scope.directory,
            home: home.as_deref(),
        };
        normalise::document(&mut document, base, &mut self.diagnostics);
        Some(document)
    }
}

/// Why a file cannot be read, in the words that a user knows.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::IsADirectory => "it is a directory".to_owned(),
        ErrorKind::InvalidData => "it is not text in UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

impl Parsed {
    /// The value of the top-level `name`, the last if there are several documents.
    pub(crate) fn name(&self) -> Option<&Node> {
        let named = self.documents.iter().rev();
        named
            .filter_map(|document| document.as_map()?.get("name"))
            .next()
    }
}
