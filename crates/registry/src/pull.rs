//! Pull: from a reference to an image that lies complete in the sink.

use std::collections::HashSet;
use std::thread::Scope;

use futures_util::StreamExt;
use model::event::EventSink;
use model::image::{ImageConfig, Manifest};
use model::{Descriptor, Digest, Event, Platform, Reference};
use tokio::sync::{OnceCell, mpsc, oneshot};

use crate::client::{Client, Config};
use crate::events::Progress;
use crate::manifest::{self, Content};
use crate::transfer::{self, End, IN_FLIGHT, VerifyingReader};
use crate::wire::{Access, Wire};
use crate::{BlobSink, BoxError, Document, Error, Layer, Result};

/// An image that lies complete in the sink.
#[derive(Debug, Clone, PartialEq)]
pub struct Pulled {
    /// What the reference stood for: the digest of an index, or of the manifest.
    pub resolved: Digest,
    /// The manifest of the platform's image.
    pub manifest: Document,
    /// The parsed manifest.
    pub contents: Manifest,
    /// Its configuration; the digest is in the manifest.
    pub config: ImageConfig,
    /// Layers that had to be fetched.
    pub fetched_layers: usize,
}

/// What all steps of one pull share.
struct Pull<'a> {
    config: &'a Config,
    reference: &'a Reference,
    platform: &'a Platform,
    sink: &'a dyn BlobSink,
    events: &'a dyn EventSink,
    wire: OnceCell<Wire<'a>>,
}

pub(crate) fn pull(
    client: &Client,
    reference: &Reference,
    platform: &Platform,
    sink: &dyn BlobSink,
    events: &dyn EventSink,
) -> Result<Pulled> {
    let config = &client.config;
    let pull = Pull {
        config,
        reference,
        platform,
        sink,
        events,
        wire: OnceCell::new(),
    };
    std::thread::scope(|scope| client.block_on(pull.run(scope)))
}

impl<'a> Pull<'a> {
    async fn run<'scope, 'env>(&'env self, scope: &'scope Scope<'scope, 'env>) -> Result<Pulled>
    where
        'env: 'scope,
    {
        let top = self.top().await?;
        let resolved = top.digest.clone();
        let (index, document, contents) = match top.content(self.reference)? {
            Content::Manifest(contents) => (None, top, contents),
            Content::Index(index) => {
                let (document, contents) = self.choose(&index).await?;
                (Some(top), document, contents)
            }
        };
        manifest::check_layers(&contents, self.reference)?;
        let (config, config_bytes) = self.image_config(&contents).await?;
        self.compare_platform(&config);
        let fetched_layers = self.layers(scope, &contents, &config).await?;
        self.keep("configuration", &contents.config, &config_bytes)?;
        self.keep("manifest", &document.descriptor(), &document.bytes)?;
        if let Some(index) = index {
            self.keep("index", &index.descriptor(), &index.bytes)?;
        }
        Ok(Pulled {
            resolved,
            manifest: document,
            contents,
            config,
            fetched_layers,
        })
    }

