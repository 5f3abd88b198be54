//! What a plan mounts below the root: binds, volumes, memory, images.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use model::container::{MountKind, MountPlan, Propagation, Recursion};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;
use sys::mount::{Attributes, Overlay};

use super::points::{is_directory, target_error};
use super::{Root, RootfsError, copy_up, openat2};

/// What is needed besides a plan's entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mounting<'a> {
    /// Device nodes on the host's file systems are not to open.
    pub(crate) no_devices: bool,
    /// Whom sources are given to that are to be the user's.
    pub(crate) owner: Option<(u32, u32)>,
    /// What [`shared`] has opened.
    pub(crate) shared: &'a [Shared],
}

/// A source whose mounts are to stay connected with the host's. It is cloned while the
/// calling process still sees the host's mounts, because all others are cut off.
#[derive(Debug)]
pub(crate) struct Shared {
    target: String,
    tree: OwnedFd,
}

/// Clones the sources of a plan that ask for it. Call it before [`sys::ns::private_mounts`].
pub(crate) fn shared(mounts: &[MountPlan]) -> Result<Vec<Shared>, RootfsError> {
    use Propagation::{Private, Rprivate};
    let asked = mounts
        .iter()
        .filter(|plan| !matches!(plan.options.propagation, Rprivate | Private));
    let source = |plan: &MountPlan| match &plan.kind {
        MountKind::Bind { source } | MountKind::Volume { source, .. } => Some(source.clone()),
        MountKind::Tmpfs { .. } | MountKind::Image { .. } => None,
    };
    asked
        .filter_map(|plan| source(plan).map(|source| (plan, source)))
        .map(|(plan, source)| {
            let opened = open_source(&source)?;
            let opened = below(opened, &source, plan.options.subpath.as_deref())?;
            let recursive = plan.options.recursive != Recursion::Disabled;
            Ok(Shared {
                target: plan.target.clone(),
                tree: sys::mount::clone(opened.as_fd(), recursive)?,
            })
        })
        .collect()
}

/// Whether a mount lies on what shows the container's own namespaces, and so can only be
/// mounted once that is there.
pub(crate) fn comes_last(plan: &MountPlan) -> bool {
    components(&plan.target).first() == Some(&"sys")
}

impl Root {
    /// Mounts one entry of a plan.
    pub(crate) fn mount_planned(
        &mut self,
        plan: &MountPlan,
        with: Mounting<'_>,
    ) -> Result<(), RootfsError> {
        refuse_reserved(&plan.target)?;
        let options = &plan.options;
        let attributes = Attributes {
            read_only: plan.read_only,
            no_devices: options.no_dev.unwrap_or(with.no_devices),
            no_suid: options.no_suid.unwrap_or(false),
            no_exec: options.no_exec.unwrap_or(false),
        };
        match &plan.kind {
            MountKind::Bind { source } => self.bind_planned(source, plan, attributes, with),
            MountKind::Volume {
                source,
                name,
                copy_up,
            } => {
                if *copy_up {
                    self.fill_volume(source, name, &plan.target)?;
                }
                self.bind_planned(source, plan, attributes, with)
            }
            MountKind::Tmpfs { size, mode } => self.mount_tmpfs(plan, *size, *mode),
            MountKind::Image { layers, .. } => {
                let attributes = Attributes {
                    read_only: true,
                    ..attributes
                };
                self.mount_image(layers, plan, attributes)
            }
        }
    }

