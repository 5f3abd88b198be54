//! `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`: written beside the container's
//! state and bound into it, so that the image stays as it is.

use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::Path;

use model::ContainerPlan;
use model::container::NetworkMode;
use model::network::Ready;
use rustix::fs::{CWD, Mode, OFlags};
use sys::mount::Attributes;

use super::{Root, RootfsError};

mod resolv_conf;

/// The texts of the three files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EtcFiles {
    hosts: String,
    hostname: String,
    resolv_conf: Option<String>,
}

const LOCAL: &str = "127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
";

impl EtcFiles {
    /// For a plan, once the gateway has answered. What a container that uses another's
    /// network, or the host's, is not told by its plan is as it is there.
    pub(crate) fn new(plan: &ContainerPlan, ready: Option<&Ready>) -> Self {
        let read = |path: &Path| std::fs::read_to_string(path).ok();
        let (shared_hosts, resolv_conf) = match (&plan.network, ready) {
            (_, Some(ready)) => (None, Some(resolv_conf::of_gateway(&plan.dns, ready))),
            (NetworkMode::Container { run_dir }, None) => (
                read(&run_dir.join("hosts")),
                read(&run_dir.join("resolv.conf")),
            ),
            (NetworkMode::None, None) => (None, Some(resolv_conf::changed("", &plan.dns))),
            (NetworkMode::Host | NetworkMode::Gateway(_), None) => {
                let host = read(Path::new("/etc/resolv.conf")).unwrap_or_default();
                (None, Some(resolv_conf::changed(&host, &plan.dns)))
            }
        };
        Self {
            hosts: shared_hosts.unwrap_or_else(|| hosts(plan, ready)),
            hostname: format!("{}\n", plan.hostname),
            resolv_conf,
        }
    }

    /// Writes the files into `directory` and binds them in the root, except where the plan
    /// mounts something of its own there.
    pub(crate) fn bind(
        &self,
        root: &mut Root,
        directory: &Path,
        plan: &ContainerPlan,
        attributes: Attributes,
    ) -> Result<(), RootfsError> {
        let files = [
            ("hosts", Some(&self.hosts)),
            ("hostname", Some(&self.hostname)),
            ("resolv.conf", self.resolv_conf.as_ref()),
        ];
        for (name, text) in files {
            let target = format!("/etc/{name}");
            let taken = plan.mounts.iter().any(|mount| mount.target == target);
            let (Some(text), false) = (text, taken) else {
                continue;
            };
            let path = directory.join(name);
            write(&path, text)?;
            let source =
                rustix::fs::openat(CWD, &path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
                    .map_err(|errno| sys::Error::new("open", path.display().to_string(), errno))?;
            root.bind(&path, source.as_fd(), &target, attributes)?;
        }
        Ok(())
    }
}

/// Where apt reads its settings, and what it must know where one id is all there is: it
/// fetches as a user of its own, and asks afterwards whether it has become that.
const APT: (&str, &str) = ("/etc/apt/apt.conf.d", "APT::Sandbox::User \"root\";\n");

/// Binds that setting where the root has an apt.
pub(crate) fn bind_apt_setting(
    root: &mut Root,
    directory: &Path,
    attributes: Attributes,
) -> Result<(), RootfsError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    if !sys::userns::maps_one_id()? || root.open(Path::new(APT.0), flags).is_err() {
        return Ok(());
    }
    let path = directory.join("apt.conf");
    write(&path, APT.1)?;
    let source = rustix::fs::openat(CWD, &path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| sys::Error::new("open", path.display().to_string(), errno))?;
    let target = format!("{}/99shim", APT.0);
    root.bind(&path, source.as_fd(), &target, attributes)
}

/// Readable to all users of the container, whatever our umask.
fn write(path: &Path, text: &str) -> sys::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let readable = std::fs::Permissions::from_mode(0o644);
    std::fs::write(path, text)
        .and_then(|()| std::fs::set_permissions(path, readable))
        .map_err(|error| sys::Error::new("write", path.display().to_string(), error))
}

/// The names that the host itself knows are those of its network.
fn host_hosts() -> String {
    let text = std::fs::read_to_string("/etc/hosts");
    let mut text = text.unwrap_or_else(|_| LOCAL.to_owned());
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn hosts(plan: &ContainerPlan, ready: Option<&Ready>) -> String {
    let mut text = match plan.network {
        NetworkMode::Host => host_hosts(),
        _ => LOCAL.to_owned(),
    };
    for (name, address) in &plan.extra_hosts {
        text.push_str(&format!("{address}\t{name}\n"));
    }
    let own: Vec<Ipv4Addr> =
        ready.map_or(Vec::new(), |r| r.links.iter().map(|l| l.address).collect());
    for address in own {
        text.push_str(&format!("{address}\t{}\n", plan.hostname));
    }
    text
}
