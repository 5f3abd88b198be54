//! One line of comma-separated fields, as Go's reader has them: docker's `--mount` and
//! `--gpus`.

/// Splits a line. A field in double quotes may hold commas; a quote in it is written twice.
pub(super) fn fields(text: &str) -> Result<Vec<String>, &'static str> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let field = &rest[..end];
                if field.contains('"') {
                    return Err("a quote stands in the middle of a field");
                }
                (field.to_owned(), &rest[end..])
            }
        };
        out.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(out),
        }
    }
}

/// What follows an opening quote: the field, and the rest behind the closing one.
fn quoted_field(text: &str) -> Result<(String, &str), &'static str> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"').ok_or("a quote is not closed")?;
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None if rest.is_empty() || rest.starts_with(',') => return Ok((field, rest)),
            None => return Err("something follows a closing quote"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fields;
    use proptest::prelude::*;

    #[test]
    fn quotes_and_commas() {
        assert_eq!(fields("a,b=c,").unwrap(), ["a", "b=c", ""]);
        assert_eq!(
            fields(r#"type=bind,"src=/a,b",x"#).unwrap(),
            ["type=bind", "src=/a,b", "x"]
        );
        assert_eq!(fields(r#""say ""hi""""#).unwrap(), [r#"say "hi""#]);
        assert_eq!(fields("").unwrap(), [""]);
        for bad in [r#"a"b"#, r#""a"#, r#""a"b"#] {
            assert!(fields(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_comes_back(words in proptest::collection::vec("\\PC{0,9}", 1..5)) {
            let quoted: Vec<_> =
                words.iter().map(|w| format!("\"{}\"", w.replace('"', "\"\""))).collect();
            prop_assert_eq!(fields(&quoted.join(",")).unwrap(), words);
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = fields(&text);
        }
    }
}
