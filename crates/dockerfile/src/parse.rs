//! Statements to stages.

use text::{Diagnostic, FileId, Span, suggest};

use crate::context::Context;
use crate::flags::Flags;
use crate::heredoc::{bodies, openings};
use crate::instruction::{self, KEYWORDS, Statement, known_flags};
use crate::json::{self, List};
use crate::lines::Reader;
use crate::word::Slice;
use crate::words::blank_words;
use crate::{Directives, Dockerfile, Heredoc, Instruction, OnBuild, Spanned, Stage, Step, Word};

/// Parses a Dockerfile. What is wrong is skipped and reported, so that all mistakes are
/// found at once; the result is only to be built when no diagnostic is an error.
pub fn parse(file: FileId, text: &str) -> (Dockerfile, Vec<Diagnostic>) {
    let mut cx = Context::new(file);
    let mut reader = Reader::new(text);
    let directives = reader.directives(&mut cx);
    let mut parser = Parser::new(directives);
    while let Some(line) = reader.logical(&mut cx) {
        parser.line(&mut cx, &mut reader, &line);
    }
    if parser.dockerfile.stages.is_empty() && !text::has_errors(&cx.diagnostics) {
        let end = Span::new(file, text.len(), text.len());
        cx.report(
            Diagnostic::error("there is no `FROM`")
                .at(end)
                .hint("begin with the image to build on, as in `FROM debian:12`"),
        );
    }
    let mut diagnostics = cx.diagnostics;
    diagnostics.sort_by_key(|diagnostic| diagnostic.span.map(|span| span.start));
    (parser.dockerfile, diagnostics)
}

/// Parses one instruction as `ONBUILD` left it in an image's configuration.
pub fn parse_trigger(file: FileId, text: &str) -> (Option<Step>, Vec<Diagnostic>) {
    let mut cx = Context::new(file);
    let mut reader = Reader::new(text);
    let step = reader.logical(&mut cx).and_then(|line| {
        let (keyword, arguments) = line.slice().trim().split_word();
        trigger(&mut cx, &mut reader, keyword, arguments)
            .map(|(instruction, _)| step(instruction, &line, &reader))
    });
    (step, cx.diagnostics)
}

struct Parser {
    dockerfile: Dockerfile,
    /// Whether there was a `FROM`, even a wrong one, or its absence was reported.
    began: bool,
    /// Instructions of the current stage of which only the last counts.
    single: Vec<(&'static str, Span)>,
}

impl Parser {
    fn new(directives: Directives) -> Self {
        let dockerfile = Dockerfile {
            directives,
            global_args: vec![],
            stages: vec![],
        };
        Self {
            dockerfile,
            began: false,
            single: vec![],
        }
    }

    fn line(&mut self, cx: &mut Context, reader: &mut Reader<'_>, line: &Word) {
        let (keyword, arguments) = line.slice().trim().split_word();
        let name = keyword.as_str().to_ascii_uppercase();
        if KEYWORDS.contains(&name.as_str()) || ["FROM", "ONBUILD"].contains(&name.as_str()) {
            cx.lost = false;
        }
        match name.as_str() {
            "FROM" => self.from(cx, line, arguments),
            "ONBUILD" => {
                if let Some(instruction) = onbuild(cx, reader, keyword, arguments) {
                    self.push(cx, step(instruction, line, reader));
                }
            }
            name if KEYWORDS.contains(&name) => {
                let statement = statement(cx, reader, keyword, arguments);
                if let Some(instruction) = instruction::parse(cx, statement) {
                    self.push(cx, step(instruction, line, reader));
                }
            }
            _ => {
                if !cx.lost {
                    cx.report(unknown(keyword, self.began));
                }
                skip_heredocs(cx, reader, arguments);
                cx.lost = true;
            }
        }
    }

