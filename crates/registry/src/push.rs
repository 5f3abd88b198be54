//! Push: an image as it is, to wherever its reference points.

use std::collections::HashSet;
use std::io::Read;
use std::thread::Scope;

use futures_util::{StreamExt, stream};
use model::event::EventSink;
use model::image::{Index, Manifest};
use model::{Descriptor, Digest, Reference};
use tokio::sync::{mpsc, oneshot};

use crate::client::Client;
use crate::events::Progress;
use crate::manifest::Content;
use crate::transfer::IN_FLIGHT;
use crate::wire::{Access, Fault, Wire, back_off};
use crate::{BlobSource, BoxError, Document, Error, Result};

/// Bytes read from a source at once.
const CHUNK: usize = 64 << 10;

/// An image that the registry now has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Digest of the manifest or index under the reference's tag.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Blobs that the registry lacked.
    pub uploaded_blobs: usize,
}

/// What all steps of one push share.
struct Push<'a> {
    reference: &'a Reference,
    source: &'a dyn BlobSource,
    events: &'a dyn EventSink,
}

pub(crate) fn push(
    client: &Client,
    reference: &Reference,
    document: &Document,
    source: &dyn BlobSource,
    events: &dyn EventSink,
) -> Result<Pushed> {
    let push = Push {
        reference,
        source,
        events,
    };
    std::thread::scope(|scope| {
        client.block_on(async {
            let wire = Wire::open(&client.config, reference, Access::Push).await?;
            push.run(scope, &wire, document, client.config.parallel.max(1))
                .await
        })
    })
}

impl Push<'_> {
    async fn run<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        wire: &Wire<'_>,
        top: &Document,
        parallel: usize,
    ) -> Result<Pushed>
    where
        'env: 'scope,
    {
        let children = match top.content(self.reference)? {
            Content::Manifest(_) => Vec::new(),
            Content::Index(index) => self.children(&index)?,
        };
        let mut blobs = Vec::new();
        for document in children.iter().chain([top]) {
            if let Content::Manifest(manifest) = document.content(self.reference)? {
                blobs.extend(blobs_of(manifest));
            }
        }
        let mut seen = HashSet::new();
        blobs.retain(|blob| seen.insert(blob.digest.clone()));
        let mut running = stream::iter(blobs)
            .map(|blob| self.blob(scope, wire, blob))
            .buffer_unordered(parallel);
        let mut uploaded_blobs = 0;
        while let Some(outcome) = running.next().await {
            uploaded_blobs += usize::from(outcome?);
        }
        drop(running);
        for child in &children {
            wire.put(child, true).await?;
        }
        wire.put(top, self.reference.tag().is_none()).await?;
        let size = top.bytes.len() as u64;
        Ok(Pushed {
            digest: top.digest.clone(),
            size,
            uploaded_blobs,
        })
    }

    /// The manifests that an index points at.
    fn children(&self, index: &Index) -> Result<Vec<Document>> {
        let read = |child: &Descriptor| {
            let mut bytes = Vec::new();
            let mut reader = self.source.open(&child.digest)?;
            reader.read_to_end(&mut bytes)?;
            Ok(Document::new(bytes)?)
        };
        let read = |child: &Descriptor| {
            read(child).map_err(|source| self.source_error(&child.digest, source))
        };
        index.manifests.iter().map(read).collect()
    }

    /// Uploads one blob unless the registry has it; says whether it had to.
    async fn blob<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        wire: &Wire<'_>,
        blob: Descriptor,
    ) -> Result<bool>
    where
        'env: 'scope,
    {
        let id = blob.digest.short();
        if wire.has_blob(&blob.digest).await? {
            Progress::start(self.events, id, "Pushing", blob.size).finish("Layer already exists");
            return Ok(false);
        }
        let mut failures = 0;
        loop {
            match self.upload(scope, wire, &blob).await? {
                Ok(()) => return Ok(true),
                Err(fault) if fault.may_pass() && failures < wire.retries() => {
                    failures += 1;
                    back_off(failures).await;
                }
                Err(fault) => return Err(wire.error(fault)),
            }
        }
    }

    /// One attempt. The outer error is the source's and final.
    async fn upload<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        wire: &Wire<'_>,
        blob: &Descriptor,
    ) -> Result<std::result::Result<(), Fault>>
    where
        'env: 'scope,
    {
        let reader = self.source.open(&blob.digest);
        let reader = reader.map_err(|source| self.source_error(&blob.digest, source))?;
        let (sender, receiver) = mpsc::channel(IN_FLIGHT);
        let (verdict, outcome) = oneshot::channel();
        let mut progress = Progress::start(self.events, blob.digest.short(), "Pushing", blob.size);
        scope.spawn(move || {
            // Nobody waits any more when the push has been given up.
            let _ = verdict.send(pump(reader, &sender));
        });
        let (told, mut telling) = mpsc::unbounded_channel();
        let chunks = stream::unfold(receiver, move |mut receiver| {
            let told = told.clone();
            async move {
                let chunk: std::io::Result<Vec<u8>> = receiver.recv().await?;
                let _ = told.send(chunk.as_ref().map_or(0, Vec::len) as u64);
                Some((chunk, receiver))
            }
        });
        let upload = wire.upload(&blob.digest, blob.size, chunks);
        let tell = async {
            while let Some(bytes) = telling.recv().await {
                progress.advance(bytes);
            }
        };
        let (sent, ()) = futures_util::future::join(upload, tell).await;
        if let Ok(Err(source)) = outcome.await {
            progress.fail();
            return Err(self.source_error(&blob.digest, source.into()));
        }
        match &sent {
            Ok(()) => progress.finish("Pushed"),
            Err(_) => progress.fail(),
        }
        Ok(sent)
    }

    fn source_error(&self, digest: &Digest, source: BoxError) -> Error {
        Error::Source {
            reference: self.reference.familiar(),
            digest: digest.clone(),
            source,
        }
    }
}

/// Layers first, so that the longest transfers begin at once.
fn blobs_of(manifest: Manifest) -> impl Iterator<Item = Descriptor> {
    manifest.layers.into_iter().chain([manifest.config])
}

/// Reads a source to its end into the channel. A receiver that has gone away is not
/// this thread's concern.
fn pump(
    mut reader: Box<dyn Read + Send>,
    sender: &mpsc::Sender<std::io::Result<Vec<u8>>>,
) -> std::io::Result<()> {
    loop {
        let mut chunk = vec![0; CHUNK];
        let read = match reader.read(&mut chunk) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => {
                // The upload must break off, not end as if this were all.
                let broken = std::io::Error::from(error.kind());
                let _ = sender.blocking_send(Err(broken));
                return Err(error);
            }
        };
        chunk.truncate(read);
        if read == 0 || sender.blocking_send(Ok(chunk)).is_err() {
            return Ok(());
        }
    }
}
