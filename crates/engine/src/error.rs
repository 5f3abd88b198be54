//! Why a request failed.

use std::path::PathBuf;

/// Result of a request.
pub type Result<T> = std::result::Result<T, Error>;

/// What is done to a container whose state is read.
pub(crate) const LOOK_AT: &str = "look at";

/// A failed request. The message says what, the source why, [`Error::hint`] what helps.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A registry refused.
    #[error(transparent)]
    Registry(Box<registry::Error>),
    /// The kernel refused.
    #[error(transparent)]
    Sys(#[from] sys::Error),
    /// The gateway could not be started or spoken to.
    #[error(transparent)]
    Net(Box<net::Error>),
    /// Not an image reference.
    #[error(transparent)]
    Reference(#[from] model::reference::ReferenceError),
    /// A build failed.
    #[error(transparent)]
    Build(Box<build::BuildError>),
    /// A container's process did not come to life.
    #[error("cannot {act} container {name}: {message}")]
    Start {
        /// What was to be done.
        act: &'static str,
        /// The container.
        name: String,
        /// The runtime's or the gateway's words.
        message: String,
        /// Docker's exit code: 125, 126 or 127.
        code: u8,
        /// What the user can do.
        hint: Option<String>,
    },
    /// A supervisor does not answer as it should.
    #[error("cannot {act} container {name}")]
    Container {
        /// What was to be done.
        act: &'static str,
        /// The container.
        name: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The container is in the wrong state for the request.
    #[error("container {name} is {state}")]
    State {
        /// The container.
        name: String,
        /// What it is.
        state: String,
        /// What the user can do.
        hint: Option<String>,
    },
    /// A request that makes no sense.
    #[error("{message}")]
    Invalid {
        /// What is wrong.
        message: String,
        /// What the user can do.
        hint: Option<String>,
    },
    /// A host path of a mount that cannot be used.
    #[error("cannot mount {} at {target}", path.display())]
    Mount {
        /// On the host.
        path: PathBuf,
        /// Inside.
        target: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file of the host that cannot be read or written.
    #[error("cannot {act} {}", path.display())]
    File {
        /// A verb.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A record of ours that cannot be understood.
    #[error("{what} is damaged")]
    Record {
        /// What.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A service's container cannot be made.
    #[error("service {name}")]
    Service {
        /// The service.
        name: String,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// Complaints about a compose file, rendered with the lines they are about.
    #[error("{0}")]
    Diagnostics(String),
    /// Several things failed at once.
    #[error("{}", join(.0))]
    Several(Vec<Error>),
}

fn join(errors: &[Error]) -> String {
    let mut out = String::new();
    for error in errors {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&error.to_string());
        let mut next = std::error::Error::source(error);
        while let Some(source) = next {
            out.push_str(": ");
            out.push_str(&source.to_string());
            next = source.source();
        }
    }
    out
}

impl From<registry::Error> for Error {
    fn from(error: registry::Error) -> Self {
        Self::Registry(Box::new(error))
    }
}

impl From<build::BuildError> for Error {
    fn from(error: build::BuildError) -> Self {
        Self::Build(Box::new(error))
    }
}

impl From<net::Error> for Error {
    fn from(error: net::Error) -> Self {
        Self::Net(Box::new(error))
    }
}

impl Error {
    /// A request that makes no sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid {
            message: message.into(),
            hint: None,
        }
    }

    /// The same, with advice.
    pub fn invalid_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Invalid {
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    /// One error for all of these; none if there is none.
    pub(crate) fn several(mut errors: Vec<Self>) -> Result<()> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Several(errors)),
        }
    }

    /// What the user can do, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Registry(error) => error.hint(),
            Self::Build(error) => error.hint(),
            Self::Net(error) => error.hint(),
            Self::Start { hint, .. } | Self::State { hint, .. } | Self::Invalid { hint, .. } => {
                hint.clone()
            }
            Self::Several(errors) => errors.iter().find_map(Self::hint),
            Self::Service { source, .. } => source.hint(),
            Self::Container { act, name, .. } if *act == LOOK_AT => {
                Some(format!("remove it with `shim rm -f {name}`"))
            }
            Self::Mount { .. } => Some("check the path, its owner and its permissions".into()),
            _ => None,
        }
    }

    /// Whether one object's record is at fault, and the others can be listed.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Store(error) => error.is_damage(),
            Self::Container { act, .. } => *act == LOOK_AT,
            _ => false,
        }
    }

    /// Docker's exit code if a container's process did not come to life.
    pub fn start_code(&self) -> Option<u8> {
        match self {
            Self::Start { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Text that already shows the lines it is about.
    pub fn rendered(&self) -> Option<String> {
        match self {
            Self::Diagnostics(text) => Some(text.clone()),
            Self::Service { source, .. } => source.rendered(),
            Self::Build(error) => match &**error {
                build::BuildError::Dockerfile(complaints) => Some(complaints.rendered()),
                _ => None,
            },
            _ => None,
        }
    }
}
