//! Instructions to stages.

use text::{Diagnostic, FileId};

use crate::{Directives, Dockerfile, Step};

/// Parses a Dockerfile. What is wrong is skipped and reported, so that all mistakes are
/// found at once; the result is only to be built when no diagnostic is an error.
pub fn parse(file: FileId, text: &str) -> (Dockerfile, Vec<Diagnostic>) {
    let _ = (file, text);
    let directives = Directives {
        syntax: None,
        escape: '\\',
        check: None,
    };
    (
        Dockerfile {
            directives,
            global_args: vec![],
            stages: vec![],
        },
        vec![],
    )
}

/// Parses one instruction as `ONBUILD` left it in an image's configuration.
pub fn parse_trigger(file: FileId, text: &str) -> (Option<Step>, Vec<Diagnostic>) {
    let _ = (file, text);
    (None, vec![])
}
