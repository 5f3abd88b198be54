//! From instructions to steps: variables expanded, names resolved, the configuration
//! changed. Nothing here reads a file; whatever is wrong is found before anything runs.

use dockerfile::{Add, Command, Copy, Instruction, Pair, Run, Source, Step, Word};
use model::ImageConfig;
use text::{Diagnostic, Sources, Span};

use crate::chmod::ModeChange;
use crate::error::{At, shorten};
use crate::graph::Graph;
use crate::meta;
use crate::plan::{CopyOp, MountOp, MountOpKind, Op, PlannedStep, RunOp, Script, SourceOp};
use crate::refuse;
use crate::request::BuildRequest;
use crate::scope::{Globals, Scope, env_value, expand};
use crate::source;
use crate::step::StepNetwork;

/// Where a script that is its own program is mounted, as BuildKit has it.
const SCRIPTS: &str = "/dev/pipes";

/// What all stages share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared<'a> {
    pub(crate) request: &'a BuildRequest,
    pub(crate) sources: &'a Sources,
    pub(crate) globals: &'a Globals,
    pub(crate) graph: &'a Graph<'a>,
}

/// A stage in the making.
#[derive(Debug)]
pub(crate) struct Lowering<'a> {
    shared: Shared<'a>,
    /// The stage's place in the Dockerfile.
    index: usize,
    pub(crate) config: ImageConfig,
    scope: Scope,
    /// Whether this stage has a CMD of its own, which a later ENTRYPOINT keeps.
    pub(crate) cmd_set: bool,
    pub(crate) problems: Vec<Diagnostic>,
}

impl<'a> Lowering<'a> {
    /// Begins a stage with the configuration of its base.
    pub(crate) fn new(shared: Shared<'a>, index: usize, config: ImageConfig) -> Self {
        Self {
            shared,
            index,
            config,
            scope: Scope::default(),
            cmd_set: false,
            problems: Vec::new(),
        }
    }

    /// Carries out what changes the configuration and plans the rest.
    pub(crate) fn step(&mut self, step: &Step) -> PlannedStep {
        let (op, history) = match &step.instruction {
            Instruction::Run(run) => self.run(run, step),
            Instruction::Copy(copy) => (self.copy(copy), format!("{} # buildkit", step.text)),
            Instruction::Add(add) => (self.add(add), format!("{} # buildkit", step.text)),
            Instruction::Workdir(path) => self.workdir(path),
            Instruction::Arg(args) => {
                for arg in args {
                    let env = &self.config.config.env;
                    self.scope
                        .declare(self.shared.globals, arg, env, &mut self.problems);
                }
                (Op::Configure, step.text.clone())
            }
            other => (
                Op::Configure,
                meta::apply(self, other).unwrap_or(step.text.clone()),
            ),
        };
        let visible = !matches!(op, Op::Configure);
        PlannedStep {
            at: At::new(self.shared.sources, step),
            label: visible.then(|| shorten(&step.text)),
            history,
            op,
        }
    }

    /// Expands a word; empty if that fails, which has then been noted.
    pub(crate) fn word(&mut self, word: &Word) -> String {
        let env = &self.config.config.env;
        let lookup = |name: &str| self.scope.lookup(name, env);
        let escape = self.shared.globals.escape();
        expand(word, escape, &lookup, &mut self.problems).unwrap_or_default()
    }

    /// Expands a word that may become several.
    pub(crate) fn words(&mut self, word: &Word) -> Vec<String> {
        let env = &self.config.config.env;
        let lookup = |name: &str| self.scope.lookup(name, env);
        match dockerfile::expand_words(word, self.shared.globals.escape(), &lookup) {
            Ok(words) => words,
            Err(problem) => {
                self.problems.push(problem);
                Vec::new()
            }
        }
    }

    /// Expands all pairs of one instruction before any of them counts.
    pub(crate) fn pairs(&mut self, pairs: &[Pair]) -> Vec<(String, String)> {
        let expanded = pairs
            .iter()
            .map(|p| (self.word(&p.key), self.word(&p.value)));
        expanded.collect()
    }

    pub(crate) fn problem(&mut self, message: impl Into<String>, span: Span) {
        self.problems.push(Diagnostic::error(message).at(span));
    }

    /// Program and arguments of a shell or exec form.
    pub(crate) fn argv(&self, command: &Command) -> Vec<String> {
        match command {
            Command::Shell(text) => self.in_shell(&text.text),
            Command::Exec(words) => words.iter().map(|word| word.text.clone()).collect(),
        }
    }

