//! `--chown`: names are looked up in the image's own `/etc/passwd` and `/etc/group`.

use std::ffi::OsStr;
use std::io::Read;

use crate::tree::{Dir, Node};

/// A larger user database is not one.
const MAX_FILE: u64 = 16 << 20;

/// Owner and group that `text` (`user[:group]`) means in `tree`; the name that is
/// unknown otherwise. A user without group brings the own group, a number the same
/// number.
pub(crate) fn owner(text: &str, tree: Option<&Dir>) -> Result<(u32, u32), String> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let (uid, own_group) = match user {
        "" => (0, 0),
        user => match user.parse() {
            Ok(uid) => (uid, uid),
            Err(_) => lookup_user(tree, user).ok_or_else(|| format!("user `{user}`"))?,
        },
    };
    let gid = match group.filter(|g| !g.is_empty()) {
        None => own_group,
        Some(group) => match group.parse() {
            Ok(gid) => gid,
            Err(_) => lookup_group(tree, group).ok_or_else(|| format!("group `{group}`"))?,
        },
    };
    Ok((uid, gid))
}

fn lookup_user(tree: Option<&Dir>, name: &str) -> Option<(u32, u32)> {
    let text = read(tree?, "/etc/passwd")?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some((uid, gid))
    })
}

fn lookup_group(tree: Option<&Dir>, name: &str) -> Option<u32> {
    let text = read(tree?, "/etc/group")?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        fields.nth(1)?.parse().ok()
    })
}

fn read(tree: &Dir, path: &str) -> Option<String> {
    let Some(Node::Leaf(leaf)) = tree.resolve(OsStr::new(path), true).ok()?.node else {
        return None;
    };
    let mut bytes = Vec::new();
    let file = leaf.open().ok()?;
    file.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_numbers() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write(
            "etc/passwd",
            "broken\n:::\nroot:x:0:0::/:\nann:x:1000:1001::/:\n",
        );
        write("etc/group", "ann:x:5:\nstaff:x:50:\n");
        let tree = Dir::plain(dir.path()).unwrap();
        for (text, owner_and_group) in [
            ("ann", Ok((1000, 1001))),
            ("ann:staff", Ok((1000, 50))),
            ("ann:", Ok((1000, 1001))),
            ("5", Ok((5, 5))),
            ("5:6", Ok((5, 6))),
            ("5:staff", Ok((5, 50))),
            ("bob", Err("user `bob`".to_owned())),
            ("5:bob", Err("group `bob`".to_owned())),
        ] {
            assert_eq!(owner(text, Some(&tree)), owner_and_group, "{text}");
        }
        assert!(owner("ann", None).is_err());
        assert_eq!(owner("1:2", None), Ok((1, 2)));
    }

    proptest! {
        #[test]
        fn hostile_databases_break_nothing(text in "\\PC{0,10}", database in "[a-z:0-9\\n]{0,80}") {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir(dir.path().join("etc")).unwrap();
            std::fs::write(dir.path().join("etc/passwd"), &database).unwrap();
            std::fs::write(dir.path().join("etc/group"), &database).unwrap();
            let _ = owner(&text, Some(&Dir::plain(dir.path()).unwrap()));
        }
    }
}
