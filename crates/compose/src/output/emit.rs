//! YAML text, quoted no more than necessary: what another reader, of YAML 1.1 too, might
//! take for something else gets quotes.

use super::Out;
use crate::yaml::needs_quotes;

/// Writes a document in block style.
pub(super) fn emit(out: &Out) -> String {
    let mut text = String::new();
    match out {
        Out::Map(entries) if !entries.is_empty() => map(&mut text, entries, 0),
        Out::List(items) if !items.is_empty() => list(&mut text, items, 0),
        _ => {
            inline(&mut text, out, 0);
            text.push('\n');
        }
    }
    text
}

fn map(text: &mut String, entries: &[(String, Out)], indent: usize) {
    for (index, (key, value)) in entries.iter().enumerate() {
        // The first entry of a list's item goes on its line.
        if index > 0 || text.is_empty() || text.ends_with('\n') {
            spaces(text, indent);
        }
        scalar(text, key);
        text.push(':');
        match value {
            Out::Map(entries) if !entries.is_empty() => {
                text.push('\n');
                map(text, entries, indent + 2);
            }
            Out::List(items) if !items.is_empty() => {
                text.push('\n');
                list(text, items, indent + 2);
            }
            _ => {
                text.push(' ');
                inline(text, value, indent + 2);
                text.push('\n');
            }
        }
    }
}

fn list(text: &mut String, items: &[Out], indent: usize) {
    for item in items {
        spaces(text, indent);
        text.push_str("- ");
        match item {
            Out::Map(entries) if !entries.is_empty() => map(text, entries, indent + 2),
            Out::List(items) if !items.is_empty() => {
                // Nested lists do not occur in compose files; a line of their own will do.
                text.truncate(text.len() - 1);
                text.push('\n');
                list(text, items, indent + 2);
            }
            _ => {
                inline(text, item, indent + 2);
                text.push('\n');
            }
        }
    }
}

/// A value that stands on its key's line; a block of text continues on the next ones.
fn inline(text: &mut String, out: &Out, indent: usize) {
    match out {
        Out::Null => text.push_str("null"),
        Out::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Out::Int(value) => text.push_str(&value.to_string()),
        Out::Text(value) if can_be_block(value) => block(text, value, indent),
        Out::Text(value) => scalar(text, value),
        Out::List(_) => text.push_str("[]"),
        Out::Map(_) => text.push_str("{}"),
    }
}

fn spaces(text: &mut String, count: usize) {
    text.extend(std::iter::repeat_n(' ', count));
}

fn can_be_block(value: &str) -> bool {
    let begins_plainly = !value.starts_with([' ', '\t', '\n']);
    let printable = |c: char| c == '\n' || c == '\t' || is_printable(c);
    value.contains('\n') && begins_plainly && value.chars().all(printable)
}

fn block(text: &mut String, value: &str, indent: usize) {
    let body = value.trim_end_matches('\n');
    text.push('|');
    match value.len() - body.len() {
        0 => text.push('-'),
        1 => {}
        _ => text.push('+'),
    }
    for line in value.strip_suffix('\n').unwrap_or(value).split('\n') {
        text.push('\n');
        if !line.is_empty() {
            spaces(text, indent);
            text.push_str(line);
        }
    }
}

/// One line, with the weakest quotes that keep it what it is.
fn scalar(text: &mut String, value: &str) {
    if !value.chars().all(is_printable) || is_ambiguous(value) {
        double_quoted(text, value);
    } else if is_plain(value) {
        text.push_str(value);
    } else {
        text.push('\'');
        text.push_str(&value.replace('\'', "''"));
        text.push('\'');
    }
}

fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
}

