//! A command written as one string, split into words as docker compose splits it.

/// The words, and what is left over from an unquoted `; & | < >` on: there is no shell
/// that could run it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Words {
    /// What is executed.
    pub(crate) words: Vec<String>,
    /// The operator that ended the reading, if one did.
    pub(crate) stopped_at: Option<String>,
}

/// Splits at blanks outside of quotes. A backslash, outside of single quotes, takes the
/// next character as it is, except that `\n` and `\t` mean what they mean in C.
/// The error is the quote that is never closed.
pub(crate) fn split(text: &str) -> Result<Words, char> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => {
                let escaped = match chars.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, 't')) => '\t',
                    Some((_, other)) => other,
                    None => return Err('\\'),
                };
                word.get_or_insert_default().push(escaped);
            }
            (_, Some(open)) if c == open => quote = None,
            (_, Some(_)) => word.get_or_insert_default().push(c),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (' ' | '\t' | '\r' | '\n', None) => words.extend(word.take()),
            (';' | '&' | '|' | '<' | '>', None) => {
                let operator: String = text[at..].chars().take_while(|&o| o == c).collect();
                words.extend(word.take());
                return Ok(Words {
                    words,
                    stopped_at: Some(operator),
                });
            }
            (_, None) => word.get_or_insert_default().push(c),
        }
    }
    match quote {
        Some(open) => Err(open),
        None => {
            words.extend(word);
            Ok(Words {
                words,
                stopped_at: None,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_split_as_docker_compose_splits_them() {
        for (text, want) in [
            ("", vec![]),
            ("  a  b\tc\n", vec!["a", "b", "c"]),
            ("sh -c 'a && b'", vec!["sh", "-c", "a && b"]),
            (r#"sh -c "echo \"x\"""#, vec!["sh", "-c", r#"echo "x""#]),
            (r"a\ b 'c\d' \n", vec!["a b", r"c\d", "\n"]),
            ("a '' \"\"b", vec!["a", "", "b"]),
            ("bash -c '\nx\ny'", vec!["bash", "-c", "\nx\ny"]),
            ("--x=\"a b\"", vec!["--x=a b"]),
        ] {
            assert_eq!(split(text).unwrap().words, want, "{text}");
        }
    }

    #[test]
    fn an_operator_ends_it_and_an_open_quote_is_an_error() {
        let cut = split("migrate && serve").unwrap();
        assert_eq!(cut.words, ["migrate"]);
        assert_eq!(cut.stopped_at.as_deref(), Some("&&"));
        assert_eq!(split("a 'b"), Err('\''));
        assert_eq!(split("a \"b"), Err('"'));
        assert_eq!(split("a \\"), Err('\\'));
    }

    proptest! {
        #[test]
        fn quoted_words_come_back(words in prop::collection::vec("[^']{0,8}", 0..5)) {
            let text: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
            prop_assert_eq!(split(&text.join(" ")).unwrap().words, words);
        }

        #[test]
        fn never_panics(text in ".{0,60}") {
            let _ = split(&text);
        }
    }
}
