//! `events`: what has happened, and what happens.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use runtime::journal::{self, Entry, Reader};

use crate::{ContainerRecord, Engine, Result};

/// How often the journal is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Something that happened, in docker's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// RFC 3339 with nanoseconds.
    pub time: String,
    /// `container`, `image`, `volume` or `network`.
    pub kind: String,
    /// E.g. `start`.
    pub action: String,
    /// Id of the container or image, name of the volume or network.
    pub id: String,
    /// Of a container its image, name and labels among others.
    pub attributes: BTreeMap<String, String>,
}

/// Which events are wanted.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    /// RFC 3339 with nanoseconds; only new ones when absent.
    pub since: Option<String>,
    /// RFC 3339 with nanoseconds; without end when absent.
    pub until: Option<String>,
}

impl Engine {
    /// Gives events to `take` as they come, until it or `go_on` says no.
    pub fn events(
        &self,
        query: &EventQuery,
        go_on: &dyn Fn() -> bool,
        take: &mut dyn FnMut(Happening) -> bool,
    ) -> Result<()> {
        let mut reader = Reader::new(&self.settings.run);
        let mut known: HashMap<String, BTreeMap<String, String>> = HashMap::new();
        let begin = query.since.clone().unwrap_or_else(crate::now);
        loop {
            // Looked at first: what happens until then is in the journal then.
            let over = query
                .until
                .as_ref()
                .is_some_and(|until| *until <= crate::now());
            for entry in reader.take() {
                let happening = self.explained(entry, &mut known);
                let early = happening.time < begin;
                let late = query
                    .until
                    .as_ref()
                    .is_some_and(|until| happening.time > *until);
                if !early && !late && !take(happening) {
                    return Ok(());
                }
            }
            if over || !go_on() {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Supervisors know their container's name only; its image and labels are in an
    /// earlier event or in its record.
    fn explained(
        &self,
        entry: Entry,
        known: &mut HashMap<String, BTreeMap<String, String>>,
    ) -> Happening {
        let mut attributes = entry.attributes;
        if entry.kind == "container" {
            if attributes.contains_key("image") {
                let mut lasting = attributes.clone();
                // A later name is in the later event itself.
                lasting.retain(|name, _| name != "oldName");
                known.insert(entry.id.clone(), lasting);
            } else {
                let common = known
                    .entry(entry.id.clone())
                    .or_insert_with(|| self.common(&entry.id));
                for (name, value) in common {
                    attributes
                        .entry(name.clone())
                        .or_insert_with(|| value.clone());
                }
            }
        }
        Happening {
            time: entry.time,
            kind: entry.kind,
            action: entry.action,
            id: entry.id,
            attributes,
        }
    }

    fn common(&self, id: &str) -> BTreeMap<String, String> {
        let record = self.find(id).ok();
        record.as_ref().map(attributes).unwrap_or_default()
    }

    /// Writes down what happened to an image, a volume or a network.
    pub fn note(&self, kind: &str, action: &str, id: &str, name: &str) {
        let entry = Entry::now(kind, action, id).with("name", name);
        journal::append(&self.settings.run, &entry);
    }

    /// Writes down what happened to a container.
    pub(crate) fn note_container(
        &self,
        record: &ContainerRecord,
        action: &str,
        more: &[(&str, &str)],
    ) {
        let mut entry = Entry::now("container", action, record.id.as_str());
        entry.attributes = attributes(record);
        for (name, value) in more {
            entry = entry.with(name, *value);
        }
        journal::append(&self.settings.run, &entry);
    }
}

/// What docker says of a container in each of its events.
fn attributes(record: &ContainerRecord) -> BTreeMap<String, String> {
    let mut attributes = record.config.labels.clone();
    attributes.extend(record.labels.clone());
    attributes.insert("image".into(), record.image.name.clone());
    attributes.insert("name".into(), record.name.clone());
    attributes
}
