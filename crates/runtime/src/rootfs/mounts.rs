//! The devices' directory, the container's terminals, and its working directory.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use sys::mount::Attributes;

use super::devices::{self, Devices, SharedMemory};
use super::points::{is_directory, target_error};
use super::{Root, RootfsError};

/// Bytes of a container's `/dev/shm` unless something else was asked for: docker's 64 MiB.
const SHARED_MEMORY: u64 = 64 << 20;

impl Root {
    /// Mounts the container's `/dev` with its device nodes, terminals and shared memory.
    pub(crate) fn mount_dev(&mut self, devices: Devices) -> Result<Terminals, RootfsError> {
        let quiet = Attributes {
            no_suid: true,
            no_exec: true,
            ..Attributes::default()
        };
        let sealed = Attributes {
            no_devices: true,
            ..quiet
        };
        let dev = sys::mount::filesystem("tmpfs", &[("mode", "755"), ("size", "65536k")], quiet)?;
        self.attach(&dev, "dev")?;
        devices.nodes.make(&dev)?;
        let pts = [
            ("newinstance", ""),
            ("ptmxmode", "0666"),
            ("mode", "0620"),
            ("gid", "5"),
        ];
        let pts = match sys::mount::filesystem("devpts", &pts, quiet) {
            // The group of terminals may have no mapping in a small user namespace.
            Err(_) => sys::mount::filesystem("devpts", &pts[..3], quiet)?,
            Ok(pts) => pts,
        };
        self.attach(&pts, "dev/pts")?;
        match devices.shared_memory {
            SharedMemory::None => {}
            SharedMemory::Own(size) => {
                let size = size.unwrap_or(SHARED_MEMORY).to_string();
                let options = [("mode", "1777"), ("size", size.as_str())];
                let shm = sys::mount::filesystem("tmpfs", &options, sealed)?;
                self.attach(&shm, "dev/shm")?;
            }
            SharedMemory::Of(tree) => self.attach(&tree, "dev/shm")?,
        }
        Ok(Terminals { dev, pts })
    }

    pub(super) fn attach(&mut self, mount: &OwnedFd, target: &str) -> Result<(), RootfsError> {
        let target = self.mount_point(target, true)?;
        Ok(sys::mount::attach(mount.as_fd(), target.as_fd())?)
    }

    /// Makes the working directory where it is absent, as docker does.
    pub(crate) fn make_working_directory(&mut self, cwd: &str) -> Result<(), RootfsError> {
        let directory = self.mount_point(cwd, true)?;
        match is_directory(&directory)? {
            true => Ok(()),
            false => Err(target_error(cwd, Errno::NOTDIR)),
        }
    }
}

/// The container's own terminals.
#[derive(Debug)]
pub(crate) struct Terminals {
    dev: OwnedFd,
    pts: OwnedFd,
}

impl Terminals {
    /// A new terminal of the container, master and slave; it is the container's console.
    pub(crate) fn open(&self) -> sys::Result<(OwnedFd, OwnedFd)> {
        let (master, slave) = open_terminal(self.pts.as_fd())?;
        devices::bind(&self.dev, "console", slave.as_fd())?;
        Ok((master, slave))
    }
}

/// Opens a new terminal below a `devpts` that is held open: master and slave.
pub(crate) fn open_terminal(devpts: BorrowedFd<'_>) -> sys::Result<(OwnedFd, OwnedFd)> {
    let fail = |errno| sys::Error::new("open", "a new terminal of the container", errno);
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let master = rustix::fs::openat(devpts, "ptmx", flags, Mode::empty()).map_err(fail)?;
    rustix::pty::unlockpt(&master).map_err(fail)?;
    let peer = rustix::pty::OpenptFlags::RDWR
        | rustix::pty::OpenptFlags::NOCTTY
        | rustix::pty::OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, peer).map_err(fail)?;
    Ok((master, slave))
}
