//! The way from a request to a project, stage by stage.

use text::{Diagnostic, has_errors};

use crate::assemble::{Assembler, Parsed, Scope};
use crate::interpolate::{self, Environment};
use crate::project::Project;
use crate::read::Reader;
use crate::yaml::Node;
use crate::{Files, LoadRequest, Loaded, check, names, profiles};

/// Reads the files of a project.
pub fn load(request: &LoadRequest, files: &dyn Files) -> Loaded {
    let mut assembler = Assembler::new(request, files);
    let project = project(&mut assembler, request, files);
    let Assembler {
        sources,
        mut diagnostics,
        ..
    } = assembler;
    order(&mut diagnostics);
    let project = project.filter(|_| !has_errors(&diagnostics));
    Loaded {
        project,
        sources,
        diagnostics,
    }
}

/// By place, so that the reader goes through each file once; what has no place first.
fn order(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by_key(|diagnostic| diagnostic.span);
    diagnostics.dedup();
}

fn project(
    assembler: &mut Assembler<'_>,
    request: &LoadRequest,
    files: &dyn Files,
) -> Option<Project> {
    let mut environment = environment(assembler, request);
    let mut parsed = Vec::new();
    for path in &request.files {
        parsed.extend(assembler.parse(path, None));
    }
    if request.files.is_empty() {
        assembler.diagnostics.push(no_file(request));
    }
    if has_errors(&assembler.diagnostics) {
        return None;
    }
    let name = name(assembler, request, &parsed, &environment)?;
    environment.set("COMPOSE_PROJECT_NAME", &name);
    let scope = Scope {
        directory: &request.project_directory,
        environment: &environment,
    };
    let tree = assembler.merge_all(parsed, scope, &[]);
    if assembler.unsound {
        return None;
    }
    let Some(tree) = tree else {
        if !has_errors(&assembler.diagnostics) {
            assembler
                .diagnostics
                .push(Diagnostic::error("the compose file is empty"));
        }
        return None;
    };
    if !says_something(&tree) && !has_errors(&assembler.diagnostics) {
        assembler.diagnostics.push(no_services(&tree));
    }
    let mut reader = Reader {
        directory: &request.project_directory,
        project: &name,
        environment: &environment,
        profiles: profiles::active(request, &environment, &tree),
        files,
        current_directory: &request.current_directory,
        sources: &mut assembler.sources,
        diagnostics: &mut assembler.diagnostics,
    };
    let mut project = reader.project(&tree);
    project.files = assembler.read.clone();
    check::check(&mut project, &tree, &mut assembler.diagnostics);
    Some(project)
}

/// A file that describes nothing at all is a mistake; one with networks alone is not.
fn says_something(tree: &Node) -> bool {
    let described = |key: &str| {
        let section = tree.as_map().and_then(|top| top.get(key));
        section.is_some_and(|section| !section.is_null())
    };
    ["services", "networks", "volumes", "secrets", "configs"]
        .iter()
        .any(|key| described(key))
}

fn no_services(tree: &Node) -> Diagnostic {
    let services = tree.as_map().and_then(|top| top.entry("services"));
    Diagnostic {
        span: services.map(|services| services.key_span),
        ..Diagnostic::error("there are no services")
            .hint("a compose file names them under `services:`")
    }
}

fn no_file(request: &LoadRequest) -> Diagnostic {
    let directory = request.project_directory.display();
    Diagnostic::error(format!("no compose file in {directory} or above"))
        .hint(format!("looked for {}", crate::default_names().join(", ")))
        .hint("name one with `-f`")
}

/// The caller's environment, then the files of variables; of several the later is the
/// stronger.
fn environment(assembler: &mut Assembler<'_>, request: &LoadRequest) -> Environment {
    let mut environment = Environment::new(request.environment.clone());
    let default = request.project_directory.join(".env");
    let paths = match request.env_files.is_empty() {
        true if assembler.exists(&default) => vec![default],
        true => Vec::new(),
        false => request.env_files.clone(),
    };
    let mut variables = crate::dotenv::Variables::new();
    for path in &paths {
        let strong = |name: &str| request.environment.get(name).cloned();
        let read = assembler.variables(path, None, &strong, &|name| variables.get(name).cloned());
        variables.extend(read);
    }
    environment.add_weaker(variables);
    environment
}

fn name(
    assembler: &mut Assembler<'_>,
    request: &LoadRequest,
    parsed: &[Parsed],
    environment: &Environment,
) -> Option<String> {
    let asked = request.project_name.clone();
    let asked = asked.or_else(|| environment.get("COMPOSE_PROJECT_NAME"));
    if let Some(name) = asked.filter(|name| !name.is_empty()) {
        if !names::is_project(&name) {
            assembler.diagnostics.push(bad_name(&name));
            return None;
        }
        return Some(name);
    }
    if let Some(node) = parsed.iter().rev().find_map(Parsed::name) {
        return name_in_file(assembler, node, environment);
    }
    let name = names::of_directory(&request.project_directory);
    if name.is_none() {
        let directory = request.project_directory.display();
        assembler.diagnostics.push(
            Diagnostic::error(format!("the directory {directory} gives no project name"))
                .hint("choose one with `-p`, or with `name:` at the top of the file"),
        );
    }
    name
}

fn name_in_file(
    assembler: &mut Assembler<'_>,
    node: &Node,
    environment: &Environment,
) -> Option<String> {
    let mut node = node.clone();
    let before = assembler.diagnostics.len();
    let Assembler {
        sources,
        diagnostics,
        ..
    } = assembler;
    interpolate::interpolate(&mut node, environment, sources, diagnostics);
    if has_errors(&assembler.diagnostics[before..]) {
        return None;
    }
    match node.as_text() {
        Some(name) if names::is_project(name) => Some(name.to_owned()),
        Some(name) => {
            assembler.diagnostics.push(bad_name(name).at(node.span));
            None
        }
        None => {
            let message = format!("`name` must be a string, but is {}", node.kind());
            assembler
                .diagnostics
                .push(Diagnostic::error(message).at(node.span));
            None
        }
    }
}

fn bad_name(name: &str) -> Diagnostic {
    Diagnostic::error(format!("`{name}` cannot be a project name")).hint(
        "project names have lower-case letters, digits, `-` and `_`, and begin with a \
         letter or digit",
    )
}

/// [`Files`] from memory, for tests.
#[cfg(test)]
pub(crate) struct Memory(pub(crate) std::collections::BTreeMap<std::path::PathBuf, String>);

#[cfg(test)]
impl Files for Memory {
    fn read(&self, path: &std::path::Path) -> std::io::Result<String> {
        self.0
            .get(path)
            .cloned()
            .ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }

    fn exists(&self, path: &std::path::Path) -> bool {
        self.0.contains_key(path)
    }
}

#[cfg(test)]
pub(crate) mod tests;
