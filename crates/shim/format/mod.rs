//! `--format`: Go templates over JSON, `json`, and aligned tables.

mod eval;
mod parse;
mod table;

pub(crate) use parse::TemplateError;
pub(crate) use table::Table;

use serde_json::Value;

/// A row's field that templates reach as `.Label "name"` and nobody prints.
pub(crate) const LABELS: &str = "__labels";

/// A value without what nobody prints.
fn without_labels(value: &Value) -> std::borrow::Cow<'_, Value> {
    match value {
        Value::Object(map) if map.contains_key(LABELS) => {
            let mut map = map.clone();
            map.remove(LABELS);
            std::borrow::Cow::Owned(Value::Object(map))
        }
        value => std::borrow::Cow::Borrowed(value),
    }
}

/// A parsed `--format`.
pub(crate) enum Format {
    /// `json`: one document a line.
    Json,
    /// `table`: what the command prints without a format.
    Usual,
    /// `table …`: the template's fields under a heading.
    Table(parse::Template),
    /// Any other template: one line a row.
    Template(parse::Template),
}

impl Format {
    /// Reads the value of `--format`.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        // Scripts pass `\t` and `\n` in single quotes; docker's client takes them so.
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        match text.as_str() {
            "json" => Ok(Self::Json),
            "table" => Ok(Self::Usual),
            _ => match text.strip_prefix("table ") {
                Some(rest) => parse::parse(rest).map(Self::Table),
                None => parse::parse(&text).map(Self::Template),
            },
        }
    }

    /// As [`Format::parse`]; `None` where the command prints its usual table.
    pub(crate) fn of(text: Option<&str>) -> Result<Option<Self>, TemplateError> {
        let format = text
            .filter(|t| !t.is_empty())
            .map(Self::parse)
            .transpose()?;
        Ok(format.filter(|format| !matches!(format, Self::Usual)))
    }

    /// Renders rows, each ending in a line break.
    pub(crate) fn render(&self, rows: &[Value]) -> Result<String, TemplateError> {
        self.render_headed(rows, &[])
    }

    /// As [`Format::render`], with headings that are not the field's name in capitals.
    pub(crate) fn render_headed(
        &self,
        rows: &[Value],
        headings: &[(&str, &str)],
    ) -> Result<String, TemplateError> {
        let mut out = String::new();
        match self {
            Self::Usual => return Err(TemplateError::new("table", 5, "a table needs fields")),
            Self::Json => rows.iter().for_each(|row| {
                out.push_str(&without_labels(row).to_string());
                out.push('\n');
            }),
            Self::Template(template) => {
                for row in rows {
                    out.push_str(&eval::render(template, row)?);
                    out.push('\n');
                }
            }
            Self::Table(template) => {
                let mut table = Table::default();
                table.made(&heading(template, headings));
                for row in rows {
                    table.made(&eval::render(template, row)?);
                }
                out = table.finish();
            }
        }
        Ok(out)
    }
}

