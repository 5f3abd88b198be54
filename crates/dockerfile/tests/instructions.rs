//! A case for each instruction and each of its forms.

use dockerfile::{
    Command, Dockerfile, HealthCheck, Instruction, Mount, MountKind, Network, Pair, Script,
    Security, Sharing, Source, Word,
};
use text::FileId;

const FILE: FileId = FileId(0);

fn parse(text: &str) -> Dockerfile {
    let (file, diagnostics) = dockerfile::parse(FILE, text);
    assert!(diagnostics.is_empty(), "{text}\n{diagnostics:#?}");
    file
}

/// The only instruction of a stage.
fn one(line: &str) -> Instruction {
    let mut file = parse(&format!("FROM scratch\n{line}"));
    assert_eq!(file.stages[0].steps.len(), 1, "{line}");
    file.stages[0].steps.remove(0).instruction
}

/// An instruction in short, flags and forms included.
fn show(line: &str) -> String {
    let word = |flag: &str, word: &Option<Word>| match word {
        Some(word) => format!(" {flag}=‹{}›", word.text),
        None => String::new(),
    };
    match one(line) {
        Instruction::Run(run) => format!("run {}", command(&run.command)),
        Instruction::Cmd(it) => format!("cmd {}", command(&it)),
        Instruction::Entrypoint(it) => format!("entrypoint {}", command(&it)),
        Instruction::Label(it) => format!("label {}", pairs(&it)),
        Instruction::Env(it) => format!("env {}", pairs(&it)),
        Instruction::Maintainer(it) => format!("maintainer ‹{}›", it.text),
        Instruction::Expose(it) => format!("expose {}", words(&it)),
        Instruction::Volume(it) => format!("volume {}", words(&it)),
        Instruction::Shell(it) => format!("shell {}", words(&it)),
        Instruction::User(it) => format!("user ‹{}›", it.text),
        Instruction::Workdir(it) => format!("workdir ‹{}›", it.text),
        Instruction::StopSignal(it) => format!("stopsignal ‹{}›", it.text),
        Instruction::Copy(it) => format!(
            "copy {} -> ‹{}›{}{}{}{}{}{}",
            sources(&it.sources),
            it.target.text,
            word("from", &it.from),
            word("chown", &it.chown),
            word("chmod", &it.chmod),
            if it.link { " link" } else { "" },
            if it.parents { " parents" } else { "" },
            if it.exclude.is_empty() {
                String::new()
            } else {
                format!(" but {}", words(&it.exclude))
            },
        ),
        Instruction::Add(it) => format!(
            "add {} -> ‹{}›{}{}{}{}{}{}{}",
            sources(&it.sources),
            it.target.text,
            word("chown", &it.chown),
            word("chmod", &it.chmod),
            word("checksum", &it.checksum),
            if it.link { " link" } else { "" },
            if it.keep_git_dir { " keep-git-dir" } else { "" },
            it.unpack
                .map_or(String::new(), |unpack| format!(" unpack={unpack}")),
            if it.exclude.is_empty() {
                String::new()
            } else {
                format!(" but {}", words(&it.exclude))
            },
        ),
        Instruction::Arg(args) => {
            let args = args
                .iter()
                .map(|arg| format!("{}{}", arg.name.text, word("", &arg.default)));
            format!("arg {}", args.collect::<Vec<_>>().join(", "))
        }
        Instruction::OnBuild(it) => format!("onbuild {} ‹{}›", it.trigger.keyword(), it.expression),
        Instruction::HealthCheck(HealthCheck::None) => "healthcheck none".to_owned(),
        Instruction::HealthCheck(HealthCheck::Probe(it)) => format!(
            "healthcheck {}{}{}{}{}{}",
            command(&it.command),
            word("interval", &it.interval),
            word("timeout", &it.timeout),
            word("start-period", &it.start_period),
            word("start-interval", &it.start_interval),
            it.retries
                .map_or(String::new(), |retries| format!(" retries={retries}")),
        ),
    }
}

fn words(words: &[Word]) -> String {
    words
        .iter()
        .map(|word| format!("‹{}›", word.text))
        .collect()
}

