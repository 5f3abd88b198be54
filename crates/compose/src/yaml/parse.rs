//! From the parser's events to the tree. This file alone knows saphyr-parser.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};
use text::{Diagnostic, FileId, Span};

use super::{Entry, Map, MergeTag, Node, Value, scalar};

/// Deeper nesting is refused: whatever walks the tree recurses.
const MAX_DEPTH: usize = 96;

/// A larger tree, aliases expanded, is refused: a few lines of aliases to aliases would
/// otherwise fill the memory. The unit is a node, or 32 bytes of text.
const MAX_SIZE: usize = 400_000;

/// Reads a text's documents. An error ends the reading: what follows a broken line
/// cannot be trusted.
pub(crate) fn parse(file: FileId, text: &str) -> (Vec<Node>, Vec<Diagnostic>) {
    let mut builder = Builder::new(file, text);
    if let Err(diagnostic) = builder.run() {
        builder.diagnostics.push(*diagnostic);
    }
    (builder.documents, builder.diagnostics)
}

type Step = Result<(), Box<Diagnostic>>;

struct Builder<'t> {
    text: &'t str,
    places: Places,
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchor>,
    size: usize,
    diagnostics: Vec<Diagnostic>,
}

/// A collection whose end has not come yet.
struct Open {
    start: Span,
    anchor: usize,
    tag: Option<MergeTag>,
    collection: Collection,
    size_before: usize,
    /// Levels below it.
    depth: usize,
}

enum Collection {
    List(Vec<Node>),
    Map {
        map: Map,
        /// Maps of `<<`, the earlier the stronger; explicit keys are stronger still.
        merged: Vec<Node>,
        key: Option<Key>,
    },
}

struct Key {
    text: String,
    span: Span,
    /// An unquoted `<<`.
    merges: bool,
}

struct Anchor {
    node: Node,
    size: usize,
    depth: usize,
}

impl<'t> Builder<'t> {
    fn new(file: FileId, text: &'t str) -> Self {
        Self {
            text,
            places: Places::new(file, text),
            documents: Vec::new(),
            open: Vec::new(),
            anchors: HashMap::new(),
            size: 0,
            diagnostics: Vec::new(),
        }
    }

