//! `COPY` and `ADD`.

use text::Diagnostic;

use super::{Statement, list};
use crate::context::Context;
use crate::flags::Flags;
use crate::{Add, Copy, Source, Word, expand_heredoc};

/// The sources and the destination of `COPY` and `ADD`.
fn transfer(cx: &mut Context, statement: Statement<'_>) -> Option<(Vec<Source>, Word)> {
    let mut words = list(cx, statement.arguments)?;
    let target = words.pop().filter(|_| !words.is_empty());
    let Some(target) = target else {
        let message = format!("`{}` has a source, but no destination", statement.keyword);
        cx.report(
            Diagnostic::error(message)
                .at(statement.arguments.span())
                .hint("write where to, as in `COPY . .`"),
        );
        return None;
    };
    if statement
        .heredocs
        .iter()
        .any(|heredoc| heredoc.span == target.span)
    {
        let message = "a here-document cannot be the destination";
        cx.report(Diagnostic::error(message).at(target.span));
        return None;
    }
    let mut heredocs = statement.heredocs;
    let sources = words.into_iter().map(|word| {
        match heredocs
            .iter()
            .position(|heredoc| heredoc.span == word.span)
        {
            Some(at) => Source::Heredoc(heredocs.remove(at)),
            None => Source::Path(word),
        }
    });
    let sources: Vec<Source> = sources.collect();
    for source in &sources {
        if let Source::Heredoc(heredoc) = source
            && let Err(diagnostic) = expand_heredoc(heredoc, &|_| Some("x".to_owned()))
        {
            cx.report(diagnostic);
        }
    }
    Some((sources, target))
}

pub(super) fn copy(cx: &mut Context, mut flags: Flags, statement: Statement<'_>) -> Option<Copy> {
    let (from, chown, chmod) = (
        flags.value(cx, "from"),
        flags.value(cx, "chown"),
        flags.value(cx, "chmod"),
    );
    let link = flags.boolean(cx, "link").unwrap_or(false);
    let parents = flags.boolean(cx, "parents").unwrap_or(false);
    let exclude = flags.values(cx, "exclude");
    cx.check_all(from.iter().chain(&chown).chain(&chmod).chain(&exclude));
    let (sources, target) = transfer(cx, statement)?;
    Some(Copy {
        sources,
        target,
        from,
        chown,
        chmod,
        link,
        parents,
        exclude,
    })
}

pub(super) fn add(cx: &mut Context, mut flags: Flags, statement: Statement<'_>) -> Option<Add> {
    let (chown, chmod, checksum) = (
        flags.value(cx, "chown"),
        flags.value(cx, "chmod"),
        flags.value(cx, "checksum"),
    );
    let link = flags.boolean(cx, "link").unwrap_or(false);
    let keep_git_dir = flags.boolean(cx, "keep-git-dir").unwrap_or(false);
    let unpack = flags.boolean(cx, "unpack");
    let exclude = flags.values(cx, "exclude");
    cx.check_all(chown.iter().chain(&chmod).chain(&checksum).chain(&exclude));
    let (sources, target) = transfer(cx, statement)?;
    Some(Add {
        sources,
        target,
        chown,
        chmod,
        link,
        keep_git_dir,
        checksum,
        unpack,
        exclude,
    })
}
