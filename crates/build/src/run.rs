//! RUN.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};

use model::container::MountOptions;
use model::event::Event;
use model::{MountKind, MountPlan};
use store::layers::Scratch;
use sys::Error;

use crate::cache::Snapshot;
use crate::error::{BuildError, Result};
use crate::exec::{Execution, Outcome};
use crate::plan::{MountOp, MountOpKind, Origin, PlannedStep, RunOp};
use crate::source::{self, SourceError};
use crate::step::RunStep;
use crate::stubs::Stubs;
use crate::tree::{Dir, Node};
use crate::upper::{Attributes, Upper};

/// Lines of output that an error shows.
const TAIL: usize = 20;

/// A longer line is cut there, so that a program cannot fill our memory.
const LINE: usize = 4096;

/// What a step has mounted, and what keeps it valid.
#[derive(Default)]
struct Mounts {
    plans: Vec<MountPlan>,
    /// Locks of cache mounts, held while the step runs.
    locks: Vec<File>,
}

impl Execution<'_> {
    pub(crate) fn run_step(
        &self,
        run: &RunOp,
        step: &PlannedStep,
        snapshot: &Snapshot,
    ) -> Result<Outcome> {
        let mut key = self
            .key("run", snapshot)
            .list(&run.argv)
            .list(&run.env)
            .text(&run.cwd)
            .text(&run.user)
            .debug(&run.network)
            .debug(&self.request.extra_hosts)
            .debug(&run.script);
        for mount in &run.mounts {
            key = self.mount_key(mount, step, key.debug(mount))?;
        }
        let key = key.finish();
        if let Some(outcome) = self.known(&key)? {
            return Ok(outcome);
        }
        let scratch = self.store.layers().scratch()?;
        self.execute(run, step, snapshot, &scratch)?;
        self.commit(scratch, key)
    }

    fn execute(
        &self,
        run: &RunOp,
        step: &PlannedStep,
        snapshot: &Snapshot,
        scratch: &Scratch,
    ) -> Result<()> {
        let mut lower = self.lower(snapshot)?;
        let Some(tree) = lower.tree.take() else {
            return Err(BuildError::Instruction {
                at: step.at.clone(),
                problem: "an empty image has nothing to execute".into(),
            });
        };
        // Overlay shows the upper directory's own attributes as those of the root.
        Upper::new(&scratch.upper(), Some(tree.clone())).map_err(|source| BuildError::Write {
            at: step.at.clone(),
            source,
        })?;
        let mounts = self.mounts(run, step, scratch.dir())?;
        let stubs = Stubs::of(&tree, mounts.plans.iter().map(|m| m.target.as_str()))?;
        let request = RunStep {
            layers: lower.paths,
            upper: scratch.upper(),
            work: scratch.work(),
            argv: run.argv.clone(),
            env: run.env.iter().chain(&run.proxies).cloned().collect(),
            cwd: run.cwd.clone(),
            user: run.user.clone(),
            network: run.network,
            mounts: mounts.plans,
            extra_hosts: self.request.extra_hosts.clone(),
        };
        let mut tail = Tail::default();
        let permit = self.board.permit();
        let code = self.runner.run(&request, &mut |bytes| {
            tail.push(bytes);
            self.output(step, bytes);
        });
        drop((permit, mounts.locks));
        match code {
            Ok(0) => Ok(stubs.remove(&scratch.upper(), &tree)?),
            Ok(code) => Err(BuildError::Exit {
                at: step.at.clone(),
                code,
                output: tail.finish(),
            }),
            Err(source) => Err(BuildError::Step {
                at: step.at.clone(),
                source,
            }),
        }
    }

    fn output(&self, step: &PlannedStep, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes).into_owned();
        if let Some(id) = step.label.clone() {
            self.events.send(Event::Output { id, text });
        }
    }

    /// Adds what a bind shows to a key; the other mounts are no input.
    fn mount_key(
        &self,
        mount: &MountOp,
        step: &PlannedStep,
        mut key: crate::cache::Key,
    ) -> Result<crate::cache::Key> {
        let MountOpKind::Bind { origin, source } = &mount.kind else {
            return Ok(key);
        };
        match self.origin_key(origin)? {
            Some(origin) => Ok(key.text(origin.as_str())),
            None => {
                let node = self.bound(origin, source, step)?;
                self.sums.digest(&node, false, true, key.hash())?;
                Ok(key)
            }
        }
    }

    fn bound(&self, origin: &Origin, source: &str, step: &PlannedStep) -> Result<Node> {
        let missing = || BuildError::Instruction {
            at: step.at.clone(),
            problem: format!("there is no `{source}` to mount"),
        };
        let tree = self.tree(origin)?.ok_or_else(missing)?;
        match source::find(&tree, source) {
            Ok(mut found) => found.pop().map(|found| found.node).ok_or_else(missing),
            Err(SourceError::Sys(error)) => Err(error.into()),
            Err(SourceError::Pattern(_)) => Err(missing()),
        }
    }

    fn mounts(&self, run: &RunOp, step: &PlannedStep, dir: &Path) -> Result<Mounts> {
        let mut mounts = Mounts::default();
        let mut locked_dirs = BTreeSet::new();
        if let Some(script) = &run.script {
            let source = dir.join("script");
            let failed = |e| Error::new("write", source.to_string_lossy(), e);
            std::fs::write(&source, &script.content).map_err(failed)?;
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&source, mode).map_err(failed)?;
            mounts.plans.push(MountPlan {
                target: script.target.clone(),
                kind: MountKind::Bind { source },
                read_only: true,
                options: MountOptions::default(),
            });
        }
        for (number, mount) in run.mounts.iter().enumerate() {
            let kind = match &mount.kind {
                MountOpKind::Tmpfs { size, mode } => MountKind::Tmpfs {
                    size: *size,
                    mode: *mode,
                },
                MountOpKind::Cache {
                    id,
                    locked,
                    mode,
                    owner,
                } => {
                    let source = self.cache_mount(id, *mode, *owner)?;
                    if *locked {
                        locked_dirs.insert(source.clone());
                    }
                    MountKind::Bind { source }
                }
                MountOpKind::Bind { origin, source } => {
                    let node = self.bound(origin, source, step)?;
                    let dir = dir.join(format!("mount-{number}"));
                    let source = self.copied(&node, origin, &dir, step)?;
                    MountKind::Bind { source }
                }
            };
            mounts.plans.push(MountPlan {
                target: mount.target.clone(),
                kind,
                read_only: mount.read_only,
                options: MountOptions::default(),
            });
        }
        // Each once, and in an order that all steps share, so that none wait in a circle.
        for dir in locked_dirs {
            mounts.locks.push(lock(&dir)?);
        }
        Ok(mounts)
    }

    /// The directory of a cache mount. It gets its owner and permissions when it is new.
    fn cache_mount(&self, id: &str, mode: u32, owner: (u32, u32)) -> Result<PathBuf> {
        let path = self.store.build_cache().mount(id)?;
        let dir = Dir::plain(&path)?;
        if dir.names()?.is_empty() {
            let shown = || path.to_string_lossy().into_owned();
            let failed = |e| Error::new("change the owner of", shown(), e);
            let dir = File::open(&path).map_err(failed)?;
            sys::fs::own(&dir, owner.0, owner.1).map_err(|e| failed(e.into()))?;
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            let failed = |e| Error::new("change the permissions of", shown(), e);
            std::fs::set_permissions(&path, mode).map_err(failed)?;
        }
        Ok(path)
    }

    /// A copy of what a bind shows: the step may neither see changes of the context
    /// nor reach through its links, and what it writes is nobody's.
    fn copied(
        &self,
        node: &Node,
        origin: &Origin,
        dir: &Path,
        step: &PlannedStep,
    ) -> Result<PathBuf> {
        let shown = dir.to_string_lossy().into_owned();
        std::fs::create_dir(dir).map_err(|e| Error::new("make the directory", shown, e))?;
        let of_context = *origin == Origin::Context;
        let attributes = Attributes {
            owner: of_context.then_some((0, 0)),
            xattrs: !of_context,
            ..Attributes::default()
        };
        // The copy takes only files whose digest was taken.
        let mut unused = sha2::Digest::new();
        self.sums.digest(node, false, true, &mut unused)?;
        let names = [std::ffi::OsString::from("content")];
        let copy = || {
            let mut upper = Upper::new(dir, None)?;
            upper.copy(node, &names, &attributes, self.sums)
        };
        copy().map_err(|source| BuildError::Write {
            at: step.at.clone(),
            source,
        })?;
        Ok(dir.join("content"))
    }
}

fn lock(path: &Path) -> Result<File> {
    let shown = || path.to_string_lossy().into_owned();
    let file = File::open(path).map_err(|e| Error::new("open", shown(), e))?;
    file.lock().map_err(|e| Error::new("lock", shown(), e))?;
    Ok(file)
}

/// The last lines of an output.
#[derive(Debug, Default)]
struct Tail {
    lines: VecDeque<String>,
    open: Vec<u8>,
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                _ if self.open.len() < LINE => self.open.push(*byte),
                _ => {}
            }
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.open).trim_end().to_owned();
        self.open.clear();
        if self.lines.len() == TAIL {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    fn finish(mut self) -> Vec<String> {
        if !self.open.is_empty() {
            self.end_line();
        }
        self.lines.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_lines() {
        let mut tail = Tail::default();
        for number in 0..30 {
            tail.push(format!("line {number}\r\n").as_bytes());
        }
        tail.push(b"the end");
        let lines = tail.finish();
        assert_eq!(lines.len(), TAIL);
        assert_eq!(lines[0], "line 11");
        assert_eq!(lines[19], "the end");
        let mut long = Tail::default();
        long.push(&[b'x'; 10_000]);
        assert_eq!(long.finish()[0].len(), LINE);
    }
}
