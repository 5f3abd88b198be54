//! `--pid`, `--ipc`, `--uts`, `--cgroupns` and `--userns`.

use engine::{IpcRequest, NamespaceRequest};
use model::container::UserMode;

use crate::error::CliError;

fn bad(flag: &str, text: &str, forms: &str) -> CliError {
    CliError::usage(format!("invalid {flag} `{text}`")).hint(format!("write {forms}"))
}

/// The name behind `container:`, if it is one.
fn container(text: &str) -> Option<String> {
    let name = text.strip_prefix("container:")?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// Reads `--pid`, or another namespace that may be another container's.
pub(crate) fn pid(text: &str) -> Result<NamespaceRequest, CliError> {
    match (text, container(text)) {
        ("private" | "", _) => Ok(NamespaceRequest::Private),
        ("host", _) => Ok(NamespaceRequest::Host),
        (_, Some(name)) => Ok(NamespaceRequest::Container(name)),
        _ => Err(bad("--pid", text, "private, host or container:NAME")),
    }
}

/// Reads `--uts`.
pub(crate) fn uts(text: &str) -> Result<NamespaceRequest, CliError> {
    match (text, container(text)) {
        ("private" | "", _) => Ok(NamespaceRequest::Private),
        ("host", _) => Ok(NamespaceRequest::Host),
        (_, Some(name)) => Ok(NamespaceRequest::Container(name)),
        _ => Err(bad("--uts", text, "private, host or container:NAME")),
    }
}

/// Reads `--cgroupns`.
pub(crate) fn cgroup(text: &str) -> Result<NamespaceRequest, CliError> {
    match text {
        "private" | "" => Ok(NamespaceRequest::Private),
        "host" => Ok(NamespaceRequest::Host),
        _ => Err(bad("--cgroupns", text, "private or host")),
    }
}

/// Reads `--ipc`.
pub(crate) fn ipc(text: &str) -> Result<IpcRequest, CliError> {
    Ok(match (text, container(text)) {
        ("private" | "", _) => IpcRequest::Private,
        ("shareable", _) => IpcRequest::Shareable,
        ("none", _) => IpcRequest::None,
        ("host", _) => IpcRequest::Host,
        (_, Some(name)) => IpcRequest::Container(name),
        _ => {
            let forms = "private, shareable, none, host or container:NAME";
            return Err(bad("--ipc", text, forms));
        }
    })
}

/// Reads `--userns`.
pub(crate) fn user(text: &str) -> Result<UserMode, CliError> {
    let wrong = || {
        let forms = "host, keep-id, keep-id:uid=UID,gid=GID, auto or auto:size=NUMBER";
        bad("--userns", text, forms)
    };
    let (mode, options) = text.split_once(':').unwrap_or((text, ""));
    let (mut uid, mut gid, mut size) = (None, None, None);
    for option in options.split(',').filter(|o| !o.is_empty()) {
        let (key, value) = option.split_once('=').ok_or_else(wrong)?;
        let slot = match (mode, key) {
            ("keep-id", "uid") => &mut uid,
            ("keep-id", "gid") => &mut gid,
            ("auto", "size") => &mut size,
            _ => return Err(wrong()),
        };
        *slot = Some(value.parse::<u32>().map_err(|_| wrong())?);
    }
    match mode {
        "" | "private" if options.is_empty() => Ok(UserMode::Default),
        "host" if options.is_empty() => Ok(UserMode::Host),
        "keep-id" => Ok(UserMode::KeepId { uid, gid }),
        "auto" => Ok(UserMode::Auto { size }),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        assert_eq!(pid("host").unwrap(), NamespaceRequest::Host);
        assert_eq!(
            pid("container:a").unwrap(),
            NamespaceRequest::Container("a".into())
        );
        assert_eq!(
            ipc("container:a").unwrap(),
            IpcRequest::Container("a".into())
        );
        assert_eq!(ipc("shareable").unwrap(), IpcRequest::Shareable);
        let kept = UserMode::KeepId {
            uid: Some(5),
            gid: None,
        };
        assert_eq!(user("keep-id:uid=5").unwrap(), kept);
        assert_eq!(
            user("auto:size=9").unwrap(),
            UserMode::Auto { size: Some(9) }
        );
        assert!(pid("container:").is_err() && pid("ns:/proc/1").is_err());
        assert!(ipc("huh").is_err() && cgroup("container:a").is_err());
        for text in [
            "host:uid=1",
            "keep-id:size=1",
            "keep-id:uid",
            "keep-id:uid=-1",
            "nomap",
        ] {
            assert!(user(text).is_err(), "{text}");
        }
    }
}
