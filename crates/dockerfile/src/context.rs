//! What every part of the parser has at hand.

use text::{Diagnostic, FileId};

use crate::Word;
use crate::expand::expand_word;

pub(crate) struct Context {
    pub(crate) file: FileId,
    /// The escape character.
    pub(crate) escape: char,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Whether the last line began with a word that is no instruction, or a here-document
    /// did not end: what follows is then usually no instruction either, and one complaint
    /// is enough.
    pub(crate) lost: bool,
}

impl Context {
    pub(crate) fn new(file: FileId) -> Self {
        Self {
            file,
            escape: '\\',
            diagnostics: Vec::new(),
            lost: false,
        }
    }

    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Reports what is wrong with a word whatever its variables are worth.
    pub(crate) fn check(&mut self, word: &Word) {
        if let Err(diagnostic) = expand_word(word, self.escape, &|_| Some("x".to_owned())) {
            self.report(diagnostic);
        }
    }

    pub(crate) fn check_all<'a>(&mut self, words: impl IntoIterator<Item = &'a Word>) {
        words.into_iter().for_each(|word| self.check(word));
    }
}
