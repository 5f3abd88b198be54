//! `USER` against the container's own passwd and group files.
//!
//! Both files are written by whoever made the image, so they are read through the root's
//! descriptor, only if they are regular files, and only so far.

use crate::rootfs::Root;

/// Who a process is inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups; never empty, the primary one is among them.
    pub groups: Vec<u32>,
    /// Home directory.
    pub home: String,
}

/// Why a user cannot be determined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// No such user.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    NoUser(String),
    /// No such group.
    #[error("unable to find group {0}: no matching entries in group file")]
    NoGroup(String),
    /// A number that is no id.
    #[error("{0} is not an id: uids and gids must be in range 0-{MAX_ID}")]
    OutOfRange(String),
}

/// The highest id, as docker has it. The kernel's own, 4294967295, means "unchanged" to it:
/// whoever asked to be that user would stay root.
const MAX_ID: u32 = i32::MAX.unsigned_abs();

/// A line of a passwd file.
struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// A line of a group file.
struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Resolves `user[:group]` in a root file system.
pub fn resolve(root: &Root, text: &str) -> Result<User, UserError> {
    let read = |path| root.read_small_file(path).unwrap_or_default();
    resolve_in(&read("etc/passwd"), &read("etc/group"), text)
}

/// Adds groups by name or number, looked up in the same file, to a user's own.
pub(crate) fn add_groups(root: &Root, user: &mut User, wanted: &[String]) -> Result<(), UserError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let file = root.read_small_file("etc/group").unwrap_or_default();
    for name in wanted {
        user.groups.push(find_group(&file, name)?);
    }
    user.groups.sort_unstable();
    user.groups.dedup();
    Ok(())
}

/// Resolves `user[:group]` against the texts of a passwd and a group file.
pub fn resolve_in(passwd: &str, group: &str, text: &str) -> Result<User, UserError> {
    let (name, wanted_group) = match text.split_once(':') {
        Some((name, group)) => (name, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let name = if name.is_empty() { "0" } else { name };
    let number = id(name);
    // A name wins over a number that looks the same, as in the C library's tools.
    let account = accounts(passwd)
        .find(|account| account.name == name)
        .or_else(|| accounts(passwd).find(|account| Some(account.uid) == number));
    let (uid, own_gid, home) = match (&account, number) {
        (Some(account), _) => (account.uid, account.gid, account.home),
        (None, Some(uid)) => (uid, 0, ""),
        (None, None) if is_number(name) => return Err(UserError::OutOfRange(name.to_owned())),
        (None, None) => return Err(UserError::NoUser(name.to_owned())),
    };
    let gid = match wanted_group {
        Some(wanted) => find_group(group, wanted)?,
        None => own_gid,
    };
    let mut groups = vec![gid];
    if let (Some(account), None) = (&account, wanted_group) {
        let of_user = groups_of(group, account.name);
        groups.extend(of_user.filter(|extra| *extra != gid));
        groups.sort_unstable();
        groups.dedup();
    }
    let home = if home.is_empty() { "/" } else { home };
    Ok(User {
        uid,
        gid,
        groups,
        home: home.to_owned(),
    })
}

/// The id that a text writes as a number.
fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id <= MAX_ID)
}

/// Whether somebody meant a number, though perhaps none that is an id.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn find_group(group: &str, wanted: &str) -> Result<u32, UserError> {
    let by_name = groups(group).find(|group| group.name == wanted);
    match by_name.map(|group| group.gid).or_else(|| id(wanted)) {
        Some(gid) => Ok(gid),
        None if is_number(wanted) => Err(UserError::OutOfRange(wanted.to_owned())),
        None => Err(UserError::NoGroup(wanted.to_owned())),
    }
}

fn groups_of<'a>(group: &'a str, name: &'a str) -> impl Iterator<Item = u32> + 'a {
    groups(group)
        .filter(move |group| group.members.split(',').any(|member| member == name))
        .map(|group| group.gid)
}

fn accounts(passwd: &str) -> impl Iterator<Item = Account<'_>> {
    passwd.lines().filter_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let [name, _, uid, gid, _, home, ..] = fields[..] else {
            return None;
        };
        Some(Account {
            name,
            uid: id(uid)?,
            gid: id(gid)?,
            home,
        })
    })
}

fn groups(group: &str) -> impl Iterator<Item = Group<'_>> {
    group.lines().filter_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let [name, _, gid, ref rest @ ..] = fields[..] else {
            return None;
        };
        Some(Group {
            name,
            gid: id(gid)?,
            members: rest.first().copied().unwrap_or(""),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# note\nbroken:x:a:b::\n\
        app:x:1000:1001:App:/home/app:/bin/sh\n7:x:70:71::/seven:\nbare:x:5:6::\n\
        huge:x:4294967295:0::/:\nhuge:x:99999999999:0::/:\nhuge:x:1:4294967295::/:\n";
    const GROUP: &str = "root:x:0:\nwheel:x:10:root,app\napp:x:1001:\ndata:x:33:app\nshort:x:9\n\
        huge:x:4294967295:app\n";

    fn show(text: &str) -> String {
        match resolve_in(PASSWD, GROUP, text) {
            Ok(user) => format!("{}:{} {:?} {}", user.uid, user.gid, user.groups, user.home),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn resolves_as_docker_does() {
        for (text, meant) in [
            ("", "0:0 [0, 10] /root"),
            ("app", "1000:1001 [10, 33, 1001] /home/app"),
            ("1000", "1000:1001 [10, 33, 1001] /home/app"),
            ("app:data", "1000:33 [33] /home/app"),
            ("app:", "1000:1001 [10, 33, 1001] /home/app"),
            ("1000:4242", "1000:4242 [4242] /home/app"),
            ("4242", "4242:0 [0] /"),
            ("7", "70:71 [71] /seven"),
            ("bare", "5:6 [6] /"),
            (":wheel", "0:10 [10] /root"),
            (
                "nobody",
                "unable to find user nobody: no matching entries in passwd file",
            ),
            (
                "2147483647:2147483647",
                "2147483647:2147483647 [2147483647] /",
            ),
            (
                "4294967295",
                "4294967295 is not an id: uids and gids must be in range 0-2147483647",
            ),
            (
                "-1",
                "-1 is not an id: uids and gids must be in range 0-2147483647",
            ),
            (
                "app:2147483648",
                "2147483648 is not an id: uids and gids must be in range 0-2147483647",
            ),
            (
                "huge",
                "unable to find user huge: no matching entries in passwd file",
            ),
            (
                "app:huge",
                "unable to find group huge: no matching entries in group file",
            ),
            (
                "app:none",
                "unable to find group none: no matching entries in group file",
            ),
        ] {
            assert_eq!(show(text), meant, "{text}");
        }
    }

    #[test]
    fn numbers_need_no_files() {
        let user = resolve_in("", "", "").unwrap();
        assert_eq!(
            (user.uid, user.gid, user.groups, user.home),
            (0, 0, vec![0], "/".to_owned())
        );
    }

    proptest! {
        #[test]
        fn never_panics(passwd in "\\PC{0,200}", group in "\\PC{0,200}", text in "\\PC{0,20}") {
            let _ = resolve_in(&passwd, &group, &text);
        }
    }
}
