//! Acting on a plan: stage by stage, step by step.

use std::path::PathBuf;
use std::sync::Arc;

use model::Digest;
use model::event::{Event, EventSink};
use store::layers::Scratch;
use store::{Image, Store};

use crate::board::Board;
use crate::cache::{self, Key, Made, Snapshot};
use crate::context::Context;
use crate::error::{BuildError, Result};
use crate::plan::{Base, ImageName, Images, Op, Origin, Plan, PlannedStep, StagePlan};
use crate::request::BuildRequest;
use crate::step::StepRunner;
use crate::sums::Sums;
use crate::tree::{Dir, Node};
use crate::upper::{Upper, clamp_times};

/// Everything that steps need.
pub(crate) struct Execution<'a> {
    pub(crate) request: &'a BuildRequest,
    pub(crate) store: &'a Store,
    pub(crate) runner: &'a dyn StepRunner,
    pub(crate) events: &'a dyn EventSink,
    pub(crate) images: &'a Images,
    /// Absent if no step reads it.
    pub(crate) context: Option<&'a Context>,
    pub(crate) sums: &'a Sums,
    pub(crate) board: Board,
}

/// A layer with the key it is known by, and whether it was known before.
pub(crate) struct Outcome {
    pub(crate) key: Digest,
    pub(crate) made: Made,
    pub(crate) cached: bool,
}

/// The layers that a step builds upon.
pub(crate) struct Lower {
    /// Topmost first.
    pub(crate) paths: Vec<PathBuf>,
    /// Absent if there are none.
    pub(crate) tree: Option<Dir>,
}

