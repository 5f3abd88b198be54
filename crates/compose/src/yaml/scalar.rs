//! What a plain scalar means.

use super::Value;

/// Types an unquoted scalar by go-yaml v3's rules.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Value::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => Value::Float(f64::NAN),
        _ => number(text).unwrap_or_else(|| Value::Text(text.to_owned())),
    }
}

/// Whether a text, written without quotes, would be read as something else.
pub(crate) fn needs_quotes(text: &str) -> bool {
    !matches!(resolve(text), Value::Text(_))
}

fn number(text: &str) -> Option<Value> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    let plain = text.replace('_', "");
    if let Some(value) = integer(&plain) {
        return Some(Value::Int(value));
    }
    is_float(&plain)
        .then(|| plain.parse().ok().map(Value::Float))
        .flatten()
}

/// Go's `ParseInt` with base 0, and what fits an unsigned 64-bit number.
fn integer(plain: &str) -> Option<i128> {
    let (negative, digits) = match plain.as_bytes().first()? {
        b'-' => (true, &plain[1..]),
        b'+' => (false, &plain[1..]),
        _ => (false, plain),
    };
    let lower = digits.to_ascii_lowercase();
    let (digits, radix) = if let Some(hex) = lower.strip_prefix("0x") {
        (hex, 16)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (binary, 2)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (octal, 8)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (&lower[1..], 8)
    } else {
        (lower.as_str(), 10)
    };
    // Rust would take another sign here.
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    let value = if negative { -value } else { value };
    (i128::from(i64::MIN)..=i128::from(u64::MAX))
        .contains(&value)
        .then_some(value)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(plain: &str) -> bool {
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(plain);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, part)) => {
            digits(whole) && digits(part) && !(whole.is_empty() && part.is_empty())
        }
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    mantissa_fits && exponent_fits
}

/// Writes a float as Go's `fmt.Sprint` does: `1.10` becomes `1.1`, `1000000.0` `1e+06`.
pub(super) fn format_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 {
            "+Inf".into()
        } else {
            "-Inf".into()
        };
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("{:e} writes an e");
    let exponent: i32 = exponent.parse().expect("{:e} writes a number after the e");
    if (-4..6).contains(&exponent) {
        return value.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> String {
        match resolve(text) {
            Value::Null => "null".into(),
            Value::Bool(value) => format!("bool {value}"),
            Value::Int(value) => format!("int {value}"),
            Value::Float(value) => format!("float {}", format_float(value)),
            Value::Text(text) => format!("text {text}"),
            Value::List(_) | Value::Map(_) => unreachable!("scalars only"),
        }
    }

    #[test]
    fn plain_scalars_are_typed_as_go_yaml_does() {
        for (text, want) in [
            ("", "null"),
            ("~", "null"),
            ("nULL", "text nULL"),
            ("True", "bool true"),
            ("tRue", "text tRue"),
            ("no", "text no"),
            ("on", "text on"),
            ("y", "text y"),
            ("0440", "int 288"),
            ("0o440", "int 288"),
            ("08", "float 8"),
            ("0x1F", "int 31"),
            ("-0b11", "int -3"),
            ("1_000", "int 1000"),
            ("+12", "int 12"),
            ("--1", "text --1"),
            ("18446744073709551615", "int 18446744073709551615"),
            ("18446744073709551616", "float 1.8446744073709552e+19"),
            ("1.10", "float 1.1"),
            ("1.", "float 1"),
            (".5", "float 0.5"),
            (".", "text ."),
            ("1e3", "float 1000"),
            ("1e", "text 1e"),
            ("1e30", "float 1e+30"),
            ("1e-7", "float 1e-07"),
            ("-.inf", "float -Inf"),
            ("2001-01-01", "text 2001-01-01"),
            ("1.2.3", "text 1.2.3"),
            ("8000:80", "text 8000:80"),
            ("22:22", "text 22:22"),
            ("0", "int 0"),
            ("0x", "text 0x"),
            ("-", "text -"),
        ] {
            assert_eq!(show(text), want, "{text:?}");
        }
    }
}
