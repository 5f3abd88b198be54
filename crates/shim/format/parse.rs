//! Go template syntax (text/template), in the part that `--format` needs.

/// What is wrong with a template.
#[derive(Debug, thiserror::Error)]
#[error("template: {message} (at character {at} of `{template}`)")]
pub(crate) struct TemplateError {
    template: String,
    at: usize,
    message: String,
}

impl TemplateError {
    pub(crate) fn new(template: &str, at: usize, message: impl Into<String>) -> Self {
        Self {
            template: template.to_owned(),
            at: at + 1,
            message: message.into(),
        }
    }
}

/// A parsed template; keeps its source for messages.
pub(crate) struct Template {
    pub(super) source: String,
    pub(super) nodes: Vec<Node>,
}

pub(super) enum Node {
    Text(String),
    Print(Pipeline),
    If(Pipeline, Vec<Node>, Vec<Node>),
    With(Pipeline, Vec<Node>, Vec<Node>),
    Range {
        vars: Vec<String>,
        over: Pipeline,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Set(String, Pipeline),
    /// A variable that is there already gets another value.
    Change(String, Pipeline),
    Break,
    Continue,
}

/// Commands joined by `|`.
pub(super) struct Pipeline(pub(super) Vec<Command>);

/// A function with arguments, or one operand.
pub(super) struct Command {
    pub(super) at: usize,
    pub(super) function: Option<String>,
    pub(super) args: Vec<Operand>,
}

pub(super) enum Operand {
    /// `.A.B`, or `.` when empty.
    Field(Vec<String>),
    /// `$x.A`; `$` alone has an empty name.
    Variable(String, Vec<String>),
    Text(String),
    Number(i64),
    Bool(bool),
    Nil,
    /// `(…)`, and the `.A.B` right after it.
    Nested(Pipeline, Vec<String>),
}

/// The first field that a pipeline names.
fn first_field(commands: &[Command]) -> Option<&String> {
    let mut args = commands.iter().flat_map(|c| &c.args);
    args.find_map(|arg| match arg {
        Operand::Field(path) => path.last(),
        _ => None,
    })
}

impl Template {
    /// The text with every printed field replaced by its heading.
    pub(super) fn heading(&self, name: impl Fn(&str) -> String) -> String {
        let mut out = String::new();
        for node in &self.nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Print(Pipeline(commands)) => {
                    let last = commands
                        .iter()
                        .flat_map(|c| &c.args)
                        .filter_map(|arg| match arg {
                            Operand::Field(path) => path.last(),
                            Operand::Nested(Pipeline(inner), path) => {
                                path.last().or_else(|| first_field(inner))
                            }
                            // The label's name is its heading.
                            Operand::Text(text) => Some(text),
                            _ => None,
                        })
                        .find(|name| *name != super::LABELS);
                    out.push_str(&last.map(|field| name(field)).unwrap_or_default());
                }
                _ => {}
            }
        }
        out
    }
}

/// Parses a whole template.
pub(super) fn parse(source: &str) -> Result<Template, TemplateError> {
    let pieces = split(source)?;
    let mut parser = Parser {
        source,
        pieces,
        next: 0,
    };
    let (nodes, end) = parser.block()?;
    match end {
        None => Ok(Template {
            source: source.to_owned(),
            nodes,
        }),
        Some((at, word, _)) => Err(TemplateError::new(
            source,
            at,
            format!("`{word}` without a beginning"),
        )),
    }
}

enum Piece {
    Text(String),
    Action(usize, Vec<(usize, Token)>),
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Field(Vec<String>),
    Variable(String, Vec<String>),
    Word(String),
    Text(String),
    Number(i64),
    Pipe,
    Open,
    Close,
    Comma,
    Assign,
    Change,
}

/// Cuts the text at `{{` and `}}`, trimming blanks where `{{-` or `-}}` asks for it.
fn split(source: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let (mut at, mut trim_next) = (0, false);
    while let Some(open) = source[at..].find("{{").map(|i| at + i) {
        let mut text = &source[at..open];
        let mut inner = open + 2;
        if trim_next {
            text = text.trim_start();
        }
        if source[inner..].starts_with("- ") {
            text = text.trim_end();
            inner += 1;
        }
        pieces.push(Piece::Text(text.to_owned()));
        if source[inner..].trim_start().starts_with("/*") {
            (at, trim_next) = comment(source, inner)?;
            continue;
        }
        let (tokens, close) = tokens(source, inner)?;
        trim_next = source[..close].ends_with(" -");
        at = close + 2;
        pieces.push(Piece::Action(open, tokens));
    }
    let rest = &source[at..];
    pieces.push(Piece::Text(
        if trim_next { rest.trim_start() } else { rest }.to_owned(),
    ));
    Ok(pieces)
}

/// Skips a comment: where the text goes on, and whether its blanks are trimmed.
fn comment(source: &str, at: usize) -> Result<(usize, bool), TemplateError> {
    let unclosed = || TemplateError::new(source, at, "unclosed comment");
    let end = source[at..]
        .find("*/")
        .map(|i| at + i + 2)
        .ok_or_else(unclosed)?;
    let rest = &source[end..];
    match (rest.starts_with("}}"), rest.starts_with(" -}}")) {
        (true, _) => Ok((end + 2, false)),
        (_, true) => Ok((end + 4, true)),
        _ => Err(unclosed()),
    }
}

