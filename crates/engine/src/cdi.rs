//! Devices by name: the container device interface, <https://github.com/cncf-tags/container-device-interface>.
//!
//! Vendors' tools leave specifications in two directories. A device's edits, and those of
//! its specification, become devices, mounts and variables of the container.

use std::path::{Path, PathBuf};

use model::container::{DevicePlan, MountOptions};
use model::{DeviceAccess, DeviceKind, MountKind, MountPlan};
use serde::Deserialize;

use crate::{Error, Result};

/// The later one wins, as the specification has it.
const DIRECTORIES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// Kinds of devices that `--gpus` means.
const GPUS: [&str; 2] = ["nvidia.com/gpu", "amd.com/gpu"];

/// What devices bring along.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Edits {
    pub(crate) devices: Vec<DevicePlan>,
    pub(crate) mounts: Vec<MountPlan>,
    /// `NAME=value`.
    pub(crate) env: Vec<String>,
    pub(crate) groups: Vec<String>,
    /// Programs that would be executed on the host.
    pub(crate) hooks: Vec<String>,
}

impl Edits {
    /// Adds others.
    pub(crate) fn extend(&mut self, other: Self) {
        self.devices.extend(other.devices);
        self.mounts.extend(other.mounts);
        self.env.extend(other.env);
        self.groups.extend(other.groups);
        self.hooks.extend(other.hooks);
    }
}

/// A file in one of the directories.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Specification {
    /// `vendor/class`.
    kind: String,
    #[serde(default)]
    devices: Vec<Device>,
    #[serde(default)]
    container_edits: ContainerEdits,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Device {
    name: String,
    #[serde(default)]
    container_edits: ContainerEdits,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerEdits {
    env: Vec<String>,
    device_nodes: Vec<DeviceNode>,
    mounts: Vec<Mount>,
    hooks: Vec<Hook>,
    #[serde(rename = "additionalGids")]
    additional_gids: Vec<u32>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeviceNode {
    path: String,
    host_path: Option<PathBuf>,
    permissions: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mount {
    host_path: PathBuf,
    container_path: String,
    #[serde(default)]
    options: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Hook {
    path: String,
}

/// Whether a text is `vendor/class=name`.
pub fn is_device_name(text: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_-.:".contains(c))
    };
    text.split_once('=').is_some_and(|(kind, name)| {
        let kind = kind.split_once('/');
        kind.is_some_and(|(vendor, class)| word(vendor) && word(class)) && word(name)
    })
}

/// What a device `vendor/class=name` brings along.
pub(crate) fn device(name: &str) -> Result<Edits> {
    find(&specifications(&DIRECTORIES.map(Path::new))?, name)
}

/// The same for so many GPUs, whoever made them; for all of them when `number` is absent.
pub(crate) fn gpus(number: Option<u32>) -> Result<Edits> {
    let all = specifications(&DIRECTORIES.map(Path::new))?;
    let known = |kind: &&&str| all.iter().any(|s| s.kind == **kind);
    let Some(kind) = GPUS.iter().find(known) else {
        return Err(Error::invalid_hint(
            "no specification in /etc/cdi or /var/run/cdi describes a GPU of this machine",
            "for NVIDIA's: `nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`",
        ));
    };
    let names = match number {
        None => vec!["all".to_owned()],
        Some(number) => (0..number).map(|n| n.to_string()).collect(),
    };
    let mut edits = Edits::default();
    for name in names {
        edits.extend(find(&all, &format!("{kind}={name}"))?);
    }
    Ok(edits)
}

/// Later ones come first.
fn specifications(directories: &[&Path]) -> Result<Vec<Specification>> {
    let mut all = Vec::new();
    for directory in directories {
        // One that is not there describes nothing.
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let json = match path.extension().and_then(|e| e.to_str()) {
                Some("json") => true,
                Some("yaml" | "yml") => false,
                _ => continue,
            };
            all.push(read(&path, json)?);
        }
    }
    all.reverse();
    Ok(all)
}

fn read(path: &Path, json: bool) -> Result<Specification> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::File {
        act: "read",
        path: path.to_owned(),
        source,
    })?;
    let value = match json {
        true => serde_json::from_str(&text),
        false => match compose::yaml_value(&text) {
            Ok(value) => Ok(value),
            Err(why) => {
                let message = format!("{} is not YAML: {why}", path.display());
                return Err(Error::invalid(message));
            }
        },
    };
    value
        .and_then(serde_json::from_value)
        .map_err(|source| Error::Record {
            what: format!("the device specification {}", path.display()),
            source,
        })
}