fn pairs(pairs: &[Pair]) -> String {
    pairs
        .iter()
        .map(|pair| format!("‹{}›=‹{}›", pair.key.text, pair.value.text))
        .collect()
}

fn command(command: &Command) -> String {
    match command {
        Command::Shell(line) => format!("sh ‹{}›", line.text),
        Command::Exec(argv) => format!("exec {}", words(argv)),
    }
}

fn sources(sources: &[Source]) -> String {
    let show = |source: &Source| match source {
        Source::Path(path) => format!("‹{}›", path.text),
        Source::Heredoc(heredoc) => format!(
            "{}{}‹{}›",
            heredoc.name,
            if heredoc.expand { "" } else { "!" },
            heredoc.text.text
        ),
    };
    sources.iter().map(show).collect()
}

#[test]
fn every_instruction_and_form() {
    for (line, want) in [
        ("RUN a  b", "run sh ‹a  b›"),
        ("run a", "run sh ‹a›"),
        (r#"RUN ["a", "b c"]"#, "run exec ‹a›‹b c›"),
        (r#"RUN [ "a" ] "#, "run exec ‹a›"),
        (r#"RUN ["a\t\"\u00e4\ud83d\ude00"]"#, "run exec ‹a\t\"ä😀›"),
        (r#"RUN [ "a" ] && b"#, r#"run sh ‹[ "a" ] && b›"#),
        ("RUN [ -f x ] || true", "run sh ‹[ -f x ] || true›"),
        ("RUN [[ a == b ]]", "run sh ‹[[ a == b ]]›"),
        ("RUN -- --x", "run sh ‹--x›"),
        ("RUN echo ${X^^} 'it''s'", "run sh ‹echo ${X^^} 'it''s'›"),
        ("CMD a $B", "cmd sh ‹a $B›"),
        ("CMD []", "cmd exec "),
        (r#"CMD ["a"]"#, "cmd exec ‹a›"),
        ("ENTRYPOINT a", "entrypoint sh ‹a›"),
        (r#"ENTRYPOINT ["/a", "-b"]"#, "entrypoint exec ‹/a›‹-b›"),
        ("LABEL a=b", "label ‹a›=‹b›"),
        (
            r#"LABEL "a b"="c d" e='f g' h=i\ j"#,
            r#"label ‹"a b"›=‹"c d"›‹e›=‹'f g'›‹h›=‹i\ j›"#,
        ),
        ("LABEL a b c", "label ‹a›=‹b c›"),
        ("MAINTAINER A <a@b>", "maintainer ‹A <a@b>›"),
        (
            "EXPOSE 80 443/tcp 53/UDP 5000-5010 $P",
            "expose ‹80›‹443/tcp›‹53/UDP›‹5000-5010›‹$P›",
        ),
        ("ENV A=b", "env ‹A›=‹b›"),
        ("ENV A= B=\"\"", "env ‹A›=‹›‹B›=‹\"\"›"),
        ("ENV A=b=c D=\"e f\"g", "env ‹A›=‹b=c›‹D›=‹\"e f\"g›"),
        ("ENV A b=c  d ", "env ‹A›=‹b=c  d›"),
        ("ENV A=$B C=${D:-'e f'}", "env ‹A›=‹$B›‹C›=‹${D:-'e f'}›"),
        ("ADD a b", "add ‹a› -> ‹b›"),
        (
            "ADD --checksum=sha256:00 --chown=1:2 --chmod=755 --link --keep-git-dir=true \
             --unpack=false --exclude=x --exclude=y http://a/b c/",
            "add ‹http://a/b› -> ‹c/› chown=‹1:2› chmod=‹755› checksum=‹sha256:00› link \
             keep-git-dir unpack=false but ‹x›‹y›",
        ),
        ("COPY a b c/", "copy ‹a›‹b› -> ‹c/›"),
        (r#"COPY ["a b", "c d"]"#, "copy ‹a b› -> ‹c d›"),
        (
            "COPY ./requirements.txt /opt/python/",
            "copy ‹./requirements.txt› -> ‹/opt/python/›",
        ),
        (
            "COPY --from=x --chown=$U:g --chmod=u+x --link=false --parents --exclude=*.md a b",
            "copy ‹a› -> ‹b› from=‹x› chown=‹$U:g› chmod=‹u+x› parents but ‹*.md›",
        ),
        ("COPY --from=\"x y\" a b", "copy ‹a› -> ‹b› from=‹x y›"),
        ("VOLUME /a /b", "volume ‹/a›‹/b›"),
        (r#"VOLUME ["/a b"]"#, "volume ‹/a b›"),
        ("USER app:app", "user ‹app:app›"),
        ("WORKDIR /a b", "workdir ‹/a b›"),
        ("ARG A", "arg A"),
        ("ARG A=b C D=\"e f\"", "arg A =‹b›, C, D =‹\"e f\"›"),
        ("ONBUILD RUN a && b", "onbuild RUN ‹RUN a && b›"),
        (
            "onbuild copy --from=x a b",
            "onbuild COPY ‹copy --from=x a b›",
        ),
        ("STOPSIGNAL SIGQUIT", "stopsignal ‹SIGQUIT›"),
        ("HEALTHCHECK NONE", "healthcheck none"),
        ("HEALTHCHECK none", "healthcheck none"),
        ("HEALTHCHECK CMD curl -f x", "healthcheck sh ‹curl -f x›"),
        (
            "HEALTHCHECK --interval=1m30s --timeout=500ms --start-period=0s --start-interval=1.5s \
             --retries=3 CMD [\"a\"]",
            "healthcheck exec ‹a› interval=‹1m30s› timeout=‹500ms› start-period=‹0s› \
             start-interval=‹1.5s› retries=3",
        ),
        (r#"SHELL ["/bin/bash", "-c"]"#, "shell ‹/bin/bash›‹-c›"),
    ] {
        assert_eq!(show(line), want, "{line}");
    }
}

#[test]
fn stages() {
    let file = parse(
        "ARG V=12 W\nARG X\nFROM debian:$V AS Build\nRUN a\nFROM --platform=linux/arm64 build as b2\n\
         FROM scratch\nCOPY --from=0 a b\nUSER x\n",
    );
    let args: Vec<_> = file
        .global_args
        .iter()
        .map(|arg| arg.value.name.text.as_str())
        .collect();
    assert_eq!(args, ["V", "W", "X"]);
    let stages: Vec<_> = file
        .stages
        .iter()
        .map(|stage| {
            let text = |word: &Option<Word>| word.as_ref().map(|word| word.text.clone());
            (
                text(&stage.name),
                stage.base.text.as_str(),
                text(&stage.platform),
                stage.steps.len(),
            )
        })
        .collect();
    assert_eq!(
        stages,
        [
            (Some("build".into()), "debian:$V", None, 1),
            (Some("b2".into()), "build", Some("linux/arm64".into()), 0),
            (None, "scratch", None, 2),
        ]
    );
    assert_eq!(file.stages[0].text, "FROM debian:$V AS Build");
}

#[test]
fn directives() {
    let file =
        parse("# syntax=docker/dockerfile:1\n#escape = `\n# check=skip=all\nFROM a\nRUN a `\n b\\");
    assert_eq!(file.directives.escape, '`');
    assert_eq!(file.directives.syntax.unwrap().text, "docker/dockerfile:1");
    assert_eq!(file.directives.check.unwrap().text, "skip=all");
    assert_eq!(file.stages[0].steps[0].text, "RUN a  b\\");
    // after a comment, a blank line or an unknown key they are comments
    for head in ["# hello\n", "\n", "# key=value\n"] {
        assert_eq!(
            parse(&format!("{head}# escape=`\nFROM a\n"))
                .directives
                .escape,
            '\\'
        );
    }
}

#[test]
fn comments_and_blank_lines_inside_a_continued_run_are_dropped() {
    let text = "FROM a\nRUN one && \\\n# comment\n  # another\n    two \\  \n  three\nUSER x\n";
    let file = parse(text);
    assert_eq!(file.stages[0].steps[0].text, "RUN one &&     two   three");
    assert_eq!(file.stages[0].steps.len(), 2);
    let (file, diagnostics) = dockerfile::parse(FILE, "FROM a\nRUN one \\\n\n  two\n");
    assert_eq!(file.stages[0].steps[0].text, "RUN one   two");
    assert!(!text::has_errors(&diagnostics) && diagnostics.len() == 1);
}

#[test]
fn line_ends_and_marks_of_other_systems() {
    let file = parse("\u{feff}FROM a\r\nRUN one \\\r\n  two\r\nCOPY <<X /x\r\nline\r\nX\r\nUSER u");
    assert_eq!(file.stages[0].steps[0].text, "RUN one   two");
    assert_eq!(file.stages[0].steps.len(), 3);
    let file = parse("FROM a\nRUN one \\\\\nUSER x \\");
    assert_eq!(file.stages[0].steps[0].text, r"RUN one \\");
    assert_eq!(file.stages[0].steps[1].text, "USER x");
}

fn run(text: &str) -> dockerfile::Run {
    match one(text) {
        Instruction::Run(run) => run,
        other => panic!("{other:?}"),
    }
}

#[test]
fn heredocs_of_run() {
    for (text, want) in [
        (
            "RUN <<EOF\na $X\n  b\nEOF\n",
            Script::Shell("a $X\n  b\n".into()),
        ),
        (
            "RUN <<-EOF\n\t\ta\n\tb\n\tEOF\n",
            Script::Shell("a\nb\n".into()),
        ),
        ("RUN <<'E F'\na\nE F\n", Script::Shell("a\n".into())),
        (
            "RUN <<EOF\n#!/usr/bin/python3\nprint(1)\nEOF\n",
            Script::File("#!/usr/bin/python3\nprint(1)\n".into()),
        ),
        (
            "RUN python3 <<EOF\nprint(1)\nEOF\n",
            Script::Shell("python3 <<EOF\nprint(1)\nEOF".into()),
        ),
        (
            "RUN cat <<A <<B > x && \\\n y\n1\nA\n2\nB\n",
            Script::Shell("cat <<A <<B > x &&  y\n1\nA\n2\nB".into()),
        ),
        ("RUN <<EOF\nEOF\n", Script::Shell(String::new())),
        (
            "RUN --network=none <<EOF\nx\nEOF",
            Script::Shell("x\n".into()),
        ),
        ("RUN cat <<<EOF", Script::Shell("cat <<<EOF".into())),
        (
            "RUN echo $((1<<2)) '<<A' \"<<B\"",
            Script::Shell("echo $((1<<2)) '<<A' \"<<B\"".into()),
        ),
        (
            "RUN [\"a\", \"<<EOF\"]",
            Script::Exec(vec!["a".into(), "<<EOF".into()]),
        ),
        (
            "RUN <<EOF\n# not a comment\n\nRUN no\nEOF\n",
            Script::Shell("# not a comment\n\nRUN no\n".into()),
        ),
    ] {
        assert_eq!(run(text).script(), want, "{text}");
    }
}

#[test]
fn heredocs_of_copy_and_add() {
    for (text, want) in [
        ("COPY <<EOF /a\n$X\nEOF\n", "copy EOF‹$X\n› -> ‹/a›"),
        ("COPY <<\"EOF\" /a\n$X\nEOF\n", "copy EOF!‹$X\n› -> ‹/a›"),
        (
            "COPY <<A b <<-B /c/\n1\nA\n\t2\n\tB\n",
            "copy A‹1\n›‹b›B‹2\n› -> ‹/c/›",
        ),
        (
            "ADD --chmod=644 <<EOF /a\nEOF\n",
            "add EOF‹› -> ‹/a› chmod=‹644›",
        ),
        (
            "COPY <<EOF /a\nit's ${X:-\"}\nEOF\n",
            "copy EOF‹it's ${X:-\"}\n› -> ‹/a›",
        ),
    ] {
        assert_eq!(show(text), want, "{text}");
    }
}

#[test]
fn onbuild_triggers_are_read_again_from_their_expression() {
    for text in [
        "RUN <<EOF\na\nEOF",
        "COPY --from=x a b",
        "RUN a \\\n b",
        "ENV A=b",
    ] {
        let Instruction::OnBuild(onbuild) = one(&format!("ONBUILD {text}")) else {
            panic!("{text}");
        };
        let (again, diagnostics) = dockerfile::parse_trigger(FILE, &onbuild.expression);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        let again = again.unwrap().instruction;
        assert_eq!(again.keyword(), onbuild.trigger.keyword());
        if let (Instruction::Run(a), Instruction::Run(b)) = (&again, &*onbuild.trigger) {
            assert_eq!(a.script(), b.script());
        }
    }
    let (none, diagnostics) = dockerfile::parse_trigger(FILE, "FROM x");
    assert!(none.is_none() && text::has_errors(&diagnostics));
}

#[test]
fn flags_of_run() {
    let run = run(
        "RUN --mount=type=cache,id=pip,target=/root/.cache,sharing=locked,uid=1,gid=$G,mode=0700 \
         --mount=target=/src,src=a,from=base,rw --mount=type=tmpfs,dst=/t,size=64m \
         --mount=type=secret,id=key,required,env=KEY --mount=type=ssh \
         --mount='type=bind,\"target=/a,b\",ro=false' --network=host --security=insecure \
         --device=vendor/gpu a b",
    );
    let text = |word: &Option<Word>| {
        word.as_ref()
            .map_or(String::new(), |word| word.text.clone())
    };
    let mounts: Vec<&Mount> = run.mounts.iter().map(|mount| &mount.value).collect();
    let kinds: Vec<_> = mounts.iter().map(|mount| mount.kind).collect();
    use MountKind::{Bind, Cache, Secret, Ssh, Tmpfs};
    assert_eq!(kinds, [Cache, Bind, Tmpfs, Secret, Ssh, Bind]);
    assert_eq!(mounts[0].sharing, Sharing::Locked);
    assert_eq!(
        (text(&mounts[0].id), text(&mounts[0].gid)),
        ("pip".into(), "$G".into())
    );
    assert_eq!(
        (text(&mounts[0].mode), text(&mounts[0].uid)),
        ("0700".into(), "1".into())
    );
    assert_eq!(
        (text(&mounts[1].from), text(&mounts[1].source)),
        ("base".into(), "a".into())
    );
    assert_eq!(
        (mounts[1].read_only, mounts[0].read_only),
        (Some(false), None)
    );
    assert_eq!(text(&mounts[2].size), "64m");
    assert!(mounts[3].required && text(&mounts[3].env) == "KEY");
    assert_eq!(text(&mounts[5].target), "/a,b");
    assert_eq!(run.network.unwrap().value, Network::Host);
    assert_eq!(run.security.unwrap().value, Security::Insecure);
    assert_eq!(words(&run.devices), "‹vendor/gpu›");
    assert_eq!(command(&run.command), "sh ‹a b›");
}

#[test]
fn an_arg_is_seen_by_the_env_that_takes_its_name() {
    let file = parse("FROM a\nARG X=1\nENV X=${X}\n");
    let Instruction::Env(pairs) = &file.stages[0].steps[1].instruction else {
        panic!()
    };
    let lookup = |name: &str| (name == "X").then(|| "from-arg".to_owned());
    let value = dockerfile::expand_word(&pairs[0].value, '\\', &lookup).unwrap();
    assert_eq!(value.text, "from-arg");
}

#[test]
fn spans_point_at_the_words() {
    let text = "FROM a AS b\nCOPY --from=x \\\n  src \\\n  # why\n  dst\nCOPY <<E /y\n1\nE\n";
    let file = parse(text);
    let at = |span: text::Span| &text[span.range()];
    let stage = &file.stages[0];
    assert_eq!(at(stage.base.span), "a");
    assert_eq!(at(stage.name.as_ref().unwrap().span), "b");
    assert_eq!(at(stage.span), "FROM a AS b");
    let Instruction::Copy(copy) = &stage.steps[0].instruction else {
        panic!()
    };
    assert_eq!(at(copy.from.as_ref().unwrap().span), "x");
    assert_eq!(at(copy.target.span), "dst");
    assert_eq!(
        at(stage.steps[0].span),
        "COPY --from=x \\\n  src \\\n  # why\n  dst"
    );
    assert_eq!(at(stage.steps[1].span), "COPY <<E /y\n1\nE\n");
}
