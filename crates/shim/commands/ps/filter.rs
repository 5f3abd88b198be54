//! Docker's filters of `ps`. Several values of one key are alternatives, but of labels all
//! must fit; several keys must all fit.

use std::collections::BTreeMap;

use engine::{ContainerView, Engine, Liveness};

use crate::error::CliError;
use crate::view;

const KEYS: [&str; 14] = [
    "ancestor", "before", "exited", "expose", "health", "id", "label", "name", "network",
    "publish", "since", "status", "volume", "is-task",
];
const STATES: [&str; 7] = [
    "created",
    "dead",
    "exited",
    "paused",
    "removing",
    "restarting",
    "running",
];

/// What `--filter` asks for.
#[derive(Debug, Default)]
pub(super) struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// Reads `KEY=VALUE`s.
    pub(super) fn parse(texts: &[String]) -> Result<Self, CliError> {
        let mut filters: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for text in texts {
            let wrong = |why: &str| CliError::usage(format!("invalid filter `{text}`")).hint(why);
            let (key, value) = text
                .split_once('=')
                .ok_or_else(|| wrong("want KEY=VALUE"))?;
            match key {
                "is-task" => return Err(wrong("there are no swarm tasks here")),
                "exited" if value.parse::<i32>().is_err() => return Err(wrong("want a number")),
                "status" if !STATES.contains(&value) => return Err(wrong(&one_of(&STATES))),
                "health" if !HEALTH.contains(&value) => return Err(wrong(&one_of(&HEALTH))),
                "publish" | "expose" if Ports::parse(value).is_none() => {
                    return Err(wrong("want PORT[-PORT][/PROTOCOL]"));
                }
                key if KEYS.contains(&key) => {}
                _ => return Err(wrong(&one_of(&KEYS[..13]))),
            }
            filters
                .entry(key.to_owned())
                .or_default()
                .push(value.to_owned());
        }
        Ok(Self(filters))
    }

    /// Whether it asks for containers that do not run.
    pub(super) fn want_all(&self) -> bool {
        self.0.contains_key("status") || self.0.contains_key("exited")
    }

    /// Those of the containers, which are sorted youngest first, that fit.
    pub(super) fn apply<'v>(
        &self,
        engine: &Engine,
        list: &'v [ContainerView],
    ) -> Result<Vec<&'v ContainerView>, CliError> {
        let mut fitting: Vec<&ContainerView> = list.iter().collect();
        for (key, values) in &self.0 {
            match key.as_str() {
                "label" => fitting.retain(|c| values.iter().all(|value| has_label(c, value))),
                "before" | "since" => {
                    for value in values {
                        let than = engine.find(value)?.created;
                        fitting.retain(|c| match key.as_str() {
                            "before" => c.record.created < than,
                            _ => c.record.created > than,
                        });
                    }
                }
                "ancestor" => {
                    let wanted = ancestors(engine, values)?;
                    fitting.retain(|c| {
                        let by_layers = |w: &Vec<model::Digest>| {
                            !w.is_empty() && c.record.layers.starts_with(w)
                        };
                        values.contains(&c.record.image.name) || wanted.iter().any(by_layers)
                    });
                }
                key => fitting.retain(|c| values.iter().any(|value| fits(c, key, value))),
            }
        }
        Ok(fitting)
    }
}

const HEALTH: [&str; 4] = ["starting", "healthy", "unhealthy", "none"];

fn one_of(words: &[&str]) -> String {
    format!("want one of {}", words.join(", "))
}

fn has_label(container: &ContainerView, text: &str) -> bool {
    let record = &container.record;
    let (name, wanted) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    let value = record
        .labels
        .get(name)
        .or_else(|| record.config.labels.get(name));
    value.is_some_and(|had| wanted.is_none_or(|w| w == had))
}

