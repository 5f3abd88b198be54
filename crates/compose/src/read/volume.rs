//! `volumes` and `tmpfs` of a service. The short form has become the long one already.

use std::path::PathBuf;

use model::units;
use text::Diagnostic;

use super::Reader;
use crate::at::At;
use crate::project::{ServiceVolume, Tmpfs, VolumeKind};
use crate::yaml::{Map, Node};

impl Reader<'_> {
    /// The mounts of a service. Of two with one target the later wins, as happens when
    /// files are merged; within one file it deserves a warning.
    pub(super) fn volumes(&mut self, service: &Map, at: &At<'_>) -> Vec<ServiceVolume> {
        let Some((node, at)) = Self::get(service, "volumes", at) else {
            return Vec::new();
        };
        let mut volumes: Vec<(ServiceVolume, &Node)> = Vec::new();
        for (index, item) in self.list(node, &at).iter().enumerate() {
            let at = at.item(index);
            let Some(volume) = self.service_volume(item, &at) else {
                continue;
            };
            match volumes
                .iter()
                .position(|(known, _)| known.target == volume.target)
            {
                Some(known) => {
                    let before = volumes[known].1.span;
                    if before.file == item.span.file {
                        let message = format!("`{at}` hides another mount of {}", volume.target);
                        self.diagnostics.push(
                            Diagnostic::warning(message)
                                .at(item.span)
                                .related(before, "this one"),
                        );
                    }
                    volumes[known] = (volume, item);
                }
                None => volumes.push((volume, item)),
            }
        }
        volumes.into_iter().map(|(volume, _)| volume).collect()
    }

    fn service_volume(&mut self, node: &Node, at: &At<'_>) -> Option<ServiceVolume> {
        if node.as_text().is_some() {
            // A short form that could not be read has been complained about.
            return None;
        }
        let map = self.map(node, at)?;
        let target = self.target(node, map, at)?;
        let source = self.word_of(map, "source", at);
        let kind = match (self.word_of(map, "type", at).as_deref(), source) {
            (Some("volume"), source) => {
                let nocopy = Self::get(map, "volume", at).and_then(|(options, at)| {
                    let options = self.map(options, &at)?;
                    self.boolean_of(options, "nocopy", &at)
                });
                let copy_up = !nocopy.unwrap_or(false);
                match source {
                    Some(volume) => VolumeKind::Named { volume, copy_up },
                    None => VolumeKind::Anonymous { copy_up },
                }
            }
            (Some("bind"), Some(source)) => {
                let create = Self::get(map, "bind", at).and_then(|(options, at)| {
                    let options = self.map(options, &at)?;
                    self.boolean_of(options, "create_host_path", &at)
                });
                VolumeKind::Bind {
                    source: PathBuf::from(source),
                    create_host_path: create.unwrap_or(true),
                }
            }
            (Some("tmpfs"), None) => self.tmpfs_options(map, at),
            (kind, source) => {
                self.refuse_kind(node, kind, source.as_deref(), at);
                return None;
            }
        };
        let read_only = self.boolean_of(map, "read_only", at).unwrap_or(false);
        Some(ServiceVolume {
            target,
            read_only,
            kind,
        })
    }

    fn target(&mut self, node: &Node, map: &Map, at: &At<'_>) -> Option<String> {
        let Some(target) = self.word_of(map, "target", at) else {
            self.invalid(node, at, "`target`, a path in the container, is missing");
            return None;
        };
        let place = map.get("target").unwrap_or(node);
        self.inner_path(&target, place, at)
    }

    /// An absolute path inside the container, without superfluous slashes and dots.
    fn inner_path(&mut self, path: &str, node: &Node, at: &At<'_>) -> Option<String> {
        if !path.starts_with('/') {
            let why = format!("`{path}` is not an absolute path in the container");
            self.invalid(node, at, why);
            return None;
        }
        let clean = crate::normalise::clean(path.as_ref())
            .to_string_lossy()
            .into_owned();
        if clean == "/" {
            self.invalid(node, at, "nothing can be mounted on `/`");
            return None;
        }
        Some(clean)
    }

    fn tmpfs_options(&mut self, map: &Map, at: &At<'_>) -> VolumeKind {
        let Some((options, at)) = Self::get(map, "tmpfs", at) else {
            return VolumeKind::Tmpfs {
                size: None,
                mode: None,
            };
        };
        let Some(options) = self.map(options, &at) else {
            return VolumeKind::Tmpfs {
                size: None,
                mode: None,
            };
        };
        VolumeKind::Tmpfs {
            size: self.size_of(options, "size", &at),
            // A number: `01777` is octal already.
            mode: self.number_of(options, "mode", &at),
        }
    }

    fn refuse_kind(&mut self, node: &Node, kind: Option<&str>, source: Option<&str>, at: &At<'_>) {
        match (kind, source) {
            (None, _) => self.invalid(node, at, "`type` is missing (volume, bind or tmpfs)"),
            (Some("bind"), None) => self.invalid(node, at, "`source` is missing"),
            (Some("tmpfs"), Some(_)) => self.invalid(node, at, "a tmpfs has no `source`"),
            (Some(kind @ ("image" | "npipe" | "cluster")), _) => {
                self.invalid(
                    node,
                    at,
                    format_args!("mounts of type {kind} are not supported yet"),
                );
            }
            (Some(kind), _) => {
                let why = format!("unknown type `{kind}` (want volume, bind or tmpfs)");
                self.invalid(node, at, why);
            }
        }
    }

    /// The `tmpfs` key: `path` or `path:options`.
    pub(super) fn tmpfs(&mut self, service: &Map, at: &At<'_>) -> Vec<Tmpfs> {
        let Some((node, at)) = Self::get(service, "tmpfs", at) else {
            return Vec::new();
        };
        let mut mounts = Vec::new();
        for (index, item) in self.list(node, &at).iter().enumerate() {
            let at = at.item(index);
            if let Some(text) = self.string(item, &at) {
                mounts.extend(self.one_tmpfs(&text, item, &at));
            }
        }
        mounts
    }

    fn one_tmpfs(&mut self, text: &str, node: &Node, at: &At<'_>) -> Option<Tmpfs> {
        let (path, options) = text.split_once(':').unwrap_or((text, ""));
        let target = self.inner_path(path, node, at)?;
        let mut tmpfs = Tmpfs {
            target,
            size: None,
            mode: None,
            read_only: false,
        };
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name {
                "size" => match units::parse_size(value) {
                    Ok(size) => tmpfs.size = Some(size),
                    Err(why) => self.invalid(node, at, why),
                },
                "mode" => match u32::from_str_radix(value, 8) {
                    Ok(mode) if mode <= 0o7777 => tmpfs.mode = Some(mode),
                    _ => self.invalid(node, at, format_args!("`{value}` is not a mode in octal")),
                },
                "ro" => tmpfs.read_only = true,
                // How every tmpfs is mounted.
                "rw" | "nosuid" | "nodev" => {}
                _ => self.diagnostics.push(
                    Diagnostic::warning(format!("`{at}`: option `{option}` is not honoured yet"))
                        .at(node.span),
                ),
            }
        }
        Some(tmpfs)
    }
}