    fn run(&mut self) -> Step {
        let mut parser = Parser::new_from_str(self.text);
        while let Some(next) = parser.next_event() {
            let (event, place) = next.map_err(|error| Box::new(self.syntax_error(&error)))?;
            let span = self.places.span(place);
            self.event(event, span)?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Step {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                if self.awaits_key() {
                    return self.key(&text, plain, span);
                }
                let size = 1 + text.len() / 32;
                let node = self.scalar(text, style, tag.as_deref(), span);
                self.place(node, anchor, size, 0)
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(span, anchor, tag.as_deref(), Collection::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                let (map, merged) = (Map::default(), Vec::new());
                let collection = Collection::Map {
                    map,
                    merged,
                    key: None,
                };
                self.open(span, anchor, tag.as_deref(), collection)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn awaits_key(&self) -> bool {
        let last = self.open.last().map(|open| &open.collection);
        matches!(last, Some(Collection::Map { key: None, .. }))
    }

    fn key(&mut self, text: &str, plain: bool, span: Span) -> Step {
        if plain && text.is_empty() {
            return fail("a value without a key", span);
        }
        let Some(Open {
            collection: Collection::Map { map, key, .. },
            ..
        }) = self.open.last_mut()
        else {
            unreachable!("called only where a mapping awaits a key");
        };
        if let Some(first) = map.entry(text) {
            self.diagnostics.push(
                Diagnostic::error(format!("key `{text}` is there twice"))
                    .at(span)
                    .label("again here")
                    .related(first.key_span, "first here"),
            );
        }
        *key = Some(Key {
            text: text.to_owned(),
            span,
            merges: plain && text == "<<",
        });
        Ok(())
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: Span,
    ) -> Node {
        let core = tag
            .filter(|tag| tag.is_yaml_core_schema())
            .map(|tag| tag.suffix.as_str());
        let value = match (core, style) {
            (Some("str"), _) => Value::Text(text.into_owned()),
            (Some(_), _) | (None, ScalarStyle::Plain) => scalar::resolve(&text),
            _ => Value::Text(text.into_owned()),
        };
        Node {
            span,
            value,
            tag: self.merge_tag(tag, span),
        }
    }

    fn merge_tag(&mut self, tag: Option<&Tag>, span: Span) -> Option<MergeTag> {
        let tag = tag.filter(|tag| !tag.is_yaml_core_schema())?;
        match (tag.handle.as_str(), tag.suffix.as_str()) {
            ("!", "reset") => Some(MergeTag::Reset),
            ("!", "override") => Some(MergeTag::Override),
            ("" | "!", "" | "!") => None,
            (handle, suffix) => {
                self.diagnostics.push(
                    Diagnostic::warning(format!("tag `{handle}{suffix}` is ignored"))
                        .at(span)
                        .hint("compose knows the tags `!reset` and `!override`"),
                );
                None
            }
        }
    }

    fn open(
        &mut self,
        start: Span,
        anchor: usize,
        tag: Option<&Tag>,
        collection: Collection,
    ) -> Step {
        if self.awaits_key() {
            return fail("a list or mapping where a key belongs", start);
        }
        if self.open.len() >= MAX_DEPTH {
            return fail(format!("nested more than {MAX_DEPTH} levels deep"), start);
        }
        let tag = self.merge_tag(tag, start);
        self.open.push(Open {
            start,
            anchor,
            tag,
            collection,
            size_before: self.size,
            depth: 0,
        });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Step {
        let open = self
            .open
            .pop()
            .expect("the parser balances starts and ends");
        let value = match open.collection {
            Collection::List(items) => Value::List(items),
            Collection::Map {
                mut map, merged, ..
            } => {
                for source in merged {
                    merge_into(&mut map, source)?;
                }
                Value::Map(map)
            }
        };
        let span = self.places.trim(open.start.to(end), self.text);
        let size = self.size - open.size_before + 1;
        // Its children are counted already.
        self.size = open.size_before;
        self.place(
            Node {
                span,
                value,
                tag: open.tag,
            },
            open.anchor,
            size,
            open.depth + 1,
        )
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Step {
        let Some(Anchor { node, size, depth }) = self.anchors.get(&anchor) else {
            return fail("an alias inside of what it stands for", span);
        };
        let (size, depth) = (*size, *depth);
        if self.open.len() + depth > MAX_DEPTH {
            return fail(format!("nested more than {MAX_DEPTH} levels deep"), span);
        }
        if self.size + size > MAX_SIZE {
            return too_large(span);
        }
        let node = Node {
            span,
            ..node.clone()
        };
        if !self.awaits_key() {
            return self.place(node, 0, size, depth);
        }
        match node.scalar_text() {
            Some(text) => self.key(&text, false, span),
            None => fail("a list or mapping where a key belongs", span),
        }
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, node: Node, anchor: usize, size: usize, depth: usize) -> Step {
        self.size += size;
        if self.size > MAX_SIZE {
            return too_large(node.span);
        }
        if anchor != 0 {
            self.anchors.insert(
                anchor,
                Anchor {
                    node: node.clone(),
                    size,
                    depth,
                },
            );
        }
        let Some(open) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        open.depth = open.depth.max(depth);
        match &mut open.collection {
            Collection::List(items) => items.push(node),
            Collection::Map { map, merged, key } => {
                let key = key.take().expect("a value follows its key");
                match key.merges {
                    true => merged.push(node),
                    false => add(map, key, node),
                }
            }
        }
        Ok(())
    }

    fn syntax_error(&self, error: &ScanError) -> Diagnostic {
        let at = self.places.offset(error.marker().index());
        let span = Span::new(self.places.file, at, at);
        let line = self.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text[line..].lines().next().unwrap_or("");
        let indent = line.len() - line.trim_start().len();
        let diagnostic = Diagnostic::error(format!("not YAML: {}", error.info())).at(span);
        if line[..indent].contains('\t') {
            diagnostic.hint("indent with spaces: YAML does not allow tabs there")
        } else if line.matches(": ").count() > 1 {
            diagnostic.hint("a value that contains `: ` must be put in quotes")
        } else {
            diagnostic
        }
    }
}

/// A second value of a key is dropped: the key has been complained about.
fn add(map: &mut Map, key: Key, mut value: Node) {
    if map.get(&key.text).is_some() {
        return;
    }
    // An absent value has no place of its own.
    if value.is_null() && value.tag.is_none() {
        value.span = key.span;
    }
    map.insert(Entry {
        key: key.text,
        key_span: key.span,
        value,
    });
}

/// Adds what `<<` brings and the mapping does not say itself.
fn merge_into(map: &mut Map, source: Node) -> Step {
    match source.value {
        Value::Map(entries) => {
            for entry in entries {
                if map.get(&entry.key).is_none() {
                    map.insert(entry);
                }
            }
            Ok(())
        }
        Value::List(items) if items.iter().all(|item| item.as_map().is_some()) => {
            items.into_iter().try_for_each(|item| merge_into(map, item))
        }
        _ => fail("`<<` needs a mapping, or a list of mappings", source.span),
    }
}

fn fail(message: impl Into<String>, span: Span) -> Step {
    Err(Box::new(Diagnostic::error(message).at(span)))
}

fn too_large(span: Span) -> Step {
    fail("the file is too large once its aliases are expanded", span)
}

/// The parser counts characters, spans count bytes.
struct Places {
    file: FileId,
    /// Offset of each character; empty for ASCII, where the two are the same.
    offsets: Vec<u32>,
    length: usize,
}

impl Places {
    fn new(file: FileId, text: &str) -> Self {
        let offsets = match text.is_ascii() {
            true => Vec::new(),
            false => text.char_indices().map(|(at, _)| at as u32).collect(),
        };
        Self {
            file,
            offsets,
            length: text.len(),
        }
    }

    fn offset(&self, character: usize) -> usize {
        match self.offsets.is_empty() {
            true => character.min(self.length),
            false => self
                .offsets
                .get(character)
                .map_or(self.length, |&at| at as usize),
        }
    }

    fn span(&self, place: saphyr_parser::Span) -> Span {
        let start = self.offset(place.start.index());
        Span::new(self.file, start, self.offset(place.end.index()))
    }

    /// Without the white space at the end: a block ends where the next token begins.
    fn trim(&self, span: Span, text: &str) -> Span {
        let covered = text.get(span.range()).unwrap_or("").trim_end();
        Span::new(
            self.file,
            span.start as usize,
            span.start as usize + covered.len(),
        )
    }
}

#[cfg(test)]
mod tests;