    /// The connection, made when it is first needed: an image that is here and named
    /// by digest needs none.
    async fn wire(&self) -> Result<&Wire<'a>> {
        self.wire
            .get_or_try_init(|| Wire::open(self.config, self.reference, Access::Pull))
            .await
    }

    /// What the reference points at. A tag costs a HEAD request, and its document is
    /// then fetched by digest: the tag may move in between.
    async fn top(&self) -> Result<Document> {
        match self.reference.digest() {
            Some(pinned) => self.document(pinned).await,
            None => self.document(&self.wire().await?.head().await?).await,
        }
    }

    async fn document(&self, digest: &Digest) -> Result<Document> {
        match self.found("manifest", digest)?.map(Document::new) {
            Some(Ok(document)) => Ok(document),
            // What is here is no manifest any more: fetched anew, it heals.
            Some(Err(_)) | None => self.wire().await?.document(digest).await,
        }
    }

    async fn choose(&self, index: &model::image::Index) -> Result<(Document, Manifest)> {
        let Some(chosen) = manifest::choose_platform(index, self.platform) else {
            return Err(Error::NoPlatform {
                reference: self.reference.familiar(),
                wanted: self.platform.clone(),
                offered: manifest::offered(index),
            });
        };
        let document = self.document(&chosen.digest).await?;
        if document.bytes.len() as u64 != chosen.size {
            return Err(Error::WrongSize {
                reference: self.reference.familiar(),
                digest: chosen.digest.clone(),
                expected: chosen.size,
                actual: document.bytes.len() as u64,
            });
        }
        match document.content(self.reference)? {
            Content::Manifest(contents) => Ok((document, contents)),
            Content::Index(_) => Err(Error::Unsupported {
                reference: self.reference.familiar(),
                what: "an index within an index",
                media_type: document.media_type,
            }),
        }
    }

    async fn image_config(&self, contents: &Manifest) -> Result<(ImageConfig, Vec<u8>)> {
        let bytes = match self.found("configuration", &contents.config.digest)? {
            Some(bytes) => bytes,
            None => {
                transfer::collect(self.wire().await?, &contents.config, "configuration").await?
            }
        };
        let config = manifest::read_config(contents, &bytes, self.reference)?;
        Ok((config, bytes))
    }

    /// An image without an index may be for another machine. As docker does, say so
    /// and go on: it may be wanted for its files.
    fn compare_platform(&self, config: &ImageConfig) {
        let made_for = Platform {
            os: config.os.clone(),
            architecture: config.architecture.clone(),
            variant: config.variant.clone(),
        };
        if !self.platform.accepts(&made_for) && !config.architecture.is_empty() {
            let reference = self.reference.familiar();
            let wanted = self.platform;
            self.events.send(Event::Warning {
                text: format!("{reference} is made for {made_for}, not for {wanted}."),
            });
        }
    }

    /// Fetches the layers that are missing, lowest first, some at once.
    async fn layers<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        contents: &Manifest,
        config: &ImageConfig,
    ) -> Result<usize>
    where
        'env: 'scope,
    {
        let diff_ids = &config.rootfs.diff_ids;
        let mut first = HashSet::new();
        let jobs = contents
            .layers
            .iter()
            .enumerate()
            .map(|(at, descriptor)| Job {
                descriptor: descriptor.clone(),
                diff_id: diff_ids[at].clone(),
                lowers: diff_ids[..at].to_vec(),
            });
        // A layer that occurs twice is fetched once, and asked for again afterwards.
        let (jobs, repeated): (Vec<_>, Vec<_>) =
            jobs.partition(|job| first.insert(job.diff_id.clone()));
        let mut fetched = 0;
        for (jobs, parallel) in [(jobs, self.config.parallel.max(1)), (repeated, 1)] {
            let mut running = futures_util::stream::iter(jobs)
                .map(|job| self.layer(scope, job))
                .buffer_unordered(parallel);
            while let Some(outcome) = running.next().await {
                fetched += usize::from(outcome?);
            }
        }
        Ok(fetched)
    }

    /// Fetches one layer unless it is here; says whether it had to.
    async fn layer<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        job: Job,
    ) -> Result<bool>
    where
        'env: 'scope,
    {
        let blob = job.descriptor.clone();
        let mut progress = Progress::start(self.events, blob.digest.short(), "Pulling", blob.size);
        let here = self.sink.has_layer(job.layer());
        if here.map_err(|source| self.sink_error("layer", &blob.digest, source))? {
            progress.finish("Already exists");
            return Ok(false);
        }
        let wire = self.wire().await?;
        let (sender, receiver) = mpsc::channel(IN_FLIGHT);
        let (verdict, outcome) = oneshot::channel();
        scope.spawn(move || {
            let mut reader = VerifyingReader::new(&job.descriptor, receiver);
            let taken = self.sink.take_layer(job.layer(), &mut reader);
            // Nobody waits any more when the pull has been given up.
            let _ = verdict.send((taken, reader.end().cloned()));
        });
        let sent = transfer::stream(wire, &blob, async |chunk| {
            progress.advance(chunk.len() as u64);
            sender.send(chunk).await.is_ok()
        })
        .await;
        drop(sender);
        let outcome = outcome.await.ok();
        let result = sent.and_then(|()| self.judge(&blob, outcome));
        match &result {
            Ok(()) => progress.finish("Pull complete"),
            Err(_) => progress.fail(),
        }
        result.map(|()| true)
    }

    /// Of two failures the reader's is the cause. A sink that is content before the
    /// reader's end has found the layer elsewhere.
    fn judge(
        &self,
        blob: &Descriptor,
        outcome: Option<(std::result::Result<(), BoxError>, Option<End>)>,
    ) -> Result<()> {
        match outcome {
            Some((_, Some(End::Corrupt(actual)))) => Err(Error::Corrupt {
                reference: self.reference.familiar(),
                what: "layer",
                expected: blob.digest.clone(),
                actual: actual.to_string(),
            }),
            Some((Ok(()), _)) => Ok(()),
            Some((Err(source), _)) => Err(self.sink_error("layer", &blob.digest, source)),
            None => {
                let source = "the thread that took it has died".into();
                Err(self.sink_error("layer", &blob.digest, source))
            }
        }
    }

    fn found(&self, what: &'static str, digest: &Digest) -> Result<Option<Vec<u8>>> {
        self.sink
            .find(digest)
            .map_err(|source| self.sink_error(what, digest, source))
    }

    fn keep(&self, what: &'static str, descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
        self.sink
            .keep(descriptor, bytes)
            .map_err(|source| self.sink_error(what, &descriptor.digest, source))
    }

    fn sink_error(&self, what: &'static str, digest: &Digest, source: BoxError) -> Error {
        Error::Sink {
            reference: self.reference.familiar(),
            what,
            digest: digest.clone(),
            source,
        }
    }
}

/// A layer to fetch, owning what [`Layer`] borrows.
struct Job {
    descriptor: Descriptor,
    diff_id: Digest,
    lowers: Vec<Digest>,
}

impl Job {
    fn layer(&self) -> Layer<'_> {
        Layer {
            descriptor: &self.descriptor,
            diff_id: &self.diff_id,
            lowers: &self.lowers,
        }
    }
}
