//! The path of a value, for messages: `services.web.ports[0]`.

use std::fmt;

/// One step of a path, knowing the steps before it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum At<'a> {
    /// The top of the file.
    Top,
    /// A key of a mapping.
    Key(&'a At<'a>, &'a str),
    /// An item of a list, from 0.
    Item(&'a At<'a>, usize),
}

impl<'a> At<'a> {
    /// The path of a key of what is here.
    pub(crate) fn key(&'a self, key: &'a str) -> Self {
        Self::Key(self, key)
    }

    /// The path of an item of what is here.
    pub(crate) fn item(&'a self, index: usize) -> Self {
        Self::Item(self, index)
    }

    /// Its steps, keys as they are and every item as `*`.
    pub(crate) fn steps(&self) -> Vec<&'a str> {
        match self {
            Self::Top => Vec::new(),
            Self::Key(parent, key) => push(parent.steps(), key),
            Self::Item(parent, _) => push(parent.steps(), "*"),
        }
    }
}

fn push<'a>(mut steps: Vec<&'a str>, step: &'a str) -> Vec<&'a str> {
    steps.push(step);
    steps
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top => Ok(()),
            Self::Key(Self::Top, key) => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}
