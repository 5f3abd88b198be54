//! A compose file of a stranger's: it loads or is complained about, and what loads is
//! written out so that it loads again as the same.
#![no_main]

use std::io;
use std::path::{Path, PathBuf};

use compose::{Files, LoadRequest, Loaded};
use libfuzzer_sys::fuzz_target;

/// Every file has the same text, so `include`, `extends` and `env_file` are followed too.
struct Same<'t>(&'t str);

impl Files for Same<'_> {
    fn read(&self, path: &Path) -> io::Result<String> {
        match path.extension() {
            Some(_) => Ok(self.0.to_owned()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn exists(&self, _: &Path) -> bool {
        false
    }
}

fn load(text: &str) -> Loaded {
    let request = LoadRequest {
        files: vec![PathBuf::from("/p/compose.yaml")],
        project_directory: "/p".into(),
        ..LoadRequest::default()
    };
    compose::load(&request, &Same(text))
}

fuzz_target!(|text: &str| {
    let loaded = load(text);
    let _ = text::render(&loaded.sources, &loaded.diagnostics, false);
    if let Some(project) = loaded.project {
        let written = compose::to_yaml(&project);
        let again = load(&written).project.expect("what was written loads");
        assert_eq!(compose::to_yaml(&again), written);
    }
});
