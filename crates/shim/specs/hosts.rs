//! `--add-host NAME:ADDRESS`.

use std::net::IpAddr;

use crate::error::CliError;

/// Reads one `--add-host`; a colon or an equals sign stands between the two.
pub(crate) fn host(text: &str) -> Result<(&str, &str), CliError> {
    let bad = |why: &str| {
        CliError::usage(format!("invalid --add-host `{text}`: {why}"))
            .hint("write NAME:ADDRESS, e.g. db:10.0.0.7, or NAME:host-gateway for the host")
    };
    let (name, address) = text
        .split_once([':', '='])
        .ok_or_else(|| bad("it has no address"))?;
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(bad("it has no name"));
    }
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    match bare == "host-gateway" || bare.parse::<IpAddr>().is_ok() {
        true => Ok((name, bare)),
        false => Err(bad(&format!("`{address}` is not an address"))),
    }
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn names_and_addresses() {
        for (text, wanted) in [
            ("a:10.0.0.1", ("a", "10.0.0.1")),
            ("a=::1", ("a", "::1")),
            ("a:[::1]", ("a", "::1")),
            ("a:host-gateway", ("a", "host-gateway")),
        ] {
            assert_eq!(host(text).unwrap(), wanted);
        }
        for bad in ["a", "a:", ":1.2.3.4", "a:b", "a b:1.2.3.4", "a:1.2.3.4\nb"] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }
}
