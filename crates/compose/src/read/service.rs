//! One service, key by key.

use std::collections::BTreeMap;

use model::{Platform, Reference, RestartPolicy, units};
use text::{Diagnostic, suggest};

use super::Reader;
use crate::at::At;
use crate::normalise::is_remote;
use crate::profiles;
use crate::project::{Build, Condition, Dependency, PullPolicy, Service};
use crate::yaml::{Entry, Map, Node};

impl Reader<'_> {
    /// Reads a service.
    pub(super) fn service(&mut self, entry: &Entry, at: &At<'_>) -> Option<Service> {
        let empty = Map::default();
        let map = match entry.value.is_null() {
            true => &empty,
            false => self.map(&entry.value, at)?,
        };
        // What is switched off may be unfinished: a file that is not there, an image
        // whose tag comes from a variable that is not set.
        let enabled = profiles::switch_on(&self.profiles, profiles::needed(map));
        if enabled {
            self.something_to_run(entry, map);
        }
        Some(Service {
            name: entry.key.clone(),
            span: entry.key_span,
            image: self.image(map, enabled, at),
            build: Self::get(map, "build", at).and_then(|(build, at)| self.build(build, &at)),
            command: self.command_of(map, "command", at),
            entrypoint: self.command_of(map, "entrypoint", at),
            environment: self.environment(map, enabled, at),
            ports: self.ports(map, at),
            expose: self.expose(map, at),
            volumes: self.volumes(map, at),
            tmpfs: self.tmpfs(map, at),
            depends_on: self.depends_on(map, at),
            health: self.health(map, at),
            restart: self.restart(map, at),
            tty: self.boolean_of(map, "tty", at).unwrap_or(false),
            stdin_open: self.boolean_of(map, "stdin_open", at).unwrap_or(false),
            container_name: self.container_name(map, at),
            hostname: self.word_of(map, "hostname", at),
            network: self.service_network(map, at),
            labels: self.labels(map, at),
            user: self.word_of(map, "user", at),
            working_dir: self.word_of(map, "working_dir", at),
            profiles: self.strings_of(map, "profiles", at).unwrap_or_default(),
            stop_signal: self.word_of(map, "stop_signal", at),
            stop_grace_period: self.duration_of(map, "stop_grace_period", at),
            read_only: self.boolean_of(map, "read_only", at).unwrap_or(false),
            init: self.boolean_of(map, "init", at).unwrap_or(false),
            extra_hosts: self.extra_hosts(map, at),
            pull_policy: self.pull_policy(map, at),
            platform: self.platform(map, at),
            limits: self.limits(map, at),
        })
    }

    fn something_to_run(&mut self, entry: &Entry, map: &Map) {
        let name = &entry.key;
        let empty = |node: &Node| node.is_null() || node.as_text() == Some("");
        let says = |key: &str| map.get(key).is_some_and(|node| !empty(node));
        let message = match says("image") || says("build") {
            true => return,
            false if says("provider") => {
                format!("service `{name}` is run by a provider, which is not supported yet")
            }
            false => format!("service `{name}` has neither `image` nor `build`"),
        };
        self.diagnostics
            .push(Diagnostic::error(message).at(entry.key_span));
    }

    fn image(&mut self, map: &Map, check: bool, at: &At<'_>) -> Option<String> {
        let image = self.word_of(map, "image", at)?;
        // A reference or an image's id; whether it exists is for others to find out.
        let id = image.len() == 64 && image.bytes().all(|b| b.is_ascii_hexdigit());
        if check
            && !id
            && let Err(why) = image.parse::<Reference>()
        {
            self.invalid(map.get("image")?, &at.key("image"), why);
        }
        Some(image)
    }

    fn container_name(&mut self, map: &Map, at: &At<'_>) -> Option<String> {
        let name = self.word_of(map, "container_name", at)?;
        let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !first || !super::is_name(&name) || name.len() < 2 {
            let node = map.get("container_name")?;
            let why =
                "names have letters, digits, `.`, `_` and `-`, and begin with a letter or digit";
            self.invalid(
                node,
                &at.key("container_name"),
                format_args!("`{name}`: {why}"),
            );
        }
        Some(name)
    }

    fn build(&mut self, node: &Node, at: &At<'_>) -> Option<Build> {
        let map = self.map(node, at)?;
        let context = self
            .word_of(map, "context", at)
            .unwrap_or_else(|| self.directory.to_string_lossy().into_owned());
        let dockerfile = self.word_of(map, "dockerfile", at);
        let dockerfile_inline = self.string_of(map, "dockerfile_inline", at);
        if let (Some(_), Some(_)) = (&dockerfile, &dockerfile_inline) {
            self.invalid(
                node,
                at,
                "`dockerfile` and `dockerfile_inline` exclude each other",
            );
        }
        let dockerfile = dockerfile.unwrap_or_else(|| "Dockerfile".to_owned());
        let dockerfile = match is_remote(&context) {
            true => dockerfile,
            false => {
                let path = std::path::Path::new(&context).join(dockerfile);
                crate::normalise::clean(&path)
                    .to_string_lossy()
                    .into_owned()
            }
        };
        let mut args = self.table_of(map, "args", at);
        for (name, value) in &mut args {
            if value.is_none() {
                *value = self.environment.get(name);
            }
        }
        let target = self.word_of(map, "target", at);
        Some(Build {
            context,
            dockerfile,
            dockerfile_inline,
            target,
            args,
        })
    }

    fn expose(&mut self, map: &Map, at: &At<'_>) -> Vec<String> {
        let Some((node, at)) = Self::get(map, "expose", at) else {
            return Vec::new();
        };
        let mut ports = Vec::new();
        for (index, item) in self.list(node, &at).iter().enumerate() {
            let at = at.item(index);
            let Some(text) = self.scalar(item, &at) else {
                continue;
            };
            let (port, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
            let number = |text: &str| text.parse::<u16>().is_ok_and(|port| port > 0);
            let fits = match port.split_once('-') {
                Some((first, last)) => number(first) && number(last),
                None => number(port),
            };
            match fits && matches!(protocol, "tcp" | "udp" | "sctp") {
                true => ports.push(format!("{port}/{protocol}")),
                false => self.invalid(item, &at, format_args!("`{text}` is not a port")),
            }
        }
        ports
    }

    fn depends_on(&mut self, map: &Map, at: &At<'_>) -> BTreeMap<String, Dependency> {
        let mut dependencies = BTreeMap::new();
        let Some((node, at)) = Self::get(map, "depends_on", at) else {
            return dependencies;
        };
        let Some(map) = self.map(node, &at) else {
            return dependencies;
        };
        for entry in map.iter() {
            let dependency = self.dependency(&entry.value, &at.key(&entry.key));
            dependencies.insert(entry.key.clone(), dependency);
        }
        dependencies
    }

    fn dependency(&mut self, node: &Node, at: &At<'_>) -> Dependency {
        let mut dependency = Dependency {
            condition: Condition::Started,
            required: true,
            restart: false,
        };
        if node.is_null() {
            return dependency;
        }
        let Some(map) = self.map(node, at) else {
            return dependency;
        };
        dependency.required = self.boolean_of(map, "required", at).unwrap_or(true);
        dependency.restart = self.boolean_of(map, "restart", at).unwrap_or(false);
        if let Some((node, at)) = Self::get(map, "condition", at)
            && let Some(text) = self.string(node, &at)
        {
            let all = [
                Condition::Started,
                Condition::Healthy,
                Condition::CompletedSuccessfully,
            ];
            match all.into_iter().find(|condition| condition.as_str() == text) {
                Some(condition) => dependency.condition = condition,
                None => self.unknown_word(node, &at, &text, &all.map(Condition::as_str)),
            }
        }
        dependency
    }

    fn unknown_word(&mut self, node: &Node, at: &At<'_>, word: &str, known: &[&str]) {
        self.diagnostics.push(
            Diagnostic::error(format!("`{at}`: unknown value `{word}`"))
                .at(node.span)
                .did_you_mean(suggest::nearest(word, known.iter().copied()))
                .hint(format!("it can be {}", known.join(", "))),
        );
    }

    fn restart(&mut self, map: &Map, at: &At<'_>) -> RestartPolicy {
        let Some((node, at)) = Self::get(map, "restart", at) else {
            return RestartPolicy::No;
        };
        // `restart: no` is text in YAML 1.2; `restart: false` is a slip that docker refuses.
        let Some(text) = self.string(node, &at) else {
            return RestartPolicy::No;
        };
        match text.split_once(':').unwrap_or((&text, "")) {
            ("no" | "", "") => RestartPolicy::No,
            ("always", "") => RestartPolicy::Always,
            ("unless-stopped", "") => RestartPolicy::UnlessStopped,
            ("on-failure", "") => RestartPolicy::OnFailure { max_retries: 0 },
            ("on-failure", count) if count.parse::<u32>().is_ok() => RestartPolicy::OnFailure {
                max_retries: count.parse().unwrap_or(0),
            },
            _ => {
                let known = [
                    "no",
                    "always",
                    "unless-stopped",
                    "on-failure",
                    "on-failure:3",
                ];
                self.unknown_word(node, &at, &text, &known);
                RestartPolicy::No
            }
        }
    }

    fn pull_policy(&mut self, map: &Map, at: &At<'_>) -> PullPolicy {
        let Some((node, at)) = Self::get(map, "pull_policy", at) else {
            return PullPolicy::Missing;
        };
        let Some(text) = self.string(node, &at) else {
            return PullPolicy::Missing;
        };
        match text.as_str() {
            "always" => PullPolicy::Always,
            "never" => PullPolicy::Never,
            "missing" | "if_not_present" => PullPolicy::Missing,
            "build" => PullPolicy::Build,
            "daily" | "weekly" => self.refresh(node, &at, &text),
            _ if text
                .strip_prefix("every_")
                .is_some_and(|t| units::parse_duration(t).is_ok()) =>
            {
                self.refresh(node, &at, &text)
            }
            _ => {
                let known = ["always", "never", "missing", "build"];
                self.unknown_word(node, &at, &text, &known);
                PullPolicy::Missing
            }
        }
    }

    fn refresh(&mut self, node: &Node, at: &At<'_>, text: &str) -> PullPolicy {
        self.diagnostics.push(
            Diagnostic::warning(format!(
                "`{at}`: `{text}` is not honoured yet; it means `missing`"
            ))
            .at(node.span),
        );
        PullPolicy::Missing
    }

    fn platform(&mut self, map: &Map, at: &At<'_>) -> Option<Platform> {
        let text = self.word_of(map, "platform", at)?;
        text.parse()
            .map_err(|why| {
                self.invalid(
                    map.get("platform").expect("it was read"),
                    &at.key("platform"),
                    why,
                )
            })
            .ok()
    }
}