/// The tokens from `at` up to the closing braces, and where these begin.
fn tokens(source: &str, mut at: usize) -> Result<(Vec<(usize, Token)>, usize), TemplateError> {
    let mut out = Vec::new();
    loop {
        let rest = &source[at..];
        let Some(c) = rest.chars().next() else {
            return Err(TemplateError::new(source, at, "unclosed action"));
        };
        if rest.starts_with("}}") {
            return Ok((out, at));
        }
        if rest.starts_with("-}}") {
            return Ok((out, at + 1));
        }
        let (token, length) = match c {
            c if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            '|' => (Token::Pipe, 1),
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            ',' => (Token::Comma, 1),
            ':' if rest.starts_with(":=") => (Token::Assign, 2),
            '=' => (Token::Change, 1),
            '"' | '`' => quoted(source, at, c)?,
            '.' => {
                let (path, length) = path(rest);
                (Token::Field(path), length)
            }
            '$' => {
                let name = word_length(&rest[1..]);
                let (path, length) = path(&rest[1 + name..]);
                (
                    Token::Variable(rest[1..=name].to_owned(), path),
                    1 + name + length,
                )
            }
            '-' | '0'..='9' => {
                let length = 1 + rest[1..].bytes().take_while(u8::is_ascii_digit).count();
                let number = rest[..length].parse();
                (
                    number
                        .map(Token::Number)
                        .map_err(|_| unexpected(source, at, c))?,
                    length,
                )
            }
            c if c.is_alphabetic() || c == '_' => {
                let length = word_length(rest);
                (Token::Word(rest[..length].to_owned()), length)
            }
            _ => return Err(unexpected(source, at, c)),
        };
        out.push((at, token));
        at += length;
    }
}

fn unexpected(source: &str, at: usize, c: char) -> TemplateError {
    TemplateError::new(source, at, format!("unexpected `{c}`"))
}

fn word_length(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}

/// `.A.B` → its names and length; a lone dot is an empty path.
fn path(text: &str) -> (Vec<String>, usize) {
    let (mut names, mut at) = (Vec::new(), 0);
    while text[at..].starts_with('.') {
        let length = word_length(&text[at + 1..]);
        if length == 0 {
            return (names, if at == 0 { 1 } else { at });
        }
        names.push(text[at + 1..=at + length].to_owned());
        at += 1 + length;
    }
    (names, at)
}

fn quoted(source: &str, at: usize, quote: char) -> Result<(Token, usize), TemplateError> {
    let mut out = String::new();
    let mut chars = source[at + 1..].char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            c if c == quote => return Ok((Token::Text(out), i + 2)),
            '\\' if quote == '"' => match chars.next().map(|(_, c)| c) {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some(c @ ('"' | '\\')) => out.push(c),
                _ => return Err(TemplateError::new(source, at + 1 + i, "unknown escape")),
            },
            c => out.push(c),
        }
    }
    Err(TemplateError::new(source, at, "unclosed string"))
}

struct Parser<'a> {
    source: &'a str,
    pieces: Vec<Piece>,
    next: usize,
}

/// What ended a block: `end` or `else`, where it stands, and what follows it.
type Ender = Option<(usize, String, Vec<(usize, Token)>)>;

