//! `HEALTHCHECK`.

use text::Diagnostic;

use super::command;
use crate::context::Context;
use crate::flags::Flags;
use crate::word::Slice;
use crate::{Command, HealthCheck, Probe, Word};

pub(super) fn parse(cx: &mut Context, mut flags: Flags, rest: Slice<'_>) -> Option<HealthCheck> {
    let (kind, rest) = rest.split_word();
    match kind.as_str().to_ascii_uppercase().as_str() {
        "NONE" if rest.is_empty() => return Some(HealthCheck::None),
        "NONE" => {
            let message = "`HEALTHCHECK NONE` takes no arguments";
            cx.report(Diagnostic::error(message).at(rest.span()));
            return None;
        }
        "CMD" => {}
        _ => {
            let message = format!("`HEALTHCHECK` does not know `{}`", kind.as_str());
            cx.report(
                Diagnostic::error(message)
                    .at(kind.span())
                    .hint("write `HEALTHCHECK CMD command`, or `HEALTHCHECK NONE`"),
            );
            return None;
        }
    }
    let mut duration = |cx: &mut Context, name: &str| {
        let word = flags.value(cx, name)?;
        if is_duration(&word.text) {
            return Some(word);
        }
        let message = format!("`{}` is no duration", word.text);
        cx.report(
            Diagnostic::error(message)
                .at(word.span)
                .hint("write it as 30s, 1m30s, 500ms"),
        );
        None
    };
    let (interval, timeout) = (duration(cx, "interval"), duration(cx, "timeout"));
    let start_period = duration(cx, "start-period");
    let start_interval = duration(cx, "start-interval");
    let retries = flags
        .value(cx, "retries")
        .and_then(|word| retries(cx, &word));
    if rest.is_empty() {
        cx.report(Diagnostic::error("`HEALTHCHECK CMD` needs a command").at(kind.span()));
        return None;
    }
    let command = command(cx, rest)?;
    if matches!(&command, Command::Exec(argv) if argv.is_empty()) {
        cx.report(Diagnostic::error("`HEALTHCHECK CMD` needs a command").at(rest.span()));
        return None;
    }
    let probe = Probe {
        command,
        interval,
        timeout,
        start_period,
        start_interval,
        retries,
    };
    Some(HealthCheck::Probe(Box::new(probe)))
}

fn retries(cx: &mut Context, word: &Word) -> Option<u32> {
    let retries = word.text.parse().ok();
    if retries.is_none() {
        let message = format!("`{}` is no number of retries", word.text);
        cx.report(Diagnostic::error(message).at(word.span));
    }
    retries
}

/// Go's form: numbers with units, or a bare zero.
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let unit = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let known = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"].contains(&&after[..unit]);
        if number.parse::<f64>().is_err() || !known {
            return text == "0";
        }
        rest = &after[unit..];
    }
    !text.is_empty()
}
