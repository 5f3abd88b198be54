//! What a user sees of a Dockerfile that is wrong.

use text::Sources;

/// Every complaint about a Dockerfile, as the command line shows them.
fn complaints(text: &str) -> String {
    let mut sources = Sources::new();
    let file = sources.add("Dockerfile", text);
    let (_, diagnostics) = dockerfile::parse(file, text);
    text::render(&sources, &diagnostics, false)
}

#[test]
fn all_mistakes_are_found_at_once() {
    let text = r#"FROM debian:12 AS Base AS x
FROM debian:12 as base
COPPY . .
RUN --mont=type=cache,target=/x true
COPY --form=base a b
COPY onlysource
ENV A
ENV A=1 B
EXPOSE http
HEALTHCHECK --interval=soon CMD true
USER "app
SHELL /bin/bash
"#;
    insta::assert_snapshot!(complaints(text), @r#"
    error: `FROM` takes an image and perhaps `AS name`
     --> Dockerfile:1:16
      |
    1 | FROM debian:12 AS Base AS x
      |                ^^^^^^^^^^^^

    error: unknown instruction `COPPY`
     --> Dockerfile:3:1
      |
    3 | COPPY . .
      | ^^^^^
    hint: did you mean `COPY`?

    error: `RUN` has no flag `--mont`
     --> Dockerfile:4:5
      |
    4 | RUN --mont=type=cache,target=/x true
      |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^
    hint: did you mean `--mount`?

    error: `COPY` has no flag `--form`
     --> Dockerfile:5:6
      |
    5 | COPY --form=base a b
      |      ^^^^^^^^^^^
    hint: did you mean `--from`?

    error: `COPY` has a source, but no destination
     --> Dockerfile:6:6
      |
    6 | COPY onlysource
      |      ^^^^^^^^^^
    hint: write where to, as in `COPY . .`

    error: `ENV A` has no value
     --> Dockerfile:7:5
      |
    7 | ENV A
      |     ^
    hint: write `ENV A=…`

    error: `B` is no `name=value`
     --> Dockerfile:8:9
      |
    8 | ENV A=1 B
      |         ^
    hint: a value with blanks goes in double quotes

    error: `http` is no port
     --> Dockerfile:9:8
      |
    9 | EXPOSE http
      |        ^^^^
    hint: write a number or a range, and perhaps a protocol: 8000, 53/udp, 5000-5010

    error: `soon` is no duration
      --> Dockerfile:10:24
       |
    10 | HEALTHCHECK --interval=soon CMD true
       |                        ^^^^
    hint: write it as 30s, 1m30s, 500ms

    error: the quote " is never closed
      --> Dockerfile:11:6
       |
    11 | USER "app
       |      ^^^^
    hint: put the escape character before a quote that is meant literally

    error: `SHELL` needs a JSON list with at least one string
      --> Dockerfile:12:7
       |
    12 | SHELL /bin/bash
       |       ^^^^^^^^^
    hint: write `SHELL ["/bin/bash", "-c"]`
    "#);
}

#[test]
fn a_forgotten_continuation_is_one_complaint() {
    let text = r"FROM debian
RUN apt-get update &&
    apt-get install -y curl
    ca-certificates
USER app
";
    insta::assert_snapshot!(complaints(text), @r#"
    error: unknown instruction `apt-get`
     --> Dockerfile:3:5
      |
    3 |     apt-get install -y curl
      |     ^^^^^^^
    hint: if it belongs to the line before, that line must end with `\`
    "#);
}

#[test]
fn files_without_a_stage() {
    insta::assert_snapshot!(complaints(""), @r#"
    error: there is no `FROM`
     --> Dockerfile:1:1
      |
    1 |
      | ^
    hint: begin with the image to build on, as in `FROM debian:12`
    "#);
    insta::assert_snapshot!(complaints("ARG A=1\nRUN true\n"), @r#"
    error: `RUN` stands before the first `FROM`
     --> Dockerfile:2:1
      |
    2 | RUN true
      | ^^^^^^^^
    hint: only `ARG` may
    "#);
    insta::assert_snapshot!(complaints("FROM\n"), @r#"
    error: `FROM` needs an image
     --> Dockerfile:1:1
      |
    1 | FROM
      | ^^^^
    hint: write `FROM image`, or `FROM scratch` for none
    "#);
}

#[test]
fn heredocs() {
    let text = r"FROM debian
COPY a <<EOF
x
EOF
COPY <<EOF /etc/motd
hello ${NAME
EOF
RUN <<SCRIPT
echo hello
";
    insta::assert_snapshot!(complaints(text), @r#"
    error: a here-document cannot be the destination
     --> Dockerfile:2:8
      |
    2 | COPY a <<EOF
      |        ^^^^^

    error: `${` is never closed
     --> Dockerfile:6:7
      |
    6 | hello ${NAME
      |       ^^^^^^

    error: the here-document `SCRIPT` is never closed
     --> Dockerfile:8:5
      |
    8 | RUN <<SCRIPT
      |     ^^^^^^^^
    hint: end it with a line that is `SCRIPT` and nothing else
    "#);
}

#[test]
fn directives() {
    insta::assert_snapshot!(complaints("# escape=x\n# escape=`\nFROM a\n"), @r#"
    error: `x` cannot be the escape character
     --> Dockerfile:1:10
      |
    1 | # escape=x
      |          ^
    hint: it is a backslash \ or a backtick `

    error: the directive `escape` is given twice
     --> Dockerfile:2:10
      |
    1 | # escape=x
      |          - first here
    2 | # escape=`
      |          ^
    "#);
}

#[test]
fn mounts() {
    let text = r"FROM a
RUN --mount=type=cash,target=/x true
RUN --mount=type=cache,target=/x,sharing=looked true
RUN --mount=type=cache true
RUN --mount=type=bind,traget=/x,target=/y true
RUN --mount=type=secret,id=x,mode=9 true
RUN --mount=type=tmpfs,target=/x,ro=maybe,uid=1 true
";
    insta::assert_snapshot!(complaints(text), @r#"
    error: `type` cannot be `cash`
     --> Dockerfile:2:18
      |
    2 | RUN --mount=type=cash,target=/x true
      |                  ^^^^
    hint: it is one of `bind`, `cache`, `tmpfs`, `secret`, `ssh`

    error: `sharing` cannot be `looked`
     --> Dockerfile:3:42
      |
    3 | RUN --mount=type=cache,target=/x,sharing=looked true
      |                                          ^^^^^^
    hint: it is one of `shared`, `private`, `locked`

    error: a cache mount needs a `target`
     --> Dockerfile:4:13
      |
    4 | RUN --mount=type=cache true
      |             ^^^^^^^^^^
    hint: add `target=/path`

    error: a mount has no key `traget`
     --> Dockerfile:5:23
      |
    5 | RUN --mount=type=bind,traget=/x,target=/y true
      |                       ^^^^^^^^^
    hint: did you mean `target`?

    error: `mode` of a mount cannot be `9`
     --> Dockerfile:6:35
      |
    6 | RUN --mount=type=secret,id=x,mode=9 true
      |                                   ^
    hint: it is an octal number

    error: a tmpfs mount has no `uid`
     --> Dockerfile:7:13
      |
    7 | RUN --mount=type=tmpfs,target=/x,ro=maybe,uid=1 true
      |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    error: `ro` is either true or false, not `maybe`
     --> Dockerfile:7:37
      |
    7 | RUN --mount=type=tmpfs,target=/x,ro=maybe,uid=1 true
      |                                     ^^^^^
    "#);
}

#[test]
fn what_probably_means_something_else_is_a_warning() {
    let text = r#"FROM a AS x
CMD ['sh', '-c']
CMD ["sh"]
RUN ["a", "b"
RUN a \

  b
FROM b AS X
"#;
    insta::assert_snapshot!(complaints(text), @r#"
    warning: this is no valid JSON list, so a shell will run it as text
     --> Dockerfile:2:5
      |
    2 | CMD ['sh', '-c']
      |     ^^^^^^^^^^^^
    hint: a list is written with double quotes: ["program", "argument"]

    warning: only the last `CMD` of a stage counts
     --> Dockerfile:3:1
      |
    2 | CMD ['sh', '-c']
      | ---------------- this one has no effect
    3 | CMD ["sh"]
      | ^^^^^^^^^^

    warning: this is no valid JSON list, so a shell will run it as text
     --> Dockerfile:4:5
      |
    4 | RUN ["a", "b"
      |     ^^^^^^^^^
    hint: a list is written with double quotes: ["program", "argument"]

    warning: an empty line inside a continued instruction is dropped
     --> Dockerfile:6:1
      |
    6 |
      | ^
    hint: remove it, or write `#` on it

    warning: two stages are called `x`
     --> Dockerfile:8:11
      |
    1 | FROM a AS x
      |           - the first
    ...
    8 | FROM b AS X
      |           ^
    hint: later instructions mean the last one before them
    "#);
}

#[test]
fn substitutions_are_checked_where_they_stand_in_continued_lines() {
    let text = r"FROM a
ENV A=1 \
    # a comment
    B=${A^^} \
    C=${A
";
    insta::assert_snapshot!(complaints(text), @r#"
    error: unknown operator `^` in a substitution
     --> Dockerfile:4:7
      |
    4 |     B=${A^^} \
      |       ^^^^
    hint: known are ${x} ${x:-word} ${x-word} ${x:+word} ${x+word} ${x:?word} ${x?word} ${x#pattern} ${x##pattern} ${x%pattern} ${x%%pattern} ${x/pattern/new} ${x//pattern/new}

    error: `${` is never closed
     --> Dockerfile:5:7
      |
    5 |     C=${A
      |       ^^^
    "#);
}

#[test]
fn onbuild() {
    let text = r"FROM a
ONBUILD
ONBUILD FROM b
ONBUILD RUNN x
ONBUILD RUN
";
    insta::assert_snapshot!(complaints(text), @r#"
    error: `ONBUILD` needs an instruction
     --> Dockerfile:2:1
      |
    2 | ONBUILD
      | ^^^^^^^

    error: `FROM` cannot be deferred by `ONBUILD`
     --> Dockerfile:3:9
      |
    3 | ONBUILD FROM b
      |         ^^^^

    error: unknown instruction `RUNN`
     --> Dockerfile:4:9
      |
    4 | ONBUILD RUNN x
      |         ^^^^
    hint: did you mean `RUN`?

    error: `RUN` needs a command
     --> Dockerfile:5:9
      |
    5 | ONBUILD RUN
      |         ^^^
    "#);
}

#[test]
fn lists() {
    let text = r#"FROM a
CMD ["a", 1]
RUN []
VOLUME [""]
HEALTHCHECK CMD []
HEALTHCHECK NONE x
HEALTHCHECK --retries=many CURL x
"#;
    insta::assert_snapshot!(complaints(text), @r#"
    error: a JSON list may hold strings only
     --> Dockerfile:2:11
      |
    2 | CMD ["a", 1]
      |           ^
    hint: put it in double quotes

    error: `RUN` needs a command
     --> Dockerfile:3:1
      |
    3 | RUN []
      | ^^^ the list is empty

    error: a volume's path is empty
     --> Dockerfile:4:10
      |
    4 | VOLUME [""]
      |          ^

    error: `HEALTHCHECK CMD` needs a command
     --> Dockerfile:5:17
      |
    5 | HEALTHCHECK CMD []
      |                 ^^

    error: `HEALTHCHECK NONE` takes no arguments
     --> Dockerfile:6:18
      |
    6 | HEALTHCHECK NONE x
      |                  ^

    error: `HEALTHCHECK` does not know `CURL`
     --> Dockerfile:7:28
      |
    7 | HEALTHCHECK --retries=many CURL x
      |                            ^^^^
    hint: write `HEALTHCHECK CMD command`, or `HEALTHCHECK NONE`
    "#);
}
