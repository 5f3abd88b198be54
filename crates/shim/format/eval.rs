//! Evaluation of a parsed template over JSON, printing values as Go does.

use serde_json::{Map, Value};

use super::parse::{Command, Node, Operand, Pipeline, Template, TemplateError};

/// The template's text for one value.
pub(super) fn render(template: &Template, data: &Value) -> Result<String, TemplateError> {
    let mut scope = Scope {
        template,
        root: data,
        variables: Vec::new(),
        out: String::new(),
        jump: None,
    };
    scope.nodes(&template.nodes, data)?;
    Ok(scope.out)
}

struct Scope<'a> {
    template: &'a Template,
    root: &'a Value,
    variables: Vec<(String, Value)>,
    out: String,
    /// A `break` or `continue` on its way to its `range`.
    jump: Option<Jump>,
}

#[derive(Clone, Copy, PartialEq)]
enum Jump {
    Break,
    Continue,
}

impl Scope<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<(), TemplateError> {
        let depth = self.variables.len();
        for node in nodes {
            match node {
                Node::Text(text) => self.out.push_str(text),
                Node::Print(pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    self.out
                        .push_str(&crate::terminal::value(&print(&value, true)));
                }
                Node::Set(name, pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    self.variables.push((name.clone(), value));
                }
                Node::Change(name, pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    let mut known = self.variables.iter_mut().rev();
                    match known.find(|(n, _)| n == name) {
                        Some((_, slot)) => *slot = value,
                        None => {
                            let message = format!("undefined variable `${name}`");
                            return Err(TemplateError::new(&self.template.source, 0, message));
                        }
                    }
                }
                Node::Break => self.jump = Some(Jump::Break),
                Node::Continue => self.jump = Some(Jump::Continue),
                Node::If(condition, yes, no) => {
                    let branch = if truth(&self.pipeline(condition, dot)?) {
                        yes
                    } else {
                        no
                    };
                    self.nodes(branch, dot)?;
                }
                Node::With(condition, yes, no) => {
                    let value = self.pipeline(condition, dot)?;
                    match truth(&value) {
                        true => self.nodes(yes, &value)?,
                        false => self.nodes(no, dot)?,
                    }
                }
                Node::Range {
                    vars,
                    over,
                    body,
                    otherwise,
                } => {
                    let value = self.pipeline(over, dot)?;
                    self.range(vars, &value, body, otherwise, dot)?;
                }
            }
            if self.jump.is_some() {
                break;
            }
        }
        self.variables.truncate(depth);
        Ok(())
    }

    fn range(
        &mut self,
        vars: &[String],
        over: &Value,
        body: &[Node],
        otherwise: &[Node],
        dot: &Value,
    ) -> Result<(), TemplateError> {
        let items: Vec<(Value, &Value)> = match over {
            Value::Array(list) => list
                .iter()
                .enumerate()
                .map(|(i, v)| (i.into(), v))
                .collect(),
            Value::Object(map) => map
                .iter()
                .filter(|(k, _)| k.as_str() != super::LABELS)
                .map(|(k, v)| (k.clone().into(), v))
                .collect(),
            _ => Vec::new(),
        };
        if items.is_empty() {
            return self.nodes(otherwise, dot);
        }
        for (key, item) in items {
            let depth = self.variables.len();
            match vars {
                [k, v] => {
                    self.variables.push((k.clone(), key));
                    self.variables.push((v.clone(), item.clone()));
                }
                [v] => self.variables.push((v.clone(), item.clone())),
                _ => {}
            }
            self.nodes(body, item)?;
            self.variables.truncate(depth);
            if self.jump.take() == Some(Jump::Break) {
                break;
            }
        }
        Ok(())
    }

    fn pipeline(&self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        let mut piped = None;
        for command in &pipeline.0 {
            let mut args = Vec::with_capacity(command.args.len() + 1);
            for operand in &command.args {
                args.push(self.operand(command, operand, dot)?);
            }
            args.extend(piped.take());
            piped = Some(match &command.function {
                Some(name) => call(name, &args).map_err(|message| self.error(command, message))?,
                None if args.len() == 1 => args.remove(0),
                None => return Err(self.error(command, "a value takes no arguments".into())),
            });
        }
        Ok(piped.unwrap_or(Value::Null))
    }

    fn operand(
        &self,
        at: &Command,
        operand: &Operand,
        dot: &Value,
    ) -> Result<Value, TemplateError> {
        Ok(match operand {
            Operand::Field(path) => self.field(at, dot, path)?,
            Operand::Variable(name, path) => {
                let value = match name.as_str() {
                    "" => self.root,
                    name => self
                        .variables
                        .iter()
                        .rev()
                        .find(|(n, _)| n == name)
                        .map(|(_, v)| v)
                        .ok_or_else(|| self.error(at, format!("undefined variable `${name}`")))?,
                };
                self.field(at, value, path)?
            }
            Operand::Text(text) => text.clone().into(),
            Operand::Number(number) => (*number).into(),
            Operand::Bool(value) => (*value).into(),
            Operand::Nil => Value::Null,
            Operand::Nested(pipeline, path) => {
                let value = self.pipeline(pipeline, dot)?;
                self.field(at, &value, path)?
            }
        })
    }

    /// Follows names; a name that no row of this kind has is a mistake in the template.
    fn field(&self, at: &Command, value: &Value, path: &[String]) -> Result<Value, TemplateError> {
        let mut value = value;
        for (depth, name) in path.iter().enumerate() {
            value = match value {
                Value::Object(map) => match map.get(name) {
                    Some(value) => value,
                    None if depth == 0 => {
                        let known = map.keys().map(String::as_str);
                        let known: Vec<&str> = known.filter(|k| *k != super::LABELS).collect();
                        let known = known.join(", ");
                        return Err(
                            self.error(at, format!("no field `{name}` (there are {known})"))
                        );
                    }
                    None => return Ok(Value::Null),
                },
                Value::Null => return Ok(Value::Null),
                _ => return Err(self.error(at, format!("`{name}` of a value that has no fields"))),
            };
        }
        Ok(value.clone())
    }

    fn error(&self, at: &Command, message: String) -> TemplateError {
        TemplateError::new(&self.template.source, at.at, message)
    }
}

