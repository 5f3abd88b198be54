//! What the parser understands and the builder cannot do yet.
//!
//! All of it is found before a base image is asked for, so that nobody waits for a
//! download to learn it.

use dockerfile::{Add, Copy, Instruction, MountKind, Run, Security, Source, Step, Word};
use text::{Diagnostic, Span};

/// Complaints about every instruction of these that cannot be carried out.
pub(crate) fn unsupported(steps: &[Step]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for step in steps {
        match &step.instruction {
            Instruction::Run(run) => refuse_run(run, step.span, &mut found),
            Instruction::Copy(copy) => refuse_copy(copy, step.span, &mut found),
            Instruction::Add(add) => refuse_add(add, step.span, &mut found),
            _ => {}
        }
    }
    found
}

/// Whether `ADD` would fetch it: an address, or a git repository.
pub(crate) fn is_remote(text: &str) -> bool {
    let schemes = [
        "http://",
        "https://",
        "git://",
        "ssh://",
        "git@",
        "github.com/",
    ];
    schemes.iter().any(|scheme| text.starts_with(scheme))
}

fn not_yet(what: &str, span: Span) -> Diagnostic {
    Diagnostic::error(format!("{what} is not supported yet")).at(span)
}

fn refuse_run(run: &Run, span: Span, found: &mut Vec<Diagnostic>) {
    for mount in &run.mounts {
        let sourced = mount.value.from.is_some() || mount.value.source.is_some();
        let what = match mount.value.kind {
            MountKind::Secret => "RUN --mount=type=secret",
            MountKind::Ssh => "RUN --mount=type=ssh",
            MountKind::Cache if sourced => "RUN --mount=type=cache with a source",
            MountKind::Bind | MountKind::Cache | MountKind::Tmpfs => continue,
        };
        found.push(not_yet(what, mount.span));
    }
    if let Some(security) = &run.security
        && security.value == Security::Insecure
    {
        found.push(not_yet("RUN --security=insecure", security.span));
    }
    if !run.devices.is_empty() {
        found.push(not_yet("RUN --device", span));
    }
}

fn refuse_copy(copy: &Copy, span: Span, found: &mut Vec<Diagnostic>) {
    if copy.parents {
        found.push(not_yet("COPY --parents", span));
    }
    refuse_exclude("COPY --exclude", &copy.exclude, found);
}

fn refuse_add(add: &Add, span: Span, found: &mut Vec<Diagnostic>) {
    if let Some(checksum) = &add.checksum {
        found.push(not_yet("ADD --checksum", checksum.span));
    }
    if add.keep_git_dir {
        found.push(not_yet("ADD --keep-git-dir", span));
    }
    refuse_exclude("ADD --exclude", &add.exclude, found);
    for source in &add.sources {
        if let Source::Path(word) = source
            && is_remote(word.as_str())
        {
            found.push(remote(word.span));
        }
    }
}

/// The complaint about an address.
pub(crate) fn remote(span: Span) -> Diagnostic {
    not_yet("ADD from the network", span).hint("let a RUN instruction fetch it")
}

fn refuse_exclude(what: &str, exclude: &[Word], found: &mut Vec<Diagnostic>) {
    found.extend(exclude.first().map(|first| not_yet(what, first.span)));
}
