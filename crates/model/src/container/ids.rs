//! How the ids inside a container relate to those of the user namespace that all
//! containers of a plain user share.

use serde::{Deserialize, Serialize};

/// User and group ids of a container in a nested user namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    /// User ids.
    pub users: IdMap,
    /// Group ids.
    pub groups: IdMap,
}

/// A mapping of ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap(Vec<IdLine>);

/// A run of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdLine {
    /// The first, as the container sees it.
    pub inside: u32,
    /// The first, as the shared namespace sees it.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

impl IdMap {
    /// One id inside, which is the caller.
    pub fn single(inside: u32) -> Self {
        Self(vec![line(inside, 0, 1)])
    }

    /// The caller, which is 0 outside, is `id` inside. What has that number outside takes
    /// the caller's place, and all others keep theirs, so that files change hands between
    /// these two only. `count` ids are there outside, from 0.
    pub fn swapped(id: u32, count: u32) -> Self {
        if count <= 1 {
            return Self::single(id);
        }
        if id == 0 {
            return Self(vec![line(0, 0, count)]);
        }
        // A number beyond them is no one's outside: what would be root inside is the last.
        let place = id.min(count.saturating_sub(1));
        let lines = [
            line(0, place, 1),
            line(1, 1, place.saturating_sub(1)),
            line(id, 0, 1),
            line(place + 1, place + 1, count.saturating_sub(place + 1)),
        ];
        Self(lines.into_iter().filter(|l| l.count > 0).collect())
    }

    /// Its lines.
    pub fn lines(&self) -> &[IdLine] {
        &self.0
    }

    /// What an id inside is outside; `None` if it is not mapped.
    pub fn outside(&self, inside: u32) -> Option<u32> {
        let found = self.0.iter().find(|l| within(l.inside, l.count, inside))?;
        Some(found.outside + (inside - found.inside))
    }

    /// What an id outside is inside; `None` if it is not mapped.
    pub fn inside(&self, outside: u32) -> Option<u32> {
        let found = self
            .0
            .iter()
            .find(|l| within(l.outside, l.count, outside))?;
        Some(found.inside + (outside - found.outside))
    }
}

impl std::fmt::Display for IdMap {
    /// In the kernel's form, `/proc/PID/uid_map`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0
            .iter()
            .try_for_each(|l| writeln!(f, "{} {} {}", l.inside, l.outside, l.count))
    }
}

fn line(inside: u32, outside: u32, count: u32) -> IdLine {
    IdLine {
        inside,
        outside,
        count,
    }
}

fn within(first: u32, count: u32, id: u32) -> bool {
    id.checked_sub(first).is_some_and(|offset| offset < count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_and_the_user_change_places() {
        let map = IdMap::swapped(999, 65_537);
        let pairs = [
            (999, 0),
            (0, 999),
            (1, 1),
            (998, 998),
            (1000, 1000),
            (65_536, 65_536),
        ];
        for (inside, outside) in pairs {
            assert_eq!(map.outside(inside), Some(outside), "{inside}");
            assert_eq!(map.inside(outside), Some(inside), "{outside}");
        }
        assert_eq!(map.outside(65_537), None);
        assert_eq!(
            map.to_string(),
            "0 999 1\n1 1 998\n999 0 1\n1000 1000 64537\n"
        );
    }

    #[test]
    fn no_id_is_mapped_twice() {
        for count in [1, 2, 3, 10, 65_537] {
            for id in [0, 1, 2, 3, 9, 10, 11, 65_536, 4_000_000_000] {
                let map = IdMap::swapped(id, count);
                let mut total = 0;
                for l in map.lines() {
                    assert!(l.outside + l.count <= count, "{id} of {count}: {map}");
                    assert_eq!(
                        map.outside(l.inside),
                        Some(l.outside),
                        "{id} of {count}: {map}"
                    );
                    assert_eq!(
                        map.inside(l.outside),
                        Some(l.inside),
                        "{id} of {count}: {map}"
                    );
                    total += l.count;
                }
                assert!(
                    total <= count && map.outside(id) == Some(0),
                    "{id} of {count}: {map}"
                );
            }
        }
    }

    #[test]
    fn one_id_is_the_caller() {
        let map = IdMap::single(999);
        assert_eq!((map.outside(999), map.outside(0)), (Some(0), None));
    }
}
