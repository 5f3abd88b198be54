//! Which profiles are on, and whom they switch on.

use crate::LoadRequest;
use crate::interpolate::Environment;
use crate::yaml::{Map, Node, Value};

/// What was asked for, what `COMPOSE_PROFILES` says, and what services asked for by name
/// need.
pub(crate) fn active(request: &LoadRequest, environment: &Environment, tree: &Node) -> Vec<String> {
    let from_environment = environment.get("COMPOSE_PROFILES").unwrap_or_default();
    let asked = request.profiles.iter().map(String::as_str);
    let services = tree.as_map().and_then(|top| top.get("services")?.as_map());
    let named = request.services.iter();
    let named = named.filter_map(|name| services?.get(name)?.as_map());
    let mut profiles: Vec<String> = asked
        .chain(from_environment.split(','))
        .map(str::trim)
        .chain(named.flat_map(needed))
        .filter(|profile| !profile.is_empty())
        .map(str::to_owned)
        .collect();
    profiles.sort();
    profiles.dedup();
    profiles
}

/// The profiles of a service as it is written, whatever is wrong with them.
pub(crate) fn needed(service: &Map) -> impl Iterator<Item = &str> {
    let profiles = match service.get("profiles").map(|node| &node.value) {
        Some(Value::List(items)) => items.as_slice(),
        _ => &[],
    };
    profiles.iter().filter_map(Node::as_text)
}

/// Whether a service that needs one of these runs; one that needs none always does.
pub(crate) fn switch_on<'p>(active: &[String], needed: impl Iterator<Item = &'p str>) -> bool {
    let mut needed = needed.peekable();
    let everything = active.iter().any(|profile| profile == "*");
    everything || needed.peek().is_none() || needed.any(|one| active.iter().any(|on| on == one))
}
