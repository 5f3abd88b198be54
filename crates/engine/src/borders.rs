//! What sets a container apart from its host: from names to processes, paths and numbers.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use model::container::{DevicePlan, IpcMode, Isolation, NamespaceMode};
use model::event::{Event, EventSink};
use model::{ContainerId, DeviceAccess, DeviceKind};

use crate::cdi::{self, Edits};
use crate::{
    BordersRequest, DeviceRequest, Engine, Error, IpcRequest, NamespaceRequest, NetworkRequest,
    Result, RunRequest,
};

/// Parameters that belong to an IPC namespace (kernel: ipc/ipc_sysctl.c).
const IPC_SYSCTLS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

impl Engine {
    /// The request's borders, and what named devices bring along.
    pub(crate) fn borders(
        &self,
        request: &RunRequest,
        events: &dyn EventSink,
    ) -> Result<(Isolation, Edits)> {
        let wanted = &request.borders;
        let mut edits = Edits::default();
        let mut devices = Vec::new();
        for device in &wanted.devices {
            match device {
                DeviceRequest::Node { host, path, access } => {
                    nodes(host, path, *access, &mut devices)?;
                }
                DeviceRequest::Named(name) => edits.extend(cdi::device(name)?),
                DeviceRequest::Gpus(number) => edits.extend(cdi::gpus(*number)?),
            }
        }
        for hook in &edits.hooks {
            let text = format!("the device's hook {hook} is not executed: hooks are not supported");
            events.send(Event::Warning { text });
        }
        devices.append(&mut edits.devices);
        for option in wanted.selinux.iter().filter(|o| *o != "disable") {
            check_selinux(option, events)?;
        }
        let isolation = Isolation {
            privileged: wanted.privileged,
            pid: self.namespace(&wanted.pid)?,
            ipc: self.ipc(&wanted.ipc)?,
            uts: self.namespace(&wanted.uts)?,
            cgroup: self.namespace(&wanted.cgroup)?,
            user: wanted.user.clone(),
            sysctls: sysctls(wanted, &request.network)?,
            devices,
            device_rules: wanted.device_rules.clone(),
            masked_paths: None,
            read_only_paths: None,
            mask: wanted.mask.clone(),
            unmask: wanted.unmask.clone(),
            shm_size: wanted.shm_size,
            apparmor: apparmor(wanted)?,
            writable_cgroups: wanted.writable_cgroups,
        };
        Ok((isolation, edits))
    }

    fn namespace(&self, request: &NamespaceRequest) -> Result<NamespaceMode> {
        Ok(match request {
            NamespaceRequest::Private => NamespaceMode::Private,
            NamespaceRequest::Host => NamespaceMode::Host,
            NamespaceRequest::Container(name) => NamespaceMode::Container {
                run_dir: self.run_dir_of(&self.find(name)?.id),
            },
        })
    }

    fn ipc(&self, request: &IpcRequest) -> Result<IpcMode> {
        let name = match request {
            IpcRequest::Private => return Ok(IpcMode::Private),
            IpcRequest::Shareable => return Ok(IpcMode::Shareable),
            IpcRequest::None => return Ok(IpcMode::None),
            IpcRequest::Host => return Ok(IpcMode::Host),
            IpcRequest::Container(name) => name,
        };
        let donor = self.find(name)?;
        match self.plan(&donor)?.isolation.ipc {
            IpcMode::Shareable => Ok(IpcMode::Container {
                run_dir: self.run_dir_of(&donor.id),
            }),
            // What it uses itself.
            other @ (IpcMode::Host | IpcMode::Container { .. }) => Ok(other),
            IpcMode::Private | IpcMode::None => Err(Error::invalid_hint(
                format!("the IPC namespace of container {} is its own", donor.name),
                "make that container with `--ipc shareable`",
            )),
        }
    }

    fn run_dir_of(&self, id: &ContainerId) -> PathBuf {
        self.settings.container_run_dir(id)
    }
}

/// Devices of a path: its own, or those in a directory and all below it, as docker has it.
fn nodes(host: &Path, path: &str, access: DeviceAccess, out: &mut Vec<DevicePlan>) -> Result<()> {
    let fail = |source| Error::File {
        act: "look at the device",
        path: host.to_owned(),
        source,
    };
    let metadata = std::fs::metadata(host).map_err(fail)?;
    if metadata.is_dir() {
        let before = out.len();
        let mut entries: Vec<_> = std::fs::read_dir(host)
            .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
            .map_err(fail)?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            // Links are followed for the device itself only: one in a directory may lead
            // anywhere.
            let kind = entry.file_type().map_err(fail)?;
            if kind.is_dir() || kind.is_char_device() || kind.is_block_device() {
                let inside = format!("{}/{}", path.trim_end_matches('/'), name.to_string_lossy());
                match nodes(&entry.path(), &inside, access, out) {
                    Err(Error::Invalid { .. }) => {}
                    other => other?,
                }
            }
        }
        return match out.len() > before {
            true => Ok(()),
            false => Err(not_a_device(host)),
        };
    }
    let kind = match metadata.file_type() {
        kind if kind.is_char_device() => DeviceKind::Character,
        kind if kind.is_block_device() => DeviceKind::Block,
        _ => return Err(not_a_device(host)),
    };
    let number = metadata.rdev();
    out.push(DevicePlan {
        host: host.to_owned(),
        path: path.to_owned(),
        access,
        kind,
        major: rustix::fs::major(number),
        minor: rustix::fs::minor(number),
    });
    Ok(())
}

