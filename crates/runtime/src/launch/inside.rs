//! The way of a container's first process: born in its namespaces, it mounts what belongs
//! to them, changes its root, becomes the user, and executes the program.
//!
//! Everything that can be prepared was prepared before the fork. What is left is in the
//! order that the kernel forces: the cgroup's namespace begins where the process is by
//! then; `/proc`, `/sys` and the rest show the namespaces of whoever mounts them; the old
//! root goes before the program could see it; parent-death signals are forgotten at every
//! change of user; the filter comes last.

use std::os::fd::{AsFd, OwnedFd};

use model::ContainerPlan;
use rustix::event::{PollFd, PollFlags};
use rustix::thread::LinkNameSpaceType;

use super::namespaces::Namespaces;
use crate::confine::Confinement;
use crate::identity::User;
use crate::program::{Failure, Program};
use crate::rootfs::{KernelMounts, Mounting, Root, RootfsError, comes_last};
use crate::stdio::Streams;
use crate::userns::nested::Nested;

const SIGKILL: i32 = 9;

/// All that the new process needs on its way.
pub(super) struct Inside<'a> {
    pub(super) root: &'a Root,
    pub(super) mounts: KernelMounts,
    /// The network namespace to join; `None` stays in the host's.
    pub(super) netns: Option<&'a OwnedFd>,
    pub(super) namespaces: &'a Namespaces,
    pub(super) plan: &'a ContainerPlan,
    pub(super) user: &'a User,
    /// Where its ids have their numbers.
    pub(super) nested: Option<&'a Nested>,
    pub(super) streams: &'a Streams,
    pub(super) confinement: Confinement,
    pub(super) program: Program,
    /// Our own program, where it is to be process 1.
    pub(super) init: Option<OwnedFd>,
    /// Says why the program does not run; its end says that it does.
    pub(super) report: &'a OwnedFd,
    /// A byte from it starts the program, its end takes the start back.
    pub(super) go: &'a OwnedFd,
}

/// Why the way in ended early.
#[derive(Debug, thiserror::Error)]
enum InsideError {
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
    #[error(transparent)]
    Sys(#[from] sys::Error),
}

impl Inside<'_> {
    /// Never returns: either the program takes this process's place, or it ends.
    pub(super) fn run(&self) -> ! {
        let failure = match self.prepare() {
            Ok(()) => Failure::Program(match &self.init {
                Some(init) => self.program.execute_under(init.as_fd()),
                None => self.program.execute(),
            }),
            Err(error) => Failure::Other(describe(&error)),
        };
        failure.send(self.report);
        sys::process::exit_now(match failure {
            Failure::Program(error) => error.exit_code(),
            Failure::Other(_) => 125,
        })
    }

    fn prepare(&self) -> Result<(), InsideError> {
        self.die_with_parent()?;
        rustix::process::setsid().map_err(|errno| sys::Error::new("begin", "a session", errno))?;
        // Before the change of user: root may own many more of them.
        sys::keyring::leave()?;
        self.streams.take_places()?;
        crate::resources::apply(&self.plan.process)?;
        if let Some(netns) = self.netns {
            rustix::thread::move_into_link_name_space(
                netns.as_fd(),
                Some(LinkNameSpaceType::Network),
            )
            .map_err(|errno| sys::Error::new("join", "the network namespace", errno))?;
        }
        self.namespaces.enter()?;
        self.set_names()?;
        let mut root = self.root.seen_from_here()?;
        self.mounts.mount(&root)?;
        let with = Mounting {
            no_devices: true,
            owner: None,
            shared: &[],
        };
        for mount in self.plan.mounts.iter().filter(|mount| comes_last(mount)) {
            root.mount_planned(mount, with)?;
        }
        root.enter(self.plan.rootfs.read_only)?;
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        crate::stdio::reopen_null_streams();
        self.close_descriptors()?;
        if let Some(profile) = &self.plan.isolation.apparmor {
            crate::resources::apparmor_at_exec(profile)?;
        }
        // Nothing that shares our pid namespace may look into us.
        sys::process::forbid_inspection()?;
        sys::process::change_directory(&self.plan.process.cwd)?;
        Nested::join(self.nested)?;
        let user = self.user;
        let kept = self.confinement.needed();
        sys::caps::become_user(user.uid, user.gid, &user.groups, kept)?;
        self.die_with_parent()?;
        sys::process::reset_signals()?;
        self.wait_for_start()?;
        Ok(self.confinement.apply()?)
    }

    fn set_names(&self) -> sys::Result<()> {
        if !self.namespaces.own_uts() {
            return Ok(());
        }
        let (host, domain) = (&self.plan.hostname, &self.plan.domainname);
        rustix::system::sethostname(host.as_bytes())
            .map_err(|errno| sys::Error::new("set the host name to", host, errno))?;
        if domain.is_empty() {
            return Ok(());
        }
        rustix::system::setdomainname(domain.as_bytes())
            .map_err(|errno| sys::Error::new("set the domain name to", domain, errno))
    }

    /// From here on paths are the image's, and the host's directories that we hold are
    /// within their reach.
    fn close_descriptors(&self) -> sys::Result<()> {
        let mut kept = vec![self.report.as_fd(), self.go.as_fd()];
        kept.extend(self.init.as_ref().map(AsFd::as_fd));
        kept.extend(self.nested.map(AsFd::as_fd));
        sys::process::close_all_but(&kept)?;
        sys::process::close_on_exec_from(3)
    }

    /// The container must not outlive its supervisor, from the first moment on.
    fn die_with_parent(&self) -> sys::Result<()> {
        sys::process::set_parent_death_signal(SIGKILL)?;
        let mut poll = [PollFd::new(self.report, PollFlags::empty())];
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

    fn wait_for_start(&self) -> sys::Result<()> {
        let mut byte = [0];
        match rustix::io::retry_on_intr(|| rustix::io::read(self.go, &mut byte)) {
            Ok(1) => Ok(()),
            Ok(_) => sys::process::exit_now(125),
            Err(errno) => Err(sys::Error::new("wait for", "the start", errno)),
        }
    }
}

fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
