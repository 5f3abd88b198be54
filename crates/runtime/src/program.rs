//! Finding and executing a container's program, and telling why that failed.

/// Why a program was not executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// A name without slash that is in no directory of PATH.
    #[error("exec: \"{0}\": executable file not found in $PATH")]
    NotInPath(String),
    /// The kernel refused.
    #[error("exec: \"{program}\": {reason}")]
    Refused {
        /// The program.
        program: String,
        /// The kernel's words.
        reason: String,
        /// The kernel's error number.
        errno: i32,
    },
}

impl ProgramError {
    /// Docker's exit code: 127 where the program is not there, else 126.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::NotInPath(_) => 127,
            Self::Refused { errno, .. } if *errno == rustix::io::Errno::NOENT.raw_os_error() => 127,
            Self::Refused { .. } => 126,
        }
    }
}
