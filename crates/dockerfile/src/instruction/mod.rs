//! What each instruction makes of its arguments.

mod healthcheck;
mod transfer;

use text::{Diagnostic, Span};

use crate::context::Context;
use crate::flags::{Flags, Known};
use crate::json::{self, List};
use crate::mount;
use crate::word::Slice;
use crate::words::{blank_words, quoted_words};
use crate::{Arg, Command, Heredoc, Instruction, Network, Pair, Run, Security, Spanned, Word};

/// The keyword of an instruction, its arguments and its here-documents.
pub(crate) struct Statement<'a> {
    /// In capitals.
    pub(crate) keyword: String,
    /// Where the keyword stands.
    pub(crate) keyword_span: Span,
    pub(crate) arguments: Slice<'a>,
    pub(crate) heredocs: Vec<Heredoc>,
}

impl Statement<'_> {
    fn error(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(message).at(self.keyword_span)
    }
}

/// All keywords but `FROM`, `ONBUILD`: those that [`parse`] understands.
pub(crate) const KEYWORDS: [&str; 16] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// The flags of an instruction.
pub(crate) fn known_flags(keyword: &str) -> Known {
    let (once, repeated): (&[&str], &[&str]) = match keyword {
        "FROM" => (&["platform"], &[]),
        "RUN" => (&["network", "security"], &["mount", "device"]),
        "COPY" => (&["from", "chown", "chmod", "link", "parents"], &["exclude"]),
        "ADD" => (
            &[
                "chown",
                "chmod",
                "link",
                "keep-git-dir",
                "checksum",
                "unpack",
            ],
            &["exclude"],
        ),
        "HEALTHCHECK" => (
            &[
                "interval",
                "timeout",
                "start-period",
                "start-interval",
                "retries",
            ],
            &[],
        ),
        _ => (&[], &[]),
    };
    Known { once, repeated }
}

/// Understands a statement whose keyword is one of [`KEYWORDS`]. `None`: it is reported
/// why not.
pub(crate) fn parse(cx: &mut Context, statement: Statement<'_>) -> Option<Instruction> {
    let keyword = statement.keyword.clone();
    let (flags, rest) = Flags::take(cx, &keyword, known_flags(&keyword), statement.arguments);
    if rest.is_empty() {
        cx.report(statement.error(format!("`{keyword}` needs {}", wanted(&keyword))));
        return None;
    }
    let statement = Statement {
        arguments: rest,
        ..statement
    };
    let instruction = match keyword.as_str() {
        "RUN" => Instruction::Run(run(cx, flags, statement)?),
        "CMD" => Instruction::Cmd(command(cx, rest)?),
        "ENTRYPOINT" => Instruction::Entrypoint(command(cx, rest)?),
        "LABEL" => Instruction::Label(pairs(cx, &statement)?),
        "ENV" => Instruction::Env(pairs(cx, &statement)?),
        "MAINTAINER" => Instruction::Maintainer(rest.to_word()),
        "EXPOSE" => Instruction::Expose(expose(cx, rest)),
        "COPY" => Instruction::Copy(transfer::copy(cx, flags, statement)?),
        "ADD" => Instruction::Add(transfer::add(cx, flags, statement)?),
        "VOLUME" => Instruction::Volume(volume(cx, rest)?),
        "USER" => Instruction::User(whole(cx, rest)),
        "WORKDIR" => Instruction::Workdir(whole(cx, rest)),
        "STOPSIGNAL" => Instruction::StopSignal(whole(cx, rest)),
        "ARG" => Instruction::Arg(args(cx, rest)?),
        "HEALTHCHECK" => Instruction::HealthCheck(healthcheck::parse(cx, flags, rest)?),
        "SHELL" => Instruction::Shell(shell(cx, rest)?),
        _ => return None,
    };
    Some(instruction)
}

