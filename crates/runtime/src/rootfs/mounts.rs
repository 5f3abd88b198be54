//! What a plan mounts below the root: binds, volumes, memory, and the devices' directory.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use model::container::{MountKind, MountPlan};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use sys::mount::{Attributes, Overlay};

use super::devices::{self, Devices, SharedMemory};
use super::points::{is_directory, target_error};
use super::{Root, RootfsError, copy_up};

/// Bytes of a container's `/dev/shm` unless something else was asked for: docker's 64 MiB.
const SHARED_MEMORY: u64 = 64 << 20;

/// What the container itself has there; a mount on one would hide it.
const RESERVED: [&str; 4] = ["", "dev", "proc", "sys"];

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
            SharedMemory::Of(source) => {
                let tree = sys::mount::clone_tree(source.as_fd())?;
                self.attach(&tree, "dev/shm")?;
            }
        }
        Ok(Terminals { dev, pts })
    }

    fn attach(&mut self, mount: &OwnedFd, target: &str) -> Result<(), RootfsError> {
        let target = self.mount_point(target, true)?;
        Ok(sys::mount::attach(mount.as_fd(), target.as_fd())?)
    }

    /// Mounts one entry of a plan.
    pub(crate) fn mount_planned(
        &mut self,
        plan: &MountPlan,
        no_devices: bool,
    ) -> Result<(), RootfsError> {
        refuse_reserved(&plan.target)?;
        let attributes = Attributes {
            read_only: plan.read_only,
            no_devices,
            ..Attributes::default()
        };
        match &plan.kind {
            MountKind::Bind { source } => {
                let source_fd = open_source(source)?;
                self.bind(source, source_fd.as_fd(), &plan.target, attributes)
            }
            MountKind::Volume {
                source,
                name,
                copy_up,
            } => {
                if *copy_up {
                    self.fill_volume(source, name, &plan.target)?;
                }
                let source_fd = open_source(source)?;
                self.bind(source, source_fd.as_fd(), &plan.target, attributes)
            }
            MountKind::Tmpfs { size, mode } => self.mount_tmpfs(plan, *size, *mode),
            MountKind::Image { layers, .. } => self.mount_image(layers, &plan.target, no_devices),
        }
    }

    fn mount_image(
        &mut self,
        layers: &[PathBuf],
        target: &str,
        no_devices: bool,
    ) -> Result<(), RootfsError> {
        let attributes = Attributes {
            read_only: true,
            no_devices,
            ..Attributes::default()
        };
        if let [one] = layers {
            let source = open_source(one)?;
            return self.bind(one, source.as_fd(), target, attributes);
        }
        let overlay = Overlay {
            lower: layers,
            upper: None,
            volatile: false,
        };
        let mount = sys::mount::overlay(overlay, attributes)?;
        self.attach(&mount, target)
    }

    fn mount_tmpfs(
        &mut self,
        plan: &MountPlan,
        size: Option<u64>,
        mode: Option<u32>,
    ) -> Result<(), RootfsError> {
        let mode = format!("{:o}", mode.unwrap_or(0o1777));
        let size = size.map(|bytes| bytes.to_string());
        let mut options = vec![("mode", mode.as_str())];
        options.extend(size.as_deref().map(|size| ("size", size)));
        let attributes = Attributes {
            read_only: plan.read_only,
            no_devices: true,
            no_suid: true,
            no_exec: true,
        };
        let mount = sys::mount::filesystem("tmpfs", &options, attributes)?;
        self.attach(&mount, &plan.target)
    }

    /// Binds an open file or directory, with all that is mounted below it.
    pub(crate) fn bind(
        &mut self,
        path: &Path,
        source: BorrowedFd<'_>,
        target: &str,
        attributes: Attributes,
    ) -> Result<(), RootfsError> {
        let directory = is_directory(source)?;
        let place = self.mount_point(target, directory)?;
        if is_directory(&place)? != directory {
            let kind = |directory: bool| if directory { "directory" } else { "file" };
            return Err(RootfsError::Mismatch {
                path: path.to_owned(),
                source_kind: kind(directory),
                target_kind: kind(!directory),
                target: target.to_owned(),
            });
        }
        let tree = sys::mount::clone_tree(source)?;
        sys::mount::restrict(tree.as_fd(), attributes, true)?;
        Ok(sys::mount::attach(tree.as_fd(), place.as_fd())?)
    }

    fn fill_volume(
        &mut self,
        source: &Path,
        volume: &str,
        target: &str,
    ) -> Result<(), RootfsError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let image = match self.open(Path::new(target), flags) {
            Ok(image) => image,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(errno) => return Err(target_error(target, errno)),
        };
        copy_up::fill(&image, source).map_err(|error| RootfsError::CopyUp {
            target: target.to_owned(),
            volume: volume.to_owned(),
            source: Box::new(error),
        })
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

fn open_source(path: &Path) -> Result<OwnedFd, RootfsError> {
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(|errno| {
        let path = PathBuf::from(path);
        match errno {
            Errno::NOENT => RootfsError::NoSource(path),
            _ => RootfsError::Source {
                path,
                source: errno.into(),
            },
        }
    })
}

fn refuse_reserved(target: &str) -> Result<(), RootfsError> {
    let components: Vec<_> = target
        .split('/')
        .filter(|c| !c.is_empty() && *c != ".")
        .collect();
    let below = matches!(components.first(), Some(&"proc" | &"sys"));
    match below || RESERVED.contains(&components.join("/").as_str()) || components.contains(&"..") {
        true => Err(RootfsError::Reserved(target.to_owned())),
        false => Ok(()),
    }
}
