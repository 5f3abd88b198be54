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
    };
    scope.nodes(&template.nodes, data)?;
    Ok(scope.out)
}

struct Scope<'a> {
    template: &'a Template,
    root: &'a Value,
    variables: Vec<(String, Value)>,
    out: String,
}

impl Scope<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<(), TemplateError> {
        let depth = self.variables.len();
        for node in nodes {
            match node {
                Node::Text(text) => self.out.push_str(text),
                Node::Print(pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    self.out.push_str(&print(&value, true));
                }
                Node::Set(name, pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    self.variables.push((name.clone(), value));
                }
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
            Value::Object(map) => map.iter().map(|(k, v)| (k.clone().into(), v)).collect(),
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
                        let known: Vec<&str> = map.keys().map(String::as_str).collect();
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

/// The functions that docker's `--format` offers, and the comparisons of Go's own.
fn call(name: &str, args: &[Value]) -> Result<Value, String> {
    let text = |v: &Value| print(v, false);
    Ok(match (name, args) {
        ("json", [v]) => v.to_string().into(),
        ("lower", [v]) => text(v).to_lowercase().into(),
        ("upper", [v]) => text(v).to_uppercase().into(),
        ("title", [v]) => title(&text(v)).into(),
        ("trim", [v]) => text(v).trim().into(),
        ("println", [v]) => format!("{}\n", text(v)).into(),
        ("print", list) => list.iter().map(text).collect::<Vec<_>>().join(" ").into(),
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
        ("truncate", [v, Value::Number(n)]) => text(v)
            .chars()
            .take(n.as_u64().unwrap_or(0) as usize)
            .collect::<String>()
            .into(),
        ("pad", [v, Value::Number(before), Value::Number(after)]) => {
            let blanks =
                |n: &serde_json::Number| " ".repeat(n.as_u64().unwrap_or(0).min(256) as usize);
            format!("{}{}{}", blanks(before), text(v), blanks(after)).into()
        }
        ("index", [first, keys @ ..]) => index(first, keys)?,
        ("printf", [Value::String(format), rest @ ..]) => printf(format, rest).into(),
        ("eq", [first, rest @ ..]) if !rest.is_empty() => rest.contains(first).into(),
        ("ne", [a, b]) => (a != b).into(),
        ("lt", [a, b]) => (a.as_f64() < b.as_f64()).into(),
        ("gt", [a, b]) => (a.as_f64() > b.as_f64()).into(),
        ("not", [v]) => (!truth(v)).into(),
        ("and", [.., last]) => args.iter().find(|v| !truth(v)).unwrap_or(last).clone(),
        ("or", [.., last]) => args.iter().find(|v| truth(v)).unwrap_or(last).clone(),
        (
            "json" | "lower" | "upper" | "title" | "trim" | "println" | "join" | "split" | "len"
            | "truncate" | "pad" | "index" | "printf" | "eq" | "ne" | "lt" | "gt" | "not" | "and"
            | "or",
            _,
        ) => return Err(format!("wrong arguments for `{name}`")),
        _ => return Err(format!("function `{name}` not defined")),
    })
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
