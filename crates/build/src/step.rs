//! What a RUN instruction asks of whoever can execute programs.

use std::path::PathBuf;

use model::MountPlan;

/// Executes RUN steps. The engine implements it with runtime and net; this crate
/// starts no process.
pub trait StepRunner: Sync {
    /// Executes the step to its end and returns its exit code (128 + the signal's
    /// number for a killed one). `output` gets standard output and standard error as
    /// they come. What the program wrote to its root file system is in `upper`
    /// afterwards, in overlay's own form.
    fn run(&self, step: &RunStep, output: &mut dyn FnMut(&[u8])) -> Result<i32, StepError>;
}

/// One program to execute on a stack of layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunStep {
    /// Unpacked layers, topmost first, as overlay's `lowerdir` wants them.
    pub layers: Vec<PathBuf>,
    /// Overlay's `upperdir`: empty, and becomes the layer.
    pub upper: PathBuf,
    /// Overlay's `workdir`: empty, on the same file system.
    pub work: PathBuf,
    /// Program and arguments; the program is looked up in `env`'s PATH.
    pub argv: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Absolute; it exists.
    pub cwd: String,
    /// `user[:group]`, names or numbers, looked up in the layers' own `/etc/passwd`
    /// and `/etc/group`; empty for root.
    pub user: String,
    /// Where its packets go.
    pub network: StepNetwork,
    /// Mounted after `/proc`, `/dev` and `/sys`, in this order. A bind may be a single
    /// file, and a target may lie below `/dev`. Mount points are made where they are
    /// missing; the builder takes them out of `upper` again.
    pub mounts: Vec<MountPlan>,
    /// Extra lines of `/etc/hosts`: name and address.
    pub extra_hosts: Vec<(String, String)>,
}

/// Where a RUN step's packets go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StepNetwork {
    /// The default network: outwards, no published port.
    #[default]
    Default,
    /// Loopback only.
    None,
    /// The host's own network namespace.
    Host,
}

/// A step that could not be started or watched to its end. A program that ran and
/// failed is not an error but an exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StepError {
    /// What failed, with the object in it.
    pub message: String,
    /// What the user may do about it.
    pub hint: Option<String>,
    /// Why.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}
