//! What is wrong with a text, where, and what to do about it.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::{Sources, Span};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The text cannot be used as it is.
    Error,
    /// It can, but probably does not mean what its author thinks.
    Warning,
}

/// One complaint about a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, with the object in it; no full stop.
    pub message: String,
    /// Where.
    pub span: Option<Span>,
    /// A few words shown under the span.
    pub label: Option<String>,
    /// Other places that matter, each with a few words.
    pub related: Vec<(Span, String)>,
    /// What to do about it.
    pub hints: Vec<String>,
}

impl Diagnostic {
    /// An error without a place.
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message.into())
    }

    /// A warning without a place.
    pub fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message.into())
    }

    fn new(severity: Severity, message: String) -> Self {
        Self {
            severity,
            message,
            span: None,
            label: None,
            related: vec![],
            hints: vec![],
        }
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Adds words under the span.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds another place.
    #[must_use]
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds `did you mean …?` if there is something to propose.
    #[must_use]
    pub fn did_you_mean(self, candidate: Option<&str>) -> Self {
        match candidate {
            Some(candidate) => self.hint(format!("did you mean `{candidate}`?")),
            None => self,
        }
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Whether any of them is an error.
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(Diagnostic::is_error)
}

/// Renders diagnostics for people: what is wrong, `file:line:column`, the line itself
/// with the place marked, and the hints. Ends with a line break unless there are none.
pub fn render(sources: &Sources, diagnostics: &[Diagnostic], color: bool) -> String {
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let mut out = String::new();
    for (index, diagnostic) in diagnostics.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let group = group(sources, diagnostic);
        out.push_str(renderer.render(&[group]).trim_end());
        out.push('\n');
        for hint in &diagnostic.hints {
            let label = if color {
                "\x1b[1;36mhint\x1b[0m"
            } else {
                "hint"
            };
            out.push_str(&format!("{label}: {hint}\n"));
        }
    }
    out
}

fn group<'a>(sources: &'a Sources, diagnostic: &'a Diagnostic) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(&diagnostic.message));
    let Some(span) = diagnostic.span else {
        return group;
    };
    let mut main = snippet(sources, span).annotation(
        AnnotationKind::Primary
            .span(clamp(sources, span))
            .label(diagnostic.label.as_deref()),
    );
    let (here, elsewhere): (Vec<_>, Vec<_>) = diagnostic
        .related
        .iter()
        .partition(|(place, _)| place.file == span.file);
    for (place, label) in here {
        let annotation = AnnotationKind::Context.span(clamp(sources, *place));
        main = main.annotation(annotation.label(label.as_str()));
    }
    group = group.element(main);
    for (place, label) in elsewhere {
        let annotation = AnnotationKind::Context.span(clamp(sources, *place));
        let other = snippet(sources, *place).annotation(annotation.label(label.as_str()));
        group = group.element(other);
    }
    group
}

fn snippet(sources: &Sources, span: Span) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
    Snippet::source(sources.text(span.file)).path(sources.name(span.file))
}

/// The renderer slices the text by these offsets, so they must lie in it and on
/// character boundaries. A span over several lines is cut to its first: whole
/// instructions are marked by their beginning.
fn clamp(sources: &Sources, span: Span) -> std::ops::Range<usize> {
    let text = sources.text(span.file);
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (start, end) = (floor(span.start as usize), floor(span.end as usize));
    let first_line = text[start..end]
        .find('\n')
        .map_or(end, |length| start + length);
    start..first_line.max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> (Sources, crate::FileId) {
        let mut sources = Sources::new();
        let file = sources.add("Dockerfile", "FROM debian\nCOPYY a b\n");
        (sources, file)
    }

    #[test]
    fn the_line_and_the_hint_are_shown() {
        let (sources, file) = sources();
        let diagnostic = Diagnostic::error("unknown instruction `COPYY`")
            .at(Span::new(file, 12, 17))
            .did_you_mean(Some("COPY"));
        insta::assert_snapshot!(render(&sources, &[diagnostic], false), @r#"
        error: unknown instruction `COPYY`
         --> Dockerfile:2:1
          |
        2 | COPYY a b
          | ^^^^^
        hint: did you mean `COPY`?
        "#);
    }

    #[test]
    fn related_places_are_shown_with_it() {
        let (mut sources, file) = sources();
        let other = sources.add("other", "x: 1\n");
        let diagnostic = Diagnostic::warning("twice")
            .at(Span::new(file, 12, 17))
            .label("here")
            .related(Span::new(file, 0, 4), "first here")
            .related(Span::new(other, 0, 1), "and there");
        insta::assert_snapshot!(render(&sources, &[diagnostic], false), @r#"
        warning: twice
         --> Dockerfile:2:1
          |
        1 | FROM debian
          | ---- first here
        2 | COPYY a b
          | ^^^^^ here
          |
         ::: other:1:1
          |
        1 | x: 1
          | - and there
        "#);
    }

    #[test]
    fn without_a_place_only_the_message_is_shown() {
        let diagnostics = [
            Diagnostic::error("no file").hint("make one"),
            Diagnostic::warning("x"),
        ];
        insta::assert_snapshot!(render(&Sources::new(), &diagnostics, false), @r#"
        error: no file
        hint: make one

        warning: x
        "#);
        assert_eq!(render(&Sources::new(), &[], false), "");
    }

    #[test]
    fn a_wrong_span_does_not_panic() {
        let mut sources = Sources::new();
        let file = sources.add("ä", "ää\n");
        for (start, end) in [(1, 3), (0, 99), (99, 99), (4, 5)] {
            let text = render(
                &sources,
                &[Diagnostic::error("x").at(Span::new(file, start, end))],
                true,
            );
            assert!(text.contains("error"), "{text}");
        }
    }
}