    fn bind_planned(
        &mut self,
        source: &Path,
        plan: &MountPlan,
        attributes: Attributes,
        with: Mounting<'_>,
    ) -> Result<(), RootfsError> {
        let options = &plan.options;
        let opened = open_source(source)?;
        let opened = below(opened, source, options.subpath.as_deref())?;
        if let (true, Some((uid, gid))) = (options.chown, with.owner) {
            give(&opened, uid, gid, source)?;
        }
        let place = self.place_for(source, opened.as_fd(), &plan.target)?;
        let shared = with.shared.iter().find(|s| s.target == plan.target);
        if let Some(shared) = shared {
            restrict(shared.tree.as_fd(), attributes, options.recursive)?;
            let recursive = matches!(
                options.propagation,
                Propagation::Rslave | Propagation::Rshared
            );
            if matches!(
                options.propagation,
                Propagation::Slave | Propagation::Rslave
            ) {
                sys::mount::make_slave(shared.tree.as_fd(), recursive)?;
            }
            return Ok(sys::mount::attach(shared.tree.as_fd(), place.as_fd())?);
        }
        let recursive = options.recursive != Recursion::Disabled;
        let tree = sys::mount::clone(opened.as_fd(), recursive)?;
        sys::mount::make_private(tree.as_fd())?;
        restrict(tree.as_fd(), attributes, options.recursive)?;
        Ok(sys::mount::attach(tree.as_fd(), place.as_fd())?)
    }

    fn mount_image(
        &mut self,
        layers: &[PathBuf],
        plan: &MountPlan,
        attributes: Attributes,
    ) -> Result<(), RootfsError> {
        let subpath = plan.options.subpath.as_deref();
        if let [one] = layers {
            let source = below(open_source(one)?, one, subpath)?;
            return self.bind(one, source.as_fd(), &plan.target, attributes);
        }
        let overlay = Overlay {
            lower: layers,
            upper: None,
            volatile: false,
        };
        let mount = sys::mount::overlay(overlay, attributes)?;
        self.attach(&mount, &plan.target)?;
        // Only what is attached can be cloned before Linux 6.15; the part covers the whole.
        match subpath {
            None => Ok(()),
            Some(_) => {
                let part = below(mount, Path::new(&plan.target), subpath)?;
                self.bind(
                    Path::new(&plan.target),
                    part.as_fd(),
                    &plan.target,
                    attributes,
                )
            }
        }
    }