    fn in_shell(&self, script: &str) -> Vec<String> {
        let mut argv = match &self.config.config.shell {
            Some(shell) => shell.clone(),
            None => vec!["/bin/sh".to_owned(), "-c".to_owned()],
        };
        argv.push(script.to_owned());
        argv
    }

    fn run(&mut self, run: &Run, step: &Step) -> (Op, String) {
        let mut script = None;
        let argv = match run.script() {
            dockerfile::Script::Exec(argv) => argv,
            dockerfile::Script::Shell(text) => self.in_shell(&text),
            dockerfile::Script::File(content) => {
                let name = run
                    .heredocs
                    .first()
                    .map_or("script", |heredoc| &heredoc.name);
                let target = format!("{SCRIPTS}/{}", name.replace('/', "_"));
                script = Some(Script {
                    target: target.clone(),
                    content,
                });
                vec![target]
            }
        };
        if argv.is_empty() {
            self.problem("RUN has nothing to execute", step.span);
        }
        let args = self.scope.visible(&self.config.config.env);
        let history = match args.as_slice() {
            [] => format!("RUN {} # buildkit", argv.join(" ")),
            args => {
                let count = args.len();
                format!(
                    "RUN |{count} {} {} # buildkit",
                    args.join(" "),
                    argv.join(" ")
                )
            }
        };
        let mounts = run.mounts.iter();
        let mounts = mounts
            .filter_map(|m| self.mount(&m.value, m.span))
            .collect();
        let op = RunOp {
            argv,
            script,
            proxies: self.proxies(),
            env: self.run_env(args),
            cwd: self.cwd(),
            user: self.config.config.user.clone(),
            network: match run.network.as_ref().map(|network| network.value) {
                None | Some(dockerfile::Network::Default) => self.shared.request.network,
                Some(dockerfile::Network::None) => StepNetwork::None,
                Some(dockerfile::Network::Host) => StepNetwork::Host,
            },
            mounts,
        };
        (Op::Run(Box::new(op)), history)
    }

    fn run_env(&self, mut args: Vec<String>) -> Vec<String> {
        let mut env = self.config.config.env.clone();
        if env_value(&env, "PATH").is_none() {
            env.insert(0, format!("PATH={}", model::image::DEFAULT_PATH));
        }
        env.append(&mut args);
        env
    }

