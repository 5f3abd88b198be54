//! Finding and executing a container's program, and telling why that failed.

use std::ffi::{CString, NulError};
use std::io::{Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};

use model::container::ProcessPlan;
use rustix::io::Errno;

/// Why a program was not executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// A name without slash that is in no directory of PATH.
    #[error("exec: \"{0}\": executable file not found in $PATH")]
    NotInPath(String),
    /// The kernel refused.
    #[error("exec: \"{program}\": {}", words(*errno))]
    Refused {
        /// The program.
        program: String,
        /// The kernel's error number.
        errno: i32,
    },
    /// Nothing to execute.
    #[error("no command specified")]
    Empty,
    /// An argument or variable holds a NUL byte.
    #[error("a command or environment variable holds a NUL byte")]
    Nul,
}

fn words(errno: i32) -> String {
    match Errno::from_raw_os_error(errno) {
        Errno::NOENT => "no such file or directory".into(),
        Errno::ACCESS => "permission denied".into(),
        Errno::ISDIR => "is a directory".into(),
        Errno::NOEXEC => "exec format error".into(),
        // The kernel's text ends in ` (os error N)`, which says nothing to a user.
        other => {
            let text = std::io::Error::from(other).to_string();
            text.split(" (os error")
                .next()
                .unwrap_or_default()
                .to_lowercase()
        }
    }
}

impl ProgramError {
    /// Docker's exit code: 127 where the program is not there, else 126.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::NotInPath(_) => 127,
            Self::Refused { errno, .. } if *errno == Errno::NOENT.raw_os_error() => 127,
            Self::Refused { .. } => 126,
            Self::Empty | Self::Nul => 125,
        }
    }
}

impl From<NulError> for ProgramError {
    fn from(_: NulError) -> Self {
        Self::Nul
    }
}

/// A program with its arguments and environment, in the kernel's form.
#[derive(Debug, Clone)]
pub struct Program {
    name: String,
    /// What to try, in this order.
    candidates: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
}

impl Program {
    /// From a plan. `HOME` is added where the plan has none, and `TERM` on a terminal.
    pub fn new(process: &ProcessPlan, home: &str) -> Result<Self, ProgramError> {
        let name = process.argv.first().filter(|name| !name.is_empty());
        let name = name.ok_or(ProgramError::Empty)?.clone();
        let mut env = process.env.clone();
        let has = |env: &[String], key: &str| env.iter().any(|line| line.starts_with(key));
        if !has(&env, "HOME=") {
            env.push(format!("HOME={home}"));
        }
        if process.tty && !has(&env, "TERM=") {
            env.push("TERM=xterm".into());
        }
        let texts = |list: &[String]| -> Result<Vec<CString>, NulError> {
            list.iter()
                .map(|text| CString::new(text.as_str()))
                .collect()
        };
        Ok(Self {
            candidates: candidates(&name, &env)?,
            argv: texts(&process.argv)?,
            env: texts(&env)?,
            name,
        })
    }

    /// Executes it in place of this process. Returns only the reason why not.
    pub fn execute(&self) -> ProgramError {
        let mut denied = None;
        for candidate in &self.candidates {
            let errno = sys::process::execve(candidate, &self.argv, &self.env);
            match errno {
                Errno::NOENT | Errno::NOTDIR if self.candidates.len() > 1 => {}
                // Another directory may have one that we may execute.
                Errno::ACCESS if self.candidates.len() > 1 => denied = Some(errno),
                other => return self.refused(other),
            }
        }
        match denied {
            Some(errno) => self.refused(errno),
            None if self.name.contains('/') => self.refused(Errno::NOENT),
            None => ProgramError::NotInPath(self.name.clone()),
        }
    }

    /// Executes our own program as an init that starts this one.
    pub(crate) fn execute_under(&self, init: BorrowedFd<'_>) -> ProgramError {
        let argv = crate::init::arguments(&self.argv);
        self.refused(sys::process::execute_open(init, &argv, &self.env))
    }

