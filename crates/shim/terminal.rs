//! What is shown on a terminal cannot speak to it.
//!
//! Names, labels, commands, errors of strangers' registries and output of build steps may
//! hold control characters: they would move the cursor, hide text, or type for the user.
//! Where a terminal reads, they are written out as `\x1b`; a pipe or a file gets every byte
//! as it is. Logs and the output of containers are theirs, as with docker.

use std::borrow::Cow;
use std::io::IsTerminal;
use std::sync::LazyLock;

static STDOUT: LazyLock<bool> = LazyLock::new(|| std::io::stdout().is_terminal());
static STDERR: LazyLock<bool> = LazyLock::new(|| std::io::stderr().is_terminal());

/// A value that goes into a line of data on standard output.
pub(crate) fn value(text: &str) -> Cow<'_, str> {
    match *STDOUT {
        true => escape(text, false),
        false => text.into(),
    }
}

/// A page of data on standard output: its values are escaped, what is left of colours is
/// from the user's own template.
pub(crate) fn page(text: &str) -> Cow<'_, str> {
    match *STDOUT {
        true => escape(text, true),
        false => text.into(),
    }
}

/// A message on standard error.
pub(crate) fn message(text: &str) -> Cow<'_, str> {
    match *STDERR {
        true => escape(text, false),
        false => text.into(),
    }
}

/// A message on standard error that may be coloured.
pub(crate) fn coloured(text: &str) -> Cow<'_, str> {
    match *STDERR {
        true => escape(text, true),
        false => text.into(),
    }
}

/// A line of a build step, on standard error. Progress bars overwrite themselves: what the
/// last carriage return leaves is shown.
pub(crate) fn step_output(line: &str) -> Cow<'_, str> {
    match *STDERR {
        true => escape(overwritten(line), true),
        false => line.into(),
    }
}

fn overwritten(line: &str) -> &str {
    let line = line.trim_end_matches('\r');
    line.rsplit('\r').next().unwrap_or(line)
}

/// Writes control characters out, those that change the direction of text with them; line
/// ends and tabs stay, and colours (`ESC [ 31 m`) where they may.
fn escape(text: &str, colours: bool) -> Cow<'_, str> {
    if !text.chars().any(speaks) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match colours {
            true => colour(rest),
            false => 0,
        };
        if length > 0 {
            out.push_str(&rest[..length]);
            rest = &rest[length..];
            continue;
        }
        match first {
            c if !speaks(c) => out.push(c),
            c if c.is_ascii() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.extend(c.escape_unicode()),
        }
        rest = &rest[first.len_utf8()..];
    }
    out.into()
}

/// Whether a terminal does something else with it than show it.
fn speaks(c: char) -> bool {
    let direction = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    direction || (c.is_control() && c != '\n' && c != '\t')
}

/// Length of the colour that the text begins with; 0 if it begins with none.
fn colour(text: &str) -> usize {
    let Some(codes) = text.strip_prefix("\x1b[") else {
        return 0;
    };
    let end = codes.find(|c: char| !c.is_ascii_digit() && c != ';');
    match end {
        Some(end) if codes[end..].starts_with('m') && end <= 32 => "\x1b[".len() + end + 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out() {
        for (text, shown) in [
            (
                "plain ünïcode 漢字 🦀\tand\nmore",
                "plain ünïcode 漢字 🦀\tand\nmore",
            ),
            ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
            ("a\rb\x08\x7f\0", "a\\x0db\\x08\\x7f\\x00"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("admin\u{202e}gpj.exe", "admin\\u{202e}gpj.exe"),
            ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ] {
            assert_eq!(escape(text, false), shown);
        }
    }

    #[test]
    fn of_a_progress_bar_the_end_is_left() {
        assert_eq!(overwritten("10%\r50%\rdone\r"), "done");
        assert_eq!(overwritten("all"), "all");
    }

    #[test]
    fn colours_pass_where_they_may_and_nothing_else_does() {
        for (text, shown) in [
            ("\x1b[1;31mred\x1b[0m\x1b[m", "\x1b[1;31mred\x1b[0m\x1b[m"),
            ("\x1b[2J\x1b[31", "\\x1b[2J\\x1b[31"),
            ("\x1b[31;é", "\\x1b[31;é"),
            ("\x1b", "\\x1b"),
        ] {
            assert_eq!(escape(text, true), shown);
        }
        let long = format!("\x1b[{}m", "1;".repeat(40));
        assert!(escape(&long, true).starts_with("\\x1b["));
    }
}
