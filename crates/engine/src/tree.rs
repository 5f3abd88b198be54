//! A container's file system from outside, running or not, for `cp`, `diff` and `commit`.
//!
//! Whoever made the image, and whoever runs in the container, chose every name in it. So
//! the root is one descriptor, and paths below it are resolved with it as `/`.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use model::container::ProcessRef;
use model::{ContainerPlan, MountKind, MountPlan};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use sys::fs::DirFd;
use sys::mount::Attributes;

use crate::{ContainerRecord, Engine, Error, Liveness, Result};

impl Engine {
    /// Does something with a container's root directory as its processes see it, volumes
    /// and all. Of a container that does not run, the root is mounted for that time, in a
    /// mount namespace that nobody else is in, and the container is not started meanwhile.
    pub(crate) fn with_root<T: Send>(
        &self,
        record: &ContainerRecord,
        act: impl FnOnce(&DirFd) -> Result<T> + Send,
    ) -> Result<T> {
        let lock = self.store.containers().lock(&record.id)?;
        if let Liveness::Running(state) = self.observe(record)?
            && let Some(init) = state.init
        {
            drop(lock);
            return act(&self.running_root(record, init)?);
        }
        let plan = self.plan(record)?;
        std::thread::scope(|scope| {
            let worker = std::thread::Builder::new().spawn_scoped(scope, || {
                let root = mounted(&plan)?;
                act(&root)
            });
            let worker = worker.map_err(|e| sys::Error::new("start", "a thread", e))?;
            let done = worker.join();
            done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// The root of a running container's first process.
    fn running_root(&self, record: &ContainerRecord, init: ProcessRef) -> Result<DirFd> {
        let gone = || self.not_running(record);
        let pidfd = runtime::process::open_same_boot(init)?.ok_or_else(gone)?;
        let path = format!("/proc/{}/root", init.pid);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&path, flags, Mode::empty())
            .map_err(|errno| sys::Error::new("open", path, errno))?;
        // Alive after the look: the number was that process's all the time.
        match sys::process::pidfd_signal(&pidfd, 0)? {
            true => Ok(DirFd::from_fd(root, "/".into())),
            false => Err(gone()),
        }
    }
}

/// Mounts a container's root file system, and its volumes and binds in it, in a mount
/// namespace of the calling thread's own.
fn mounted(plan: &ContainerPlan) -> Result<DirFd> {
    sys::ns::private_mounts()?;
    let overlay = sys::mount::Overlay {
        lower: &plan.rootfs.layers,
        upper: Some((&plan.rootfs.upper, &plan.rootfs.work)),
        // Its mark would keep the container from ever being started.
        volatile: false,
    };
    let mount = sys::mount::overlay(overlay, Attributes::default())?;
    // On the directory of the layer itself: what it hides is not needed any more.
    let place = open_path(&plan.rootfs.upper)?;
    sys::mount::attach(mount.as_fd(), place.as_fd())?;
    let root = DirFd::from_fd(reopened(&mount)?, "/".into());
    for mount in &plan.mounts {
        mount_in(&root, mount)?;
    }
    Ok(root)
}

/// Binds a volume or a host path. What is not there, or cannot be a mount point, is left
/// out: the start would complain. So is a part of a volume.
fn mount_in(root: &DirFd, plan: &MountPlan) -> Result<()> {
    let (MountKind::Bind { source } | MountKind::Volume { source, .. }) = &plan.kind else {
        return Ok(());
    };
    if plan.options.subpath.is_some() {
        return Ok(());
    }
    let inside = Path::new(&plan.target);
    let inside = inside.strip_prefix("/").unwrap_or(inside);
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let Ok(source) = open_path(source) else {
        return Ok(());
    };
    let open = |path: &Path| {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)
    };
    let mut target = open(inside);
    if matches!(target, Err(Errno::NOENT)) && is_directory(&source) {
        // As the start would.
        let above: Vec<_> = inside
            .ancestors()
            .filter(|a| !a.as_os_str().is_empty())
            .collect();
        for path in above.into_iter().rev() {
            make_directory(path, &open);
        }
        target = open(inside);
    }
    let target = match target {
        Ok(target) => target,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        Err(errno) => return Err(sys::Error::new("open", &plan.target, errno).into()),
    };
    let tree = sys::mount::clone_tree(source.as_fd())?;
    let attributes = Attributes {
        read_only: plan.read_only,
        ..Attributes::default()
    };
    sys::mount::restrict(tree.as_fd(), attributes, true)?;
    match sys::mount::attach(tree.as_fd(), target.as_fd()) {
        // A directory over a file, or the reverse: the start would complain.
        Err(e) if e.errno() == Some(Errno::NOTDIR) => Ok(()),
        other => Ok(other?),
    }
}

fn is_directory(fd: &OwnedFd) -> bool {
    let stat = rustix::fs::fstat(fd);
    stat.is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory)
}

/// Makes a directory that is missing. If it cannot be, opening it says so.
fn make_directory(path: &Path, open: &dyn Fn(&Path) -> rustix::io::Result<OwnedFd>) {
    let parent = match path.parent().filter(|p| !p.as_os_str().is_empty()) {
        Some(parent) => open(parent),
        None => open(Path::new(".")),
    };
    if let (Ok(parent), Some(name), Err(Errno::NOENT)) = (parent, path.file_name(), open(path)) {
        let _ = rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755));
    }
}

fn open_path(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| Error::File {
        act: "open",
        path: path.to_owned(),
        source: errno.into(),
    })
}

/// The root directory of a mount, open for reading.
fn reopened(mount: &OwnedFd) -> Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}/.", mount.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(&path, flags, Mode::empty())
        .map_err(|errno| sys::Error::new("open", "a container's root", errno).into())
}
