//! `--mount KEY=VALUE,…`.

use std::path::Path;

use engine::{MountRequest, MountSource};
use model::container::{MountOptions, Propagation, Recursion};

use super::csv;
use super::volumes::absolute;
use crate::error::CliError;

const TYPES: &str = "bind, volume, tmpfs or image";

/// Which type a key belongs to; keys of every type have none.
const KEYS: [(&str, &str); 21] = [
    ("type", ""),
    ("source", ""),
    ("src", ""),
    ("target", ""),
    ("dst", ""),
    ("destination", ""),
    ("readonly", ""),
    ("ro", ""),
    ("consistency", ""),
    ("bind-propagation", "bind"),
    ("bind-recursive", "bind"),
    ("bind-nonrecursive", "bind"),
    ("bind-create-src", "bind"),
    ("volume-nocopy", "volume"),
    ("volume-subpath", "volume"),
    ("volume-label", "volume"),
    ("volume-driver", "volume"),
    ("volume-opt", "volume"),
    ("tmpfs-size", "tmpfs"),
    ("tmpfs-mode", "tmpfs"),
    ("image-subpath", "image"),
];

/// The fields, as they were typed.
#[derive(Default)]
struct Fields {
    kind: String,
    source: Option<String>,
    target: String,
    read_only: bool,
    options: MountOptions,
    create: bool,
    no_copy: bool,
    labels: Vec<(String, String)>,
    size: Option<u64>,
    mode: Option<u32>,
    /// Keys that only one type knows, with that type.
    special: Vec<(String, &'static str)>,
}

/// Reads one `--mount`. Relative sources of binds start at `cwd`.
pub(crate) fn mount(text: &str, cwd: &Path) -> Result<MountRequest, CliError> {
    read(text)
        .and_then(|fields| fields.request(cwd))
        .map_err(|why| {
            CliError::usage(format!("invalid mount `{text}`: {why}")).hint(
                "write KEY=VALUE,…, e.g. type=bind,source=./data,target=/data,readonly or \
                 type=tmpfs,target=/run,tmpfs-size=64m",
            )
        })
}

fn read(text: &str) -> Result<Fields, String> {
    let mut fields = Fields {
        kind: "volume".to_owned(),
        ..Fields::default()
    };
    for field in csv::fields(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.trim().to_ascii_lowercase(), Some(value)),
            None => (field.trim().to_ascii_lowercase(), None),
        };
        fields.take(&key, value)?;
    }
    Ok(fields)
}

impl Fields {
    fn take(&mut self, key: &str, value: Option<&str>) -> Result<(), String> {
        let known = KEYS.iter().find(|(name, _)| *name == key);
        let Some((_, kind)) = known else {
            let all: Vec<_> = KEYS.iter().map(|(name, _)| *name).collect();
            return Err(format!("the key `{key}` is none of {}", all.join(", ")));
        };
        if !kind.is_empty() {
            self.special.push((key.to_owned(), kind));
        }
        let flag = || switch(key, value);
        let text = || match value {
            Some(value) if !value.is_empty() => Ok(value.to_owned()),
            _ => Err(format!("`{key}` has no value")),
        };
        match key {
            "type" => self.kind = text()?.to_ascii_lowercase(),
            "source" | "src" => self.source = Some(text()?),
            "target" | "dst" | "destination" => self.target = text()?,
            "readonly" | "ro" => self.read_only = flag()?,
            "consistency" => match text()?.as_str() {
                // A matter of docker's desktops; docker ignores it on Linux.
                "default" | "consistent" | "cached" | "delegated" => {}
                other => return Err(format!("`{other}` is no consistency")),
            },
            "bind-propagation" => self.options.propagation = propagation(&text()?)?,
            "bind-recursive" => self.options.recursive = recursion(&text()?)?,
            "bind-nonrecursive" => {
                if flag()? {
                    self.options.recursive = Recursion::Disabled;
                }
            }
            "bind-create-src" => self.create = flag()?,
            "volume-nocopy" => self.no_copy = flag()?,
            "volume-subpath" | "image-subpath" => self.options.subpath = Some(subpath(&text()?)?),
            "volume-label" => {
                let label = text()?;
                let (name, value) = label.split_once('=').unwrap_or((&label, ""));
                self.labels.push((name.to_owned(), value.to_owned()));
            }
            "volume-driver" => match text()?.as_str() {
                "local" => {}
                other => return Err(format!("the volume driver `{other}` is not `local`")),
            },
            "volume-opt" => return Err("volumes have no driver options".into()),
            "tmpfs-size" => {
                let size = model::units::parse_size(&text()?);
                self.size = Some(size.map_err(|error| error.to_string())?);
            }
            // The list is the one above.
            _ => self.mode = Some(mode(&text()?)?),
        }
        Ok(())
    }

