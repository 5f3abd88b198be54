//! Why a container did not start.

use std::path::PathBuf;

/// Why a container did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The plan asks for what cannot be.
    #[error("{what}")]
    Plan {
        /// One sentence.
        what: String,
    },
    /// The program cannot be executed.
    #[error(transparent)]
    Program(#[from] crate::program::ProgramError),
    /// The user is not known inside.
    #[error(transparent)]
    User(#[from] crate::identity::UserError),
    /// The user has no id inside.
    #[error(transparent)]
    Ids(#[from] crate::userns::nested::NestedError),
    /// A capability that no kernel knows.
    #[error(transparent)]
    Capability(#[from] crate::confine::ConfineError),
    /// The root file system cannot be set up.
    #[error(transparent)]
    Rootfs(#[from] crate::rootfs::RootfsError),
    /// A limit is not in force.
    #[error(transparent)]
    Limit(#[from] crate::cgroup::LimitError),
    /// The gateway refused.
    #[error("{message}")]
    Network {
        /// What and why.
        message: String,
        /// What the user can do.
        hint: Option<String>,
    },
    /// The container whose network or other namespace is to be shared does not run.
    #[error("the container whose namespace is to be joined is not running ({})", run_dir.display())]
    NotJoinable {
        /// Its runtime directory.
        run_dir: PathBuf,
    },
    /// Its first process did not get to its program.
    #[error("cannot create the container: {message}")]
    Runtime {
        /// What failed, and why.
        message: String,
    },
    /// A step failed.
    #[error(transparent)]
    Sys(#[from] sys::Error),
}

impl StartError {
    /// The exit code that docker gives: 127 and 126 for a program that is absent or not
    /// executable, else 125.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Program(error) => error.exit_code(),
            _ => 125,
        }
    }

    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Network { hint, .. } => hint.clone(),
            Self::Limit(error) => error.hint(),
            _ => None,
        }
    }
}
