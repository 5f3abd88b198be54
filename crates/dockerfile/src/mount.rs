//! The value of `RUN --mount`: comma-separated `key=value`.

use text::{Diagnostic, suggest};

use crate::context::Context;
use crate::instruction::choice;
use crate::word::Slice;
use crate::{Mount, MountKind, Sharing, Spanned, Word};

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "env",
];

/// Reads one mount. `None`: it is reported why not.
pub(crate) fn parse(cx: &mut Context, word: Word) -> Option<Spanned<Mount>> {
    let before = cx.diagnostics.len();
    let fields = fields(word.slice());
    let mut mount = Mount {
        kind: kind(cx, &fields)?,
        target: None,
        source: None,
        from: None,
        id: None,
        read_only: None,
        required: false,
        sharing: Sharing::default(),
        size: None,
        mode: None,
        uid: None,
        gid: None,
        env: None,
    };
    for field in &fields {
        apply(cx, &mut mount, field);
    }
    check(cx, &mount, &word);
    (cx.diagnostics.len() == before).then_some(Spanned {
        value: mount,
        span: word.span,
    })
}

struct Field<'a> {
    key: String,
    value: Option<Slice<'a>>,
    whole: Slice<'a>,
}

/// Cuts at commas. A field in double quotes may hold commas itself.
fn fields(mount: Slice<'_>) -> Vec<Field<'_>> {
    let text = mount.as_str();
    let mut fields = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (at, c) in text.char_indices().chain([(text.len(), ',')]) {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted || at == text.len() => {
                fields.push(mount.sub(start, at));
                start = at + 1;
            }
            _ => {}
        }
    }
    let unquoted = fields.into_iter().map(|field| {
        let text = field.as_str();
        match text.len() > 1 && text.starts_with('"') && text.ends_with('"') {
            true => field.sub(1, text.len() - 1),
            false => field,
        }
    });
    let split = unquoted.map(|whole| match whole.split_once('=') {
        Some((key, value)) => Field {
            key: key.as_str().to_ascii_lowercase(),
            value: Some(value),
            whole,
        },
        None => Field {
            key: whole.as_str().to_ascii_lowercase(),
            value: None,
            whole,
        },
    });
    split.collect()
}

/// The kind decides which other keys are allowed, so it is looked for first.
fn kind(cx: &mut Context, fields: &[Field<'_>]) -> Option<MountKind> {
    let Some(value) = fields
        .iter()
        .rfind(|field| field.key == "type")
        .and_then(|f| f.value)
    else {
        return Some(MountKind::Bind);
    };
    let choices = [
        ("bind", MountKind::Bind),
        ("cache", MountKind::Cache),
        ("tmpfs", MountKind::Tmpfs),
        ("secret", MountKind::Secret),
        ("ssh", MountKind::Ssh),
    ];
    choice(cx, "type", &value.to_word(), &choices).map(|kind| kind.value)
}

fn apply(cx: &mut Context, mount: &mut Mount, field: &Field<'_>) {
    let key = field.key.as_str();
    match (key, field.value) {
        ("readonly" | "ro", value) => mount.read_only = boolean(cx, key, value),
        ("readwrite" | "rw", value) => mount.read_only = boolean(cx, key, value).map(|rw| !rw),
        ("required", value) => mount.required = boolean(cx, key, value).unwrap_or(false),
        (key, _) if !KEYS.contains(&key) => {
            let near = suggest::nearest(key, KEYS);
            cx.report(
                Diagnostic::error(format!("a mount has no key `{key}`"))
                    .at(field.whole.span())
                    .did_you_mean(near),
            );
        }
        (key, None) => {
            let message = format!("`{key}` of a mount needs a value");
            cx.report(Diagnostic::error(message).at(field.whole.span()));
        }
        (key, Some(value)) => assign(cx, mount, key, &value.to_word()),
    }
}

fn assign(cx: &mut Context, mount: &mut Mount, key: &str, value: &Word) {
    cx.check(value);
    let slot = match key {
        "from" => &mut mount.from,
        "source" | "src" => &mut mount.source,
        "target" | "dst" | "destination" => &mut mount.target,
        "id" => &mut mount.id,
        "size" => &mut mount.size,
        "mode" => &mut mount.mode,
        "uid" => &mut mount.uid,
        "gid" => &mut mount.gid,
        "env" => &mut mount.env,
        "sharing" => {
            let choices = [
                ("shared", Sharing::Shared),
                ("private", Sharing::Private),
                ("locked", Sharing::Locked),
            ];
            if let Some(sharing) = choice(cx, "sharing", value, &choices) {
                mount.sharing = sharing.value;
            }
            return;
        }
        // `type` was read before.
        _ => return,
    };
    let radix = match key {
        "mode" => 8,
        _ => 10,
    };
    let numeric = matches!(key, "mode" | "uid" | "gid") && !value.has_variable();
    if numeric && u32::from_str_radix(&value.text, radix).is_err() {
        let message = format!("`{key}` of a mount cannot be `{}`", value.text);
        let number = if radix == 8 {
            "an octal number"
        } else {
            "a number"
        };
        cx.report(
            Diagnostic::error(message)
                .at(value.span)
                .hint(format!("it is {number}")),
        );
    }
    *slot = Some(value.clone());
}

fn boolean(cx: &mut Context, key: &str, value: Option<Slice<'_>>) -> Option<bool> {
    let Some(value) = value else {
        return Some(true);
    };
    match value.as_str() {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        other => {
            let message = format!("`{key}` is either true or false, not `{other}`");
            cx.report(Diagnostic::error(message).at(value.span()));
            None
        }
    }
}

/// What the kinds of mounts forbid and demand.
fn check(cx: &mut Context, mount: &Mount, whole: &Word) {
    use MountKind::{Bind, Cache, Secret, Ssh, Tmpfs};
    let owned = matches!(mount.kind, Cache | Secret | Ssh);
    let forbidden = [
        ("mode", !owned && mount.mode.is_some()),
        ("uid", !owned && mount.uid.is_some()),
        ("gid", !owned && mount.gid.is_some()),
        ("size", mount.kind != Tmpfs && mount.size.is_some()),
        (
            "required",
            !matches!(mount.kind, Secret | Ssh) && mount.required,
        ),
        (
            "sharing",
            mount.kind != Cache && mount.sharing != Sharing::Shared,
        ),
        (
            "from",
            matches!(mount.kind, Secret | Ssh | Tmpfs) && mount.from.is_some(),
        ),
        ("env", mount.kind != Secret && mount.env.is_some()),
    ];
    let name = match mount.kind {
        Bind => "bind",
        Cache => "cache",
        Tmpfs => "tmpfs",
        Secret => "secret",
        Ssh => "ssh",
    };
    for (key, _) in forbidden.iter().filter(|(_, present)| *present) {
        let message = format!("a {name} mount has no `{key}`");
        cx.report(Diagnostic::error(message).at(whole.span));
    }
    let needs_target = matches!(mount.kind, Bind | Cache | Tmpfs) && mount.target.is_none();
    let anonymous = mount.kind == Secret
        && mount.id.is_none()
        && mount.source.is_none()
        && mount.target.is_none();
    if needs_target {
        let message = format!("a {name} mount needs a `target`");
        cx.report(
            Diagnostic::error(message)
                .at(whole.span)
                .hint("add `target=/path`"),
        );
    } else if anonymous {
        cx.report(Diagnostic::error("a secret mount needs an `id`").at(whole.span));
    }
}
