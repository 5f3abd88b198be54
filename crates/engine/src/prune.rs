//! Removing what nobody uses.

use store::images::Removal;
use store::{ImageSummary, NetworkRecord, VolumeRecord};

use crate::{ContainerView, DEFAULT_NETWORK, Engine, Error, Liveness, Result};

/// What a prune removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Names or ids, in the order in which they went.
    pub names: Vec<String>,
    /// Bytes of the disk that are free now.
    pub bytes: u64,
}

impl Engine {
    /// Removes containers that fit and do not run. One that is started meanwhile stays.
    pub fn prune_containers(&self, fits: &dyn Fn(&ContainerView) -> bool) -> Result<Pruned> {
        let mut pruned = Pruned::default();
        for view in self.list()? {
            // Docker spares what was made and never started as little as what has ended.
            let idle = matches!(view.observed, Liveness::Created | Liveness::Exited(_));
            if !idle || !fits(&view) {
                continue;
            }
            let bytes = self.store.container_bytes(&view.record.id);
            match self.take_away(&view.record, false, false) {
                Ok(()) => {
                    pruned.names.push(view.record.id.to_string());
                    pruned.bytes += bytes;
                }
                Err(Error::State { .. } | Error::Store(store::Error::NoContainer(_))) => {}
                Err(error) => return Err(error),
            }
        }
        self.store.sweep();
        Ok(pruned)
    }

    /// Removes volumes that fit and that no container mounts.
    pub fn prune_volumes(&self, fits: &dyn Fn(&VolumeRecord) -> bool) -> Result<Pruned> {
        let volumes = self.store.volumes();
        let mut pruned = Pruned::default();
        for volume in volumes.unused()?.into_iter().filter(|v| fits(v)) {
            let bytes = volumes.bytes(&volume.name);
            match volumes.remove(&volume.name) {
                Ok(()) => {
                    pruned.names.push(volume.name);
                    pruned.bytes += bytes;
                }
                Err(store::Error::InUse { .. } | store::Error::NoVolume(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.store.sweep();
        Ok(pruned)
    }

    /// Removes networks that fit and that no container is attached to, the default one
    /// aside; gives their names.
    pub fn prune_networks(&self, fits: &dyn Fn(&NetworkRecord) -> bool) -> Result<Vec<String>> {
        let networks = self.store.networks();
        let mut names = Vec::new();
        for network in networks.unused()?.into_iter().filter(|n| fits(n)) {
            if network.name == DEFAULT_NETWORK {
                continue;
            }
            match networks.remove(&network.name) {
                Ok(()) => names.push(network.name),
                Err(store::Error::InUse { .. } | store::Error::NoNetwork(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(names)
    }

    /// Removes images that fit and that no container uses: those without a name, or with
    /// `all` every one. Names and ids are as `rmi` prints them.
    pub fn prune_images(
        &self,
        all: bool,
        fits: &dyn Fn(&ImageSummary, &std::collections::BTreeMap<String, String>) -> bool,
    ) -> Result<Pruned> {
        let images = self.store.images();
        let mut pruned = Pruned::default();
        for image in images.unused()? {
            let wanted = all || image.references.is_empty();
            if !wanted || !fits(&image, &images.labels(&image.id)?) {
                continue;
            }
            for removal in images.remove(image.id.as_str(), true)? {
                pruned.names.push(match removal {
                    Removal::Untagged(name) => format!("untagged: {}", name.familiar()),
                    Removal::Deleted(id) => format!("deleted: {id}"),
                });
            }
        }
        pruned.bytes = self.store.collect()?.map_or(0, |collected| collected.bytes);
        self.store.sweep();
        Ok(pruned)
    }

    /// Forgets the build cache; its layers go unless an image has them. With `all`, cache
    /// mounts go too. Gives how many records there were.
    pub fn prune_build_cache(&self, all: bool) -> Result<usize> {
        let cache = self.store.build_cache();
        Ok(match all {
            true => cache.clear()?,
            false => cache.clear_records()?,
        })
    }

    /// What the store takes of the disk.
    pub fn usage(&self) -> Result<store::usage::Usage> {
        Ok(self.store.usage()?)
    }
}