    fn request(self, cwd: &Path) -> Result<MountRequest, String> {
        let kind = match self.kind.as_str() {
            "bind" | "volume" | "tmpfs" | "image" => self.kind.clone(),
            "npipe" | "cluster" => {
                return Err(format!(
                    "the type `{}` is not known on Linux alone",
                    self.kind
                ));
            }
            other => return Err(format!("the type `{other}` is none of {TYPES}")),
        };
        if let Some((key, of)) = self.special.iter().find(|(_, of)| *of != kind) {
            return Err(format!("`{key}` belongs to the type {of}, not to {kind}"));
        }
        check_target(&self.target)?;
        self.check_recursion()?;
        let source = match (kind.as_str(), self.source) {
            ("bind", None) => return Err("a bind has a source".into()),
            ("bind", Some(path)) if path.starts_with(['/', '.']) => MountSource::Bind {
                path: absolute(&path, cwd),
                create: self.create,
            },
            ("bind", Some(path)) => {
                return Err(format!("the path `{path}` begins with neither `/` nor `.`"));
            }
            ("volume", None) => MountSource::Anonymous {
                copy_up: !self.no_copy,
                kept: None,
            },
            ("volume", Some(name)) if name.contains('/') => {
                return Err(format!("`{name}` is a path; write type=bind"));
            }
            ("volume", Some(name)) => MountSource::Volume {
                name,
                labels: self.labels,
                copy_up: !self.no_copy,
            },
            ("tmpfs", Some(_)) => return Err("a tmpfs has no source".into()),
            ("tmpfs", None) => MountSource::Tmpfs {
                size: self.size,
                mode: self.mode,
            },
            (_, None) => return Err("the source names no image".into()),
            (_, Some(image)) => MountSource::Image { image },
        };
        Ok(MountRequest {
            target: self.target,
            source,
            read_only: self.read_only,
            options: self.options,
        })
    }

    /// Docker's rules about what a read-only bind does to the mounts below it.
    fn check_recursion(&self) -> Result<(), String> {
        match self.options.recursive {
            Recursion::Writable if !self.read_only => {
                Err("bind-recursive=writable needs readonly".into())
            }
            Recursion::Readonly if !self.read_only => {
                Err("bind-recursive=readonly needs readonly".into())
            }
            Recursion::Readonly if self.options.propagation != Propagation::Rprivate => {
                Err("bind-recursive=readonly needs bind-propagation=rprivate".into())
            }
            _ => Ok(()),
        }
    }
}

/// What every mount's target is.
pub(super) fn check_target(target: &str) -> Result<(), String> {
    match target {
        "" => Err("it has no target".into()),
        path if !path.starts_with('/') => Err("the target must be an absolute path".into()),
        path if path.trim_end_matches('/').is_empty() => Err("the target cannot be `/`".into()),
        path if path.split('/').any(|part| part == "..") => {
            Err("the target must not contain `..`".into())
        }
        _ => Ok(()),
    }
}

/// Go's booleans; a key alone is true.
fn switch(key: &str, value: Option<&str>) -> Result<bool, String> {
    match value {
        None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(format!("`{key}={other}` is neither true nor false")),
    }
}

