//! `commit`: what a container changed becomes a layer, and with its settings an image.

use model::Reference;
use model::image::{History, RunConfig};
use store::Image;
use store::images::ImageLayer;

use crate::{ContainerRecord, Engine, Liveness, Result};

/// What an image made of a container says of itself.
#[derive(Debug, Clone, Default)]
pub struct CommitRequest {
    /// Who made it.
    pub author: Option<String>,
    /// Why.
    pub comment: Option<String>,
    /// The container stands still meanwhile, where it can be paused.
    pub pause: bool,
    /// Its configuration, if it is not the container's.
    pub config: Option<RunConfig>,
}

impl Engine {
    /// Makes an image of a container's changes on top of its image.
    pub fn commit(
        &self,
        record: &ContainerRecord,
        request: &CommitRequest,
        reference: Option<&Reference>,
    ) -> Result<Image> {
        let _shared = self.store.share()?;
        let base = self.store.images().load(&record.image.digest)?;
        let paused = request.pause && self.pause_for_a_moment(record)?;
        let layer = self.changes(record);
        if paused {
            // It may have been killed meanwhile.
            let _ = self.unpause(record);
        }
        let layer = layer?;
        let mut config = base.config.clone();
        config.created = Some(crate::now());
        config.author.clone_from(&request.author);
        config.config = request
            .config
            .clone()
            .unwrap_or_else(|| record.config.clone());
        config.history.push(History {
            created: config.created.clone(),
            created_by: Some(record.command.join(" ")),
            author: request.author.clone(),
            comment: request.comment.clone(),
            empty_layer: false,
        });
        let below = base.layers.iter().zip(&base.manifest.layers);
        let mut layers: Vec<ImageLayer> = below
            .map(|(diff_id, descriptor)| ImageLayer {
                diff_id: diff_id.clone(),
                // A base that was made here has no blobs for its layers.
                descriptor: (descriptor.digest != *diff_id).then(|| descriptor.clone()),
            })
            .collect();
        layers.push(ImageLayer::from(&layer));
        let image = self.store.images().create(&config, &layers, reference)?;
        self.note_container(record, "commit", &[("imageID", image.id.as_str())]);
        Ok(image)
    }

    /// The upper directory as a layer of our own: by way of a tar, for the container goes
    /// on using the directory.
    fn changes(&self, record: &ContainerRecord) -> Result<store::LayerInfo> {
        let plan = self.plan(record)?;
        let (upper, ids) = (&plan.rootfs.upper, crate::ownership::shown(&plan));
        let without = crate::diff::mount_points(upper)?;
        let (reader, writer) = std::io::pipe().map_err(|e| sys::Error::new("make", "a pipe", e))?;
        std::thread::scope(|scope| {
            let writing =
                scope.spawn(move || store::layers::upper_tar(upper, &without, ids, writer));
            let layer = self.store.layers().adopt_tar(reader);
            let written = writing.join();
            written.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            Ok(layer?)
        })
    }

    /// Pauses a running container if that is possible here; whether it was done.
    fn pause_for_a_moment(&self, record: &ContainerRecord) -> Result<bool> {
        match self.observe(record)? {
            Liveness::Running(_) => Ok(self.pause(record).is_ok()),
            _ => Ok(false),
        }
    }
}
