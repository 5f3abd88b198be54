//! What libcontainer calls last, inside the container: confinement and execution.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{
    Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError,
};
use rustix::event::{PollFd, PollFlags};

use crate::confine::Confinement;
use crate::program::{Failure, Program};

const SIGKILL: i32 = 9;

/// Confines and executes; failures go over our own pipe, because libcontainer reports a
/// start as done before the program is executed.
#[derive(Debug, Clone)]
pub(super) struct ConfinedExecutor(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    program: Program,
    confinement: Confinement,
    terminal: bool,
    report: OwnedFd,
    /// The parent's end. Each side drops the one it does not use.
    listener: Rc<RefCell<Option<OwnedFd>>>,
}

/// The parent's end of the executor's pipe.
#[derive(Debug)]
pub(super) struct Listener(Rc<RefCell<Option<OwnedFd>>>);

impl Listener {
    /// Waits until the program runs (`None`) or for the reason why it does not.
    pub(super) fn wait(self) -> Option<Failure> {
        self.0.take().and_then(Failure::receive)
    }
}

impl ConfinedExecutor {
    pub(super) fn new(
        program: Program,
        confinement: Confinement,
        terminal: bool,
    ) -> sys::Result<(Self, Listener)> {
        let (read, report) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|errno| sys::Error::new("make", "a pipe", errno))?;
        let listener = Rc::new(RefCell::new(Some(read)));
        let theirs = Listener(Rc::clone(&listener));
        let inner = Inner {
            program,
            confinement,
            terminal,
            report,
            listener,
        };
        Ok((Self(Rc::new(inner)), theirs))
    }

    fn confine_and_execute(&self) -> Failure {
        let other = |error: sys::Error| Failure::Other(describe(&error));
        if self.0.terminal
            && let Err(error) = sys::pty::make_controlling(rustix::stdio::stdin())
        {
            return other(error);
        }
        crate::stdio::reopen_null_streams();
        let ready = sys::process::reset_signals().and_then(|()| self.0.confinement.apply());
        if let Err(error) = ready {
            return other(error);
        }
        Failure::Program(self.0.program.execute())
    }

    /// The container must not outlive its supervisor, from here on.
    fn die_with_parent(&self) -> sys::Result<()> {
        sys::process::set_parent_death_signal(SIGKILL)?;
        self.0.listener.take();
        let mut poll = [PollFd::new(&self.0.report, PollFlags::empty())];
        let now = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        rustix::event::poll(&mut poll, Some(&now))
            .map_err(|errno| sys::Error::new("ask after", "the supervisor", errno))?;
        // It died before the signal was set: nobody listens any more.
        if poll[0].revents().contains(PollFlags::ERR) {
            sys::process::exit_now(125);
        }
        Ok(())
    }
}

fn describe(error: &sys::Error) -> String {
    format!("{error}: {}", error.source)
}

impl Executor for ConfinedExecutor {
    fn validate(&self, _spec: &Spec) -> Result<(), ExecutorValidationError> {
        Ok(())
    }

    /// The environment is handed to execve. This is, though, the first call of ours in the
    /// new process with its final user, and a change of user forgets the death signal.
    fn setup_envs(&self, _envs: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        self.die_with_parent()
            .map_err(|error| ExecutorSetEnvsError::Other(describe(&error)))
    }

    fn exec(&self, _spec: &Spec) -> Result<(), ExecutorError> {
        let failure = self.confine_and_execute();
        failure.send(&self.0.report);
        sys::process::exit_now(match failure {
            Failure::Program(error) => error.exit_code(),
            Failure::Other(_) => 125,
        })
    }
}
