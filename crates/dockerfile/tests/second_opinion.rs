//! The same files read by another parser, for what both understand.

use dockerfile::{Command, Instruction, Source, Word};
use parse_dockerfile as other;
use proptest::prelude::*;
use text::FileId;

/// An instruction as both see it: keyword, offset, arguments.
type Seen = (String, usize, Vec<String>);

fn ours(text: &str) -> Vec<Seen> {
    let (file, diagnostics) = dockerfile::parse(FileId(0), text);
    assert!(!text::has_errors(&diagnostics), "{text}\n{diagnostics:#?}");
    let mut seen = Vec::new();
    for stage in &file.stages {
        let mut arguments = vec![stage.base.text.clone()];
        arguments.extend(
            stage
                .name
                .as_ref()
                .map(|name| text[name.span.range()].to_owned()),
        );
        seen.push(("FROM".to_owned(), stage.span.start as usize, arguments));
        for step in &stage.steps {
            let keyword = step.instruction.keyword().to_owned();
            seen.push((
                keyword,
                step.span.start as usize,
                arguments_of(&step.instruction),
            ));
        }
    }
    seen
}

fn texts(words: &[Word]) -> Vec<String> {
    words.iter().map(|word| word.text.clone()).collect()
}

fn command(command: &Command) -> Vec<String> {
    match command {
        Command::Exec(argv) => texts(argv),
        Command::Shell(line) => vec![line.text.clone()],
    }
}

fn arguments_of(instruction: &Instruction) -> Vec<String> {
    match instruction {
        Instruction::Run(run) => command(&run.command),
        Instruction::Cmd(it) | Instruction::Entrypoint(it) => command(it),
        Instruction::Copy(copy) => transfer(&copy.sources, &copy.target),
        Instruction::Add(add) => transfer(&add.sources, &add.target),
        Instruction::Volume(words) | Instruction::Expose(words) | Instruction::Shell(words) => {
            texts(words)
        }
        Instruction::User(word)
        | Instruction::Workdir(word)
        | Instruction::StopSignal(word)
        | Instruction::Maintainer(word) => vec![word.text.clone()],
        _ => vec![],
    }
}

fn transfer(sources: &[Source], target: &Word) -> Vec<String> {
    let source = |source: &Source| match source {
        Source::Path(path) => path.text.clone(),
        Source::Heredoc(heredoc) => heredoc.text.text.clone(),
    };
    sources
        .iter()
        .map(source)
        .chain([target.text.clone()])
        .collect()
}

fn theirs(text: &str) -> Vec<Seen> {
    let file = other::parse(text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    file.instructions.iter().map(seen).collect()
}

#[expect(clippy::too_many_lines, reason = "one arm for each of their types")]
fn seen(instruction: &other::Instruction<'_>) -> Seen {
    use other::Instruction as I;
    let command = |command: &other::Command<'_>| match command {
        other::Command::Exec(argv) => argv.value.iter().map(|arg| arg.value.to_string()).collect(),
        other::Command::Shell(line) => vec![line.value.to_owned()],
        _ => panic!("a new form"),
    };
    let source = |source: &other::Source<'_>| match source {
        other::Source::Path(path) => path.value.to_string(),
        other::Source::HereDoc(heredoc) => heredoc.value.to_string(),
        _ => panic!("a new form"),
    };
    let (keyword, span, arguments) = match instruction {
        I::From(it) => {
            let name = it.as_.as_ref().map(|(_, name)| name.value.to_string());
            let arguments = [it.image.value.to_string()]
                .into_iter()
                .chain(name)
                .collect();
            ("FROM", &it.from.span, arguments)
        }
        I::Run(it) => ("RUN", &it.run.span, command(&it.arguments)),
        I::Cmd(it) => ("CMD", &it.cmd.span, command(&it.arguments)),
        I::Entrypoint(it) => ("ENTRYPOINT", &it.entrypoint.span, command(&it.arguments)),
        I::Copy(it) => {
            let dest = it.dest.value.to_string();
            (
                "COPY",
                &it.copy.span,
                it.src.iter().map(source).chain([dest]).collect(),
            )
        }
        I::Add(it) => {
            let dest = it.dest.value.to_string();
            (
                "ADD",
                &it.add.span,
                it.src.iter().map(source).chain([dest]).collect(),
            )
        }
        I::Expose(it) => {
            let ports = it
                .arguments
                .iter()
                .map(|port| port.value.to_string())
                .collect();
            ("EXPOSE", &it.expose.span, ports)
        }
        I::Volume(it) => {
            let paths = match &it.arguments {
                other::JsonOrStringArray::Json(list) => &list.value,
                other::JsonOrStringArray::String(list) => list,
            };
            let paths = paths.iter().map(|path| path.value.to_string()).collect();
            ("VOLUME", &it.volume.span, paths)
        }
        I::Shell(it) => {
            let argv = it
                .arguments
                .iter()
                .map(|arg| arg.value.to_string())
                .collect();
            ("SHELL", &it.shell.span, argv)
        }
        I::User(it) => ("USER", &it.user.span, vec![it.arguments.value.to_string()]),
        I::Workdir(it) => (
            "WORKDIR",
            &it.workdir.span,
            vec![it.arguments.value.to_string()],
        ),
        I::Stopsignal(it) => (
            "STOPSIGNAL",
            &it.stopsignal.span,
            vec![it.arguments.value.to_string()],
        ),
        I::Maintainer(it) => (
            "MAINTAINER",
            &it.maintainer.span,
            vec![it.name.value.to_string()],
        ),
        // These keep their arguments whole there and in parts here.
        I::Env(it) => ("ENV", &it.env.span, vec![]),
        I::Label(it) => ("LABEL", &it.label.span, vec![]),
        I::Arg(it) => ("ARG", &it.arg.span, vec![]),
        I::Healthcheck(it) => ("HEALTHCHECK", &it.healthcheck.span, vec![]),
        I::Onbuild(it) => ("ONBUILD", &it.onbuild.span, vec![]),
        _ => panic!("a new instruction"),
    };
    (keyword.to_owned(), span.start, arguments)
}

