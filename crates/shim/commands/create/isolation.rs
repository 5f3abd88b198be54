//! Flags about what sets a container apart from its host.

use clap::Args;
use engine::{IpcRequest, NamespaceRequest, NetworkRequest, RunRequest};

use crate::error::CliError;
use crate::host::Host;
use crate::specs;
use crate::specs::{namespaces, security};

#[derive(Args)]
#[command(next_help_heading = "Isolation")]
pub(super) struct IsolationArgs {
    /// Takes every border down but the namespaces.
    #[arg(long)]
    privileged: bool,
    /// Gives a capability; ALL is every one.
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<String>,
    /// Takes a capability away; ALL is every one.
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<String>,
    /// no-new-privileges, seccomp=FILE, mask=PATHS, unmask=PATHS, and so on.
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
    /// Gives a device of the host, or one that a CDI specification describes.
    #[arg(long, value_name = "PATH[:PATH_INSIDE][:rwm]")]
    device: Vec<String>,
    /// Lets device numbers through, e.g. `c 10:200 rwm`.
    #[arg(long, value_name = "RULE")]
    device_cgroup_rule: Vec<String>,
    /// Gives GPUs that a CDI specification describes: all, a number, device=NAME.
    #[arg(long, value_name = "GPUS")]
    gpus: Option<String>,
    /// Kernel parameter of the container's own.
    #[arg(long, value_name = "NAME=VALUE")]
    sysctl: Vec<String>,
    /// Size of /dev/shm [default: 64m].
    #[arg(long, value_name = "BYTES")]
    shm_size: Option<String>,
    /// Processes it sees: private, host, container:NAME.
    #[arg(long, value_name = "MODE")]
    pid: Option<String>,
    /// Shared memory: private, shareable, none, host, container:NAME.
    #[arg(long, value_name = "MODE")]
    ipc: Option<String>,
    /// Host name: private, host, container:NAME.
    #[arg(long, value_name = "MODE")]
    uts: Option<String>,
    /// View of the cgroups: private, host.
    #[arg(long, value_name = "MODE")]
    cgroupns: Option<String>,
    /// Ids: host, keep-id[:uid=N,gid=N], auto[:size=N].
    #[arg(long, value_name = "MODE")]
    userns: Option<String>,
}

impl IsolationArgs {
    pub(super) fn apply(&self, request: &mut RunRequest, host: &Host) -> Result<(), CliError> {
        request.borders.privileged = self.privileged;
        request.cap_add = self.cap_add.clone();
        request.cap_drop = self.cap_drop.clone();
        for text in &self.security_opt {
            security::option(text, &host.cwd, request)?;
        }
        for text in &self.device {
            request.borders.devices.push(specs::device(text)?);
        }
        if let Some(text) = &self.gpus {
            request.borders.devices.extend(specs::gpus(text)?);
        }
        for text in &self.device_cgroup_rule {
            request.borders.device_rules.push(specs::rule(text)?);
        }
        for text in &self.sysctl {
            request.borders.sysctls.push(security::sysctl(text)?);
        }
        if let Some(text) = &self.shm_size {
            request.borders.shm_size = match specs::limits::bytes("--shm-size", text)? {
                0 => {
                    return Err(CliError::usage("invalid --shm-size `0`")
                        .hint("for none at all, use `--ipc none`"));
                }
                bytes => Some(bytes),
            };
        }
        self.namespaces(request)?;
        self.check(request)
    }

    fn namespaces(&self, request: &mut RunRequest) -> Result<(), CliError> {
        let borders = &mut request.borders;
        if let Some(text) = &self.pid {
            borders.pid = namespaces::pid(text)?;
        }
        if let Some(text) = &self.ipc {
            borders.ipc = namespaces::ipc(text)?;
        }
        if let Some(text) = &self.uts {
            borders.uts = namespaces::uts(text)?;
        }
        if let Some(text) = &self.cgroupns {
            borders.cgroup = namespaces::cgroup(text)?;
        }
        if let Some(text) = &self.userns {
            borders.user = namespaces::user(text)?;
        }
        Ok(())
    }

    /// What contradicts each other.
    fn check(&self, request: &RunRequest) -> Result<(), CliError> {
        super::network::check_host_name(request)?;
        let borders = &request.borders;
        let own_memory = matches!(borders.ipc, IpcRequest::Private | IpcRequest::Shareable);
        if self.shm_size.is_some() && !own_memory {
            return Err(
                CliError::usage("--shm-size cannot be combined with this --ipc")
                    .hint("the container has no /dev/shm of its own, leave one of the two out"),
            );
        }
        let shared = matches!(borders.pid, NamespaceRequest::Container(_))
            || matches!(borders.ipc, IpcRequest::Container(_))
            || matches!(borders.uts, NamespaceRequest::Container(_))
            || matches!(request.network, NetworkRequest::Container(_));
        let own_ids = !matches!(
            borders.user,
            model::container::UserMode::Default | model::container::UserMode::Host
        );
        match shared && own_ids {
            true => Err(CliError::usage(
                "--userns cannot be combined with another container's namespaces",
            )
            .hint("their owner is that container's user namespace")),
            false => Ok(()),
        }
    }
}