/// Go's notion of truth: neither empty nor zero.
fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(s) => !s.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// `fmt.Print` of a value; only at the top is a missing value spelled out.
fn print(value: &Value, top: bool) -> String {
    match value {
        Value::Null if top => "<no value>".into(),
        Value::Null => "<nil>".into(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(s) => s.clone(),
        Value::Array(list) => {
            let items: Vec<_> = list.iter().map(|v| print(v, false)).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(map) => format!("map[{}]", print_map(map)),
    }
}

fn print_map(map: &Map<String, Value>) -> String {
    let items: Vec<_> = map
        .iter()
        .map(|(k, v)| format!("{k}:{}", print(v, false)))
        .collect();
    items.join(" ")
}

/// The functions that docker's `--format` offers, and Go's own.
fn call(name: &str, args: &[Value]) -> Result<Value, String> {
    let text = |v: &Value| print(v, false);
    let count = |n: &serde_json::Number| n.as_u64().unwrap_or(0) as usize;
    Ok(match (name, args) {
        ("json", [v]) => super::without_labels(v).to_string().into(),
        ("lower", [v]) => text(v).to_lowercase().into(),
        ("upper", [v]) => text(v).to_uppercase().into(),
        ("title", [v]) => title(&text(v)).into(),
        ("trim", [v]) => text(v).trim().into(),
        ("println", list) => format!("{}\n", words(list)).into(),
        ("print", list) => words(list).into(),
        ("label", [Value::Object(labels), name]) => labels
            .get(&text(name))
            .map_or_else(|| "".into(), |v| text(v).into()),
        ("join", [Value::Array(list), sep]) => list
            .iter()
            .map(text)
            .collect::<Vec<_>>()
            .join(&text(sep))
            .into(),
        ("join", [Value::Null, _]) => "".into(),
        ("split", [v, sep]) => text(v).split(&text(sep)).map(Value::from).collect(),
        ("len", [Value::Array(list)]) => list.len().into(),
        ("len", [Value::Object(map)]) => map.len().into(),
        ("len", [Value::String(s)]) => s.len().into(),
        ("len", [Value::Null]) => 0.into(),
        ("truncate", [v, Value::Number(n)]) => {
            text(v).chars().take(count(n)).collect::<String>().into()
        }
        ("pad", [v, Value::Number(before), Value::Number(after)]) => {
            let blanks = |n: &serde_json::Number| " ".repeat(count(n).min(256));
            // Docker leaves an empty one empty.
            match text(v) {
                v if v.is_empty() => v.into(),
                v => format!("{}{v}{}", blanks(before), blanks(after)).into(),
            }
        }
        ("index", [first, keys @ ..]) => index(first, keys)?,
        ("slice", [v, bounds @ ..]) => slice(v, bounds)?,
        ("printf", [Value::String(format), rest @ ..]) => printf(format, rest).into(),
        ("eq", [first, rest @ ..]) if !rest.is_empty() => rest.contains(first).into(),
        ("ne", [a, b]) => (a != b).into(),
        ("lt" | "le" | "gt" | "ge", [a, b]) => {
            let order = order(a, b).ok_or_else(|| format!("`{name}` cannot compare these"))?;
            match name {
                "lt" => order.is_lt(),
                "le" => order.is_le(),
                "gt" => order.is_gt(),
                _ => order.is_ge(),
            }
            .into()
        }
        ("not", [v]) => (!truth(v)).into(),
        ("and", [.., last]) => args.iter().find(|v| !truth(v)).unwrap_or(last).clone(),
        ("or", [.., last]) => args.iter().find(|v| truth(v)).unwrap_or(last).clone(),
        (name, _) if FUNCTIONS.contains(&name) => {
            return Err(format!("wrong arguments for `{name}`"));
        }
        _ => return Err(format!("function `{name}` not defined")),
    })
}

const FUNCTIONS: [&str; 24] = [
    "and", "eq", "ge", "gt", "index", "join", "json", "label", "le", "len", "lower", "lt", "ne",
    "not", "or", "pad", "printf", "slice", "split", "title", "trim", "truncate", "upper",
    "println",
];

/// `fmt.Sprint` of several values, blanks between them.
fn words(list: &[Value]) -> String {
    let words: Vec<String> = list.iter().map(|v| print(v, false)).collect();
    words.join(" ")
}

/// How two values of one kind are ordered.
fn order(a: &Value, b: &Value) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

/// `slice X 1 3` is Go's `X[1:3]`.
fn slice(value: &Value, bounds: &[Value]) -> Result<Value, String> {
    let bound = |at: usize, default: usize| match bounds.get(at) {
        None => Ok(default),
        Some(v) => v
            .as_u64()
            .map(|n| n as usize)
            .ok_or_else(|| "a bound of `slice` is no number".to_owned()),
    };
    let out = || "a bound of `slice` is out of range".to_owned();
    match value {
        Value::String(text) => {
            let (from, to) = (bound(0, 0)?, bound(1, text.len())?);
            text.get(from..to).map(Value::from).ok_or_else(out)
        }
        Value::Array(list) => {
            let (from, to) = (bound(0, 0)?, bound(1, list.len())?);
            let part = list.get(from..to).ok_or_else(out)?;
            Ok(part.to_vec().into())
        }
        _ => Err("cannot slice this value".into()),
    }
}

fn title(text: &str) -> String {
    let mut start = true;
    let upper = |c: char| c.to_uppercase().next().unwrap_or(c);
    text.chars()
        .map(|c| {
            let out = if start { upper(c) } else { c };
            start = c.is_whitespace();
            out
        })
        .collect()
}

fn index(value: &Value, keys: &[Value]) -> Result<Value, String> {
    keys.iter()
        .try_fold(value.clone(), |value, key| match (&value, key) {
            (Value::Array(list), Value::Number(n)) => n
                .as_u64()
                .and_then(|i| list.get(i as usize).cloned())
                .ok_or_else(|| format!("index {n} out of range")),
            (Value::Object(map), Value::String(key)) => {
                Ok(map.get(key).cloned().unwrap_or(Value::Null))
            }
            (Value::Null, _) => Ok(Value::Null),
            _ => Err("cannot index this value".into()),
        })
}

/// `%s`, `%v`, `%d`, `%q` and `%%`, with a width such as `%-20s`.
fn printf(format: &str, args: &[Value]) -> String {
    let mut out = String::new();
    let mut args = args.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let left = chars.next_if_eq(&'-').is_some();
        let mut width = 0usize;
        while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
            width = (width * 10 + digit as usize).min(4096);
            chars.next();
        }
        let text = match chars.next() {
            Some('%') => "%".to_owned(),
            Some('q') => args
                .next()
                .map(|v| format!("{:?}", print(v, false)))
                .unwrap_or_default(),
            Some('s' | 'v' | 'd') => args
                .next()
                .map_or_else(|| "%!(MISSING)".into(), |v| print(v, false)),
            Some(verb) => format!("%!{verb}"),
            None => "%!(NOVERB)".into(),
        };
        let blanks = " ".repeat(width.saturating_sub(text.chars().count()));
        out.push_str(&if left { text + &blanks } else { blanks + &text });
    }
    out
}