impl Execution<'_> {
    /// Builds every stage of the plan, those that do not need each other at the same
    /// time; the last one is what was asked for.
    pub(crate) fn run(&self, plan: &Plan) -> Result<Snapshot> {
        let results: Vec<_> = std::thread::scope(|scope| {
            let start = |stage| scope.spawn(move || self.stage_in_turn(stage));
            let threads: Vec<_> = plan.stages.iter().map(start).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().map(join).collect()
        });
        let stages = results.into_iter().collect::<Result<Vec<_>>>()?;
        let target = stages.into_iter().next_back().flatten();
        Ok(Arc::unwrap_or_clone(
            target.expect("the target ends well if no stage fails"),
        ))
    }

    /// Builds a stage once those that it needs are there; `None` if another failed.
    fn stage_in_turn(&self, stage: &StagePlan) -> Result<Option<Arc<Snapshot>>> {
        let entry = self.board.enter(stage.index);
        if stage
            .needs()
            .into_iter()
            .any(|other| self.board.wait(other).is_none())
        {
            return Ok(None);
        }
        let mut snapshot = self.base(stage)?;
        for step in &stage.steps {
            if self.board.failed() {
                return Ok(None);
            }
            self.step(step, &mut snapshot)?;
        }
        Ok(Some(entry.done(snapshot)))
    }

    fn base(&self, stage: &StagePlan) -> Result<Snapshot> {
        self.started(&stage.label);
        let snapshot = match &stage.base {
            Base::Scratch => Snapshot {
                layers: Vec::new(),
                key: Key::of_base(&[]),
                history: Vec::new(),
                created: None,
            },
            Base::Stage(index) => Snapshot::clone(&self.finished(*index)),
            Base::Image(name) => of_image(&self.image(name)?),
        };
        self.finished_as(&stage.label, "Done");
        Ok(snapshot)
    }

    fn step(&self, step: &PlannedStep, snapshot: &mut Snapshot) -> Result<()> {
        let Some(label) = &step.label else {
            snapshot.push(&step.history, None);
            return Ok(());
        };
        self.started(label);
        let outcome = match &step.op {
            Op::Run(run) => self.run_step(run, step, snapshot).map(Some),
            Op::Copy(copy) => self.copy_step(copy, step, snapshot).map(Some),
            Op::Workdir(path) => self.workdir_step(path, step, snapshot),
            Op::Configure => Ok(None),
        };
        let outcome = outcome.inspect_err(|_| {
            let (id, outcome) = (label.clone(), "Error".to_owned());
            self.events.send(Event::Failed { id, outcome });
        })?;
        let cached = outcome.as_ref().is_some_and(|outcome| outcome.cached);
        self.finished_as(label, if cached { "CACHED" } else { "Done" });
        snapshot.push(
            &step.history,
            outcome.map(|outcome| (outcome.key, outcome.made)),
        );
        Ok(())
    }

    fn workdir_step(
        &self,
        path: &str,
        step: &PlannedStep,
        snapshot: &Snapshot,
    ) -> Result<Option<Outcome>> {
        let lower = self.lower(snapshot)?;
        let found = match &lower.tree {
            Some(tree) => tree.resolve(path.as_ref(), true)?.node,
            None => None,
        };
        match found {
            Some(Node::Dir(_)) => return Ok(None),
            Some(Node::Leaf(_)) => {
                return Err(BuildError::Instruction {
                    at: step.at.clone(),
                    problem: format!("`{path}` exists and is not a directory"),
                });
            }
            None => {}
        }
        let key = self.key("workdir", snapshot).text(path).finish();
        if let Some(outcome) = self.known(&key)? {
            return Ok(Some(outcome));
        }
        let scratch = self.store.layers().scratch()?;
        let write = || {
            let mut upper = Upper::new(&scratch.upper(), lower.tree)?;
            let names = upper.resolve(path.as_ref())?.names;
            upper.make_dirs(&names, (0, 0))
        };
        write().map_err(|source| BuildError::Write {
            at: step.at.clone(),
            source,
        })?;
        self.commit(scratch, key).map(Some)
    }

    /// Begins the key of a step on top of `snapshot`.
    pub(crate) fn key(&self, kind: &str, snapshot: &Snapshot) -> Key {
        Key::new(kind, &snapshot.key).debug(&self.request.source_date_epoch)
    }

    /// What the key made earlier, unless the request wants it made again.
    pub(crate) fn known(&self, key: &Digest) -> Result<Option<Outcome>> {
        if self.request.no_cache {
            return Ok(None);
        }
        let outcome = |made| Outcome {
            key: key.clone(),
            made,
            cached: true,
        };
        Ok(cache::get(self.store, key)?.map(outcome))
    }

    /// Makes what a step wrote into a layer.
    pub(crate) fn commit(&self, scratch: Scratch, key: Digest) -> Result<Outcome> {
        if let Some(latest) = self.request.source_date_epoch {
            clamp_times(&Dir::plain(&scratch.upper())?, latest)?;
        }
        let info = self.store.layers().adopt(scratch)?;
        let made = Made::new(&info, &now(self.request));
        cache::put(self.store, &key, &made)?;
        Ok(Outcome {
            key,
            made,
            cached: false,
        })
    }

    pub(crate) fn lower(&self, snapshot: &Snapshot) -> Result<Lower> {
        self.stack(&snapshot.diff_ids())
    }

    fn stack(&self, layers: &[Digest]) -> Result<Lower> {
        let paths = match layers {
            [] => Vec::new(),
            layers => self.store.layers().stack(layers)?,
        };
        let tree = match paths.as_slice() {
            [] => None,
            paths => Some(Dir::layered(paths)?),
        };
        Ok(Lower { paths, tree })
    }

    /// The tree that a copy or bind reads; `None` for an empty one.
    pub(crate) fn tree(&self, origin: &Origin) -> Result<Option<Dir>> {
        match origin {
            Origin::Context => Ok(self.context.map(|context| context.tree.clone())),
            Origin::Stage(index) => Ok(self.lower(&self.finished(*index))?.tree),
            Origin::Image(name) => Ok(self.stack(&self.image(name)?.layers)?.tree),
        }
    }

    /// What the origin's content follows from; `None` for the context, whose content
    /// has to be read.
    pub(crate) fn origin_key(&self, origin: &Origin) -> Result<Option<Digest>> {
        Ok(match origin {
            Origin::Context => None,
            Origin::Stage(index) => Some(self.finished(*index).key.clone()),
            Origin::Image(name) => Some(of_image(&self.image(name)?).key),
        })
    }

    fn finished(&self, index: usize) -> Arc<Snapshot> {
        self.board
            .wait(index)
            .expect("a stage starts after those it needs")
    }

    fn image(&self, name: &ImageName) -> Result<Image> {
        // Images of the Dockerfile were all found; a base's trigger may name another one.
        let Some(manifest) = self.images.manifest(name) else {
            let familiar = name.reference.familiar();
            return Err(BuildError::Base {
                place: "ONBUILD".to_owned(),
                message: format!("a trigger of the base copies from image {familiar}"),
                hint: Some(format!("name {familiar} in a FROM of the Dockerfile too")),
                source: None,
            });
        };
        Ok(self.store.images().load(manifest)?)
    }

    fn started(&self, id: &str) {
        let (id, action) = (id.to_owned(), "Building".to_owned());
        self.events.send(Event::Started { id, action });
    }

    fn finished_as(&self, id: &str, outcome: &str) {
        let (id, outcome) = (id.to_owned(), outcome.to_owned());
        self.events.send(Event::Done { id, outcome });
    }
}

fn of_image(image: &Image) -> Snapshot {
    let descriptors = image.manifest.layers.iter();
    let layers = image.layers.iter().zip(descriptors);
    let layers = layers.map(|(diff_id, descriptor)| store::images::ImageLayer {
        diff_id: diff_id.clone(),
        descriptor: Some(descriptor.clone()),
    });
    Snapshot {
        layers: layers.collect(),
        key: Key::of_base(&image.layers),
        history: image.config.history.clone(),
        created: image.config.created.clone(),
    }
}

/// The time that what is made now carries, RFC 3339.
pub(crate) fn now(request: &BuildRequest) -> String {
    let fixed = request
        .source_date_epoch
        .and_then(|s| jiff::Timestamp::from_second(s).ok());
    fixed.unwrap_or_else(jiff::Timestamp::now).to_string()
}
