//! What a Dockerfile says.

use text::Span;

use crate::Word;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where.
    pub span: Span,
}

/// A whole Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// The `# key=value` lines at its head.
    pub directives: Directives,
    /// `ARG`s before the first `FROM`: known to every `FROM`, and inside a stage once an
    /// `ARG` there names them again.
    pub global_args: Vec<Spanned<Arg>>,
    /// In the order of the file.
    pub stages: Vec<Stage>,
}

/// Parser directives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    /// `# syntax=`: which frontend BuildKit would load. Of no effect here.
    pub syntax: Option<Word>,
    /// `# escape=`: `\` or `` ` ``.
    pub escape: char,
    /// `# check=`: which of BuildKit's checks are skipped. Of no effect here.
    pub check: Option<Word>,
}

/// A `FROM` and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// `AS name`, lower-cased; its span is the name as written.
    pub name: Option<Word>,
    /// The image, an earlier stage's name, or `scratch`; may hold variables.
    pub base: Word,
    /// `--platform`.
    pub platform: Option<Word>,
    /// The `FROM` instruction.
    pub span: Span,
    /// The `FROM` instruction in one line.
    pub text: String,
    /// What follows.
    pub steps: Vec<Step>,
}

/// One instruction of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it says.
    pub instruction: Instruction,
    /// All its lines, here-documents included.
    pub span: Span,
    /// In one line as written, without here-documents: for progress and history.
    pub text: String,
}

/// An instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// `RUN`
    Run(Run),
    /// `CMD`
    Cmd(Command),
    /// `ENTRYPOINT`
    Entrypoint(Command),
    /// `LABEL`
    Label(Vec<Pair>),
    /// `MAINTAINER`
    Maintainer(Word),
    /// `EXPOSE`: each word may expand to several, see [`crate::expand_words`].
    Expose(Vec<Word>),
    /// `ENV`
    Env(Vec<Pair>),
    /// `ADD`
    Add(Add),
    /// `COPY`
    Copy(Copy),
    /// `VOLUME`
    Volume(Vec<Word>),
    /// `USER`
    User(Word),
    /// `WORKDIR`
    Workdir(Word),
    /// `ARG`
    Arg(Vec<Arg>),
    /// `ONBUILD`
    OnBuild(OnBuild),
    /// `STOPSIGNAL`
    StopSignal(Word),
    /// `HEALTHCHECK`
    HealthCheck(HealthCheck),
    /// `SHELL`
    Shell(Vec<Word>),
}

impl Instruction {
    /// Its keyword, in capitals.
    pub fn keyword(&self) -> &'static str {
        match self {
            Self::Run(_) => "RUN",
            Self::Cmd(_) => "CMD",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Label(_) => "LABEL",
            Self::Maintainer(_) => "MAINTAINER",
            Self::Expose(_) => "EXPOSE",
            Self::Env(_) => "ENV",
            Self::Add(_) => "ADD",
            Self::Copy(_) => "COPY",
            Self::Volume(_) => "VOLUME",
            Self::User(_) => "USER",
            Self::Workdir(_) => "WORKDIR",
            Self::Arg(_) => "ARG",
            Self::OnBuild(_) => "ONBUILD",
            Self::StopSignal(_) => "STOPSIGNAL",
            Self::HealthCheck(_) => "HEALTHCHECK",
            Self::Shell(_) => "SHELL",
        }
    }
}

/// What `RUN`, `CMD`, `ENTRYPOINT` and `HEALTHCHECK` execute. Never expanded by the
/// builder: the shell of the image does that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A text for the image's shell.
    Shell(Word),
    /// A JSON list: program and arguments. May be empty for `CMD` and `ENTRYPOINT`.
    Exec(Vec<Word>),
}

/// `key=value`. Both are expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Before the first `=`.
    pub key: Word,
    /// After it.
    pub value: Word,
}

/// `ARG name` or `ARG name=default`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arg {
    /// The variable.
    pub name: Word,
    /// Its value unless the command line gives one.
    pub default: Option<Word>,
}

/// A here-document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// Its delimiter without quotes: also the name of the file that `COPY` makes of it.
    pub name: String,
    /// Its lines with their line breaks; leading tabs are removed already for `<<-`.
    pub text: Word,
    /// Whether variables are expanded: no part of the delimiter was quoted.
    pub expand: bool,
    /// Whether it was written `<<-`.
    pub strip_tabs: bool,
    /// The `<<EOF`.
    pub span: Span,
}

/// `RUN`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// `--mount`
    pub mounts: Vec<Spanned<Mount>>,
    /// `--network`
    pub network: Option<Spanned<Network>>,
    /// `--security`
    pub security: Option<Spanned<Security>>,
    /// `--device`
    pub devices: Vec<Word>,
    /// What is executed.
    pub command: Command,
    /// Here-documents of the command's text, in order.
    pub heredocs: Vec<Heredoc>,
}