    fn from(&mut self, cx: &mut Context, line: &Word, arguments: Slice<'_>) {
        self.began = true;
        let (mut flags, rest) = Flags::take(cx, "FROM", known_flags("FROM"), arguments);
        let platform = flags.value(cx, "platform");
        let words = blank_words(rest);
        let (base, name) = match words.as_slice() {
            [base] => (base, None),
            [base, word, name] if word.as_str().eq_ignore_ascii_case("as") => (base, Some(name)),
            [] => {
                let message = "`FROM` needs an image";
                cx.report(
                    Diagnostic::error(message)
                        .at(line.span)
                        .hint("write `FROM image`, or `FROM scratch` for none"),
                );
                return;
            }
            [_, second, ..] => {
                let to = words[words.len() - 1].span();
                cx.report(
                    Diagnostic::error("`FROM` takes an image and perhaps `AS name`")
                        .at(second.span().to(to)),
                );
                return;
            }
        };
        let base = base.to_word();
        cx.check(&base);
        cx.check_all(&platform);
        let name = name.and_then(|name| self.stage_name(cx, *name));
        self.single.clear();
        self.dockerfile.stages.push(Stage {
            name,
            base,
            platform,
            span: line.span,
            text: line.text.trim().to_owned(),
            steps: vec![],
        });
    }

    fn stage_name(&self, cx: &mut Context, written: Slice<'_>) -> Option<Word> {
        let name = written.as_str().to_lowercase();
        let tail = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(tail) {
            cx.report(
                Diagnostic::error(format!("`{}` cannot be a stage's name", written.as_str()))
                    .at(written.span())
                    .hint("it begins with a letter; letters, digits, `-`, `_` and `.` may follow"),
            );
            return None;
        }
        let mut named = self
            .dockerfile
            .stages
            .iter()
            .filter_map(|stage| stage.name.as_ref());
        if let Some(first) = named.find(|earlier| earlier.text == name) {
            cx.report(
                Diagnostic::warning(format!("two stages are called `{name}`"))
                    .at(written.span())
                    .related(first.span, "the first")
                    .hint("later instructions mean the last one before them"),
            );
        }
        Some(match name == written.as_str() {
            true => written.to_word(),
            false => Word::rewritten(name, written.span()),
        })
    }

    fn push(&mut self, cx: &mut Context, step: Step) {
        let span = step.span;
        if let Some(stage) = self.dockerfile.stages.last_mut() {
            let keyword = step.instruction.keyword();
            stage.steps.push(step);
            self.only_last_counts(cx, keyword, span);
            return;
        }
        match step.instruction {
            Instruction::Arg(args) => {
                let args = args.into_iter().map(|value| Spanned { value, span });
                self.dockerfile.global_args.extend(args);
            }
            _ if self.began => {}
            other => {
                // Once is enough: the others would be said to stand there too.
                self.began = true;
                let message = format!("`{}` stands before the first `FROM`", other.keyword());
                cx.report(Diagnostic::error(message).at(span).hint("only `ARG` may"));
            }
        }
    }

    fn only_last_counts(&mut self, cx: &mut Context, keyword: &'static str, span: Span) {
        if !["CMD", "ENTRYPOINT", "HEALTHCHECK"].contains(&keyword) {
            return;
        }
        let earlier = self
            .single
            .iter()
            .find(|(name, _)| *name == keyword)
            .map(|&(_, at)| at);
        if let Some(earlier) = earlier {
            cx.report(
                Diagnostic::warning(format!("only the last `{keyword}` of a stage counts"))
                    .at(span)
                    .related(earlier, "this one has no effect"),
            );
            self.single.retain(|(name, _)| *name != keyword);
        }
        self.single.push((keyword, span));
    }
}

/// Reads the here-documents of an instruction that may have some.
fn statement<'a>(
    cx: &mut Context,
    reader: &mut Reader<'_>,
    keyword: Slice<'a>,
    arguments: Slice<'a>,
) -> Statement<'a> {
    let name = keyword.as_str().to_ascii_uppercase();
    let heredocs = match name.as_str() {
        "RUN" | "COPY" | "ADD" => heredocs(cx, reader, &name, arguments),
        _ => Vec::new(),
    };
    Statement {
        keyword: name,
        keyword_span: keyword.span(),
        arguments,
        heredocs,
    }
}

