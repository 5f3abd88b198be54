//! `-v [source:]target[:options]` and `--tmpfs target[:options]`.

use std::path::{Path, PathBuf};

use engine::{MountRequest, MountSource};

use crate::error::CliError;

/// Reads one `-v`. Relative sources start at `cwd`, as with `./data:/data`.
pub(crate) fn volume(text: &str, cwd: &Path) -> Result<MountRequest, CliError> {
    let bad = |why: &str| {
        CliError::usage(format!("invalid volume `{text}`: {why}"))
            .hint("write [NAME_OR_PATH:]TARGET[:ro], e.g. ./data:/data or cache:/cache:ro")
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [target] => (None, *target, ""),
        [source, target] => (Some(*source), *target, ""),
        [source, target, options] => (Some(*source), *target, *options),
        _ => return Err(bad("too many colons")),
    };
    if !target.starts_with('/') {
        return Err(bad("the target must be an absolute path"));
    }
    if target.trim_end_matches('/').is_empty() {
        return Err(bad("the target cannot be `/`"));
    }
    let (mut read_only, mut copy_up) = (false, true);
    for option in options.split(',').filter(|o| !o.is_empty()) {
        match option {
            "ro" => read_only = true,
            "rw" => read_only = false,
            "nocopy" => copy_up = false,
            // There is no SELinux relabelling to do where labels are not in force.
            "z" | "Z" => {}
            "rprivate" | "private" => {}
            other => return Err(bad(&format!("option `{other}` is not supported"))),
        }
    }
    let source = match source {
        None => MountSource::anonymous(),
        Some("") => return Err(bad("the source is empty")),
        Some(path) if path.starts_with(['/', '.']) => MountSource::Bind {
            path: absolute(path, cwd),
            create: true,
        },
        // Only the shell knows what `~` is, and where it stands it has not said so.
        Some(name) if name.contains('/') => {
            return Err(bad("a path must begin with `/`, `./` or `../`"));
        }
        Some(name) => MountSource::Volume {
            name: name.into(),
            labels: Vec::new(),
            copy_up,
        },
    };
    Ok(MountRequest {
        target: target.into(),
        source,
        read_only,
    })
}

fn absolute(path: &str, cwd: &Path) -> PathBuf {
    // Normalised without touching the disk: `..` after a link means the link's parent,
    // as a shell's `cd` has it.
    let mut out = PathBuf::new();
    for part in cwd.join(path).components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

/// Reads one `--tmpfs`.
pub(crate) fn tmpfs(text: &str) -> Result<MountRequest, CliError> {
    let bad = |why: String| CliError::usage(format!("invalid tmpfs `{text}`: {why}"));
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    if !target.starts_with('/') {
        return Err(bad("the target must be an absolute path".into()));
    }
    let (mut size, mut mode, mut read_only) = (None, None, false);
    for option in options.split(',').filter(|o| !o.is_empty()) {
        match option.split_once('=') {
            Some(("size", value)) => {
                let parsed = model::units::parse_size(value);
                size = Some(parsed.map_err(|e| bad(e.to_string()))?);
            }
            Some(("mode", value)) => {
                let parsed = u32::from_str_radix(value, 8).ok().filter(|m| *m <= 0o7777);
                mode = Some(parsed.ok_or_else(|| bad(format!("`{value}` is not a mode")))?);
            }
            None if option == "ro" => read_only = true,
            // The kernel's defaults for our mounts already.
            None if matches!(option, "rw" | "nosuid" | "nodev" | "noexec") => {}
            _ => return Err(bad(format!("option `{option}` is not supported"))),
        }
    }
    Ok(MountRequest {
        target: target.into(),
        source: MountSource::Tmpfs { size, mode },
        read_only,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        let source = |text: &str| volume(text, Path::new("/w/d")).map(|m| (m.source, m.read_only));
        let bind = |path: &str| MountSource::Bind {
            path: path.into(),
            create: true,
        };
        assert_eq!(source("./a:/b").unwrap(), (bind("/w/d/a"), false));
        assert_eq!(source("../a:/b:ro").unwrap(), (bind("/w/a"), true));
        assert_eq!(source("/b").unwrap().0, MountSource::anonymous());
        assert!(matches!(
            source("x:/b:nocopy").unwrap().0,
            MountSource::Volume { copy_up: false, .. }
        ));
        for bad in [
            "a/b:/c",
            "~/a:/c",
            ":/c",
            "x:rel",
            "x:/",
            "x:/b:huh",
            "a:/b:ro:x",
        ] {
            assert!(source(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn memory() {
        let mount = tmpfs("/run:size=64m,mode=0700").unwrap();
        assert_eq!(
            mount.source,
            MountSource::Tmpfs {
                size: Some(64 << 20),
                mode: Some(0o700)
            }
        );
        assert!(tmpfs("run").is_err() && tmpfs("/x:size=z").is_err() && tmpfs("/x:uid=1").is_err());
    }
}
