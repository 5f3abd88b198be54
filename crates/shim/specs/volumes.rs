//! `-v [source:]target[:options]` and `--tmpfs target[:options]`.

use std::path::{Path, PathBuf};

use engine::{MountRequest, MountSource, VolumesFrom};
use model::container::{MountOptions, Propagation, Recursion};

use super::mount::{check_target, mode};
use crate::error::CliError;

/// Reads one `-v`. Relative sources start at `cwd`, as with `./data:/data`.
pub(crate) fn volume(text: &str, cwd: &Path) -> Result<MountRequest, CliError> {
    let bad = |why: &str| {
        CliError::usage(format!("invalid volume `{text}`: {why}"))
            .hint("write [NAME_OR_PATH:]TARGET[:OPTIONS], e.g. ./data:/data or cache:/cache:ro")
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [target] => (None, *target, ""),
        [source, target] => (Some(*source), *target, ""),
        [source, target, options] => (Some(*source), *target, *options),
        _ => return Err(bad("too many colons")),
    };
    check_target(target).map_err(|why| bad(&why))?;
    let mut chosen = Options {
        copy_up: true,
        ..Options::default()
    };
    for option in options.split(',').filter(|o| !o.is_empty()) {
        chosen.take(option).map_err(|why| bad(&why))?;
    }
    let source = match source {
        None => MountSource::Anonymous {
            copy_up: chosen.copy_up,
            kept: None,
        },
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
            copy_up: chosen.copy_up,
        },
    };
    let bind_only = chosen.propagates || chosen.mount.recursive != Recursion::Enabled;
    if bind_only && !matches!(source, MountSource::Bind { .. }) {
        return Err(bad("propagation is a matter of host paths"));
    }
    if !chosen.copy_up && matches!(source, MountSource::Bind { .. }) {
        return Err(bad("`nocopy` is a matter of volumes"));
    }
    Ok(MountRequest {
        target: target.into(),
        source,
        read_only: chosen.read_only,
        options: chosen.mount,
    })
}

/// What stands behind the second colon.
#[derive(Default)]
struct Options {
    read_only: bool,
    copy_up: bool,
    propagates: bool,
    mount: MountOptions,
}

impl Options {
    fn take(&mut self, option: &str) -> Result<(), String> {
        match option {
            "ro" => self.read_only = true,
            "rw" => self.read_only = false,
            "nocopy" => self.copy_up = false,
            "copy" => self.copy_up = true,
            // There is no SELinux relabelling to do where labels are not in force, and
            // consistency is a matter of docker's desktops: as docker, nothing.
            "z" | "Z" | "consistent" | "cached" | "delegated" | "default" => {}
            "U" => self.mount.chown = true,
            "rbind" => self.mount.recursive = Recursion::Enabled,
            "bind" => self.mount.recursive = Recursion::Disabled,
            "exec" | "noexec" => self.mount.no_exec = Some(option == "noexec"),
            "suid" | "nosuid" => self.mount.no_suid = Some(option == "nosuid"),
            "dev" | "nodev" => self.mount.no_dev = Some(option == "nodev"),
            "O" | "idmap" => {
                return Err(format!("podman's option `{option}` is not supported"));
            }
            word => match Propagation::from_word(word) {
                Some(propagation) => {
                    self.propagates = true;
                    self.mount.propagation = propagation;
                }
                None => return Err(format!("option `{word}` is not supported")),
            },
        }
        Ok(())
    }
}

/// Reads one `--volumes-from CONTAINER[:ro|rw|z|Z]`.
pub(crate) fn volumes_from(text: &str) -> Result<VolumesFrom, CliError> {
    let (container, mode) = text.split_once(':').unwrap_or((text, ""));
    let read_only = match mode {
        "" | "z" | "Z" => None,
        "ro" => Some(true),
        "rw" => Some(false),
        _ => {
            return Err(CliError::usage(format!("invalid --volumes-from `{text}`"))
                .hint("write CONTAINER, CONTAINER:ro or CONTAINER:rw"));
        }
    };
    match container.is_empty() {
        true => Err(CliError::usage("--volumes-from names no container")),
        false => Ok(VolumesFrom {
            container: container.to_owned(),
            read_only,
        }),
    }
}

pub(super) fn absolute(path: &str, cwd: &Path) -> PathBuf {
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

/// Words that a tmpfs itself understands (kernel: Documentation/filesystems/tmpfs.rst).
const TMPFS_WORDS: [&str; 6] = ["uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge"];

/// Reads one `--tmpfs`.
pub(crate) fn tmpfs(text: &str) -> Result<MountRequest, CliError> {
    let bad = |why: String| {
        CliError::usage(format!("invalid tmpfs `{text}`: {why}"))
            .hint("write TARGET[:OPTIONS], e.g. /run:size=64m,mode=0700,exec")
    };
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    check_target(target).map_err(bad)?;
    let (mut size, mut bits, mut read_only) = (None, None, false);
    let mut mount = MountOptions::default();
    for option in options.split(',').filter(|o| !o.is_empty()) {
        match option.split_once('=') {
            // The kernel knows percentages of the machine's memory, too.
            Some(("size", value)) if value.ends_with('%') => {
                mount.data.push(("size".to_owned(), value.to_owned()));
            }
            Some(("size", value)) => {
                let parsed = model::units::parse_size(value);
                size = Some(parsed.map_err(|e| bad(e.to_string()))?);
            }
            Some(("mode", value)) => bits = Some(mode(value).map_err(bad)?),
            Some((word, value)) if TMPFS_WORDS.contains(&word) && !value.is_empty() => {
                mount.data.push((word.to_owned(), value.to_owned()));
            }
            None => match option {
                "ro" => read_only = true,
                "rw" => read_only = false,
                "exec" | "noexec" => mount.no_exec = Some(option == "noexec"),
                "suid" | "nosuid" => mount.no_suid = Some(option == "nosuid"),
                "dev" | "nodev" => mount.no_dev = Some(option == "nodev"),
                "tmpcopyup" => mount.copy_up = true,
                "notmpcopyup" => mount.copy_up = false,
                _ => return Err(bad(format!("option `{option}` is not supported"))),
            },
            _ => return Err(bad(format!("option `{option}` is not supported"))),
        }
    }
    Ok(MountRequest {
        target: target.into(),
        source: MountSource::Tmpfs { size, mode: bits },
        read_only,
        options: mount,
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
            "x:/b:rshared",
            "/x:/b:nocopy",
            "/x:/../b",
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
        assert!(
            tmpfs("run").is_err() && tmpfs("/x:size=z").is_err() && tmpfs("/x:colour=red").is_err()
        );
    }
}
