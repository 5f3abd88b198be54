//! What the sources of a COPY name: paths and globs in a tree.

use std::ffi::{OsStr, OsString};

use text::gomatch::Glob;

use crate::tree::{Dir, Node};

/// Why sources cannot be found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error(transparent)]
    Sys(#[from] sys::Error),
    #[error("{0}")]
    Pattern(String),
}

/// One thing to copy.
#[derive(Debug)]
pub(crate) struct Found {
    /// The last component as it is written, which a copy into a directory takes.
    pub(crate) name: OsString,
    pub(crate) node: Node,
}

/// Everything that `pattern` names, in the order of names. Links are followed within
/// the tree where they are named, not where they are met below a directory.
pub(crate) fn find(tree: &Dir, pattern: &str) -> Result<Vec<Found>, SourceError> {
    let names = clean(pattern);
    let literal = names
        .iter()
        .take_while(|name| Glob::is_literal(name))
        .count();
    let prefix = names[..literal].join("/");
    let mut found = Vec::new();
    if literal == names.len() {
        let node = existing(tree, &prefix)?;
        let name = names.last().map_or_else(OsString::new, OsString::from);
        found.extend(node.map(|node| Found { name, node }));
        return Ok(found);
    }
    let globs = names[literal..].iter().map(|name| Glob::new(name));
    let globs: Vec<_> = globs
        .collect::<Result<_, _>>()
        .map_err(|bad| SourceError::Pattern(bad.to_string()))?;
    if let Some(Node::Dir(dir)) = existing(tree, &prefix)? {
        expand(tree, &dir, &globs, &mut found)?;
    }
    Ok(found)
}

/// What is at `path`; below a file there is nothing.
fn existing(tree: &Dir, path: &str) -> Result<Option<Node>, SourceError> {
    match tree.resolve(OsStr::new(path), true) {
        Ok(found) => Ok(found.node),
        Err(error) if error.errno() == Some(rustix::io::Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn expand(
    tree: &Dir,
    dir: &Dir,
    globs: &[Glob],
    found: &mut Vec<Found>,
) -> Result<(), SourceError> {
    let Some((glob, rest)) = globs.split_first() else {
        return Ok(());
    };
    for name in dir.names()? {
        if !glob.matches(&name.to_string_lossy()) {
            continue;
        }
        let Some(node) = dir.child(&name)? else {
            continue;
        };
        match node {
            Node::Dir(dir) if !rest.is_empty() => expand(tree, &dir, rest, found)?,
            Node::Dir(dir) if !dir.is_shown()? => {}
            _ if !rest.is_empty() => {}
            Node::Leaf(leaf) if leaf.is_link() => {
                let path = dir.shown().join(&name);
                let Some(node) = tree.resolve(path.as_os_str(), true)?.node else {
                    let shown = path.display();
                    return Err(SourceError::Pattern(format!(
                        "{shown} is a link to nothing"
                    )));
                };
                found.push(Found { name, node });
            }
            node => found.push(Found { name, node }),
        }
    }
    Ok(())
}

/// The components of a source, which is always below the tree's root however it is
/// written.
fn clean(path: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name.to_owned()),
        }
    }
    names
}

/// The path that a destination means: relative to the working directory, a slash kept
/// at its end, which makes it a directory.
pub(crate) fn destination(cwd: &str, dest: &str) -> String {
    let mut path = match dest.starts_with('/') {
        true => dest.to_owned(),
        false => format!("{}/{dest}", cwd.trim_end_matches('/')),
    };
    if matches!(dest, "" | ".") || dest.ends_with("/.") {
        path.push('/');
    }
    let directory = path.ends_with('/');
    let mut clean = format!("/{}", clean(&path).join("/"));
    if directory && clean != "/" {
        clean.push('/');
    }
    clean
}

/// Whether what a source names is placed below its destination under its own name.
pub(crate) fn goes_inside(node: &Node, dest: &str, existing: Option<&Node>) -> bool {
    match node {
        Node::Dir(_) => false,
        Node::Leaf(_) => dest.ends_with('/') || matches!(existing, Some(Node::Dir(_))),
    }
}

/// Whether `pattern` may name several things, or none without being wrong.
pub(crate) fn has_wildcard(pattern: &str) -> bool {
    !clean(pattern).iter().all(|name| Glob::is_literal(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn destinations_keep_a_last_slash() {
        for (cwd, dest, meant) in [
            ("/", "a", "/a"),
            ("/app", ".", "/app/"),
            ("/app", "", "/app/"),
            ("/app", "./", "/app/"),
            ("/app", "b/", "/app/b/"),
            ("/app/", "../b", "/b"),
            ("/app", "/opt//x/", "/opt/x/"),
            ("/", "/", "/"),
            ("/", "../../x", "/x"),
            ("/app", "x/.", "/app/x/"),
        ] {
            assert_eq!(destination(cwd, dest), meant, "{cwd} {dest}");
        }
    }

    proptest! {
        #[test]
        fn destinations_stay_below_the_root(cwd in "/[a-z./]{0,12}", dest in "[a-z./]{0,12}") {
            let path = destination(&cwd, &dest);
            prop_assert!(path.starts_with('/'));
            prop_assert!(!path.contains("//"));
            prop_assert!(path.split('/').all(|name| name != ".." && name != "."));
            prop_assert_eq!(destination("/", &path), path);
        }
    }
}