    fn mount_tmpfs(
        &mut self,
        plan: &MountPlan,
        size: Option<u64>,
        mode: Option<u32>,
    ) -> Result<(), RootfsError> {
        let options = &plan.options;
        let mode = format!("{:o}", mode.unwrap_or(0o1777));
        let size = size.map(|bytes| bytes.to_string());
        let mut words = vec![("mode", mode.as_str())];
        words.extend(size.as_deref().map(|size| ("size", size)));
        words.extend(options.data.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        let attributes = Attributes {
            read_only: plan.read_only && !options.copy_up,
            no_devices: options.no_dev.unwrap_or(true),
            no_suid: options.no_suid.unwrap_or(true),
            no_exec: options.no_exec.unwrap_or(true),
        };
        let mut mount = sys::mount::filesystem("tmpfs", &words, attributes)?;
        if options.copy_up {
            mount = self.filled(&mount, &plan.target)?;
            let read_only = Attributes {
                read_only: plan.read_only,
                ..attributes
            };
            sys::mount::restrict(mount.as_fd(), read_only, false)?;
        }
        self.attach(&mount, &plan.target)
    }

    /// A directory of an empty file system, with what the image has at a path. Filling puts
    /// a directory in place of another, which the root of a file system cannot be.
    fn filled(&mut self, empty: &OwnedFd, target: &str) -> Result<OwnedFd, RootfsError> {
        let place = self.mounted_at.with_file_name("memory");
        super::make_directory(&place)?;
        let here = super::open_directory(&place)?;
        sys::mount::attach(empty.as_fd(), here.as_fd())?;
        let content = place.join("content");
        let filled = super::make_directory(&content)
            .map_err(RootfsError::from)
            .and_then(|()| self.fill_volume(&content, "in memory", target))
            .and_then(|()| {
                Ok(sys::mount::clone_tree(
                    super::open_directory(&content)?.as_fd(),
                )?)
            });
        sys::mount::detach(&place)?;
        filled
    }

    /// Binds an open file or directory, with all that is mounted below it.
    pub(crate) fn bind(
        &mut self,
        path: &Path,
        source: BorrowedFd<'_>,
        target: &str,
        attributes: Attributes,
    ) -> Result<(), RootfsError> {
        let place = self.place_for(path, source, target)?;
        let tree = sys::mount::clone_tree(source)?;
        sys::mount::make_private(tree.as_fd())?;
        sys::mount::restrict(tree.as_fd(), attributes, true)?;
        Ok(sys::mount::attach(tree.as_fd(), place.as_fd())?)
    }

    /// A place of the same kind as the source.
    fn place_for(
        &mut self,
        path: &Path,
        source: BorrowedFd<'_>,
        target: &str,
    ) -> Result<OwnedFd, RootfsError> {
        let directory = is_directory(source)?;
        let place = self.mount_point(target, directory)?;
        if is_directory(&place)? == directory {
            return Ok(place);
        }
        let kind = |directory: bool| if directory { "directory" } else { "file" };
        Err(RootfsError::Mismatch {
            path: path.to_owned(),
            source_kind: kind(directory),
            target_kind: kind(!directory),
            target: target.to_owned(),
        })
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
}

/// Mounts below a source are restricted with it, where docker does that.
fn restrict(
    tree: BorrowedFd<'_>,
    attributes: Attributes,
    recursion: Recursion,
) -> Result<(), RootfsError> {
    let below = match recursion {
        Recursion::Enabled | Recursion::Readonly => attributes,
        Recursion::Disabled | Recursion::Writable => Attributes {
            read_only: false,
            ..attributes
        },
    };
    sys::mount::restrict(tree, below, true)?;
    Ok(sys::mount::restrict(tree, attributes, false)?)
}

/// A part of an open source; no link of it leads out.
fn below(source: OwnedFd, path: &Path, part: Option<&str>) -> Result<OwnedFd, RootfsError> {
    let Some(part) = part else {
        return Ok(source);
    };
    let part = part.trim_start_matches('/');
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    openat2(source.as_fd(), Path::new(part), OFlags::PATH, resolve)
        .map_err(|errno| source_error(path.join(part), errno))
}

/// Gives a source and all below it to a user; links themselves, not what they lead to.
fn give(source: &OwnedFd, uid: u32, gid: u32, path: &Path) -> Result<(), RootfsError> {
    let fail = |errno| sys::Error::new("change the owner in", path.display().to_string(), errno);
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::fs::chownat(source, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH).map_err(fail)?;
    if !is_directory(source)? {
        return Ok(());
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(source, ".", flags, Mode::empty()).map_err(fail)?;
    for entry in rustix::fs::Dir::new(directory).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if [c".", c".."].contains(&entry.file_name()) {
            continue;
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let child = rustix::fs::openat(source, entry.file_name(), flags, Mode::empty());
        let child = child.map_err(fail)?;
        let stat = rustix::fs::fstat(&child).map_err(fail)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            give(&child, uid.as_raw(), gid.as_raw(), path)?;
        } else {
            let here = AtFlags::EMPTY_PATH;
            rustix::fs::chownat(&child, "", Some(uid), Some(gid), here).map_err(fail)?;
        }
    }
    Ok(())
}

fn open_source(path: &Path) -> Result<OwnedFd, RootfsError> {
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| source_error(path.to_owned(), errno))
}

fn source_error(path: PathBuf, errno: Errno) -> RootfsError {
    match errno {
        Errno::NOENT => RootfsError::NoSource(path),
        _ => RootfsError::Source {
            path,
            source: errno.into(),
        },
    }
}

fn components(target: &str) -> Vec<&str> {
    let parts = target.split('/');
    parts
        .filter(|part| !part.is_empty() && *part != ".")
        .collect()
}

/// The root itself, and what shows the container's processes: a mount there would let the
/// container be deceived about itself.
fn refuse_reserved(target: &str) -> Result<(), RootfsError> {
    let components = components(target);
    let reserved = matches!(components.first(), None | Some(&"proc"));
    match reserved || components.contains(&"..") {
        true => Err(RootfsError::Reserved(target.to_owned())),
        false => Ok(()),
    }
}
