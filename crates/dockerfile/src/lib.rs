//! Dockerfile text to stages and instructions, and `.dockerignore` matching.
//!
//! [`parse`] never stops at the first mistake and never fails as a whole: it returns what
//! it understood together with everything that is wrong, each with its place. Words stay
//! as written, because what a variable is worth is known only while building; they are
//! expanded with [`expand_word`].
//!
//! The layers, from the bottom: `lines` joins continued lines and collects
//! here-documents; `words`, `json` and `flags` cut a line's arguments; `instruction` gives
//! them their meaning; `parse` groups instructions into stages.

mod ast;
mod context;
mod expand;
mod flags;
mod heredoc;
pub mod ignore;
mod instruction;
mod json;
mod lines;
mod mount;
mod parse;
mod word;
mod words;

pub use ast::{
    Add, Arg, Command, Copy, Directives, Dockerfile, HealthCheck, Heredoc, Instruction, Mount,
    MountKind, Network, OnBuild, Pair, Probe, Run, Script, Security, Sharing, Source, Spanned,
    Stage, Step,
};
pub use expand::{expand_heredoc, expand_word, expand_words};
pub use parse::{parse, parse_trigger};
pub use word::Word;
