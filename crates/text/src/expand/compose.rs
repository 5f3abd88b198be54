//! Compose's interpolation: `$X ${X} ${X:-d} ${X-d} ${X:?e} ${X?e} ${X:+r} ${X+r} $$`.

use super::{ExpandError, ExpandErrorKind, Expanded, Operator, State};

/// Expands the variables of one scalar of a compose file. `lookup` gives a variable's
/// value, or `None` if it is not set.
///
/// ```
/// let lookup = |name: &str| (name == "TAG").then(|| "16".to_owned());
/// let expanded = text::expand::compose("postgres:${TAG:-latest} $$HOME", &lookup).unwrap();
/// assert_eq!(expanded.text, "postgres:16 $HOME");
/// ```
pub fn compose(
    input: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Expanded, ExpandError> {
    let mut state = State::new(input, lookup);
    let text = text(&mut state, true, None)?;
    Ok(Expanded {
        text,
        unset: state.unset,
        used: state.used,
    })
}

/// Reads up to the end, or up to and with the `}` that closes the `${` at `inside`.
/// Without `needed` nothing is looked up and nothing comes out.
fn text(state: &mut State<'_>, needed: bool, inside: Option<usize>) -> Result<String, ExpandError> {
    let mut out = String::new();
    // An escaped `$${` inside a word opens a brace whose `}` belongs to the word.
    let mut literal_braces = 0;
    while let Some(c) = state.peek() {
        match c {
            '$' => {
                let escaped_brace = inside.is_some() && state.rest().starts_with("$${");
                out.push_str(&dollar(state, needed)?);
                if escaped_brace {
                    literal_braces += 1;
                }
            }
            '}' if inside.is_some() && literal_braces == 0 => {
                state.at += 1;
                return Ok(out);
            }
            _ => {
                if c == '}' && literal_braces > 0 {
                    literal_braces -= 1;
                }
                state.at += c.len_utf8();
                if needed {
                    out.push(c);
                }
            }
        }
    }
    match inside {
        Some(open) => Err(state.error(open, ExpandErrorKind::UnclosedBrace)),
        None => Ok(out),
    }
}

fn dollar(state: &mut State<'_>, needed: bool) -> Result<String, ExpandError> {
    let start = state.at;
    state.at += 1;
    match state.peek() {
        Some('$') => {
            state.at += 1;
            Ok("$".to_owned())
        }
        Some('{') => {
            state.at += 1;
            braced(state, needed, start)
        }
        _ => {
            let name = name(state);
            // Compose leaves a lone dollar as it is: `grep foo$`, `$1`.
            if name.is_empty() {
                return Ok(if needed {
                    "$".to_owned()
                } else {
                    String::new()
                });
            }
            Ok(if needed {
                state.plain(name, start)
            } else {
                String::new()
            })
        }
    }
}

/// What follows a `${` that began at `start`.
fn braced(state: &mut State<'_>, needed: bool, start: usize) -> Result<String, ExpandError> {
    state.enter(start)?;
    let name = name(state);
    let value = match state.peek() {
        None => return Err(state.error(start, ExpandErrorKind::UnclosedBrace)),
        Some(_) if name.is_empty() => return Err(state.error(start, ExpandErrorKind::BadName)),
        Some('}') => {
            state.at += 1;
            if needed {
                state.plain(name, start)
            } else {
                String::new()
            }
        }
        Some(_) => operation(state, needed, start, name)?,
    };
    state.depth -= 1;
    Ok(value)
}

fn operation(
    state: &mut State<'_>,
    needed: bool,
    start: usize,
    name: &str,
) -> Result<String, ExpandError> {
    let sign = state.at;
    let empty_is_unset = state.eat(':');
    let Some(operator) = state.next().and_then(Operator::from_char) else {
        return Err(state.bad_operator(start, sign));
    };
    if !needed {
        return text(state, false, Some(start));
    }
    let value = state
        .value(name)
        .filter(|value| !(empty_is_unset && value.is_empty()));
    let word = text(state, operator.needs_word(value.is_some()), Some(start))?;
    match (operator, value) {
        (Operator::Default, None) | (Operator::Alternative, Some(_)) => Ok(word),
        (Operator::Default | Operator::Required, Some(value)) => Ok(value),
        (Operator::Alternative, None) => Ok(String::new()),
        (Operator::Required, None) => {
            let kind = ExpandErrorKind::Required {
                name: name.to_owned(),
                message: word,
            };
            Err(state.error(start, kind))
        }
    }
}

/// A letter or `_`, then letters, digits, `_`; empty if there is none here.
fn name<'a>(state: &mut State<'a>) -> &'a str {
    let rest = state.rest();
    let end = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(rest.len());
    let name = if rest.starts_with(|c: char| c.is_ascii_digit()) {
        ""
    } else {
        &rest[..end]
    };
    state.at += name.len();
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "A" => Some("a".into()),
            "EMPTY" => Some(String::new()),
            "DOLLAR" => Some("$A}".into()),
            _ => None,
        }
    }

    #[test]
    fn every_form() {
        for (input, want) in [
            ("", ""),
            ("plain {} }", "plain {} }"),
            ("$A-${A}", "a-a"),
            ("$AB.", "."),
            ("$$A $$$A", "$A $a"),
            ("${A:-d}${NO:-d}${EMPTY:-d}", "add"),
            ("${A-d}${NO-d}${EMPTY-d}", "ad"),
            ("${A:+r}${NO:+r}${EMPTY:+r}", "r"),
            ("${A+r}${NO+r}${EMPTY+r}", "rr"),
            ("${A:?e}${A?e}${EMPTY?e}", "aa"),
            ("${NO:-${ALSO:-${A}}}", "a"),
            ("${NO:-x$A${A}y}", "xaay"),
            ("${NO:-}", ""),
            ("${NO:-{}}", "{}"),
            ("${NO:-$$A}", "$A"),
            ("${NO:-$${A}}", "${A}"),
            ("${NO:-a:b?c-d}", "a:b?c-d"),
            // what is not needed is not evaluated
            ("${A:-${NO:?e}}", "a"),
            // values are not expanded again
            ("$DOLLAR", "$A}"),
            ("http://$A:80/ü", "http://a:80/ü"),
            // a dollar that begins nothing is itself
            ("a $ b$1$", "a $ b$1$"),
        ] {
            let expanded = compose(input, &lookup).unwrap_or_else(|e| panic!("{input}: {e}"));
            assert_eq!(expanded.text, want, "{input}");
        }
    }

    #[test]
    fn errors_say_where() {
        for (input, range, message) in [
            ("x ${A", 2..5, "`${` is never closed"),
            ("${", 0..2, "`${` is never closed"),
            ("${A:-${B}", 0..9, "`${` is never closed"),
            ("${}", 0..2, "`$` is not followed by a variable's name"),
            ("${A B}", 0..4, "unknown operator ` ` in a substitution"),
            ("${A:=b}", 0..5, "unknown operator `:=` in a substitution"),
            (
                "x${NO:?say $A}",
                1..14,
                "required variable `NO` has no value: say a",
            ),
            (
                "${EMPTY:?}",
                0..10,
                "required variable `EMPTY` has no value",
            ),
        ] {
            let error = compose(input, &lookup).expect_err(input);
            assert_eq!(
                (error.offset..error.end, error.to_string().as_str()),
                (range, message)
            );
        }
    }

    #[test]
    fn unset_variables_are_noted_where_they_are_needed() {
        let expanded = compose("$NO ${A:-$UNUSED} ${X:-${Y}}", &lookup).unwrap();
        let unset: Vec<_> = expanded
            .unset
            .iter()
            .map(|v| (v.name.as_str(), v.offset))
            .collect();
        assert_eq!(unset, [("NO", 0), ("Y", 23)]);
        assert_eq!(expanded.used, ["A"]);
    }

    proptest! {
        #[test]
        fn never_panics_and_errors_lie_inside(input in "[$${}:?+Aa\\-ü]{0,40}") {
            if let Err(error) = compose(&input, &lookup) {
                prop_assert!(error.offset <= error.end && error.end <= input.len());
                prop_assert!(input.get(error.offset..error.end).is_some());
            }
        }

        #[test]
        fn doubled_dollars_give_the_text_back(input in ".*") {
            let escaped = input.replace('$', "$$");
            prop_assert_eq!(compose(&escaped, &lookup).unwrap().text, input);
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        let input = "${A:-".repeat(100_000);
        assert!(compose(&input, &|_| None).is_err());
    }
}
