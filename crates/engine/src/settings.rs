//! Where everything is; read once by the program and handed in.

use std::path::{Path, PathBuf};

/// Facts about the caller and the machine.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The store.
    pub root: PathBuf,
    /// Runtime state of this store, on tmpfs.
    pub run: PathBuf,
    /// Our own program, to be executed again.
    pub exe: PathBuf,
    /// The caller is not the host's root.
    pub rootless: bool,
    /// What this machine lacks.
    pub rung: runtime::userns::Rung,
    /// What becomes of limits that cannot be enforced, if the caller has said so.
    pub limits: Option<model::container::Unenforceable>,
    /// How registries are reached.
    pub registry: registry::Config,
    /// Is told of each damaged record that a command can do without.
    pub on_damage: Option<store::OnDamage>,
}

impl Settings {
    /// A container's runtime directory. Sixteen digits of the id keep the control
    /// socket's path below the kernel's limit of 108 bytes.
    pub fn container_run_dir(&self, id: &model::ContainerId) -> PathBuf {
        self.run.join("c").join(&id.as_str()[..16])
    }

    /// The gateway's socket.
    pub fn gateway_socket(&self) -> PathBuf {
        self.run.join("gateway.sock")
    }

    /// `<base>/shim/<12 digits>`: one runtime directory for each store.
    pub fn run_dir_for(base: &Path, root: &Path) -> PathBuf {
        use sha2::Digest;
        let real = std::fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
        let hash = sha2::Sha256::digest(real.as_os_str().as_encoded_bytes());
        let hex: String = hash.iter().take(6).map(|b| format!("{b:02x}")).collect();
        base.join("shim").join(hex)
    }
}