fn heredocs(
    cx: &mut Context,
    reader: &mut Reader<'_>,
    name: &str,
    arguments: Slice<'_>,
) -> Vec<Heredoc> {
    let found = openings(cx, arguments);
    // The JSON form has none. Flags are in front of it; what is wrong with them is
    // reported when the instruction itself is read.
    let reported = cx.diagnostics.len();
    let (_, rest) = Flags::take(cx, name, known_flags(name), arguments);
    cx.diagnostics.truncate(reported);
    match json::list(rest) {
        List::No => bodies(cx, reader, found),
        _ => Vec::new(),
    }
}

/// What a misspelt instruction's here-document holds would only be misread.
fn skip_heredocs(cx: &mut Context, reader: &mut Reader<'_>, arguments: Slice<'_>) {
    let reported = cx.diagnostics.len();
    let found = openings(cx, arguments);
    bodies(cx, reader, found);
    cx.diagnostics.truncate(reported);
}

fn onbuild(
    cx: &mut Context,
    reader: &mut Reader<'_>,
    keyword: Slice<'_>,
    arguments: Slice<'_>,
) -> Option<Instruction> {
    let (inner, rest) = arguments.split_word();
    if inner.is_empty() {
        cx.report(Diagnostic::error("`ONBUILD` needs an instruction").at(keyword.span()));
        return None;
    }
    let (trigger, heredocs) = trigger(cx, reader, inner, rest)?;
    let mut expression = arguments.as_str().to_owned();
    for heredoc in &heredocs {
        expression.push('\n');
        expression.push_str(&heredoc.text.text);
        expression.push_str(&heredoc.name);
    }
    Some(Instruction::OnBuild(OnBuild {
        trigger: Box::new(trigger),
        expression,
    }))
}

/// An instruction that `ONBUILD` may defer.
fn trigger(
    cx: &mut Context,
    reader: &mut Reader<'_>,
    keyword: Slice<'_>,
    arguments: Slice<'_>,
) -> Option<(Instruction, Vec<Heredoc>)> {
    let name = keyword.as_str().to_ascii_uppercase();
    if ["ONBUILD", "FROM", "MAINTAINER"].contains(&name.as_str()) {
        let message = format!("`{name}` cannot be deferred by `ONBUILD`");
        cx.report(Diagnostic::error(message).at(keyword.span()));
        return None;
    }
    if !KEYWORDS.contains(&name.as_str()) {
        cx.report(unknown(keyword, false));
        skip_heredocs(cx, reader, arguments);
        return None;
    }
    let statement = statement(cx, reader, keyword, arguments);
    let heredocs = statement.heredocs.clone();
    instruction::parse(cx, statement).map(|instruction| (instruction, heredocs))
}

fn unknown(keyword: Slice<'_>, may_continue: bool) -> Diagnostic {
    let diagnostic =
        Diagnostic::error(format!("unknown instruction `{}`", keyword.as_str())).at(keyword.span());
    let names = KEYWORDS.iter().copied().chain(["FROM", "ONBUILD"]);
    match suggest::nearest(keyword.as_str(), names) {
        Some(near) => diagnostic.did_you_mean(Some(near)),
        None if may_continue => {
            diagnostic.hint("if it belongs to the line before, that line must end with `\\`")
        }
        None => diagnostic,
    }
}

fn step(instruction: Instruction, line: &Word, reader: &Reader<'_>) -> Step {
    let end = match has_heredocs(&instruction) {
        true => Span::new(line.span.file, reader.position(), reader.position()),
        false => line.span,
    };
    Step {
        instruction,
        span: line.span.to(end),
        text: line.text.trim().to_owned(),
    }
}

fn has_heredocs(instruction: &Instruction) -> bool {
    let is_heredoc = |source: &crate::Source| matches!(source, crate::Source::Heredoc(_));
    match instruction {
        Instruction::Run(run) => !run.heredocs.is_empty(),
        Instruction::Copy(copy) => copy.sources.iter().any(is_heredoc),
        Instruction::Add(add) => add.sources.iter().any(is_heredoc),
        Instruction::OnBuild(onbuild) => has_heredocs(&onbuild.trigger),
        _ => false,
    }
}