fn instruction() -> impl Strategy<Value = String> {
    // None begins like a flag: what one that nobody knows means is a matter of opinion.
    let word = "[a-zA-Z0-9_./$][a-zA-Z0-9_./$-]{0,5}[a-z0-9]";
    let words = prop::collection::vec(word, 1..5);
    let list = words
        .clone()
        .prop_map(|words| format!("[\"{}\"]", words.join("\", \"")));
    let keyword = prop::sample::select(vec!["RUN", "CMD", "ENTRYPOINT"]);
    let copy = prop::sample::select(vec!["COPY", "ADD", "COPY --chown=1:1", "ADD --link"]);
    let single = prop::sample::select(vec!["USER", "WORKDIR", "STOPSIGNAL", "MAINTAINER"]);
    prop_oneof![
        (keyword.clone(), words.clone()).prop_map(|(k, w)| format!("{k} {}", w.join(" "))),
        (keyword, list.clone()).prop_map(|(k, list)| format!("{k} {list}")),
        (copy.clone(), word, words.clone())
            .prop_map(|(k, to, w)| format!("{k} {} {to}", w.join(" "))),
        (copy, word).prop_map(|(k, to)| format!("{k} <<EOF {to}\nUSER x\nEOF")),
        (single, word).prop_map(|(k, w)| format!("{k} {w}")),
        words
            .clone()
            .prop_map(|w| format!("VOLUME {}", w.join(" "))),
        list.clone().prop_map(|list| format!("VOLUME {list}")),
        list.prop_map(|list| format!("SHELL {list}")),
        (1..65535u16).prop_map(|port| format!("EXPOSE {port} {port}/udp")),
        (word, word).prop_map(|(k, v)| format!("ENV {k}={v}")),
        (word, word).prop_map(|(k, v)| format!("LABEL {k}={v}")),
        word.prop_map(|w| format!("ARG {w}")),
        word.prop_map(|w| format!("ONBUILD RUN {w}")),
        word.prop_map(|w| format!("HEALTHCHECK --retries=3 CMD {w}")),
        Just("# a comment".to_owned()),
        Just(String::new()),
    ]
}

proptest! {
    #[test]
    fn both_parsers_agree(lines in prop::collection::vec(instruction(), 0..12)) {
        let text = format!("FROM debian:12 AS base\n{}\nFROM base\n", lines.join("\n"));
        prop_assert_eq!(ours(&text), theirs(&text));
    }
}

#[test]
fn both_parsers_agree_on_a_file_as_people_write_them() {
    let text = r#"# syntax=docker/dockerfile:1
ARG PYTHON=3.12
FROM python:${PYTHON}-slim AS build

WORKDIR /app
COPY requirements.txt .
RUN pip install -r requirements.txt

COPY --chown=app:app . .
FROM python:3.12-slim
COPY --from=build /app /app
COPY <<-EOF /etc/motd
	hello
	EOF
USER app
EXPOSE 8000
HEALTHCHECK --interval=30s CMD curl -f http://localhost:8000/ || exit 1
ENTRYPOINT ["uvicorn", "main:app"]
CMD ["--host", "0.0.0.0"]
"#;
    let theirs: Vec<Seen> = theirs(text)
        .into_iter()
        .filter(|(keyword, at, _)| keyword != "ARG" || *at > 60)
        .collect();
    assert_eq!(ours(text), theirs);
}