fn wanted(keyword: &str) -> &'static str {
    match keyword {
        "RUN" | "CMD" | "ENTRYPOINT" => "a command",
        "LABEL" | "ENV" => "at least one `name=value`",
        "ARG" => "at least one name",
        "EXPOSE" => "at least one port",
        "COPY" | "ADD" => "at least one source, and a destination",
        "VOLUME" | "WORKDIR" => "a path",
        "USER" => "a user",
        "STOPSIGNAL" => "a signal",
        "HEALTHCHECK" => "`CMD` and a command, or `NONE`",
        "SHELL" => "a JSON list such as [\"/bin/bash\", \"-c\"]",
        _ => "an argument",
    }
}

fn whole(cx: &mut Context, rest: Slice<'_>) -> Word {
    let word = rest.to_word();
    cx.check(&word);
    word
}

/// A command in JSON or shell form.
fn command(cx: &mut Context, rest: Slice<'_>) -> Option<Command> {
    match json::list(rest) {
        List::Strings(words) => Some(Command::Exec(words)),
        List::Other(span) => {
            cx.report(not_a_string(span));
            None
        }
        List::No => {
            if json::looks_like_list(rest.as_str()) {
                cx.report(
                    Diagnostic::warning(
                        "this is no valid JSON list, so a shell will run it as text",
                    )
                    .at(rest.span())
                    .hint("a list is written with double quotes: [\"program\", \"argument\"]"),
                );
            }
            Some(Command::Shell(rest.to_word()))
        }
    }
}

fn not_a_string(span: Span) -> Diagnostic {
    Diagnostic::error("a JSON list may hold strings only")
        .at(span)
        .hint("put it in double quotes")
}

/// Words in JSON or blank-separated form.
fn list(cx: &mut Context, rest: Slice<'_>) -> Option<Vec<Word>> {
    let words = match json::list(rest) {
        List::Strings(words) => words,
        List::Other(span) => {
            cx.report(not_a_string(span));
            return None;
        }
        List::No => blank_words(rest).into_iter().map(Slice::to_word).collect(),
    };
    cx.check_all(&words);
    Some(words)
}

fn run(cx: &mut Context, mut flags: Flags, statement: Statement<'_>) -> Option<Run> {
    let mounts = flags.values(cx, "mount");
    let mounts = mounts
        .into_iter()
        .filter_map(|word| mount::parse(cx, word))
        .collect();
    let network = flags.value(cx, "network").and_then(|word| {
        let choices = [
            ("default", Network::Default),
            ("none", Network::None),
            ("host", Network::Host),
        ];
        choice(cx, "--network", &word, &choices)
    });
    let security = flags.value(cx, "security").and_then(|word| {
        let choices = [
            ("sandbox", Security::Sandbox),
            ("insecure", Security::Insecure),
        ];
        choice(cx, "--security", &word, &choices)
    });
    let devices = flags.values(cx, "device");
    let command = command(cx, statement.arguments)?;
    if matches!(&command, Command::Exec(argv) if argv.is_empty()) {
        cx.report(
            statement
                .error("`RUN` needs a command")
                .label("the list is empty"),
        );
        return None;
    }
    Some(Run {
        mounts,
        network,
        security,
        devices,
        command,
        heredocs: statement.heredocs,
    })
}

/// A value that is one of a few.
pub(crate) fn choice<T: std::marker::Copy>(
    cx: &mut Context,
    what: &str,
    word: &Word,
    choices: &[(&str, T)],
) -> Option<Spanned<T>> {
    let typed = word.text.to_ascii_lowercase();
    if let Some(&(_, value)) = choices.iter().find(|(name, _)| *name == typed) {
        return Some(Spanned {
            value,
            span: word.span,
        });
    }
    let names: Vec<_> = choices
        .iter()
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    cx.report(
        Diagnostic::error(format!("`{what}` cannot be `{}`", word.text))
            .at(word.span)
            .hint(format!("it is one of {}", names.join(", "))),
    );
    None
}

