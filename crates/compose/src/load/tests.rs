//! Whole loads, from files in memory.

mod references;
mod seed;
mod several;
mod values;

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;

/// A load in the making: files, environment, flags.
#[must_use]
pub(crate) struct Case {
    files: BTreeMap<PathBuf, String>,
    request: LoadRequest,
}

/// One compose file in `/srv/app`.
pub(crate) fn case(text: &str) -> Case {
    Case::new().file("/srv/app/compose.yaml", text)
}

impl Case {
    pub(crate) fn new() -> Self {
        let request = LoadRequest {
            project_directory: "/srv/app".into(),
            current_directory: "/srv/app".into(),
            ..LoadRequest::default()
        };
        Self {
            files: BTreeMap::new(),
            request,
        }
    }

    /// A compose file that is asked for.
    pub(crate) fn file(mut self, path: &str, text: &str) -> Self {
        self.request.files.push(path.into());
        self.beside(path, text)
    }

    /// A file that is only there.
    pub(crate) fn beside(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.into(), text.to_owned());
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.request.environment.insert(name.into(), value.into());
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut LoadRequest)) -> Self {
        change(&mut self.request);
        self
    }

    pub(crate) fn load(self) -> Loaded {
        load(&self.request, &Memory(self.files))
    }

    /// The complaints as a user sees them.
    pub(crate) fn complaints(self) -> String {
        let loaded = self.load();
        assert_eq!(loaded.project.is_none(), has_errors(&loaded.diagnostics));
        text::render(&loaded.sources, &loaded.diagnostics, false)
    }

    /// The project; complaints of any kind are a failure.
    #[track_caller]
    pub(crate) fn load_ok(self) -> Project {
        let loaded = self.load();
        let complaints = text::render(&loaded.sources, &loaded.diagnostics, false);
        assert_eq!(complaints, "");
        loaded
            .project
            .expect("no complaints, so there is a project")
    }

    /// The project, whatever the warnings.
    #[track_caller]
    pub(crate) fn project(self) -> Project {
        let loaded = self.load();
        let complaints = text::render(&loaded.sources, &loaded.diagnostics, false);
        loaded.project.unwrap_or_else(|| panic!("{complaints}"))
    }
}