    fn proxies(&self) -> Vec<String> {
        let env = &self.config.config.env;
        let proxies = self.shared.globals.proxies();
        let unset = proxies.filter(|(name, _)| self.scope.lookup(name, env).is_none());
        unset
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    fn cwd(&self) -> String {
        match self.config.config.working_dir.as_str() {
            "" => "/".to_owned(),
            path => path.to_owned(),
        }
    }

    fn mount(&mut self, mount: &dockerfile::Mount, span: Span) -> Option<MountOp> {
        use dockerfile::MountKind;
        let target = mount.target.as_ref().map(|target| self.word(target));
        let kind = match mount.kind {
            // Refused before.
            MountKind::Secret | MountKind::Ssh => return None,
            MountKind::Cache => MountOpKind::Cache {
                id: match &mount.id {
                    Some(id) => self.word(id),
                    None => target.clone().unwrap_or_default(),
                },
                locked: mount.sharing != dockerfile::Sharing::Shared,
                mode: self.number(mount.mode.as_ref(), 8)?.unwrap_or(0o755),
                owner: (
                    self.number(mount.uid.as_ref(), 10)?.unwrap_or(0),
                    self.number(mount.gid.as_ref(), 10)?.unwrap_or(0),
                ),
            },
            MountKind::Tmpfs => MountOpKind::Tmpfs {
                size: self.size(mount.size.as_ref())?,
                mode: self.number(mount.mode.as_ref(), 8)?,
            },
            MountKind::Bind => MountOpKind::Bind {
                origin: self.origin(mount.from.as_ref())?,
                source: mount
                    .source
                    .as_ref()
                    .map_or_else(String::new, |s| self.word(s)),
            },
        };
        let Some(target) = target else {
            self.problem("a mount needs a target", span);
            return None;
        };
        let target = source::destination(&self.cwd(), &target);
        let read_only = mount.read_only.unwrap_or(mount.kind == MountKind::Bind);
        Some(MountOp {
            target: target.trim_end_matches('/').to_owned(),
            read_only,
            kind,
        })
    }

    /// A number of a mount's option; `None` if it is none.
    #[expect(clippy::option_option, reason = "absent is not wrong")]
    fn number(&mut self, word: Option<&Word>, radix: u32) -> Option<Option<u32>> {
        let Some(word) = word else {
            return Some(None);
        };
        let text = self.word(word);
        let number = u32::from_str_radix(&text, radix).ok();
        if number.is_none() {
            self.problem(format!("`{text}` is not a number"), word.span);
        }
        number.map(Some)
    }

    #[expect(clippy::option_option, reason = "absent is not wrong")]
    fn size(&mut self, word: Option<&Word>) -> Option<Option<u64>> {
        let Some(word) = word else {
            return Some(None);
        };
        match model::units::parse_size(&self.word(word)) {
            Ok(size) => Some(Some(size)),
            Err(error) => {
                self.problem(error.to_string(), word.span);
                None
            }
        }
    }

    fn origin(&mut self, from: Option<&Word>) -> Option<crate::plan::Origin> {
        // Whatever is wrong with it was noted when the graph was made.
        self.shared.graph.origin(from, self.index, &mut Vec::new())
    }

    fn copy(&mut self, copy: &Copy) -> Op {
        let Some(origin) = self.origin(copy.from.as_ref()) else {
            return Op::Configure;
        };
        let sources = self.sources(&copy.sources, false);
        Op::Copy(Box::new(CopyOp {
            origin,
            dest: self.dest("COPY", &copy.target, sources.len()),
            sources,
            chown: copy.chown.as_ref().map(|owner| self.word(owner)),
            chmod: self.chmod(copy.chmod.as_ref()),
        }))
    }

    fn add(&mut self, add: &Add) -> Op {
        let sources = self.sources(&add.sources, add.unpack.unwrap_or(true));
        for (source, word) in sources.iter().zip(&add.sources) {
            // Those without variables were refused before.
            if let (SourceOp::Path { text, .. }, Source::Path(word)) = (source, word)
                && refuse::is_remote(text)
            {
                self.problems.push(refuse::remote(word.span));
            }
        }
        Op::Copy(Box::new(CopyOp {
            origin: crate::plan::Origin::Context,
            dest: self.dest("ADD", &add.target, sources.len()),
            sources,
            chown: add.chown.as_ref().map(|owner| self.word(owner)),
            chmod: self.chmod(add.chmod.as_ref()),
        }))
    }

    fn sources(&mut self, sources: &[Source], unpack: bool) -> Vec<SourceOp> {
        let lowered = sources.iter().map(|source| match source {
            Source::Path(word) => SourceOp::Path {
                text: self.word(word),
                unpack,
            },
            Source::Heredoc(heredoc) => {
                let env = &self.config.config.env;
                let lookup = |name: &str| self.scope.lookup(name, env);
                let content = match dockerfile::expand_heredoc(heredoc, &lookup) {
                    Ok(expanded) => expanded.text,
                    Err(problem) => {
                        self.problems.push(problem);
                        String::new()
                    }
                };
                SourceOp::Inline {
                    name: heredoc.name.clone(),
                    content,
                }
            }
        });
        lowered.collect()
    }

    fn dest(&mut self, keyword: &str, target: &Word, sources: usize) -> String {
        let text = self.word(target);
        let dest = source::destination(&self.cwd(), &text);
        if sources > 1 && !dest.ends_with('/') {
            let message =
                format!("{keyword} of several sources needs a directory, which ends with `/`");
            self.problem(message, target.span);
        }
        dest
    }

    fn chmod(&mut self, word: Option<&Word>) -> Option<ModeChange> {
        let word = word?;
        let text = self.word(word);
        let change = ModeChange::parse(&text);
        if change.is_none() {
            self.problem(
                format!("`{text}` is not a change of permissions"),
                word.span,
            );
        }
        change
    }

    fn workdir(&mut self, word: &Word) -> (Op, String) {
        let path = self.word(word);
        let path = source::destination(&self.cwd(), &path);
        let path = match path.trim_end_matches('/') {
            "" => "/".to_owned(),
            path => path.to_owned(),
        };
        self.config.config.working_dir.clone_from(&path);
        let history = format!("WORKDIR {path}");
        (Op::Workdir(path), history)
    }
}
