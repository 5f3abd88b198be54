//! What a variable is worth: build arguments, defaults, `ARG` and `ENV`.
//!
//! Before the first `FROM` there is one scope for all; its `ARG`s serve the `FROM`s, and
//! a stage sees one only after naming it in an `ARG` of its own. Within a stage `ENV`
//! wins over `ARG`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use dockerfile::{Arg, Dockerfile, Word};
use model::Platform;
use text::Diagnostic;
use text::expand::{Expanded, Variable};

use crate::request::BuildRequest;

/// Arguments that need no `ARG` and leave no trace in history or cache.
const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// The arguments of a whole build.
#[derive(Debug)]
pub(crate) struct Globals {
    /// As given with the request; the last one of a name wins.
    given: BTreeMap<String, String>,
    /// Platform arguments and the `ARG`s before the first `FROM`.
    known: BTreeMap<String, Option<String>>,
    escape: char,
    /// Given arguments that something has declared.
    consumed: RefCell<BTreeSet<String>>,
}

impl Globals {
    /// Evaluates what stands before the first `FROM`.
    pub(crate) fn new(
        request: &BuildRequest,
        file: &Dockerfile,
        problems: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut globals = Self {
            given: request.build_args.iter().cloned().collect(),
            known: BTreeMap::new(),
            escape: file.directives.escape,
            consumed: RefCell::default(),
        };
        globals.add_platform("BUILD", &Platform::native());
        globals.add_platform("TARGET", &request.platform);
        globals.known.insert(
            "TARGETSTAGE".into(),
            Some(request.target.clone().unwrap_or("default".into())),
        );
        if let Some(epoch) = request.source_date_epoch {
            globals
                .known
                .insert("SOURCE_DATE_EPOCH".into(), Some(epoch.to_string()));
        }
        for arg in &file.global_args {
            let name = arg.value.name.text.clone();
            let value = globals.declared(&arg.value, &|n| globals.lookup(n), problems);
            globals.known.insert(name, value);
        }
        globals
    }

    fn add_platform(&mut self, prefix: &str, platform: &Platform) {
        let variant = platform.variant.clone().unwrap_or_default();
        let values = [
            ("PLATFORM", platform.to_string()),
            ("OS", platform.os.clone()),
            ("ARCH", platform.architecture.clone()),
            ("VARIANT", variant),
        ];
        for (name, value) in values {
            self.known.insert(format!("{prefix}{name}"), Some(value));
        }
    }

    /// The value of a variable in a `FROM`.
    pub(crate) fn lookup(&self, name: &str) -> Option<String> {
        self.known.get(name).cloned().flatten()
    }

    /// What an `ARG` makes of its name: the given value, else its default, else the
    /// global one.
    fn declared(
        &self,
        arg: &Arg,
        lookup: &dyn Fn(&str) -> Option<String>,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<String> {
        let name = arg.name.as_str();
        if let Some(value) = self.given.get(name) {
            self.consumed.borrow_mut().insert(name.to_owned());
            return Some(value.clone());
        }
        match &arg.default {
            Some(default) => expand(default, self.escape, lookup, problems),
            None => self.lookup(name),
        }
    }

    /// Names that were given and that nothing declared.
    pub(crate) fn unused(&self) -> Vec<String> {
        let consumed = self.consumed.borrow();
        let idle = |name: &&String| !consumed.contains(*name) && !PROXIES.contains(&name.as_str());
        self.given.keys().filter(idle).cloned().collect()
    }

    /// The given proxies.
    pub(crate) fn proxies(&self) -> impl Iterator<Item = (&String, &String)> {
        self.given
            .iter()
            .filter(|(name, _)| PROXIES.contains(&name.as_str()))
    }

    pub(crate) fn escape(&self) -> char {
        self.escape
    }
}

/// The variables of a stage so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    /// Declared with `ARG`, in order.
    args: Vec<(String, Option<String>)>,
}

impl Scope {
    /// Carries out an `ARG` of a stage.
    pub(crate) fn declare(
        &mut self,
        globals: &Globals,
        arg: &Arg,
        env: &[String],
        problems: &mut Vec<Diagnostic>,
    ) {
        let lookup = |name: &str| self.lookup(name, env);
        let value = globals.declared(arg, &lookup, problems);
        let name = arg.name.text.clone();
        self.args.retain(|(known, _)| *known != name);
        self.args.push((name, value));
    }

    /// The value of a variable: of `ENV`, else of `ARG`.
    pub(crate) fn lookup(&self, name: &str, env: &[String]) -> Option<String> {
        if let Some(value) = env_value(env, name) {
            return Some(value.to_owned());
        }
        let found = self.args.iter().find(|(known, _)| known == name);
        found.and_then(|(_, value)| value.clone())
    }

    /// `NAME=value` of the arguments that have a value and that `env` does not override.
    pub(crate) fn visible(&self, env: &[String]) -> Vec<String> {
        let args = self
            .args
            .iter()
            .filter(|(name, _)| env_value(env, name).is_none());
        args.filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)))
            .collect()
    }
}

/// The value of `name` in a list of `NAME=value`.
pub(crate) fn env_value<'a>(env: &'a [String], name: &str) -> Option<&'a str> {
    let mut pairs = env.iter().filter_map(|pair| pair.split_once('='));
    pairs
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

/// Expands one word; what goes wrong is added to `problems`.
pub(crate) fn expand(
    word: &Word,
    escape: char,
    lookup: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<Diagnostic>,
) -> Option<String> {
    match dockerfile::expand_word(word, escape, lookup) {
        Ok(Expanded { text, unset, .. }) => {
            problems.extend(unset.iter().map(|variable| undefined(word, variable)));
            Some(text)
        }
        Err(problem) => {
            problems.push(problem);
            None
        }
    }
}

fn undefined(word: &Word, variable: &Variable) -> Diagnostic {
    let end = variable.offset + 1 + variable.name.len();
    let span = word.locate(variable.offset, end.min(word.text.len()));
    let message = format!(
        "variable `{}` is not set here and stands for nothing",
        variable.name
    );
    Diagnostic::warning(message).at(span)
}