/// `name=value …`, or the old form with one name and, behind a blank, its value.
fn pairs(cx: &mut Context, statement: &Statement<'_>) -> Option<Vec<Pair>> {
    let (words, _) = quoted_words(statement.arguments, cx.escape);
    let old_form = words
        .first()
        .is_some_and(|first| !first.as_str().contains('='));
    if old_form {
        let (key, value) = statement.arguments.split_word();
        if value.is_empty() {
            let written = format!("{} {}", statement.keyword, key.as_str());
            let message = format!("`{written}` has no value");
            let hint = format!("write `{written}=…`");
            cx.report(Diagnostic::error(message).at(key.span()).hint(hint));
            return None;
        }
        let pair = Pair {
            key: key.to_word(),
            value: value.to_word(),
        };
        cx.check_all([&pair.key, &pair.value]);
        return Some(vec![pair]);
    }
    let mut pairs = Vec::new();
    for word in words {
        match word.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                let pair = Pair {
                    key: key.to_word(),
                    value: value.to_word(),
                };
                cx.check_all([&pair.key, &pair.value]);
                pairs.push(pair);
            }
            Some(_) => {
                cx.report(Diagnostic::error("there is no name before the `=`").at(word.span()))
            }
            None => cx.report(
                Diagnostic::error(format!("`{}` is no `name=value`", word.as_str()))
                    .at(word.span())
                    .hint("a value with blanks goes in double quotes"),
            ),
        }
    }
    Some(pairs)
}

fn args(cx: &mut Context, rest: Slice<'_>) -> Option<Vec<Arg>> {
    let mut args = Vec::new();
    for word in quoted_words(rest, cx.escape).0 {
        let (name, default) = match word.split_once('=') {
            Some((name, default)) => (name, Some(default.to_word())),
            None => (word, None),
        };
        if name.is_empty() {
            cx.report(Diagnostic::error("there is no name before the `=`").at(word.span()));
            continue;
        }
        let arg = Arg {
            name: name.to_word(),
            default,
        };
        cx.check(&arg.name);
        cx.check_all(&arg.default);
        args.push(arg);
    }
    (!args.is_empty()).then_some(args)
}

fn expose(cx: &mut Context, rest: Slice<'_>) -> Vec<Word> {
    let words: Vec<Word> = blank_words(rest).into_iter().map(Slice::to_word).collect();
    for word in &words {
        cx.check(word);
        if !word.text.contains(['$', '"', '\'', cx.escape]) && !is_port(&word.text) {
            cx.report(
                Diagnostic::error(format!("`{}` is no port", word.text))
                    .at(word.span)
                    .hint("write a number or a range, and perhaps a protocol: 8000, 53/udp, 5000-5010"),
            );
        }
    }
    words
}

/// `8000`, `8000-8010`, either with a protocol.
fn is_port(text: &str) -> bool {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let known = ["tcp", "udp", "sctp"].contains(&protocol.to_ascii_lowercase().as_str());
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) => known && first <= last,
        _ => false,
    }
}

fn volume(cx: &mut Context, rest: Slice<'_>) -> Option<Vec<Word>> {
    let words = list(cx, rest)?;
    if let Some(empty) = words.iter().find(|word| word.text.trim().is_empty()) {
        cx.report(Diagnostic::error("a volume's path is empty").at(empty.span));
        return None;
    }
    if words.is_empty() {
        cx.report(Diagnostic::error("`VOLUME` needs a path").at(rest.span()));
        return None;
    }
    Some(words)
}

fn shell(cx: &mut Context, rest: Slice<'_>) -> Option<Vec<Word>> {
    match json::list(rest) {
        List::Strings(words) if !words.is_empty() => return Some(words),
        List::Other(span) => cx.report(not_a_string(span)),
        _ => cx.report(
            Diagnostic::error("`SHELL` needs a JSON list with at least one string")
                .at(rest.span())
                .hint("write `SHELL [\"/bin/bash\", \"-c\"]`"),
        ),
    }
    None
}
