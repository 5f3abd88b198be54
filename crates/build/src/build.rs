//! The whole way: text, graph, bases, plan, execution, image.

use model::event::{Event, EventSink};
use model::{ImageConfig, Platform};
use store::Store;
use text::{Diagnostic, Sources};

use crate::board::Board;
use crate::cache::Snapshot;
use crate::context::Context;
use crate::error::{BuildError, Complaints, Result};
use crate::exec::{Execution, now};
use crate::graph::Graph;
use crate::lower::{Lowering, Shared};
use crate::plan::{Base, Images, MountOp, Op, Origin, Plan, SourceOp, StagePlan};
use crate::refuse;
use crate::request::{Bases, BuildRequest, Built};
use crate::scope::{Globals, env_value};
use crate::step::StepRunner;
use crate::sums::{self, Sums};

/// Builds an image and names it.
///
/// Nothing is executed before the whole Dockerfile has been understood. Steps that
/// succeed stay in the cache even if a later one fails; the image and its names appear
/// only once everything is done.
pub fn build(
    request: &BuildRequest,
    store: &Store,
    bases: &dyn Bases,
    runner: &dyn StepRunner,
    events: &dyn EventSink,
) -> Result<Built> {
    let _references = store.share()?;
    let mut sources = Sources::new();
    let text = &request.dockerfile.text;
    let file_id = sources.add(request.dockerfile.name.clone(), text.clone());
    let (file, mut problems) = dockerfile::parse(file_id, text);
    let globals = Globals::new(request, &file, &mut problems);
    let graph = Graph::new(&file, request, &globals, &mut problems);
    for &index in &graph.order {
        problems.extend(refuse::unsupported(&graph.stage(index).steps));
    }
    check(&sources, &problems)?;
    let images = resolve(&graph, bases, &sources)?;
    let plan = plan(
        request,
        store,
        &globals,
        &graph,
        &images,
        &mut sources,
        &mut problems,
    )?;
    let context = match plan.reads_context() {
        true => Some(Context::open(request, &mut sources, &mut problems)?),
        false => None,
    };
    check(&sources, &problems)?;
    let mut warnings = render_warnings(&sources, &problems);
    for name in globals.unused() {
        warnings.push(format!(
            "build argument `{name}` is not used: no ARG names it."
        ));
    }
    for text in &warnings {
        events.send(Event::Warning { text: text.clone() });
    }
    let sums = Sums::load(sums::path_in(&store.root().join("build")));
    let execution = Execution {
        request,
        store,
        runner,
        events,
        images: &images,
        context: context.as_ref(),
        sums: &sums,
        board: Board::new(file.stages.len(), programs()),
    };
    let built = execution.run(&plan);
    // What was read is worth keeping even if a step failed.
    let saved = sums.save();
    let snapshot = built?;
    saved?;
    export(request, store, plan, snapshot, warnings)
}

/// As many programs run at once as there are cores.
fn programs() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Ends the build if anything is wrong so far.
fn check(sources: &Sources, problems: &[Diagnostic]) -> Result<()> {
    if !text::has_errors(problems) {
        return Ok(());
    }
    let mut diagnostics = problems.to_vec();
    diagnostics.sort_by_key(|d| d.span.map(|span| (span.file.0, span.start)));
    diagnostics.dedup();
    Err(BuildError::Dockerfile(Box::new(Complaints {
        sources: sources.clone(),
        diagnostics,
    })))
}

fn render_warnings(sources: &Sources, problems: &[Diagnostic]) -> Vec<String> {
    let warnings = problems.iter().map(|problem| match problem.span {
        Some(span) => format!("{}: {}", sources.place(span), problem.message),
        None => problem.message.clone(),
    });
    let mut warnings: Vec<_> = warnings.collect();
    warnings.dedup();
    warnings
}

/// Has all images found, those of one platform at once.
fn resolve(graph: &Graph<'_>, bases: &dyn Bases, sources: &Sources) -> Result<Images> {
    let mut wanted: Vec<(Platform, Vec<_>)> = Vec::new();
    for image in graph.images() {
        match wanted
            .iter_mut()
            .find(|(platform, _)| *platform == image.platform)
        {
            Some((_, references)) => references.push(image.reference),
            None => wanted.push((image.platform, vec![image.reference])),
        }
    }
    let mut images = Images::default();
    for (platform, references) in wanted {
        let found = bases.resolve(&references, &platform);
        let manifests = found.map_err(|error| BuildError::Base {
            place: sources.place(graph.mention(error.reference.as_ref())),
            message: error.message,
            hint: error.hint,
            source: error.source,
        })?;
        let named = references.into_iter().zip(manifests);
        let platform = platform.to_string();
        images
            .0
            .extend(named.map(|(name, manifest)| ((name, platform.clone()), manifest)));
    }
    Ok(images)
}

