//! COPY and ADD.

use std::ffi::OsString;
use std::fmt::Write as _;

use crate::cache::Snapshot;
use crate::error::{BuildError, Result};
use crate::exec::{Execution, Outcome};
use crate::plan::{CopyOp, Origin, PlannedStep, SourceOp};
use crate::source::{self, Found, SourceError};
use crate::tree::{Dir, Leaf, Node};
use crate::upper::{Attributes, Upper, WriteError};
use crate::users;

/// What one source turned out to be.
enum Item<'a> {
    Found(Vec<Found>),
    Inline { name: &'a str, content: &'a str },
}

impl Execution<'_> {
    pub(crate) fn copy_step(
        &self,
        copy: &CopyOp,
        step: &PlannedStep,
        snapshot: &Snapshot,
    ) -> Result<Outcome> {
        let lower = self.lower(snapshot)?.tree;
        let attributes = self.attributes(copy, step, lower.as_ref())?;
        let mut key = self
            .key("copy", snapshot)
            .text(&copy.dest)
            .debug(&attributes);
        // Where the sources follow from steps, those steps' keys say it all.
        let by_steps = self.origin_key(&copy.origin)?.map(|origin| {
            let key = key.clone().text("by steps").text(origin.as_str());
            copy.sources
                .iter()
                .fold(key, |key, source| key.debug(source))
                .finish()
        });
        if let Some(by_steps) = &by_steps
            && let Some(outcome) = self.known(by_steps)?
        {
            return Ok(outcome);
        }
        let tree = self.tree(&copy.origin)?;
        let items = copy.sources.iter();
        let items = items.map(|item| self.find(item, copy, step, tree.as_ref()));
        let items = items.collect::<Result<Vec<_>>>()?;
        let owned = copy.origin != Origin::Context;
        for item in &items {
            key = self.digest(item, owned, key.text("source"))?;
        }
        let key = key.finish();
        let mut outcome = match self.known(&key)? {
            Some(outcome) => outcome,
            None => self.write(copy, step, lower, &items, &attributes, key)?,
        };
        if let Some(by_steps) = by_steps {
            crate::cache::put(self.store, &by_steps, &outcome.made)?;
            outcome.key = by_steps;
        }
        Ok(outcome)
    }

    fn attributes(
        &self,
        copy: &CopyOp,
        step: &PlannedStep,
        lower: Option<&Dir>,
    ) -> Result<Attributes> {
        let owner = match &copy.chown {
            Some(text) => Some(users::owner(text, lower).map_err(|unknown| {
                let problem = format!("the image knows no {unknown}");
                let at = step.at.clone();
                BuildError::Instruction { at, problem }
            })?),
            // Who owns the context on this machine is nobody's business.
            None if copy.origin == Origin::Context => Some((0, 0)),
            None => None,
        };
        Ok(Attributes {
            owner,
            mode: copy.chmod.clone(),
            xattrs: copy.origin != Origin::Context,
        })
    }

    fn find<'i>(
        &self,
        item: &'i SourceOp,
        copy: &CopyOp,
        step: &PlannedStep,
        tree: Option<&Dir>,
    ) -> Result<Item<'i>> {
        let (text, unpack) = match item {
            SourceOp::Inline { name, content } => return Ok(Item::Inline { name, content }),
            SourceOp::Path { text, unpack } => (text, *unpack),
        };
        let instruction = |problem: String| BuildError::Instruction {
            at: step.at.clone(),
            problem,
        };
        let found = match tree.map(|tree| source::find(tree, text)).transpose() {
            Ok(found) => found.unwrap_or_default(),
            Err(SourceError::Sys(error)) => return Err(error.into()),
            Err(SourceError::Pattern(problem)) => return Err(instruction(problem)),
        };
        if found.is_empty() && !source::has_wildcard(text) {
            return Err(self.missing(text, copy, step));
        }
        if found.is_empty() {
            let text = format!("{}: `{text}` matches nothing.", step.at);
            self.events.send(model::Event::Warning { text });
        }
        for found in &found {
            if let Node::Leaf(leaf) = &found.node
                && unpack
                && is_archive(leaf)?
            {
                let name = leaf.shown().display();
                let problem = format!("unpacking the archive {name} is not supported yet");
                return Err(instruction(problem));
            }
        }
        Ok(Item::Found(found))
    }

    fn missing(&self, pattern: &str, copy: &CopyOp, step: &PlannedStep) -> BuildError {
        let (place, ignored) = match &copy.origin {
            Origin::Context => {
                let path = self.request.context.display();
                let there = self
                    .context
                    .and_then(|c| source::find(&c.all, pattern).ok());
                let ignored = there.is_some_and(|found| !found.is_empty());
                (format!("the build context {path}"), ignored)
            }
            Origin::Stage(index) => (format!("stage {index}"), false),
            Origin::Image(name) => (format!("image {}", name.reference.familiar()), false),
        };
        BuildError::Missing {
            at: step.at.clone(),
            pattern: pattern.to_owned(),
            place,
            ignored,
        }
    }

    fn digest(
        &self,
        item: &Item<'_>,
        owned: bool,
        mut key: crate::cache::Key,
    ) -> Result<crate::cache::Key> {
        match item {
            Item::Inline { name, content } => Ok(key.text(name).text(content)),
            Item::Found(found) => {
                for Found { name, node } in found {
                    key = key.text(&hex(name));
                    self.sums.digest(node, owned, true, key.hash())?;
                }
                Ok(key)
            }
        }
    }

    fn write(
        &self,
        copy: &CopyOp,
        step: &PlannedStep,
        lower: Option<Dir>,
        items: &[Item<'_>],
        attributes: &Attributes,
        key: model::Digest,
    ) -> Result<Outcome> {
        let scratch = self.store.layers().scratch()?;
        let write = || {
            let mut upper = Upper::new(&scratch.upper(), lower)?;
            for item in items {
                match item {
                    Item::Inline { name, content } => {
                        let dest = format!("{}{name}", copy.dest);
                        let dest = match copy.dest.ends_with('/') {
                            true => &dest,
                            false => &copy.dest,
                        };
                        let names = upper.resolve(dest.as_ref())?.names;
                        upper.write_file(&names, content.as_bytes(), attributes)?;
                    }
                    Item::Found(found) => {
                        for found in found {
                            self.place(&mut upper, found, &copy.dest, attributes)?;
                        }
                    }
                }
            }
            Ok(())
        };
        write().map_err(|source| BuildError::Write {
            at: step.at.clone(),
            source,
        })?;
        self.commit(scratch, key)
    }

    fn place(
        &self,
        upper: &mut Upper,
        found: &Found,
        dest: &str,
        attributes: &Attributes,
    ) -> Result<(), WriteError> {
        let mut target = upper.resolve(dest.as_ref())?;
        if source::goes_inside(&found.node, dest, target.node.as_ref()) {
            target.names.push(found.name.clone());
        }
        upper.copy(&found.node, &target.names, attributes, self.sums)
    }
}

/// Names as text, since a key is made of texts and names need not be.
fn hex(name: &OsString) -> String {
    let mut text = String::new();
    for byte in name.as_encoded_bytes() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Whether ADD would unpack the file: a tar, plain or compressed.
fn is_archive(leaf: &Leaf) -> Result<bool> {
    use std::io::Read;
    const COMPRESSED: [&[u8]; 4] = [b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"];
    if leaf.meta.kind != rustix::fs::FileType::RegularFile {
        return Ok(false);
    }
    let mut head = Vec::new();
    let read = leaf.open()?.take(512).read_to_end(&mut head);
    read.map_err(|e| sys::Error::new("read", leaf.shown().to_string_lossy(), e))?;
    let plain = head.get(257..262) == Some(b"ustar");
    Ok(plain || COMPRESSED.iter().any(|magic| head.starts_with(magic)))
}