impl Parser<'_> {
    fn block(&mut self) -> Result<(Vec<Node>, Ender), TemplateError> {
        let mut nodes = Vec::new();
        while self.next < self.pieces.len() {
            let piece = std::mem::replace(&mut self.pieces[self.next], Piece::Text(String::new()));
            self.next += 1;
            match piece {
                Piece::Text(text) if text.is_empty() => {}
                Piece::Text(text) => nodes.push(Node::Text(text)),
                Piece::Action(at, tokens) => match tokens.first() {
                    Some((_, Token::Word(word))) if word == "end" || word == "else" => {
                        return Ok((nodes, Some((at, word.clone(), tokens[1..].to_vec()))));
                    }
                    _ => nodes.push(self.action(at, &tokens)?),
                },
            }
        }
        Ok((nodes, None))
    }

    fn action(&mut self, at: usize, tokens: &[(usize, Token)]) -> Result<Node, TemplateError> {
        match tokens {
            [(_, Token::Word(word)), rest @ ..] if word == "if" || word == "with" => {
                let condition = self.pipeline(at, rest)?;
                let (yes, no) = self.branches(at, word)?;
                Ok(match word.as_str() {
                    "if" => Node::If(condition, yes, no),
                    _ => Node::With(condition, yes, no),
                })
            }
            [(_, Token::Word(word)), rest @ ..] if word == "range" => {
                let (vars, rest) = match rest {
                    [
                        (_, Token::Variable(k, _)),
                        (_, Token::Comma),
                        (_, Token::Variable(v, _)),
                        (_, Token::Assign),
                        rest @ ..,
                    ] => (vec![k.clone(), v.clone()], rest),
                    [(_, Token::Variable(v, _)), (_, Token::Assign), rest @ ..] => {
                        (vec![v.clone()], rest)
                    }
                    rest => (Vec::new(), rest),
                };
                let over = self.pipeline(at, rest)?;
                let (body, otherwise) = self.branches(at, word)?;
                Ok(Node::Range {
                    vars,
                    over,
                    body,
                    otherwise,
                })
            }
            [(_, Token::Variable(name, _)), (_, Token::Assign), rest @ ..] => {
                Ok(Node::Set(name.clone(), self.pipeline(at, rest)?))
            }
            [(_, Token::Variable(name, _)), (_, Token::Change), rest @ ..] => {
                Ok(Node::Change(name.clone(), self.pipeline(at, rest)?))
            }
            [(_, Token::Word(word))] if word == "break" => Ok(Node::Break),
            [(_, Token::Word(word))] if word == "continue" => Ok(Node::Continue),
            tokens => Ok(Node::Print(self.pipeline(at, tokens)?)),
        }
    }

    fn branches(&mut self, at: usize, word: &str) -> Result<(Vec<Node>, Vec<Node>), TemplateError> {
        let source = self.source;
        let unclosed = || TemplateError::new(source, at, format!("`{word}` without `end`"));
        let (yes, ender) = self.block()?;
        match ender {
            Some((_, ender, _)) if ender == "end" => Ok((yes, Vec::new())),
            // `else if …`: the rest is one node that shares our end.
            Some((at, _, rest)) if !rest.is_empty() => Ok((yes, vec![self.action(at, &rest)?])),
            Some(_) => match self.block()? {
                (no, Some((_, ender, _))) if ender == "end" => Ok((yes, no)),
                _ => Err(unclosed()),
            },
            None => Err(unclosed()),
        }
    }

    fn pipeline(&self, at: usize, tokens: &[(usize, Token)]) -> Result<Pipeline, TemplateError> {
        let mut depth = 0usize;
        let parts = tokens.split(|(_, token)| {
            match token {
                Token::Open => depth += 1,
                Token::Close => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && *token == Token::Pipe
        });
        parts
            .map(|part| self.command(at, part))
            .collect::<Result<_, _>>()
            .map(Pipeline)
    }

    fn command(&self, at: usize, tokens: &[(usize, Token)]) -> Result<Command, TemplateError> {
        let Some((first, head)) = tokens.first() else {
            return Err(TemplateError::new(self.source, at, "missing value"));
        };
        let (function, rest) = match head {
            Token::Word(word) if !matches!(word.as_str(), "true" | "false" | "nil") => {
                (Some(word.clone()), &tokens[1..])
            }
            _ => (None, tokens),
        };
        let mut args = self.operands(rest)?;
        // Docker's one method with an argument: `.Label "name"`.
        if let [Operand::Field(path), Operand::Text(_)] = args.as_slice()
            && function.is_none()
            && path.last().is_some_and(|name| name == "Label")
        {
            args[0] = Operand::Field(vec![super::LABELS.to_owned()]);
            return Ok(Command {
                at: *first,
                function: Some("label".into()),
                args,
            });
        }
        if function.is_none() && args.len() != 1 {
            return Err(TemplateError::new(
                self.source,
                *first,
                "a value takes no arguments",
            ));
        }
        Ok(Command {
            at: *first,
            function,
            args,
        })
    }

    fn operands(&self, mut tokens: &[(usize, Token)]) -> Result<Vec<Operand>, TemplateError> {
        let mut out = Vec::new();
        while let [(at, token), rest @ ..] = tokens {
            tokens = rest;
            out.push(match token {
                Token::Field(path) => Operand::Field(path.clone()),
                Token::Variable(name, path) => Operand::Variable(name.clone(), path.clone()),
                Token::Text(text) => Operand::Text(text.clone()),
                Token::Number(number) => Operand::Number(*number),
                Token::Word(word) if word == "true" || word == "false" => {
                    Operand::Bool(word == "true")
                }
                Token::Word(word) if word == "nil" => Operand::Nil,
                Token::Open => {
                    let close = matching(rest)
                        .ok_or_else(|| TemplateError::new(self.source, *at, "unclosed `(`"))?;
                    let inner = self.pipeline(*at, &rest[..close])?;
                    let after = rest[close].0 + 1;
                    tokens = &rest[close + 1..];
                    match tokens {
                        [(at, Token::Field(path)), more @ ..] if *at == after => {
                            tokens = more;
                            Operand::Nested(inner, path.clone())
                        }
                        _ => Operand::Nested(inner, Vec::new()),
                    }
                }
                _ => {
                    return Err(TemplateError::new(
                        self.source,
                        *at,
                        "unexpected word or sign",
                    ));
                }
            });
        }
        Ok(out)
    }
}

/// Index of the parenthesis that closes an already opened one.
fn matching(tokens: &[(usize, Token)]) -> Option<usize> {
    let mut depth = 1;
    tokens.iter().position(|(_, token)| {
        match token {
            Token::Open => depth += 1,
            Token::Close => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}
