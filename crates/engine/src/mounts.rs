//! From a request's mounts to a plan's: volumes made, images found, host paths checked.

use std::collections::BTreeMap;
use std::path::Path;

use model::container::MountOptions;
use model::event::EventSink;
use model::{ContainerId, Digest, MountKind, MountPlan};
use store::Image;

use crate::{
    Engine, Error, MountRequest, MountSource, PullPolicy, Result, RunRequest, VolumesFrom,
};

/// What mounting brought about.
pub(crate) struct Made {
    /// The container.
    container: ContainerId,
    /// Anonymous volumes that it will have.
    pub(crate) all: Vec<String>,
    /// Those of them that were made for it, claimed until it is recorded.
    pub(crate) fresh: Vec<(String, store::Claim)>,
    /// Layers of the images that it mounts.
    pub(crate) mounted: Vec<Vec<Digest>>,
}

impl Made {
    /// Nothing yet.
    pub(crate) fn of(container: &ContainerId) -> Self {
        Self {
            container: container.clone(),
            all: Vec::new(),
            fresh: Vec::new(),
            mounted: Vec::new(),
        }
    }
}

impl Engine {
    /// The request's mounts, those of other containers and devices, and a volume for each
    /// `VOLUME` of the image; whatever comes first has its target for itself.
    pub(crate) fn mounts(
        &self,
        request: &RunRequest,
        image: &Image,
        of_devices: &[MountPlan],
        made: &mut Made,
        events: &dyn EventSink,
    ) -> Result<Vec<MountPlan>> {
        let mut mounts = Vec::new();
        for mount in &request.mounts {
            mounts.push(self.mount(mount, made, events)?);
        }
        for from in &request.volumes_from {
            add_free(&mut mounts, self.mounts_of(from)?);
        }
        add_free(&mut mounts, of_devices.to_vec());
        for target in image.config.config.volumes.keys() {
            if !mounts.iter().any(|m| same(&m.target, target)) {
                let mount = MountRequest {
                    target: target.clone(),
                    source: MountSource::anonymous(),
                    read_only: false,
                    options: MountOptions::default(),
                };
                mounts.push(self.mount(&mount, made, events)?);
            }
        }
        outer_first(&mut mounts);
        Ok(mounts)
    }

    /// What another container mounts of the host: as with docker, its memory is its own.
    fn mounts_of(&self, from: &VolumesFrom) -> Result<Vec<MountPlan>> {
        let record = self.find(&from.container)?;
        let mut mounts = self.plan(&record)?.mounts;
        mounts.retain(|m| matches!(m.kind, MountKind::Bind { .. } | MountKind::Volume { .. }));
        for mount in &mut mounts {
            // What may not be written there may not be written here, whatever is asked.
            mount.read_only |= from.read_only == Some(true);
        }
        Ok(mounts)
    }

    fn mount(
        &self,
        request: &MountRequest,
        made: &mut Made,
        events: &dyn EventSink,
    ) -> Result<MountPlan> {
        let volumes = self.store.volumes();
        let kind = match &request.source {
            MountSource::Bind { path, create } => {
                check_bind(path, &request.target, *create)?;
                MountKind::Bind {
                    source: path.clone(),
                }
            }
            MountSource::Volume {
                name,
                labels,
                copy_up,
            } => {
                let labels: BTreeMap<_, _> = labels.iter().cloned().collect();
                let volume = volumes.create(Some(name), &labels)?;
                MountKind::Volume {
                    source: volumes.data(&volume.name),
                    name: volume.name,
                    copy_up: *copy_up,
                }
            }
            MountSource::Anonymous { copy_up, kept } => {
                let name = match kept.as_ref().filter(|name| volumes.get(name).is_ok()) {
                    Some(kept) => kept.clone(),
                    None => {
                        let (fresh, claim) = volumes.create_for(&made.container)?;
                        made.fresh.push((fresh.name.clone(), claim));
                        fresh.name
                    }
                };
                made.all.push(name.clone());
                MountKind::Volume {
                    source: volumes.data(&name),
                    name,
                    copy_up: *copy_up,
                }
            }
            MountSource::Tmpfs { size, mode } => MountKind::Tmpfs {
                size: *size,
                mode: *mode,
            },
            MountSource::Image { image } => {
                let found = self.image(image, PullPolicy::Missing, None, events)?;
                made.mounted.push(found.layers.clone());
                MountKind::Image {
                    layers: self.store.layers().stack(&found.layers)?,
                    name: image.clone(),
                }
            }
        };
        if !request.target.starts_with('/') {
            let message = format!(
                "the mount point `{}` is not an absolute path",
                request.target
            );
            return Err(Error::invalid(message));
        }
        Ok(MountPlan {
            target: request.target.clone(),
            kind,
            read_only: request.read_only || matches!(request.source, MountSource::Image { .. }),
            options: request.options.clone(),
        })
    }
}

/// Adds mounts whose targets are not taken.
fn add_free(mounts: &mut Vec<MountPlan>, more: Vec<MountPlan>) {
    for mount in more {
        if !mounts.iter().any(|m| same(&m.target, &mount.target)) {
            mounts.push(mount);
        }
    }
}

fn same(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

/// Outer mounts come first, so that none hides another.
fn outer_first(mounts: &mut [MountPlan]) {
    mounts.sort_by_key(|m| m.target.trim_end_matches('/').matches('/').count());
}

/// A bind's source must exist, unless it may be made.
fn check_bind(path: &Path, target: &str, create: bool) -> Result<()> {
    let fail = |source| Error::Mount {
        path: path.to_owned(),
        target: target.to_owned(),
        source,
    };
    match std::fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && create => {
            std::fs::create_dir_all(path).map_err(fail)
        }
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(crate::ownership::closed(path, target))
        }
        Err(error) => Err(fail(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outer_mounts_come_first_and_the_rest_stays_in_order() {
        let mount = |target: &str| MountPlan {
            target: target.into(),
            kind: MountKind::Tmpfs {
                size: None,
                mode: None,
            },
            read_only: false,
            options: MountOptions::default(),
        };
        let mut mounts = ["/a/b/c", "/z/", "/a/b", "/a", "/z/y/"].map(mount);
        outer_first(&mut mounts);
        let targets = mounts.map(|m| m.target);
        assert_eq!(targets, ["/z/", "/a", "/a/b", "/z/y/", "/a/b/c"]);
    }
}
