//! What a step finds in its root besides the layers: devices, names, its mounts.
//!
//! The root is a copy that is thrown away, so what is in the way is removed. Whoever makes
//! a layer of it leaves these places out ([`not_of_the_step`]).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use model::ContainerPlan;
use model::container::MountKind;
use rustix::fs::{CWD, FileType, Mode};
use rustix::io::Errno;
use sys::fs::DirFd;

use crate::step::StepError;

const ETC: [&str; 3] = ["hosts", "hostname", "resolv.conf"];

/// Bytes of what stands for `/dev/urandom`, where the device cannot be made.
const RANDOM: u64 = 64 << 10;

/// Paths from the root that are none of the step's.
pub fn not_of_the_step(plan: &ContainerPlan) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = ["dev", "proc", "sys"].map(PathBuf::from).to_vec();
    paths.extend(ETC.map(|name| Path::new("etc").join(name)));
    paths.extend(plan.mounts.iter().map(|m| relative(&m.target)));
    paths
}

/// As a path from the root; `..` of the root is the root.
fn relative(target: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for name in target.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(path.pop()),
            name => path.push(name),
        }
    }
    path
}

/// What was put in, to be taken out again.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Where it came from, and where it is: a directory of the root and a name in it.
    moved: Vec<(PathBuf, DirFd, std::ffi::OsString)>,
}

impl Places {
    /// Puts everything in.
    pub(super) fn put(root: &DirFd, plan: &ContainerPlan) -> Result<Self, StepError> {
        devices(root)?;
        for name in ["proc", "sys"] {
            fresh_directory(root, name.as_ref(), 0o555)?;
        }
        etc(root, plan)?;
        let mut places = Self::default();
        let put = plan
            .mounts
            .iter()
            .try_for_each(|mount| places.mount(root, &mount.target, &mount.kind));
        let put = put.and_then(|()| way(root, &relative(&plan.process.cwd)).map(drop));
        match put {
            Ok(()) => Ok(places),
            Err(error) => {
                let _ = places.take_out();
                Err(error)
            }
        }
    }

    fn mount(&mut self, root: &DirFd, target: &str, kind: &MountKind) -> Result<(), StepError> {
        let path = relative(target);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(refused(format!("nothing can be mounted on {target}")));
        };
        let parent = way(root, parent)?;
        parent.remove_tree(name)?;
        match kind {
            MountKind::Tmpfs { mode, .. } => {
                parent.mkdir(name, 0o700)?;
                Ok(parent.chmod(name, mode.unwrap_or(0o1777))?)
            }
            MountKind::Bind { source } => {
                let moved = rustix::fs::renameat(CWD, source, &parent, name);
                match moved {
                    Ok(()) => {}
                    // Another step has the cache just now: this one begins with none.
                    Err(Errno::NOENT) => return Ok(parent.mkdir(name, 0o755)?),
                    Err(errno) => {
                        let source = source.display().to_string();
                        return Err(sys::Error::new("move", source, errno).into());
                    }
                }
                self.moved.push((source.clone(), parent, name.to_owned()));
                Ok(())
            }
            _ => Err(refused(format!(
                "the mount at {target} needs mounts, which this machine refuses"
            ))),
        }
    }

    /// Takes out what has to get back, and what must not stay.
    pub(super) fn take_out(self) -> sys::Result<()> {
        let mut first = Ok(());
        for (source, parent, name) in self.moved.into_iter().rev() {
            let back = rustix::fs::renameat(&parent, &name, CWD, &source);
            let back = back
                .map_err(|errno| sys::Error::new("move back", source.display().to_string(), errno));
            first = first.and(back);
        }
        first
    }
}

fn refused(message: String) -> StepError {
    StepError::Start {
        message,
        hint: None,
        code: 125,
    }
}

/// The directory at a path from the root, made where it is absent. No link is followed:
/// whoever made the image chose where they lead.
fn way(root: &DirFd, path: &Path) -> Result<DirFd, StepError> {
    let mut here = root.try_clone()?;
    for name in path.components() {
        let name = name.as_os_str();
        here = match here.open_dir(name) {
            Ok(next) => next,
            Err(error) if error.errno() == Some(Errno::NOENT) => {
                here.mkdir(name, 0o755)?;
                here.open_dir(name)?
            }
            Err(_) if here.stat(name)?.is_some_and(|stat| is_link(stat.st_mode)) => {
                let file = root.open_in_root(path, sys::fs::OFlags::DIRECTORY)?;
                return Ok(DirFd::from_fd(file.into(), path.to_owned()));
            }
            Err(error) => return Err(error.into()),
        };
    }
    Ok(here)
}

