//! Mounting for kernels that take an overlay's lower directories only as one list.
//!
//! The old call takes a page of options, which the paths of many layers overflow. Their
//! descriptors' names are short, so some 200 fit.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::{Attributes, Overlay, clone_tree, detach, restrict};
use crate::{Error, Result};

/// Makes an overlay, detached. The old call only attaches, so it is attached to the work
/// directory for a moment; the caller's mount namespace must be private.
pub(super) fn overlay(overlay: Overlay<'_>, attributes: Attributes) -> Result<OwnedFd> {
    let (upper, work) = overlay
        .upper
        .ok_or_else(|| Error::new("mount", "an overlay without upper directory", Errno::INVAL))?;
    let lower: Vec<OwnedFd> = overlay
        .lower
        .iter()
        .map(|path| open(path))
        .collect::<Result<_>>()?;
    let (upper_fd, work_fd) = (open(upper)?, open(work)?);
    let lower: Vec<String> = lower.iter().map(name).collect::<Vec<_>>();
    let options = format!(
        "userxattr,lowerdir={},upperdir={},workdir={}{}",
        lower.join(":"),
        name(&upper_fd),
        name(&work_fd),
        if overlay.volatile { ",volatile" } else { "" },
    );
    let options = std::ffi::CString::new(options).expect("numbers have no NUL byte");
    rustix::mount::mount(
        "overlay",
        work,
        "overlay",
        MountFlags::empty(),
        options.as_c_str(),
    )
    .map_err(|errno| Error::new("mount overlay on", work.display().to_string(), errno))?;
    let tree = open(work).and_then(|root| clone_tree(root.as_fd()));
    detach(work)?;
    let tree = tree?;
    restrict(tree.as_fd(), attributes, false)?;
    Ok(tree)
}

fn open(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
        .map_err(|errno| Error::new("open", path.display().to_string(), errno))
}

fn name(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_long_layers_mount_in_their_order() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let long = "x".repeat(100);
        let lower: Vec<_> = (0..60).map(|n| at(&format!("{long}{n}"))).collect();
        for (number, path) in lower.iter().enumerate() {
            std::fs::create_dir(path).unwrap();
            std::fs::write(path.join("same"), number.to_string()).unwrap();
            std::fs::write(path.join(format!("own{number}")), "").unwrap();
        }
        std::fs::create_dir(at("upper")).unwrap();
        std::fs::create_dir(at("work")).unwrap();
        let mounted = std::thread::scope(|scope| {
            // A thread of its own may leave the mount namespace of the other tests.
            scope
                .spawn(|| {
                    crate::ns::private_mounts().unwrap();
                    let (upper, work) = (at("upper"), at("work"));
                    let plan = Overlay {
                        lower: &lower,
                        upper: Some((&upper, &work)),
                        volatile: false,
                    };
                    overlay(
                        plan,
                        Attributes {
                            read_only: true,
                            ..Attributes::default()
                        },
                    )
                })
                .join()
                .unwrap()
        })
        .unwrap();
        let root = format!("/proc/self/fd/{}", mounted.as_raw_fd());
        assert_eq!(
            std::fs::read_to_string(format!("{root}/same")).unwrap(),
            "0"
        );
        assert!(std::fs::exists(format!("{root}/own59")).unwrap());
        assert!(
            std::fs::write(format!("{root}/new"), "").is_err(),
            "it is read-only"
        );
        assert!(
            at("work").join("work").exists(),
            "nothing is left mounted on it"
        );
    }
}
