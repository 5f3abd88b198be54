//! The images of a project: pulls side by side, builds one after the other.

use std::path::{Path, PathBuf};

use compose::Build;
use model::event::EventSink;
use model::{Platform, Reference};

use super::{Action, Plan, UpRequest};
use crate::{BuildCommand, DockerfileSource, Engine, Error, Result, threads};

impl Engine {
    /// Carries out the pulls and builds of a plan.
    pub(super) fn project_images(
        &self,
        request: &UpRequest,
        plan: &Plan,
        events: &dyn EventSink,
    ) -> Result<()> {
        let pulls = plan.actions.iter().filter_map(|action| match action {
            Action::Pull { image, platform } => Some((image, platform)),
            _ => None,
        });
        threads::try_each(pulls.collect(), |(image, platform)| {
            let reference: Reference = image.parse()?;
            let platform = platform.clone().unwrap_or_else(Platform::native);
            self.pull(&reference, &platform, events).map(drop)
        })?;
        for action in &plan.actions {
            if let Action::Build { service, tags } = action {
                self.build_service(request, service, tags, events)?;
            }
        }
        Ok(())
    }

    /// Builds the image of one service.
    pub fn build_service(
        &self,
        request: &UpRequest,
        service: &str,
        tags: &[String],
        events: &dyn EventSink,
    ) -> Result<()> {
        let Some(found) = request.project.services.get(service) else {
            return Ok(());
        };
        let Some(build) = &found.build else {
            return Ok(());
        };
        let command = BuildCommand {
            platform: found.platform.clone(),
            ..build_command(build, tags)?
        };
        self.build(&command, events).map(drop)
    }
}

fn build_command(build: &Build, tags: &[String]) -> Result<BuildCommand> {
    if build.context.contains("://") || build.context.starts_with("git@") {
        return Err(Error::invalid(format!(
            "build context {}: only directories work yet",
            build.context
        )));
    }
    let dockerfile = match &build.dockerfile_inline {
        Some(text) => DockerfileSource::Text(text.clone()),
        None => DockerfileSource::File(PathBuf::from(&build.dockerfile)),
    };
    let tags = tags.iter().map(|tag| tag.parse());
    Ok(BuildCommand {
        context: Path::new(&build.context).to_owned(),
        dockerfile,
        target: build.target.clone(),
        args: build
            .args
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.clone()?)))
            .collect(),
        tags: tags.collect::<std::result::Result<_, _>>()?,
        ..BuildCommand::default()
    })
}
