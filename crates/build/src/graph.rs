//! Which stages the target needs, in which order, and which images they name.

use dockerfile::{Dockerfile, Instruction, Stage, Word};
use model::{Platform, Reference};
use text::{Diagnostic, Span, suggest};

use crate::plan::{Base, ImageName, Origin};
use crate::request::BuildRequest;
use crate::scope::{Globals, expand};

/// The stages of a Dockerfile and what each begins with.
#[derive(Debug)]
pub(crate) struct Graph<'d> {
    stages: &'d [Stage],
    platform: Platform,
    /// Absent where the `FROM` is wrong.
    bases: Vec<Option<Base>>,
    /// Needed stages, each after those it needs.
    pub(crate) order: Vec<usize>,
}

/// How far the search has come with a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    Open,
    Done,
}

impl<'d> Graph<'d> {
    /// Finds the target and everything it needs. Stages that it does not need may name
    /// what does not exist.
    pub(crate) fn new(
        file: &'d Dockerfile,
        request: &BuildRequest,
        globals: &Globals,
        problems: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut graph = Self {
            stages: &file.stages,
            platform: request.platform.clone(),
            bases: vec![None; file.stages.len()],
            order: Vec::new(),
        };
        if let Some(target) = graph.target(request, problems) {
            let mut marks = vec![Mark::New; file.stages.len()];
            graph.visit(target, globals, &mut marks, problems);
        }
        graph
    }

