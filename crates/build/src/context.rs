//! The build context: one directory, less what its ignore file leaves out.

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use dockerfile::ignore::Ignore;
use sys::Error;
use text::{Diagnostic, Sources};

use crate::error::{BuildError, Result};
use crate::request::BuildRequest;
use crate::tree::{Dir, Filter, Node, Verdict};

/// A larger ignore file is not one.
const MAX_IGNORE: u64 = 16 << 20;

/// An opened context.
#[derive(Debug)]
pub(crate) struct Context {
    /// What COPY sees.
    pub(crate) tree: Dir,
    /// Everything.
    pub(crate) all: Dir,
}

#[derive(Debug)]
struct Ignored(Ignore);

impl Filter for Ignored {
    fn verdict(&self, path: &Path, is_dir: bool) -> Verdict {
        let path = path.to_string_lossy();
        match (self.0.excludes(&path), is_dir) {
            (false, _) => Verdict::Shown,
            (true, true) if !self.0.prunes(&path) => Verdict::Hollow,
            (true, _) => Verdict::Hidden,
        }
    }
}

impl Context {
    /// Opens the request's context and reads its ignore file.
    pub(crate) fn open(
        request: &BuildRequest,
        sources: &mut Sources,
        problems: &mut Vec<Diagnostic>,
    ) -> Result<Self> {
        let failed = |source| BuildError::Context {
            path: request.context.clone(),
            source,
        };
        let all = Dir::plain(&request.context).map_err(failed)?;
        let (name, text) = match &request.dockerfile.ignore {
            Some(text) => (
                format!("{}.dockerignore", request.dockerfile.name),
                text.clone(),
            ),
            None => (
                ".dockerignore".to_owned(),
                own_ignore(&all).map_err(failed)?,
            ),
        };
        let file = sources.add(name, text.clone());
        let (ignore, mut complaints) = Ignore::parse(file, &text);
        problems.append(&mut complaints);
        let tree = match ignore.is_empty() {
            true => all.clone(),
            false => all.clone().filtered(Arc::new(Ignored(ignore))),
        };
        Ok(Self { tree, all })
    }
}

fn own_ignore(context: &Dir) -> sys::Result<String> {
    let found = context.resolve(OsStr::new(".dockerignore"), true)?;
    let Some(Node::Leaf(leaf)) = found.node else {
        return Ok(String::new());
    };
    let mut bytes = Vec::new();
    let file = leaf.open()?.take(MAX_IGNORE);
    let read = { file }.read_to_end(&mut bytes);
    read.map_err(|e| Error::new("read", leaf.shown().to_string_lossy(), e))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