fn plan(
    request: &BuildRequest,
    store: &Store,
    globals: &Globals,
    graph: &Graph<'_>,
    images: &Images,
    sources: &mut Sources,
    problems: &mut Vec<Diagnostic>,
) -> Result<Plan> {
    let mut stages: Vec<StagePlan> = Vec::new();
    for &index in &graph.order {
        let Some(base) = graph.base(index).cloned() else {
            continue;
        };
        let mut config = match &base {
            Base::Scratch => scratch(&request.platform),
            Base::Stage(other) => {
                let found = stages.iter().find(|stage| stage.index == *other);
                found.expect("a stage comes after its base").config.clone()
            }
            Base::Image(name) => {
                let manifest = images.manifest(name).expect("all images were found");
                store.images().load(manifest)?.config
            }
        };
        // Without it `ENV PATH=/opt/bin:$PATH` would hide the system's programs.
        if env_value(&config.config.env, "PATH").is_none() {
            config
                .config
                .env
                .push(format!("PATH={}", model::image::DEFAULT_PATH));
        }
        let mut steps = Vec::new();
        for trigger in std::mem::take(&mut config.config.on_build) {
            let file = sources.add("ONBUILD", trigger.clone());
            let (step, mut found) = dockerfile::parse_trigger(file, &trigger);
            problems.append(&mut found);
            problems.extend(refuse::unsupported(step.as_slice()));
            steps.extend(step);
        }
        steps.extend(graph.stage(index).steps.iter().cloned());
        let shared = Shared {
            request,
            sources,
            globals,
            graph,
        };
        let mut lowering = Lowering::new(shared, index, config);
        let steps = steps.iter().map(|step| lowering.step(step)).collect();
        problems.append(&mut lowering.problems);
        stages.push(StagePlan {
            index,
            base,
            label: crate::error::shorten(&graph.stage(index).text),
            steps,
            config: lowering.config,
        });
    }
    let several = stages.len() > 1;
    for stage in &mut stages {
        let name = graph
            .stage(stage.index)
            .name
            .as_ref()
            .map(|name| name.text.clone());
        let name = name.unwrap_or_else(|| format!("stage-{}", stage.index));
        stage.number(several.then_some(name.as_str()));
    }
    Ok(Plan { stages })
}

impl StagePlan {
    /// The stages that must be finished before this one starts.
    pub(crate) fn needs(&self) -> Vec<usize> {
        let base = match self.base {
            Base::Stage(index) => Some(index),
            Base::Scratch | Base::Image(_) => None,
        };
        let steps = self.steps.iter().flat_map(|step| match &step.op {
            Op::Copy(copy) => vec![&copy.origin],
            Op::Run(run) => run.mounts.iter().filter_map(MountOp::origin).collect(),
            Op::Workdir(_) | Op::Configure => vec![],
        });
        let origins = steps.filter_map(|origin| match origin {
            Origin::Stage(index) => Some(*index),
            Origin::Context | Origin::Image(_) => None,
        });
        base.into_iter().chain(origins).collect()
    }

    /// Puts `[stage 2/5]` before every label.
    fn number(&mut self, name: Option<&str>) {
        let labels = self.steps.iter_mut().filter_map(|step| step.label.as_mut());
        let mut labels: Vec<_> = std::iter::once(&mut self.label).chain(labels).collect();
        let total = labels.len();
        let name = name.map_or_else(String::new, |name| format!("{name} "));
        for (number, label) in labels.iter_mut().enumerate() {
            **label = format!("[{name}{}/{total}] {label}", number + 1);
        }
    }
}

impl Plan {
    fn reads_context(&self) -> bool {
        let mut steps = self.stages.iter().flat_map(|stage| &stage.steps);
        steps.any(|step| match &step.op {
            Op::Copy(copy) => {
                let reads = |source: &SourceOp| matches!(source, SourceOp::Path { .. });
                copy.origin == Origin::Context && copy.sources.iter().any(reads)
            }
            Op::Run(run) => run
                .mounts
                .iter()
                .filter_map(MountOp::origin)
                .any(|o| *o == Origin::Context),
            Op::Workdir(_) | Op::Configure => false,
        })
    }
}

/// The configuration that BuildKit gives `FROM scratch`.
fn scratch(platform: &Platform) -> ImageConfig {
    let mut config = ImageConfig {
        architecture: platform.architecture.clone(),
        variant: platform.variant.clone(),
        os: platform.os.clone(),
        ..ImageConfig::default()
    };
    config.config.working_dir = "/".into();
    config
}

fn export(
    request: &BuildRequest,
    store: &Store,
    mut plan: Plan,
    snapshot: Snapshot,
    warnings: Vec<String>,
) -> Result<Built> {
    let target = plan.stages.pop().expect("a plan has its target at least");
    let mut config = target.config;
    config.config.labels.extend(request.labels.clone());
    config.rootfs.kind = "layers".into();
    config.rootfs.diff_ids = snapshot.diff_ids();
    config.history = snapshot.history;
    let created = snapshot.created.unwrap_or_else(|| now(request));
    for entry in &mut config.history {
        entry.created.get_or_insert_with(|| created.clone());
    }
    config.created = Some(created);
    let image = store.images().create(&config, &snapshot.layers, None)?;
    for tag in &request.tags {
        store.images().tag(&image.id, tag)?;
    }
    Ok(Built {
        image_id: image.id,
        manifest: image.digest,
        warnings,
    })
}