fn find(all: &[Specification], name: &str) -> Result<Edits> {
    let (kind, device) = name.split_once('=').unwrap_or((name, ""));
    let hit = all.iter().filter(|s| s.kind == kind).find_map(|s| {
        let device = s.devices.iter().find(|d| d.name == device)?;
        Some((s, device))
    });
    let Some((specification, device)) = hit else {
        let known: Vec<_> = all
            .iter()
            .flat_map(|s| s.devices.iter().map(|d| format!("{}={}", s.kind, d.name)))
            .collect();
        let hint = match known.is_empty() {
            true => "/etc/cdi and /var/run/cdi hold no specification".to_owned(),
            false => format!("there are {}", known.join(", ")),
        };
        return Err(Error::invalid_hint(
            format!("no device is called {name}"),
            hint,
        ));
    };
    let mut edits = edits(&specification.container_edits)?;
    edits.extend(self::edits(&device.container_edits)?);
    Ok(edits)
}

fn edits(from: &ContainerEdits) -> Result<Edits> {
    let mut out = Edits {
        env: from.env.clone(),
        groups: from.additional_gids.iter().map(u32::to_string).collect(),
        hooks: from.hooks.iter().map(|hook| hook.path.clone()).collect(),
        ..Edits::default()
    };
    for node in &from.device_nodes {
        out.devices.push(device_node(node)?);
    }
    out.mounts = from
        .mounts
        .iter()
        .map(|mount| MountPlan {
            target: mount.container_path.clone(),
            kind: MountKind::Bind {
                source: mount.host_path.clone(),
            },
            read_only: mount.options.iter().any(|option| option == "ro"),
            options: MountOptions {
                no_exec: mount.options.iter().any(|o| o == "noexec").then_some(true),
                no_suid: mount.options.iter().any(|o| o == "nosuid").then_some(true),
                no_dev: mount.options.iter().any(|o| o == "nodev").then_some(true),
                ..MountOptions::default()
            },
        })
        .collect();
    Ok(out)
}

fn device_node(node: &DeviceNode) -> Result<DevicePlan> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let host = node
        .host_path
        .clone()
        .unwrap_or_else(|| node.path.clone().into());
    let metadata = std::fs::metadata(&host).map_err(|source| Error::File {
        act: "look at the device",
        path: host.clone(),
        source,
    })?;
    let access = match node.permissions.as_deref() {
        None => DeviceAccess::ALL,
        Some(text) => text
            .parse()
            .map_err(|error: model::device::DeviceError| Error::invalid(error.to_string()))?,
    };
    Ok(DevicePlan {
        path: node.path.clone(),
        access,
        kind: match metadata.file_type().is_block_device() {
            true => DeviceKind::Block,
            false => DeviceKind::Character,
        },
        major: rustix::fs::major(metadata.rdev()),
        minor: rustix::fs::minor(metadata.rdev()),
        host,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "cdiVersion: 0.6.0\nkind: acme.com/null\ndevices:\n- name: all\n  \
        containerEdits:\n    deviceNodes:\n    - path: /dev/acme\n      hostPath: /dev/null\n      \
        permissions: rw\ncontainerEdits:\n  env: [ACME=1]\n  mounts:\n  - hostPath: /etc/passwd\n    \
        containerPath: /acme\n    options: [ro, nosuid]\n";

    #[test]
    fn a_device_brings_its_edits_and_its_specifications() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("acme.yaml"), YAML).unwrap();
        let other = r#"{"cdiVersion":"0.5.0","kind":"acme.com/zero","devices":[{"name":"0"}]}"#;
        std::fs::write(directory.path().join("zero.json"), other).unwrap();
        std::fs::write(directory.path().join("README"), "no specification").unwrap();
        let all = specifications(&[Path::new("/absent"), directory.path()]).unwrap();
        let edits = find(&all, "acme.com/null=all").unwrap();
        assert_eq!(edits.env, ["ACME=1"]);
        let device = &edits.devices[0];
        assert_eq!(
            (device.path.as_str(), device.major, device.minor),
            ("/dev/acme", 1, 3)
        );
        assert_eq!(device.access.to_string(), "rw");
        assert!(edits.mounts[0].read_only && edits.mounts[0].options.no_suid == Some(true));
        assert_eq!(find(&all, "acme.com/zero=0").unwrap(), Edits::default());
        let error = find(&all, "acme.com/null=1").unwrap_err();
        assert!(error.hint().unwrap().contains("acme.com/null=all"));
    }

    #[test]
    fn names_of_devices() {
        assert!(is_device_name("nvidia.com/gpu=all") && is_device_name("a/b=0:1"));
        for bad in ["/dev/sda", "/dev/sda:/dev/b", "a/b", "a=b", "a/b=", "/b=c"] {
            assert!(!is_device_name(bad), "{bad}");
        }
    }
}
