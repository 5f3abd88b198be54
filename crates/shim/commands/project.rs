//! What the compose commands share: finding and loading the project.

use std::io::Write;
use std::path::{Path, PathBuf};

use compose::{LoadRequest, Project};
use engine::{ContainerRecord, Engine, LogLine, StoreError};

use crate::cli::ProjectArgs;
use crate::error::{CliError, Kind};
use crate::host::Host;

/// Compose files from the disk.
struct Disk;

impl compose::Files for Disk {
    fn read(&self, path: &Path) -> std::io::Result<String> {
        match path == Path::new("-") {
            true => std::io::read_to_string(std::io::stdin()),
            false => std::fs::read_to_string(path),
        }
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }
}

/// Loads the project that these flags and this directory mean; warnings go to standard
/// error, errors come back with the lines they are about.
pub(crate) fn load(args: &ProjectArgs, host: &Host) -> Result<Project, CliError> {
    load_for(args, host, &[])
}

/// The same for services that were asked for by name, which turns their profiles on.
pub(crate) fn load_for(
    args: &ProjectArgs,
    host: &Host,
    services: &[String],
) -> Result<Project, CliError> {
    load_with(args, host, services, &engine::project::unsupported)
}

/// The same before services are started: what of their limits this machine cannot enforce
/// is said as well.
pub(crate) fn load_to_start(
    args: &ProjectArgs,
    host: &Host,
    services: &[String],
) -> Result<Project, CliError> {
    let asked = host.limits()?;
    load_with(args, host, services, &|project| {
        let mut complaints = engine::project::unsupported(project);
        complaints.extend(engine::unenforceable(project, asked));
        complaints
    })
}

fn load_with(
    args: &ProjectArgs,
    host: &Host,
    services: &[String],
    complaints: &dyn Fn(&Project) -> Vec<text::Diagnostic>,
) -> Result<Project, CliError> {
    let mut request = request(args, host)?;
    request.services = services.to_vec();
    let mut loaded = compose::load(&request, &Disk);
    if let Some(project) = &loaded.project {
        loaded.diagnostics.extend(complaints(project));
    }
    let rendered = text::render(&loaded.sources, &loaded.diagnostics, host.color());
    let fatal = loaded.diagnostics.iter().any(text::Diagnostic::is_error);
    match loaded.project.filter(|_| !fatal) {
        Some(project) => {
            if !rendered.is_empty() {
                super::status(rendered.trim_end());
            }
            Ok(project)
        }
        None => Err(CliError::rendered(rendered)),
    }
}

fn request(args: &ProjectArgs, host: &Host) -> Result<LoadRequest, CliError> {
    let variable = |name: &str| host.environment.get(name).filter(|v| !v.is_empty());
    let mut files: Vec<PathBuf> = args.files.iter().map(|file| host.cwd.join(file)).collect();
    if files.is_empty() {
        let listed = variable("COMPOSE_FILE")
            .map(String::as_str)
            .unwrap_or_default();
        files.extend(
            listed
                .split(':')
                .filter(|f| !f.is_empty())
                .map(|f| host.cwd.join(f)),
        );
    }
    if files.is_empty() {
        files = discover(&host.cwd).ok_or_else(|| {
            let message = format!("no compose file in {} or above it", host.cwd.display());
            CliError::new(Kind::Failed, message)
                .hint("write a compose.yaml, or name a file with -f")
        })?;
    }
    let directory = match &args.project_directory {
        Some(directory) => host.cwd.join(directory),
        None => files[0].parent().unwrap_or(&host.cwd).to_owned(),
    };
    let directory = std::fs::canonicalize(&directory).map_err(|error| {
        let message = format!(
            "cannot use project directory {}: {error}",
            directory.display()
        );
        CliError::new(Kind::Failed, message)
    })?;
    Ok(LoadRequest {
        files,
        project_directory: directory,
        project_name: args.project_name.clone(),
        current_directory: host.cwd.clone(),
        services: Vec::new(),
        environment: host.environment.clone(),
        env_files: args
            .env_files
            .iter()
            .map(|file| host.cwd.join(file))
            .collect(),
        profiles: args.profiles.clone(),
    })
}

/// The nearest directory upwards that has a compose file: the file, and its override.
fn discover(cwd: &Path) -> Option<Vec<PathBuf>> {
    cwd.ancestors().find_map(|directory| {
        let names = compose::default_names();
        let name = names
            .into_iter()
            .find(|name| directory.join(name).is_file())?;
        let mut files = vec![directory.join(name)];
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let overrides = ["yaml", "yml"].map(|e| directory.join(format!("{stem}.override.{e}")));
        files.extend(overrides.into_iter().find(|path| path.is_file()));
        Some(files)
    })
}

/// A container by name or id, else the first of a service of this directory's project.
pub(crate) fn find(engine: &Engine, host: &Host, name: &str) -> Result<ContainerRecord, CliError> {
    let error = match engine.find(name) {
        Err(error @ engine::Error::Store(StoreError::NoContainer(_))) => error,
        found => return Ok(found?),
    };
    let Ok(request) = request(&ProjectArgs::default(), host) else {
        return Err(error.into());
    };
    match compose::load(&request, &Disk).project {
        Some(project) if project.services.contains_key(name) => service(engine, &project, name),
        _ => Err(error.into()),
    }
}

/// The first container of a service.
pub(crate) fn service(
    engine: &Engine,
    project: &Project,
    name: &str,
) -> Result<ContainerRecord, CliError> {
    known(project, name)?;
    let observed = engine.observe_project(project)?;
    let found = observed
        .of(name)
        .into_iter()
        .next()
        .map(|c| c.record.clone());
    found.ok_or_else(|| {
        CliError::new(Kind::Failed, format!("service {name} has no container"))
            .hint(format!("start it with `shim up -d {name}`"))
    })
}

/// An error unless the project has this service.
pub(crate) fn known(project: &Project, name: &str) -> Result<(), CliError> {
    if project.services.contains_key(name) || project.disabled.contains_key(name) {
        return Ok(());
    }
    let error = CliError::new(Kind::Failed, format!("no such service: {name}"));
    let names = project.services.keys().map(String::as_str);
    Err(match text::suggest::nearest(name, names) {
        Some(nearest) => error.hint(format!("did you mean `{nearest}`?")),
        None => error,
    })
}

/// Writes one line of a log where its process wrote it; with a prefix for a service,
/// everything to standard output, as docker compose does.
pub(crate) fn write_log(
    line: LogLine,
    timestamps: bool,
    prefix: Option<&str>,
) -> std::io::Result<()> {
    let mut bytes = Vec::with_capacity(line.bytes.len() + 64);
    bytes.extend_from_slice(prefix.unwrap_or_default().as_bytes());
    if timestamps {
        bytes.extend_from_slice(line.time.as_bytes());
        bytes.push(b' ');
    }
    bytes.extend_from_slice(&line.bytes);
    if prefix.is_some() && !bytes.ends_with(b"\n") {
        bytes.push(b'\n');
    }
    match prefix.is_none() && line.stderr {
        true => std::io::stderr().write_all(&bytes),
        false => {
            let mut out = std::io::stdout().lock();
            out.write_all(&bytes)?;
            out.flush()
        }
    }
}