fn is_link(mode: u32) -> bool {
    FileType::from_raw_mode(mode) == FileType::Symlink
}

fn fresh_directory(root: &DirFd, name: &OsStr, mode: u32) -> sys::Result<DirFd> {
    root.remove_tree(name)?;
    root.mkdir(name, 0o700)?;
    root.chmod(name, mode)?;
    root.open_dir(name)
}

fn etc(root: &DirFd, plan: &ContainerPlan) -> sys::Result<()> {
    // An image without it does not look there; a link could lead anywhere.
    let Ok(etc) = root.open_dir("etc".as_ref()) else {
        return Ok(());
    };
    for name in ETC {
        let mut text = std::fs::read(Path::new("/etc").join(name)).unwrap_or_default();
        if name == "hosts" {
            for (host, address) in &plan.extra_hosts {
                text.extend(format!("{address}\t{host}\n").bytes());
            }
        }
        file(&etc, name, &text, 0o644)?;
    }
    Ok(())
}

fn file(dir: &DirFd, name: &str, text: &[u8], mode: u32) -> sys::Result<()> {
    let name = OsStr::from_bytes(name.as_bytes());
    dir.remove_tree(name)?;
    let mut file = dir.create_file(name, 0o600)?;
    let shown = dir.path().join(name).display().to_string();
    file.write_all(text)
        .map_err(|error| sys::Error::new("write", shown, error))?;
    dir.chmod(name, mode)
}

/// Devices, if we may make them; else files that do for most: an empty one to throw away
/// into, and some chance.
fn devices(root: &DirFd) -> sys::Result<()> {
    let dev = fresh_directory(root, "dev".as_ref(), 0o755)?;
    for (name, minor) in [
        ("null", 3),
        ("zero", 5),
        ("full", 7),
        ("random", 8),
        ("urandom", 9),
    ] {
        let number = rustix::fs::makedev(1, minor);
        let everyone = Mode::from_raw_mode(0o666);
        let made = rustix::fs::mknodat(&dev, name, FileType::CharacterDevice, everyone, number);
        if made.is_ok() {
            dev.chmod(name.as_ref(), 0o666)?;
            continue;
        }
        let mut text = Vec::new();
        if name.ends_with("random") {
            let source = File::open("/dev/urandom");
            let read = source.and_then(|s| s.take(RANDOM).read_to_end(&mut text));
            read.map_err(|error| sys::Error::new("read", "/dev/urandom", error))?;
        }
        file(&dev, name, &text, 0o666)?;
    }
    for name in ["shm", "pts"] {
        dev.mkdir(name.as_ref(), 0o700)?;
        dev.chmod(name.as_ref(), 0o1777)?;
    }
    dev.symlink("/proc/self/fd".as_ref(), "fd".as_ref())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_hostile_root_leads_nowhere() {
        let temp = tempfile::tempdir().unwrap();
        let at = |path: &str| temp.path().join(path);
        fs::create_dir_all(at("root/srv")).unwrap();
        fs::create_dir(at("outside")).unwrap();
        for name in ["dev", "proc", "etc", "srv/out"] {
            symlink(at("outside"), at("root").join(name)).unwrap();
        }
        let root = DirFd::open(&at("root")).unwrap();
        devices(&root).unwrap();
        assert!(fs::symlink_metadata(at("root/dev")).unwrap().is_dir());
        assert!(at("root/dev/null").exists());
        assert!(way(&root, Path::new("srv/out/x")).is_err());
        assert_eq!(fs::read_dir(at("outside")).unwrap().count(), 0);
        way(&root, &relative("/srv/../../srv/./new//deep")).unwrap();
        assert!(at("root/srv/new/deep").is_dir());
    }

    #[test]
    fn mounts_come_and_go() {
        let temp = tempfile::tempdir().unwrap();
        let at = |path: &str| temp.path().join(path);
        fs::create_dir_all(at("root/cache/hidden")).unwrap();
        fs::create_dir(at("source")).unwrap();
        fs::write(at("source/kept"), "").unwrap();
        let root = DirFd::open(&at("root")).unwrap();
        let mut places = Places::default();
        let bind = MountKind::Bind {
            source: at("source"),
        };
        places.mount(&root, "/cache", &bind).unwrap();
        places.mount(&root, "/other", &bind).unwrap();
        assert!(at("root/cache/kept").exists() && !at("root/cache/hidden").exists());
        assert!(at("root/other").is_dir(), "taken by the first");
        fs::write(at("root/cache/new"), "").unwrap();
        places.take_out().unwrap();
        assert!(at("source/kept").exists() && at("source/new").exists());
    }
}
