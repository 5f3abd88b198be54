//! What the program learns from its surroundings, once.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use engine::{Engine, Settings};
use model::container::Unenforceable;

use crate::error::{CliError, Kind};

/// The caller: environment, directory, terminal, identity.
pub(crate) struct Host {
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) cwd: PathBuf,
    /// Our own program.
    pub(crate) exe: PathBuf,
    /// As the host sees the caller, before any user namespace.
    pub(crate) uid: u32,
    /// Whether we have entered a user namespace.
    pub(crate) namespaced: bool,
    /// What this machine lacks, once that is known.
    pub(crate) rung: engine::Rung,
    pub(crate) root: PathBuf,
    pub(crate) run: PathBuf,
    pub(crate) stdin_tty: bool,
    pub(crate) stdout_tty: bool,
    pub(crate) stderr_tty: bool,
}

impl Host {
    /// Reads it all. `root` is the value of `--root`.
    pub(crate) fn read(root: Option<&Path>) -> Result<Self, CliError> {
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        let cwd = std::env::current_dir().map_err(|error| {
            CliError::new(
                Kind::Failed,
                format!("cannot tell the current directory: {error}"),
            )
        })?;
        let uid = rustix::process::getuid().as_raw();
        let root = match root
            .map(Path::to_owned)
            .or_else(|| path(&environment, "SHIM_ROOT"))
        {
            Some(root) => cwd.join(root),
            None => default_root(&environment, uid)?,
        };
        let run = Settings::run_dir_for(&run_base(&environment, uid)?, &root);
        Ok(Self {
            exe: std::env::current_exe()?,
            environment,
            cwd,
            uid,
            namespaced: false,
            rung: engine::Rung::Full,
            root,
            run,
            stdin_tty: std::io::stdin().is_terminal(),
            stdout_tty: std::io::stdout().is_terminal(),
            stderr_tty: std::io::stderr().is_terminal(),
        })
    }

    /// Whether the caller is a plain user, or no more than one.
    pub(crate) fn rootless(&self) -> bool {
        self.uid != 0 || self.namespaced
    }

    /// Whether the store is the one that is used where none is named.
    pub(crate) fn has_default_root(&self) -> bool {
        default_root(&self.environment, self.uid).is_ok_and(|root| root == self.root)
    }

    /// Digits that tell this store from others of this machine.
    pub(crate) fn store_digits(&self) -> String {
        let name = self.run.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Whether messages may be coloured (<https://no-color.org>).
    pub(crate) fn color(&self) -> bool {
        let set = |name: &str| self.environment.get(name).is_some_and(|v| !v.is_empty());
        self.stderr_tty && !set("NO_COLOR")
    }

    /// Opens the store. `tls_verify` is the flag of that name.
    pub(crate) fn engine(&self, tls_verify: bool) -> Result<Engine, CliError> {
        Ok(Engine::open(Settings {
            root: self.root.clone(),
            run: self.run.clone(),
            exe: self.exe.clone(),
            rootless: self.rootless(),
            rung: self.rung,
            limits: self.limits()?,
            registry: self.registry(tls_verify),
            on_damage: Some(crate::error::warn_of_damage),
        })?)
    }

    /// What `SHIM_LIMITS` says of limits that this machine cannot enforce.
    pub(crate) fn limits(&self) -> Result<Option<Unenforceable>, CliError> {
        match self.environment.get("SHIM_LIMITS").map(String::as_str) {
            None | Some("") => Ok(None),
            Some("strict") => Ok(Some(Unenforceable::Refuse)),
            Some("warn") => Ok(Some(Unenforceable::Warn)),
            Some(other) => Err(CliError::usage(format!("SHIM_LIMITS is `{other}`"))
                .hint("write `strict` or `warn`")),
        }
    }

    /// Where docker keeps logins.
    pub(crate) fn docker_config(&self) -> PathBuf {
        let dir = path(&self.environment, "DOCKER_CONFIG")
            .or_else(|| path(&self.environment, "HOME").map(|home| home.join(".docker")));
        dir.unwrap_or_else(|| PathBuf::from("/root/.docker"))
            .join("config.json")
    }

    pub(crate) fn registry(&self, tls_verify: bool) -> engine::RegistryConfig {
        let variable = |name: &str| {
            let lower = self.environment.get(&name.to_lowercase());
            lower
                .or_else(|| self.environment.get(name))
                .filter(|v| !v.is_empty())
                .cloned()
        };
        let mut config = engine::RegistryConfig {
            tls_verify,
            credentials: self.credentials(),
            https_proxy: variable("HTTPS_PROXY"),
            http_proxy: variable("HTTP_PROXY"),
            no_proxy: variable("NO_PROXY"),
            ..engine::RegistryConfig::default()
        };
        if let Some(bundle) = path(&self.environment, "SSL_CERT_FILE") {
            config.ca_bundles.insert(0, bundle);
        }
        config
    }

    /// Docker's configuration first, then podman's.
    fn credentials(&self) -> engine::Credentials {
        let mut files = vec![self.docker_config()];
        files.extend(path(&self.environment, "REGISTRY_AUTH_FILE"));
        files.extend(
            path(&self.environment, "XDG_RUNTIME_DIR").map(|d| d.join("containers/auth.json")),
        );
        engine::Credentials::Files(files)
    }
}

fn path(environment: &BTreeMap<String, String>, name: &str) -> Option<PathBuf> {
    environment
        .get(name)
        .filter(|v| !v.is_empty())
        .map(PathBuf::from)
}

fn default_root(environment: &BTreeMap<String, String>, uid: u32) -> Result<PathBuf, CliError> {
    if uid == 0 {
        return Ok("/var/lib/shim".into());
    }
    let data = path(environment, "XDG_DATA_HOME").filter(|p| p.is_absolute());
    data.or_else(|| path(environment, "HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("shim"))
        .ok_or_else(|| {
            CliError::new(
                Kind::Failed,
                "cannot tell where images are to be kept: HOME is not set",
            )
            .hint("set HOME, or pass --root")
        })
}

/// The directory for runtime state: on tmpfs, and nobody else's.
fn run_base(environment: &BTreeMap<String, String>, uid: u32) -> Result<PathBuf, CliError> {
    if uid == 0 {
        return Ok("/run".into());
    }
    let session = PathBuf::from(format!("/run/user/{uid}"));
    let given = path(environment, "XDG_RUNTIME_DIR").filter(|p| p.is_absolute());
    if let Some(base) = given.or(Some(session)).filter(|p| p.is_dir()) {
        return Ok(base);
    }
    let base = PathBuf::from(format!("/tmp/shim-{uid}"));
    private_directory(&base, uid)?;
    Ok(base)
}

/// Makes a directory in a place where everybody may write, or accepts one that is
/// certainly ours.
fn private_directory(path: &Path, uid: u32) -> Result<(), CliError> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    let made = std::fs::DirBuilder::new().mode(0o700).create(path);
    if let Err(error) = made
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        let message = format!("cannot make {}: {error}", path.display());
        return Err(CliError::new(Kind::Failed, message));
    }
    let found = std::fs::symlink_metadata(path)?;
    if found.is_dir() && found.uid() == uid && found.mode() & 0o077 == 0 {
        return Ok(());
    }
    let message = format!(
        "{} is not a private directory of user {uid}",
        path.display()
    );
    Err(CliError::new(Kind::Failed, message).hint("remove it, or set XDG_RUNTIME_DIR"))
}