fn propagation(word: &str) -> Result<Propagation, String> {
    Propagation::from_word(word).ok_or_else(|| {
        format!("`{word}` is none of private, rprivate, shared, rshared, slave, rslave")
    })
}

fn recursion(word: &str) -> Result<Recursion, String> {
    Ok(match word {
        "enabled" | "true" | "1" => Recursion::Enabled,
        "disabled" | "false" | "0" => Recursion::Disabled,
        "writable" => Recursion::Writable,
        "readonly" => Recursion::Readonly,
        other => {
            return Err(format!(
                "`{other}` is none of enabled, disabled, writable, readonly"
            ));
        }
    })
}

fn subpath(path: &str) -> Result<String, String> {
    let leaves = path.split('/').any(|part| part == "..");
    match path.starts_with('/') || leaves {
        true => Err(format!("the subpath `{path}` does not stay inside")),
        false => Ok(path.to_owned()),
    }
}

/// Permission bits in octal.
pub(super) fn mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| format!("`{text}` is not a mode"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn show(text: &str) -> String {
        match mount(text, Path::new("/w")) {
            Ok(m) => format!("{:?} {} {}", m.source, m.target, m.read_only),
            Err(error) => format!("error: {}", error.message()),
        }
    }

    #[test]
    fn all_types() {
        let bind = |create| format!("Bind {{ path: \"/w/a\", create: {create} }} /b");
        assert_eq!(
            show("type=bind,src=./a,dst=/b"),
            format!("{} false", bind(false))
        );
        assert_eq!(
            show("type=bind,source=/w/a,target=/b,ro,bind-create-src"),
            { format!("{} true", bind(true)) }
        );
        assert_eq!(
            show("source=v,destination=/b,volume-nocopy=1,readonly=false"),
            "Volume { name: \"v\", labels: [], copy_up: false } /b false"
        );
        assert_eq!(
            show("dst=/b"),
            "Anonymous { copy_up: true, kept: None } /b false"
        );
        assert_eq!(
            show("type=tmpfs,dst=/b,tmpfs-size=1m,tmpfs-mode=0700"),
            "Tmpfs { size: Some(1048576), mode: Some(448) } /b false"
        );
        assert_eq!(
            show("type=image,source=busybox,target=/b,image-subpath=bin"),
            "Image { image: \"busybox\" } /b false"
        );
        assert_eq!(show("type=bind,\"src=/a,b\",dst=/c"), {
            "Bind { path: \"/a,b\", create: false } /c false"
        });
    }

    #[test]
    fn malformed_ones_say_why() {
        for (text, why) in [
            ("", "the key ``"),
            ("type=bind,dst=/b", "a bind has a source"),
            ("type=bind,src=a,dst=/b", "begins with neither"),
            ("type=bind,src=/a", "it has no target"),
            ("type=bind,src=/a,dst=b", "absolute path"),
            ("type=bind,src=/a,dst=/", "cannot be `/`"),
            (
                "type=bind,src=/a,dst=/b,tmpfs-size=1",
                "belongs to the type tmpfs",
            ),
            (
                "type=bind,src=/a,dst=/b,bind-propagation=x",
                "none of private",
            ),
            (
                "type=bind,src=/a,dst=/b,bind-recursive=readonly",
                "needs readonly",
            ),
            ("type=tmpfs,src=/a,dst=/b", "no source"),
            ("type=tmpfs,dst=/b,tmpfs-mode=9", "not a mode"),
            ("type=npipe,dst=/b", "npipe"),
            ("type=huh,dst=/b", "none of bind"),
            ("src=v,dst=/b,volume-driver=nfs", "nfs"),
            ("src=v,dst=/b,volume-subpath=../x", "does not stay inside"),
            ("src=v,dst=/b,ro=maybe", "neither true nor false"),
            ("src=v,dst=/b,colour=red", "the key `colour`"),
        ] {
            assert!(show(text).contains(why), "{text}: {}", show(text));
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,60}") {
            let _ = mount(&text, Path::new("/w"));
        }
    }
}