/// Whether a reader might take it for a number, a boolean, a date or nothing.
fn is_ambiguous(value: &str) -> bool {
    let old_boolean = ["y", "n", "yes", "no", "on", "off"];
    let begins_as_number = value
        .trim_start_matches(['+', '-'])
        .starts_with(|c: char| c.is_ascii_digit());
    let numeric = |c: char| c.is_ascii_digit() || matches!(c, ':' | '_' | '.' | '-' | '+');
    needs_quotes(value)
        || old_boolean.contains(&value.to_ascii_lowercase().as_str())
        || (begins_as_number && value.contains([':', '-']) && value.chars().all(numeric))
        || matches!(value, "<<" | "=")
}

fn is_plain(value: &str) -> bool {
    let mut chars = value.chars();
    let (first, second) = (chars.next(), chars.next());
    let begins = match first {
        Some('-' | '?' | ':') => second.is_some_and(|c| !c.is_whitespace() && c != ','),
        Some(c) => !",[]{}#&*!|>'\"%@`".contains(c) && !c.is_whitespace(),
        None => false,
    };
    begins
        && !value.ends_with(|c: char| c.is_whitespace() || c == ':')
        && !value.contains(": ")
        && !value.contains(" #")
        && !value.starts_with("---")
        && !value.starts_with("...")
}

fn double_quoted(text: &mut String, value: &str) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            '\r' => text.push_str("\\r"),
            c if is_printable(c) => text.push(c),
            c if u32::from(c) <= 0xff => text.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => text.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::yaml::{Node, Value, parse};

    fn read_back(out: &Out) -> Out {
        fn convert(node: &Node) -> Out {
            match &node.value {
                Value::Null => Out::Null,
                Value::Bool(value) => Out::Bool(*value),
                Value::Int(value) => Out::Int(i64::try_from(*value).unwrap()),
                Value::Float(value) => panic!("{value} was not written"),
                Value::Text(text) => Out::Text(text.clone()),
                Value::List(items) => Out::List(items.iter().map(convert).collect()),
                Value::Map(map) => Out::Map(
                    map.iter()
                        .map(|e| (e.key.clone(), convert(&e.value)))
                        .collect(),
                ),
            }
        }
        let text = emit(out);
        let (documents, complaints) = parse(text::FileId(0), &text);
        assert!(complaints.is_empty(), "{text}\n{complaints:?}");
        convert(&documents[0])
    }

    #[test]
    fn quotes_only_where_they_are_needed() {
        for (value, want) in [
            ("plain", "plain"),
            ("a b/c:8", "a b/c:8"),
            ("--flag=x", "--flag=x"),
            ("8080", "\"8080\""),
            ("no", "\"no\""),
            ("22:22", "\"22:22\""),
            ("2001-01-01", "\"2001-01-01\""),
            ("", "\"\""),
            ("a: b", "'a: b'"),
            ("it's # x", "'it''s # x'"),
            ("- x", "'- x'"),
            ("*x", "'*x'"),
            ("a\tb", "\"a\\tb\""),
            ("x\ny", "|-\n  x\n  y"),
            ("x\n\ny\n", "|\n  x\n\n  y"),
            (" x\ny", "\" x\\ny\""),
        ] {
            let out = Out::Map(vec![("k".into(), Out::Text(value.into()))]);
            assert_eq!(emit(&out), format!("k: {want}\n"));
            assert_eq!(read_back(&out), out);
        }
    }

    fn trees() -> impl Strategy<Value = Out> {
        let leaf = prop_oneof![
            Just(Out::Null),
            any::<bool>().prop_map(Out::Bool),
            any::<i64>().prop_map(Out::Int),
            "[ a:#\\-'\"\\\\\n\t0-9{\\[,&*!|>%@?ü$~=<_.eE+]{0,12}".prop_map(Out::Text),
            "\\PC{0,8}".prop_map(Out::Text),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4).prop_map(Out::List),
                prop::collection::btree_map("[a-z0-9 :#'-]{1,6}", inner, 1..4)
                    .prop_map(|map| Out::Map(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(out in trees()) {
            let out = Out::Map(vec![("top".into(), out)]);
            prop_assert_eq!(read_back(&out), out);
        }
    }
}
