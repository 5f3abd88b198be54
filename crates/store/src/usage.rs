//! How much of the disk the store takes, and what for.
//!
//! Bytes are what the file system has set aside (`st_blocks`), as `du` counts them, each
//! inode once. What nothing refers to any more is counted with the images, because that
//! is what it was.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use model::{ContainerId, Digest};

use crate::{ContainerRecord, ImageSummary, Result, Store, VolumeRecord};

/// Bytes in a block of `st_blocks`, whatever the file system's own are (stat(2)).
const BLOCK: u64 = 512;

/// What the store takes.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    /// Images.
    pub images: Vec<ImageUsage>,
    /// Bytes of layers and documents of images, and of what nothing refers to.
    pub image_bytes: u64,
    /// Those of them that would be free if unused images went.
    pub reclaimable_image_bytes: u64,
    /// Containers with what their directories take.
    pub containers: Vec<(ContainerRecord, u64)>,
    /// Volumes with what they take, and whether a container mounts them.
    pub volumes: Vec<(VolumeRecord, u64, bool)>,
    /// Records of the build cache.
    pub cache_records: usize,
    /// Bytes of the build cache that no image has.
    pub cache_bytes: u64,
    /// All of it, with records and locks.
    pub total: u64,
}

/// What an image takes.
#[derive(Debug, Clone)]
pub struct ImageUsage {
    /// The image.
    pub summary: ImageSummary,
    /// Bytes of it that other images have too.
    pub shared: u64,
    /// Bytes that it alone has.
    pub unique: u64,
    /// Containers made from it.
    pub containers: usize,
}

/// Bytes that a file or a tree takes; what cannot be looked at counts for nothing.
pub fn disk_usage(path: &Path) -> u64 {
    let mut seen = HashSet::new();
    measure(path, &mut seen)
}

fn measure(path: &Path, seen: &mut HashSet<(u64, u64)>) -> u64 {
    let mut bytes = 0;
    // Not by recursion: a volume may be as deep as it likes.
    let mut left = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        let Ok(found) = std::fs::symlink_metadata(&path) else {
            continue;
        };
        if found.is_dir() || found.nlink() == 1 || seen.insert((found.dev(), found.ino())) {
            bytes += found.blocks() * BLOCK;
        }
        if found.is_dir() {
            let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
            left.extend(entries.map(|entry| entry.path()));
        }
    }
    bytes
}

impl Store {
    /// Measures the store. Rootless, call it inside the user namespace.
    pub fn usage(&self) -> Result<Usage> {
        let mut seen = HashSet::new();
        let mut usage = Usage::default();
        for container in self.containers().list()? {
            let bytes = measure(&self.containers().dir(&container.id), &mut seen);
            usage.containers.push((container, bytes));
        }
        let unused: HashSet<String> = self
            .volumes()
            .unused()?
            .into_iter()
            .map(|volume| volume.name)
            .collect();
        for volume in self.volumes().list()? {
            let bytes = measure(&self.root().join("volumes").join(&volume.name), &mut seen);
            let used = !unused.contains(&volume.name);
            usage.volumes.push((volume, bytes, used));
        }
        usage.cache_records = self.build_cache().list()?.len();
        self.measure_images(&mut usage)?;
        usage.total = disk_usage(self.root());
        let known = usage.containers.iter().map(|c| c.1).sum::<u64>()
            + usage.volumes.iter().map(|v| v.1).sum::<u64>()
            + usage.cache_bytes;
        usage.image_bytes = usage.total.saturating_sub(known);
        let needed = self.needed_bytes(&usage)?;
        usage.reclaimable_image_bytes = usage.image_bytes.saturating_sub(needed);
        Ok(usage)
    }

    /// What layers and blobs take, shared out to the images that have them. The rest of
    /// the build directory's layers is the cache's.
    fn measure_images(&self, usage: &mut Usage) -> Result<()> {
        let images = self.images().list()?;
        let parts: Vec<HashSet<PathBuf>> = images.iter().map(|i| self.parts(i)).collect();
        for (at, summary) in images.into_iter().enumerate() {
            let elsewhere = |part: &PathBuf| {
                let others = parts.iter().enumerate();
                others
                    .filter(|(other, _)| *other != at)
                    .any(|(_, has)| has.contains(part))
            };
            let (mut shared, mut unique) = (0, 0);
            for part in &parts[at] {
                match elsewhere(part) {
                    true => shared += disk_usage(part),
                    false => unique += disk_usage(part),
                }
            }
            let made_from = |c: &&(ContainerRecord, u64)| c.0.image.id == summary.id;
            usage.images.push(ImageUsage {
                containers: usage.containers.iter().filter(made_from).count(),
                summary,
                shared,
                unique,
            });
        }
        usage.cache_bytes = disk_usage(&self.root().join("build"));
        let of_images: HashSet<PathBuf> = parts.into_iter().flatten().collect();
        for part in self.cached_parts()? {
            if !of_images.contains(&part) {
                usage.cache_bytes += disk_usage(&part);
            }
        }
        Ok(())
    }

    /// Directories and files of an image's layers and documents.
    fn parts(&self, image: &ImageSummary) -> HashSet<PathBuf> {
        let Ok((image, _)) = self.images().resolve(image.id.as_str()) else {
            return HashSet::new();
        };
        let blob = |digest: &Digest| self.root().join("blobs/sha256").join(digest.hex());
        let layer = |digest: &Digest| self.root().join("layers").join(digest.hex());
        let mut parts = HashSet::from([blob(&image.id), blob(&image.digest)]);
        parts.extend(image.manifest.layers.iter().map(|l| blob(&l.digest)));
        parts.extend(image.layers.iter().map(layer));
        parts.extend(crate::layers::chain_ids(&image.layers).iter().map(layer));
        parts
    }

    /// Layers and blobs that the build cache refers to.
    fn cached_parts(&self) -> Result<HashSet<PathBuf>> {
        let mut digests = HashSet::new();
        for (_, value) in self.build_cache().list()? {
            crate::collect::mentioned(&value, &mut digests);
        }
        let places = ["layers", "blobs/sha256"].map(|place| self.root().join(place));
        let paths = digests
            .iter()
            .flat_map(|digest| places.each_ref().map(|place| place.join(digest.hex())));
        Ok(paths.filter(|path| path.exists()).collect())
    }

    /// What stays when unused images go: the parts of used ones, and the records.
    fn needed_bytes(&self, usage: &Usage) -> Result<u64> {
        let used = usage.images.iter().filter(|image| image.containers > 0);
        let parts: HashSet<PathBuf> = used.flat_map(|image| self.parts(&image.summary)).collect();
        Ok(parts.iter().map(|part| disk_usage(part)).sum())
    }

    /// Bytes of a container's directory.
    pub fn container_bytes(&self, id: &ContainerId) -> u64 {
        disk_usage(&self.containers().dir(id))
    }
}