fn not_a_device(path: &Path) -> Error {
    Error::invalid_hint(
        format!("{} is not a device", path.display()),
        "files and directories are mounted with `-v`",
    )
}

/// Parameters that are the container's own; the others would change the machine.
fn sysctls(wanted: &BordersRequest, network: &NetworkRequest) -> Result<BTreeMap<String, String>> {
    let mut out = BTreeMap::new();
    for (name, value) in &wanted.sysctls {
        let name = dotted(name);
        let own_ipc = !matches!(wanted.ipc, IpcRequest::Host | IpcRequest::Container(_));
        let (own, whose) = match name.as_str() {
            "kernel.domainname" => (wanted.uts == NamespaceRequest::Private, "host name"),
            "kernel.hostname" => {
                let message = "sysctl kernel.hostname is set by a flag of its own";
                return Err(Error::invalid_hint(message, "use `--hostname`"));
            }
            ipc if IPC_SYSCTLS.contains(&ipc) || ipc.starts_with("fs.mqueue.") => {
                (own_ipc, "IPC namespace")
            }
            net if net.starts_with("net.") => {
                let shared = matches!(network, NetworkRequest::Host | NetworkRequest::Container(_));
                (!shared, "network")
            }
            _ => {
                return Err(Error::invalid_hint(
                    format!("sysctl {name} would change the whole machine"),
                    "a container has `net.*`, `kernel.msg*`, `kernel.sem`, `kernel.shm*`, \
                     `fs.mqueue.*` and `kernel.domainname` of its own",
                ));
            }
        };
        if !own {
            return Err(Error::invalid_hint(
                format!("sysctl {name} would change another's {whose}, which the container uses"),
                "leave the sysctl out, or let the container have its own",
            ));
        }
        out.insert(name, value.clone());
    }
    Ok(out)
}

/// `net/ipv4/ip_forward` is `net.ipv4.ip_forward`; whichever separator comes first counts.
fn dotted(name: &str) -> String {
    match name.find(['.', '/']).map(|at| &name[at..=at]) {
        Some("/") => name
            .chars()
            .map(|c| match c {
                '/' => '.',
                '.' => '/',
                c => c,
            })
            .collect(),
        _ => name.to_owned(),
    }
}

fn apparmor(wanted: &BordersRequest) -> Result<Option<String>> {
    let Some(profile) = wanted.apparmor.as_deref().filter(|p| *p != "unconfined") else {
        return Ok(None);
    };
    let enabled = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    match enabled.is_ok_and(|text| text.starts_with('Y')) {
        true => Ok(Some(profile.to_owned())),
        false => Err(Error::invalid_hint(
            format!("there is no AppArmor on this machine, and no profile `{profile}`"),
            "leave the profile out",
        )),
    }
}

/// As with docker, labels do nothing where no SELinux is.
fn check_selinux(option: &str, events: &dyn EventSink) -> Result<()> {
    match Path::new("/sys/fs/selinux/enforce").exists() {
        true => Err(Error::invalid_hint(
            format!("SELinux label `{option}` cannot be given: labels are not supported yet"),
            "use `--security-opt label=disable`",
        )),
        false => {
            let text = format!("label={option} has no effect: there is no SELinux on this machine");
            events.send(Event::Warning { text });
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_own_parameters_are_set() {
        let ask = |name: &str, borders: BordersRequest, network: NetworkRequest| {
            let borders = BordersRequest {
                sysctls: vec![(name.to_owned(), "1".to_owned())],
                ..borders
            };
            sysctls(&borders, &network).map(|map| map.into_keys().collect::<String>())
        };
        let own = |name: &str| ask(name, BordersRequest::default(), NetworkRequest::Default);
        assert_eq!(
            own("net/ipv4/conf/eth0.1/x").unwrap(),
            "net.ipv4.conf.eth0/1.x"
        );
        assert_eq!(own("kernel.shmmax").unwrap(), "kernel.shmmax");
        assert_eq!(own("fs.mqueue.msg_max").unwrap(), "fs.mqueue.msg_max");
        for bad in [
            "vm.swappiness",
            "kernel.hostname",
            "kernel.panic",
            "user.max_x",
        ] {
            assert!(own(bad).is_err(), "{bad}");
        }
        let host = BordersRequest {
            ipc: IpcRequest::Host,
            uts: NamespaceRequest::Host,
            ..BordersRequest::default()
        };
        assert!(ask("kernel.sem", host.clone(), NetworkRequest::Default).is_err());
        assert!(ask("kernel.domainname", host.clone(), NetworkRequest::Default).is_err());
        assert!(ask("net.core.somaxconn", host, NetworkRequest::Default).is_ok());
        let none = BordersRequest::default();
        assert!(ask("net.core.somaxconn", none, NetworkRequest::Host).is_err());
    }

    #[test]
    fn devices_are_nodes_or_directories_of_nodes() {
        let find = |path: &str| {
            let mut out = Vec::new();
            nodes(Path::new(path), "/dev/x", DeviceAccess::ALL, &mut out).map(|()| out)
        };
        let null = find("/dev/null").unwrap();
        assert_eq!(
            (null[0].kind, null[0].major, null[0].minor),
            (DeviceKind::Character, 1, 3)
        );
        assert_eq!(null[0].path, "/dev/x");
        assert!(find("/etc/passwd").is_err() && find("/etc/ssl").is_err());
        assert!(matches!(find("/dev/absent"), Err(Error::File { .. })));
    }
}