    fn refused(&self, errno: Errno) -> ProgramError {
        match errno {
            Errno::NOENT | Errno::NOTDIR if !self.name.contains('/') => {
                ProgramError::NotInPath(self.name.clone())
            }
            other => {
                let program = self.name.clone();
                ProgramError::Refused {
                    program,
                    errno: other.raw_os_error(),
                }
            }
        }
    }
}

/// The last of several PATH variables counts, as with execvp in a shell.
fn candidates(name: &str, env: &[String]) -> Result<Vec<CString>, NulError> {
    if name.contains('/') {
        return Ok(vec![CString::new(name)?]);
    }
    let path = env
        .iter()
        .rev()
        .find_map(|line| line.strip_prefix("PATH="))
        .unwrap_or("");
    let directories = path
        .split(':')
        .filter(|directory| directory.starts_with('/'));
    directories
        .map(|directory| CString::new(format!("{directory}/{name}")))
        .collect()
}

/// What a child tells its parent over a close-on-exec pipe, instead of executing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    Program(ProgramError),
    Other(String),
}

impl Failure {
    /// Sends it; nobody is left to hear of a failure to do so.
    pub(crate) fn send(&self, pipe: &OwnedFd) {
        let text = match self {
            Self::Program(ProgramError::NotInPath(name)) => format!("P{name}"),
            Self::Program(ProgramError::Refused { program, errno }) => {
                format!("R{errno} {program}")
            }
            Self::Program(other) => format!("O{other}"),
            Self::Other(message) => format!("O{message}"),
        };
        if let Ok(copy) = pipe.try_clone() {
            let _ = std::fs::File::from(copy).write_all(text.as_bytes());
        }
    }

    /// Waits until the child has executed its program (`None`) or says why not.
    pub(crate) fn receive(pipe: OwnedFd) -> Option<Self> {
        let mut bytes = Vec::new();
        let mut file = std::fs::File::from(pipe).take(64 << 10);
        if let Err(error) = file.read_to_end(&mut bytes) {
            return Some(Self::Other(format!(
                "cannot read what became of the program: {error}"
            )));
        }
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut chars = text.chars();
        let kind = chars.next()?;
        let rest = chars.as_str().to_owned();
        Some(match kind {
            'P' => Self::Program(ProgramError::NotInPath(rest)),
            'R' => {
                let (errno, program) = rest.split_once(' ')?;
                let errno = errno.parse().ok()?;
                Self::Program(ProgramError::Refused {
                    program: program.to_owned(),
                    errno,
                })
            }
            _ => Self::Other(rest),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_cross_the_pipe() {
        for failure in [
            Failure::Program(ProgramError::NotInPath("nope".into())),
            Failure::Program(ProgramError::Refused {
                program: "/a b".into(),
                errno: 13,
            }),
            Failure::Other("what".into()),
        ] {
            let (read, write) = rustix::pipe::pipe().unwrap();
            failure.send(&write);
            drop(write);
            assert_eq!(Failure::receive(read), Some(failure));
        }
        let (read, write) = rustix::pipe::pipe().unwrap();
        drop(write);
        assert_eq!(Failure::receive(read), None);
    }

    #[test]
    fn the_words_are_dockers() {
        let refused = |errno: Errno| ProgramError::Refused {
            program: "/x".into(),
            errno: errno.raw_os_error(),
        };
        let not_there = refused(Errno::NOENT);
        assert_eq!(
            not_there.to_string(),
            "exec: \"/x\": no such file or directory"
        );
        assert_eq!(not_there.exit_code(), 127);
        assert_eq!(refused(Errno::ACCESS).exit_code(), 126);
        assert_eq!(
            refused(Errno::LOOP).to_string(),
            "exec: \"/x\": too many levels of symbolic links"
        );
    }

    #[test]
    fn names_are_looked_up_in_path() {
        let env = ["PATH=/no".to_owned(), "PATH=/a:b::/c".to_owned()];
        let found = candidates("x", &env).unwrap();
        assert_eq!(found, [c"/a/x".to_owned(), c"/c/x".to_owned()]);
        assert_eq!(candidates("./x", &env).unwrap(), [c"./x".to_owned()]);
        assert!(candidates("x", &[]).unwrap().is_empty());
    }
}