/// The layers of the images of these names: those of a descendant begin with them.
fn ancestors(engine: &Engine, names: &[String]) -> Result<Vec<Vec<model::Digest>>, CliError> {
    let mut found = Vec::new();
    for name in names {
        match engine.store().images().resolve(name) {
            Ok((image, _)) => found.push(image.layers),
            Err(engine::StoreError::NoImage(_)) => {}
            Err(error) => return Err(engine::Error::from(error).into()),
        }
    }
    Ok(found)
}

fn fits(container: &ContainerView, key: &str, value: &str) -> bool {
    let (record, plan) = (&container.record, &container.plan);
    match key {
        "id" => record.id.as_str().starts_with(value),
        "name" => name_fits(&record.name, value),
        "status" => container.observed.status() == value,
        "exited" => match &container.observed {
            Liveness::Exited(exit) => {
                container.observed.status() == "exited" && value.parse() == Ok(exit.code)
            }
            _ => false,
        },
        "health" => health(container) == value,
        "network" => view::networks(plan).iter().any(|name| name == value),
        "volume" => {
            let target = |m: &model::MountPlan| m.target.trim_end_matches('/') == value;
            view::mounts(plan).iter().any(|name| name == value) || plan.mounts.iter().any(target)
        }
        "publish" => Ports::parse(value).is_some_and(|wanted| {
            let published = match &plan.network {
                model::NetworkMode::Gateway(network) => network.published.as_slice(),
                _ => &[],
            };
            // Docker looks at the host's port or the container's, whichever was given.
            published.iter().any(|p| {
                let ports = [Some(p.container_port), p.host_port];
                let mut ports = ports.into_iter().flatten();
                ports.any(|port| wanted.has(port, p.transport.as_str()))
            })
        }),
        _ => Ports::parse(value).is_some_and(|wanted| {
            let mut exposed = record.config.exposed_ports.keys();
            exposed.any(|port| match port.split_once('/') {
                Some((port, transport)) => {
                    port.parse().is_ok_and(|port| wanted.has(port, transport))
                }
                None => false,
            })
        }),
    }
}

fn health(container: &ContainerView) -> &'static str {
    match &container.observed {
        Liveness::Running(state) => state.health.as_ref().map_or("none", |h| h.status.as_str()),
        _ => "none",
    }
}

/// Part of a name; `^` and `$`, which docker's expressions are mostly used for, hold on to
/// its ends. The name may be written with docker's slash before it.
fn name_fits(name: &str, wanted: &str) -> bool {
    let (wanted, from_start) = match wanted.strip_prefix('^') {
        Some(rest) => (rest, true),
        None => (wanted, false),
    };
    let (wanted, to_end) = match wanted.strip_suffix('$') {
        Some(rest) => (rest, true),
        None => (wanted, false),
    };
    let wanted = wanted.strip_prefix('/').unwrap_or(wanted);
    match (from_start, to_end) {
        (true, true) => name == wanted,
        (true, false) => name.starts_with(wanted),
        (false, true) => name.ends_with(wanted),
        (false, false) => name.contains(wanted),
    }
}

/// A port or a range of them.
struct Ports {
    first: u16,
    last: u16,
    transport: String,
}

impl Ports {
    fn parse(text: &str) -> Option<Self> {
        let (range, transport) = text.split_once('/').unwrap_or((text, "tcp"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(Self {
            first: first.parse().ok()?,
            last: last.parse().ok()?,
            transport: transport.to_owned(),
        })
    }

    fn has(&self, port: u16, transport: &str) -> bool {
        (self.first..=self.last).contains(&port) && self.transport == transport
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_in_part() {
        for (wanted, fits) in [
            ("web", true),
            ("^web", false),
            ("^app-web", true),
            ("web-1$", true),
            ("^/app-web-1$", true),
            ("^web-1$", false),
            ("db", false),
        ] {
            assert_eq!(name_fits("app-web-1", wanted), fits, "{wanted}");
        }
    }

    #[test]
    fn what_no_filter_takes_is_an_error() {
        for bad in [
            "x",
            "colour=red",
            "exited=x",
            "status=up",
            "health=ill",
            "publish=x",
            "is-task=1",
        ] {
            assert!(Filters::parse(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