/// What a `RUN` comes to, once its here-documents have found their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Script {
    /// Program and arguments.
    Exec(Vec<String>),
    /// A text for the image's shell.
    Shell(String),
    /// A file to be made executable and run: it begins with `#!`.
    File(String),
}

impl Run {
    /// What is to be executed. A here-document alone is itself the script; beside other
    /// words it goes to the shell as it stands.
    pub fn script(&self) -> Script {
        let line = match &self.command {
            Command::Exec(argv) => {
                return Script::Exec(argv.iter().map(|word| word.text.clone()).collect());
            }
            Command::Shell(line) => line,
        };
        match self.heredocs.as_slice() {
            [] => Script::Shell(line.text.clone()),
            [only] if line.span == only.span && only.text.text.starts_with("#!") => {
                Script::File(only.text.text.clone())
            }
            [only] if line.span == only.span => Script::Shell(only.text.text.clone()),
            several => {
                let mut script = line.text.clone();
                for heredoc in several {
                    script.push('\n');
                    script.push_str(&heredoc.text.text);
                    script.push_str(&heredoc.name);
                }
                Script::Shell(script)
            }
        }
    }
}

/// `--mount` of a `RUN`. Words may hold variables; without variables their form has been
/// checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `type`
    pub kind: MountKind,
    /// `target`, `dst` or `destination`
    pub target: Option<Word>,
    /// `source` or `src`
    pub source: Option<Word>,
    /// `from`: a stage, image or context
    pub from: Option<Word>,
    /// `id`
    pub id: Option<Word>,
    /// `ro`, `readonly`, or the negation of `rw`
    pub read_only: Option<bool>,
    /// `required`
    pub required: bool,
    /// `sharing`
    pub sharing: Sharing,
    /// `size` in bytes with an optional unit
    pub size: Option<Word>,
    /// `mode`, octal
    pub mode: Option<Word>,
    /// `uid`
    pub uid: Option<Word>,
    /// `gid`
    pub gid: Option<Word>,
    /// `env`: the secret as a variable
    pub env: Option<Word>,
}

/// `type` of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountKind {
    /// From the context, a stage or an image; read-only unless said otherwise.
    Bind,
    /// A directory that outlives the build.
    Cache,
    /// Memory.
    Tmpfs,
    /// A secret's file.
    Secret,
    /// An ssh agent's socket.
    Ssh,
}

/// `sharing` of a cache mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Several at once.
    #[default]
    Shared,
    /// A copy for each when several want it.
    Private,
    /// One after the other.
    Locked,
}

/// `RUN --network`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The build's own.
    Default,
    /// Loopback only.
    None,
    /// The host's.
    Host,
}

/// `RUN --security`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Confined.
    Sandbox,
    /// Not.
    Insecure,
}

/// What `COPY` and `ADD` copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A path, pattern, or for `ADD` an address.
    Path(Word),
    /// A file given in the Dockerfile.
    Heredoc(Heredoc),
}

/// `COPY`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// At least one.
    pub sources: Vec<Source>,
    /// Where to. With a trailing slash it is a directory.
    pub target: Word,
    /// `--from`: a stage, its number, an image or a context.
    pub from: Option<Word>,
    /// `--chown`
    pub chown: Option<Word>,
    /// `--chmod`
    pub chmod: Option<Word>,
    /// `--link`
    pub link: bool,
    /// `--parents`
    pub parents: bool,
    /// `--exclude`
    pub exclude: Vec<Word>,
}

/// `ADD`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Add {
    /// At least one.
    pub sources: Vec<Source>,
    /// Where to. With a trailing slash it is a directory.
    pub target: Word,
    /// `--chown`
    pub chown: Option<Word>,
    /// `--chmod`
    pub chmod: Option<Word>,
    /// `--link`
    pub link: bool,
    /// `--keep-git-dir`
    pub keep_git_dir: bool,
    /// `--checksum`
    pub checksum: Option<Word>,
    /// `--unpack`; absent: as the source suggests.
    pub unpack: Option<bool>,
    /// `--exclude`
    pub exclude: Vec<Word>,
}

/// `ONBUILD`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnBuild {
    /// What the instruction would be.
    pub trigger: Box<Instruction>,
    /// As the image's configuration keeps it; [`crate::parse_trigger`] reads it again.
    pub expression: String,
}

/// `HEALTHCHECK`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthCheck {
    /// `NONE`: the base's check is off.
    None,
    /// `CMD`
    Probe(Box<Probe>),
}

/// `HEALTHCHECK CMD`. Durations are as written, in Go's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// What is executed.
    pub command: Command,
    /// `--interval`
    pub interval: Option<Word>,
    /// `--timeout`
    pub timeout: Option<Word>,
    /// `--start-period`
    pub start_period: Option<Word>,
    /// `--start-interval`
    pub start_interval: Option<Word>,
    /// `--retries`
    pub retries: Option<u32>,
}