/// The heading of a table: each field's name in capitals, words apart.
fn heading(template: &parse::Template, headings: &[(&str, &str)]) -> String {
    let spaced = |name: &str| {
        if let Some((_, heading)) = headings.iter().find(|(field, _)| *field == name) {
            return (*heading).to_owned();
        }
        let mut out = String::new();
        let mut previous_lower = false;
        for c in name.chars() {
            if c.is_ascii_uppercase() && previous_lower {
                out.push(' ');
            }
            previous_lower = c.is_ascii_lowercase();
            out.push(c.to_ascii_uppercase());
        }
        match out.as_str() {
            "ID" => "CONTAINER ID".to_owned(),
            "CREATED SINCE" | "RUNNING FOR" => "CREATED".to_owned(),
            _ => out,
        }
    };
    template.heading(spaced)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(format: &str, row: Value) -> String {
        Format::parse(format)
            .and_then(|f| f.render(&[row]))
            .unwrap_or_else(|e| format!("{e}"))
    }

    #[test]
    fn fields_functions_and_pipes() {
        let row =
            json!({"Id": "sha256:ab", "Names": ["a", "b"], "Config": {"Env": ["A=1"]}, "N": 3});
        assert_eq!(render("{{.Id}}", row.clone()), "sha256:ab\n");
        assert_eq!(render("{{json .Config.Env}}", row.clone()), "[\"A=1\"]\n");
        assert_eq!(
            render("{{join .Names \", \"}}|{{.N}}", row.clone()),
            "a, b|3\n"
        );
        assert_eq!(
            render("{{.Id | upper | printf \"<%s>\"}}", row.clone()),
            "<SHA256:AB>\n"
        );
        assert_eq!(render("{{index .Names 1}}", row.clone()), "b\n");
        let ports = json!({"Ports": {"80/tcp": [{"HostPort": "8080"}]}});
        assert_eq!(
            render("{{(index (index .Ports \"80/tcp\") 0).HostPort}}", ports),
            "8080\n"
        );
        assert_eq!(
            render("{{range .Names}}[{{.}}]{{end}}", row.clone()),
            "[a][b]\n"
        );
        assert_eq!(
            render("{{if eq .N 3}}y{{else}}n{{end}}", row.clone()),
            "y\n"
        );
        assert_eq!(
            render("{{range $k, $v := .Config}}{{$k}}={{len $v}}{{end}}", row),
            "Env=1\n"
        );
    }

    #[test]
    fn prints_as_go_does() {
        let row = json!({"L": ["a", "b"], "M": {"x": 1}, "B": true, "Nil": null});
        assert_eq!(
            render("{{.L}} {{.M}} {{.B}}", row.clone()),
            "[a b] map[x:1] true\n"
        );
        assert_eq!(render("{{.Nil}}", row), "<no value>\n");
    }

    #[test]
    fn tables_have_headings() {
        let row = json!({"ID": "abc", "Names": "web"});
        assert_eq!(
            render("table {{.ID}}\\t{{.Names}}", row),
            "CONTAINER ID   NAMES\nabc            web\n"
        );
    }

    #[test]
    fn what_gos_templates_have_besides() {
        let row = json!({"N": 2, "S": "abc", "L": ["a", "b", "c"], "Nil": null,
                         "__labels": {"a.b": "x,y"}});
        for (template, wanted) in [
            (
                "{{if eq .N 1}}one{{else if eq .N 2}}two{{else}}more{{end}}",
                "two",
            ),
            ("{{/* nothing */}}{{.S}}", "abc"),
            (
                "{{range .L}}{{if eq . \"c\"}}{{break}}{{end}}{{.}}{{end}}",
                "ab",
            ),
            (
                "{{range .L}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}",
                "ac",
            ),
            ("{{$x := 1}}{{range .L}}{{$x = .}}{{end}}{{$x}}", "c"),
            ("{{slice .S 1 2}}{{len (slice .L 1)}}", "b2"),
            ("{{le .N 2}} {{ge .N 3}} {{lt .S \"b\"}}", "true false true"),
            ("{{eq .Nil nil}} {{len .Nil}}", "true 0"),
            ("{{.Label \"a.b\"}}|{{.Label \"none\"}}", "x,y|"),
            (
                "{{json .}}",
                "{\"L\":[\"a\",\"b\",\"c\"],\"N\":2,\"Nil\":null,\"S\":\"abc\"}",
            ),
            (
                "{{pad .S 1 2}}|{{truncate .S 2}}|{{title .S}}|{{upper .S}}",
                " abc  |ab|Abc|ABC",
            ),
            ("{{println .S .N}}", "abc 2\n"),
            ("{{with .Nil}}x{{else}}none{{end}}", "none"),
        ] {
            assert_eq!(
                render(template, row.clone()),
                format!("{wanted}\n"),
                "{template}"
            );
        }
        assert_eq!(
            render("table {{.Label \"a.b\"}}\\t{{upper .S}}", row),
            "A.B   S\nx,y   ABC\n"
        );
    }

    #[test]
    fn bad_templates_are_errors() {
        for bad in [
            "{{.Id",
            "{{nosuch .Id}}",
            "{{end}}",
            "{{if .X}}",
            "{{.Id}",
            "{{\"a}}",
            "{{.Nope}}",
        ] {
            let out = render(bad, json!({"Id": "1"}));
            let opens = bad == "{{.Id}" || out.contains("template");
            assert!(opens, "{bad}: {out}");
        }
    }
}
