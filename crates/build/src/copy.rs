//! COPY and ADD.

use std::ffi::OsString;
use std::fmt::Write as _;

use crate::archive;
use crate::cache::Snapshot;
use crate::error::{BuildError, Result};
use crate::exec::{Execution, Outcome};
use crate::plan::{CopyOp, Origin, PlannedStep, SourceOp};
use crate::source::{self, Found, SourceError};
use crate::tree::{Dir, Node};
use crate::upper::{Attributes, Upper, WriteError};
use crate::users;

/// What one source turned out to be.
enum Item<'a> {
    Found(Vec<Thing>),
    Inline { name: &'a str, content: &'a str },
}

/// One file or directory of a source.
struct Thing {
    found: Found,
    /// Whether it may be an archive to unpack.
    archive: bool,
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
            chown: copy.chown.is_some(),
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
            Err(SourceError::Sys(error)) => {
                let at = step.at.clone();
                return Err(BuildError::Write {
                    at,
                    source: error.into(),
                });
            }
            Err(SourceError::Pattern(problem)) => return Err(instruction(problem)),
        };
        if found.is_empty() && !source::has_wildcard(text) {
            return Err(self.missing(text, copy, step));
        }
        if found.is_empty() {
            let text = format!("{}: `{text}` matches nothing.", step.at);
            self.events.send(model::Event::Warning { text });
        }
        let things = found.into_iter().map(|found| {
            let archive = match &found.node {
                Node::Leaf(leaf) if unpack => archive::is_one(leaf)?,
                _ => false,
            };
            Ok(Thing { found, archive })
        });
        Ok(Item::Found(things.collect::<sys::Result<_>>()?))
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
                for Thing { found, archive } in found {
                    key = key.text(&hex(&found.name)).debug(archive);
                    self.sums.digest(&found.node, owned, true, key.hash())?;
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
                        let mut target = upper.resolve(copy.dest.as_ref())?;
                        let inside = matches!(target.node, Some(Node::Dir(_)));
                        if inside || copy.dest.ends_with('/') {
                            target.names.push(name.into());
                        }
                        upper.write_file(&target.names, content.as_bytes(), attributes)?;
                    }
                    Item::Found(things) => {
                        for thing in things {
                            self.place(&mut upper, thing, &copy.dest, attributes)?;
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
        thing: &Thing,
        dest: &str,
        attributes: &Attributes,
    ) -> Result<(), WriteError> {
        let found = &thing.found;
        if let (true, Node::Leaf(leaf)) = (thing.archive, &found.node)
            && let Some(tree) = archive::unpack(self.store, leaf)?
        {
            return self.place_tree(upper, tree, dest, attributes);
        }
        let mut target = upper.resolve(dest.as_ref())?;
        if source::goes_inside(&found.node, dest, target.node.as_ref()) {
            target.names.push(found.name.clone());
        }
        upper.copy(&found.node, &target.names, attributes, self.sums)
    }

    /// Copies what was in an archive, whose owners count unless `--chown` is given.
    fn place_tree(
        &self,
        upper: &mut Upper,
        tree: Dir,
        dest: &str,
        attributes: &Attributes,
    ) -> Result<(), WriteError> {
        let tree = Node::Dir(tree);
        // The copy takes only files whose digest was taken.
        self.sums
            .digest(&tree, true, true, &mut sha2::Digest::new())?;
        let names = upper.resolve(dest.as_ref())?.names;
        let attributes = Attributes {
            owner: attributes.owner.filter(|_| attributes.chown),
            xattrs: true,
            ..attributes.clone()
        };
        upper.copy(&tree, &names, &attributes, self.sums)
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