    pub(crate) fn stage(&self, index: usize) -> &'d Stage {
        &self.stages[index]
    }

    pub(crate) fn base(&self, index: usize) -> Option<&Base> {
        self.bases[index].as_ref()
    }

    fn target(&self, request: &BuildRequest, problems: &mut Vec<Diagnostic>) -> Option<usize> {
        let Some(target) = &request.target else {
            if self.stages.is_empty() && problems.is_empty() {
                problems.push(Diagnostic::error("the Dockerfile has no FROM instruction"));
            }
            return self.stages.len().checked_sub(1);
        };
        let found = self.named(target).or_else(|| {
            let index = target.parse::<usize>().ok()?;
            (index < self.stages.len()).then_some(index)
        });
        if found.is_none() {
            let names = self
                .stages
                .iter()
                .filter_map(|s| s.name.as_ref().map(Word::as_str));
            let nearest = suggest::nearest(target, names).map(str::to_owned);
            let problem = Diagnostic::error(format!("there is no stage `{target}` to build"));
            problems.push(problem.did_you_mean(nearest.as_deref()));
        }
        found
    }

    /// The last stage with this name; names are compared without case.
    fn named(&self, name: &str) -> Option<usize> {
        let name = name.to_lowercase();
        let is = |stage: &Stage| stage.name.as_ref().is_some_and(|n| n.text == name);
        self.stages.iter().rposition(is)
    }

    fn visit(
        &mut self,
        index: usize,
        globals: &Globals,
        marks: &mut [Mark],
        problems: &mut Vec<Diagnostic>,
    ) {
        match marks[index] {
            Mark::Done => return,
            Mark::Open => {
                let stage = &self.stages[index];
                let problem =
                    Diagnostic::error("this stage needs itself, through the stages it uses");
                problems.push(problem.at(stage.span));
                return;
            }
            Mark::New => marks[index] = Mark::Open,
        }
        let base = self.find_base(index, globals, problems);
        if let Some(Base::Stage(earlier)) = base {
            self.visit(earlier, globals, marks, problems);
        }
        self.bases[index] = base;
        for word in froms(&self.stages[index]) {
            if let Some(Origin::Stage(other)) = self.origin(Some(word), index, problems) {
                self.visit(other, globals, marks, problems);
            }
        }
        marks[index] = Mark::Done;
        self.order.push(index);
    }

    fn find_base(
        &self,
        index: usize,
        globals: &Globals,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Base> {
        let stage = &self.stages[index];
        let lookup = |name: &str| globals.lookup(name);
        let mut word = |word: &Word| expand(word, globals.escape(), &lookup, problems);
        let name = word(&stage.base)?;
        let platform = match &stage.platform {
            Some(platform) => Some((word(platform)?, platform.span)),
            None => None,
        };
        if name.is_empty() {
            let problem = Diagnostic::error("the base of this stage is empty");
            let hint = "a variable in FROM needs an ARG with a default before the first FROM";
            problems.push(problem.at(stage.base.span).hint(hint));
            return None;
        }
        // Only earlier stages: a later one of that name is taken for an image.
        let earlier = &self.stages[..index];
        let lower = name.to_lowercase();
        let is = |stage: &Stage| stage.name.as_ref().is_some_and(|n| n.text == lower);
        if let Some(earlier) = earlier.iter().rposition(is) {
            return Some(Base::Stage(earlier));
        }
        if name == "scratch" {
            return Some(Base::Scratch);
        }
        let platform = match platform.map(|(text, span)| (text.parse(), span)) {
            None => self.platform.clone(),
            Some((Ok(platform), _)) => platform,
            Some((Err(error), span)) => {
                problems.push(Diagnostic::error(error.to_string()).at(span));
                return None;
            }
        };
        let reference = reference(&name, &stage.base, problems)?;
        Some(Base::Image(ImageName {
            reference,
            platform,
        }))
    }

    /// What a `--from` or `from=` means in stage `index`.
    pub(crate) fn origin(
        &self,
        from: Option<&Word>,
        index: usize,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Origin> {
        let Some(word) = from else {
            return Some(Origin::Context);
        };
        if word.has_variable() {
            let problem = Diagnostic::error("a variable cannot be used here").at(word.span);
            let hint = "add a stage `FROM ${VARIABLE} AS name` and copy from `name`";
            problems.push(problem.hint(hint));
            return None;
        }
        if let Some(stage) = self.named(word.as_str()) {
            return Some(Origin::Stage(stage));
        }
        if let Ok(stage) = word.text.parse::<usize>() {
            if stage < index {
                return Some(Origin::Stage(stage));
            }
            let problem = format!("there is no stage {stage} before this one");
            problems.push(Diagnostic::error(problem).at(word.span));
            return None;
        }
        let reference = reference(word.as_str(), word, problems)?;
        let platform = self.platform.clone();
        Some(Origin::Image(ImageName {
            reference,
            platform,
        }))
    }

    /// Where an image is named first; without a name, where the target begins.
    pub(crate) fn mention(&self, reference: Option<&Reference>) -> Span {
        let is = |image: &ImageName| Some(&image.reference) == reference;
        for &index in &self.order {
            let stage = &self.stages[index];
            if matches!(&self.bases[index], Some(Base::Image(image)) if is(image)) {
                return stage.base.span;
            }
            for word in froms(stage) {
                let origin = self.origin(Some(word), index, &mut vec![]);
                if matches!(&origin, Some(Origin::Image(image)) if is(image)) {
                    return word.span;
                }
            }
        }
        let target = self.order.last().expect("the graph has a target");
        self.stages[*target].base.span
    }

    /// Every image that the needed stages name, without repetition.
    pub(crate) fn images(&self) -> Vec<ImageName> {
        let mut images = Vec::new();
        for &index in &self.order {
            if let Some(Base::Image(image)) = &self.bases[index] {
                images.push(image.clone());
            }
            for word in froms(&self.stages[index]) {
                if let Some(Origin::Image(image)) = self.origin(Some(word), index, &mut vec![]) {
                    images.push(image);
                }
            }
        }
        let mut unique = Vec::new();
        for image in images {
            if !unique.contains(&image) {
                unique.push(image);
            }
        }
        unique
    }
}

/// Every `--from` and `from=` of a stage.
fn froms(stage: &Stage) -> impl Iterator<Item = &Word> {
    stage.steps.iter().flat_map(|step| match &step.instruction {
        Instruction::Copy(copy) => copy.from.iter().collect::<Vec<_>>(),
        Instruction::Run(run) => {
            let mounts = run.mounts.iter();
            mounts
                .filter_map(|mount| mount.value.from.as_ref())
                .collect()
        }
        _ => Vec::new(),
    })
}

fn reference(name: &str, word: &Word, problems: &mut Vec<Diagnostic>) -> Option<Reference> {
    match name.parse() {
        Ok(reference) => Some(reference),
        Err(error) => {
            let error: model::reference::ReferenceError = error;
            problems.push(Diagnostic::error(error.to_string()).at(word.span));
            None
        }
    }
}
