//! Flags about what is mounted.

use clap::Args;
use engine::{MountRequest, RunRequest};

use crate::error::CliError;
use crate::host::Host;
use crate::specs;

#[derive(Args)]
#[command(next_help_heading = "Files")]
pub(super) struct StorageArgs {
    /// Mounts a host path or a named volume.
    #[arg(short, long, value_name = "[SOURCE:]TARGET[:OPTIONS]")]
    volume: Vec<String>,
    /// Mounts a host path, a volume, memory or an image.
    #[arg(long, value_name = "KEY=VALUE,…")]
    mount: Vec<String>,
    /// Mounts memory.
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    tmpfs: Vec<String>,
    /// Mounts what another container mounts.
    #[arg(long, value_name = "CONTAINER[:ro]")]
    volumes_from: Vec<String>,
    /// Makes the root file system read-only.
    #[arg(long)]
    read_only: bool,
}

impl StorageArgs {
    pub(super) fn apply(&self, request: &mut RunRequest, host: &Host) -> Result<(), CliError> {
        let volumes = self.volume.iter();
        let volumes = volumes.map(|text| specs::volume(text, &host.cwd));
        let mounts = self.mount.iter();
        let mounts = mounts.map(|text| specs::mount(text, &host.cwd));
        let tmpfs = self.tmpfs.iter().map(|text| specs::tmpfs(text));
        let mounts: Vec<MountRequest> = volumes
            .chain(mounts)
            .chain(tmpfs)
            .collect::<Result<_, _>>()?;
        let path = |mount: &MountRequest| mount.target.trim_end_matches('/').to_owned();
        for (i, mount) in mounts.iter().enumerate() {
            if mounts[..i].iter().any(|m| path(m) == path(mount)) {
                let message = format!("two mounts have the target `{}`", mount.target);
                return Err(CliError::usage(message).hint("leave one of them out"));
            }
        }
        request.mounts = mounts;
        let from = self.volumes_from.iter();
        request.volumes_from = from
            .map(|text| specs::volumes_from(text))
            .collect::<Result<_, _>>()?;
        request.read_only = self.read_only;
        Ok(())
    }
}
