//! `--security-opt` and `--sysctl`.

use std::io::Read;
use std::path::Path;

use engine::RunRequest;
use model::container::{Seccomp, SeccompSource};

use crate::error::{CliError, Kind};

/// Larger profiles are a mistake: docker's own has 30 kB.
const LARGEST_PROFILE: u64 = 4 << 20;

/// Reads one `--security-opt` into the request.
pub(crate) fn option(text: &str, cwd: &Path, request: &mut RunRequest) -> Result<(), CliError> {
    let wrong = |why: &str| {
        CliError::usage(format!("invalid --security-opt `{text}`: {why}")).hint(
            "known are no-new-privileges, seccomp=FILE|unconfined|builtin, apparmor=PROFILE, \
             label=disable, systempaths=unconfined, mask=PATHS, unmask=PATHS|ALL, writable-cgroups",
        )
    };
    // The colon is docker's older form.
    let (key, value) = match text.split_once('=').or_else(|| text.split_once(':')) {
        Some((key, value)) => (key, Some(value)),
        None => (text, None),
    };
    let on = || match value {
        None | Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(_) => Err(wrong("it is neither true nor false")),
    };
    let given = || {
        value
            .filter(|v| !v.is_empty())
            .ok_or_else(|| wrong("it has no value"))
    };
    let paths = || {
        let list: Vec<String> = given()?.split(':').map(str::to_owned).collect();
        match list.iter().all(|path| path.starts_with('/')) {
            true => Ok(list),
            false => Err(wrong("its paths must be absolute")),
        }
    };
    match key {
        "no-new-privileges" => request.no_new_privileges = on()?,
        "writable-cgroups" => request.borders.writable_cgroups = on()?,
        "seccomp" => request.seccomp = Some(seccomp(given()?, cwd)?),
        "apparmor" => request.borders.apparmor = Some(given()?.to_owned()),
        "label" => request.borders.selinux.push(given()?.to_owned()),
        "systempaths" => match given()? {
            "unconfined" => request.borders.unmask.push("ALL".to_owned()),
            _ => return Err(wrong("the only value is `unconfined`")),
        },
        "mask" => request.borders.mask.extend(paths()?),
        "unmask" => match given()? {
            all if all.eq_ignore_ascii_case("all") => request.borders.unmask.push("ALL".to_owned()),
            _ => request.borders.unmask.extend(paths()?),
        },
        _ => return Err(wrong("the option is not known")),
    }
    Ok(())
}

fn seccomp(value: &str, cwd: &Path) -> Result<Seccomp, CliError> {
    match value {
        "unconfined" => return Ok(Seccomp::Unconfined),
        "builtin" => return Ok(Seccomp::Default),
        _ => {}
    }
    let path = cwd.join(value);
    let fail = |why: String| {
        let message = format!("cannot use the seccomp profile {}: {why}", path.display());
        CliError::new(Kind::Usage, message)
    };
    // What is longer than a profile may be is told by the check; a device has no end.
    let mut text = String::new();
    std::fs::File::open(&path)
        .and_then(|file| file.take(LARGEST_PROFILE).read_to_string(&mut text))
        .map_err(|e| fail(e.to_string()))?;
    let source = SeccompSource { path, text };
    match runtime::seccomp_profile::check(&source) {
        Ok(()) => Ok(Seccomp::Profile(Box::new(source))),
        Err(error) => Err(CliError::from_error(Kind::Usage, &error)),
    }
}

/// Reads one `--sysctl NAME=VALUE`.
pub(crate) fn sysctl(text: &str) -> Result<(String, String), CliError> {
    let safe = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    match text.split_once('=') {
        Some((name, value))
            if !name.is_empty() && name.chars().all(safe) && !name.contains("..") =>
        {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err(CliError::usage(format!("invalid --sysctl `{text}`"))
            .hint("write NAME=VALUE, e.g. net.ipv4.ip_forward=1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_change_the_request() {
        let mut request = RunRequest::default();
        for text in [
            "no-new-privileges",
            "seccomp=unconfined",
            "label:disable",
            "mask=/a:/b",
            "unmask=all",
            "systempaths=unconfined",
            "writable-cgroups=true",
        ] {
            option(text, Path::new("/"), &mut request).unwrap();
        }
        assert!(request.no_new_privileges && request.borders.writable_cgroups);
        assert_eq!(request.seccomp, Some(Seccomp::Unconfined));
        assert_eq!(request.borders.mask, ["/a", "/b"]);
        assert_eq!(request.borders.unmask, ["ALL", "ALL"]);
        for text in [
            "huh",
            "mask=a",
            "mask",
            "seccomp",
            "seccomp=/absent",
            "seccomp=/etc/passwd",
            "systempaths=x",
            "no-new-privileges=maybe",
        ] {
            assert!(
                option(text, Path::new("/"), &mut request).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn parameters() {
        assert_eq!(sysctl("a.b=1 2").unwrap(), ("a.b".into(), "1 2".into()));
        for text in ["", "a", "=1", "a b=1", "../x=1", "a..b=1"] {
            assert!(sysctl(text).is_err(), "{text}");
        }
    }
}
