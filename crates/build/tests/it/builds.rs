//! Builds of real Dockerfiles, with real steps.

use std::os::unix::fs::PermissionsExt;

use crate::kit::{self, Bench};

#[test]
fn runs_every_form_of_run() {
    let bench = Bench::new();
    let built = bench.build(
        "FROM base\n\
         ARG WHO=world\n\
         ENV GREETING=hello\n\
         WORKDIR /place\n\
         RUN echo $GREETING $WHO > shell\n\
         RUN [\"/bin/sh\", \"-c\", \"echo exec $GREETING > exec\"]\n\
         RUN <<EOF\n\
         echo one > heredoc\n\
         echo $WHO >> heredoc\n\
         EOF\n\
         RUN <<EOF\n\
         #!/bin/cat\n\
         itself\n\
         EOF\n\
         RUN cat <<EOF > fed\n\
         to $GREETING\n\
         EOF\n\
         SHELL [\"/bin/sh\", \"-ec\"]\n\
         RUN echo $0 > own; true\n",
    );
    assert_eq!(built.read("/place/shell"), "hello world\n");
    assert_eq!(built.read("/place/exec"), "exec hello\n");
    assert_eq!(built.read("/place/heredoc"), "one\nworld\n");
    assert_eq!(built.read("/place/fed"), "to hello\n");
    assert_eq!(built.read("/place/own"), "/bin/sh\n");
    let config = &built.image.config;
    assert_eq!(
        config.config.shell,
        Some(vec!["/bin/sh".into(), "-ec".into()])
    );
    let history: Vec<_> = config
        .history
        .iter()
        .map(|entry| entry.created_by.clone().unwrap())
        .collect();
    assert_eq!(
        history[3],
        "RUN |1 WHO=world /bin/sh -c echo $GREETING $WHO > shell # buildkit"
    );
    assert_eq!(
        config
            .history
            .iter()
            .filter(|entry| !entry.empty_layer)
            .count(),
        7 - 1 + 1
    );
    assert_eq!(
        built.image.layers.len(),
        8,
        "the base's, and one each for WORKDIR and RUN"
    );
}

#[test]
fn a_step_leaves_only_what_it_wrote() {
    let bench = Bench::new();
    let built = bench.build("FROM base\nRUN true\n");
    assert_eq!(built.last_layer(), Vec::<String>::new(), "no mount points");
    let built = bench.build("FROM base\nRUN rm /etc/group && touch /new && mkdir /proc2\n");
    let layer = built.last_layer();
    assert_eq!(
        layer,
        [
            "d755 0:0 etc",
            "s0 0:0 etc/group",
            "f644 0:0 new \"\"",
            "d755 0:0 proc2"
        ]
    );
}

#[test]
fn copies_files_and_directories_as_buildkit_does() {
    let bench = Bench::new();
    bench
        .file("a.txt", "a")
        .file("dir/b.txt", "b")
        .file("dir/sub/c.txt", "c");
    let mode = PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(bench.context().join("dir/sub"), mode).unwrap();
    std::os::unix::fs::chown(bench.context().join("a.txt"), Some(33), Some(33)).unwrap();
    for (copy, layer) in [
        ("COPY a.txt /x", &["f644 0:0 x \"a\""][..]),
        ("COPY a.txt /x/", &["d755 0:0 x", "f644 0:0 x/a.txt \"a\""]),
        (
            "COPY a.txt /srv",
            &["d750 7:8 srv", "f644 0:0 srv/a.txt \"a\""],
        ),
        (
            "COPY a.txt /link/",
            &["d755 0:0 data", "f644 0:0 data/a.txt \"a\""],
        ),
        (
            "COPY a.txt /link/up/x",
            &["d755 0:0 etc", "f644 0:0 etc/x \"a\""],
        ),
        (
            "COPY dir /x",
            &[
                "d755 0:0 x",
                "f644 0:0 x/b.txt \"b\"",
                "d700 0:0 x/sub",
                "f644 0:0 x/sub/c.txt \"c\"",
            ],
        ),
        (
            "COPY dir/* /x/",
            &[
                "d755 0:0 x",
                "f644 0:0 x/b.txt \"b\"",
                "f644 0:0 x/c.txt \"c\"",
            ],
        ),
        (
            "COPY */*.txt /x/",
            &["d755 0:0 x", "f644 0:0 x/b.txt \"b\""],
        ),
        (
            "COPY --chown=ann a.txt /x/",
            &["d755 1000:1001 x", "f644 1000:1001 x/a.txt \"a\""],
        ),
        ("COPY --chown=ann:staff a.txt /x", &["f644 1000:50 x \"a\""]),
        ("COPY --chown=5 --chmod=750 a.txt /x", &["f750 5:5 x \"a\""]),
        ("COPY --chmod=u+x a.txt /x", &["f744 0:0 x \"a\""]),
        (
            "ADD a.txt dir/b.txt /x/",
            &[
                "d755 0:0 x",
                "f644 0:0 x/a.txt \"a\"",
                "f644 0:0 x/b.txt \"b\"",
            ],
        ),
        (
            "COPY <<f /x/\nhere $BASE\nf",
            &["d755 0:0 x", "f644 0:0 x/f \"here yes\""],
        ),
        (
            "COPY <<'f' /x\nhere $BASE\nf",
            &["f644 0:0 x \"here $BASE\""],
        ),
        (
            "WORKDIR /w\nCOPY ./a.txt .",
            &["d755 0:0 w", "f644 0:0 w/a.txt \"a\""],
        ),
        (
            "COPY <<f /srv\nin\nf",
            &["d750 7:8 srv", "f644 0:0 srv/f \"in\""],
        ),
        ("COPY ../../a.txt /x", &["f644 0:0 x \"a\""]),
    ] {
        let built = bench.build(&format!("FROM base\n{copy}\n"));
        assert_eq!(built.last_layer(), layer, "{copy}");
    }
}

#[test]
fn add_unpacks_archives() {
    let bench = Bench::new();
    bench.file("in/d/f", "f").file("note.gz", "\u{1}");
    let tar = |arguments: &[&str]| {
        let mut command = std::process::Command::new("tar");
        command
            .current_dir(bench.context())
            .args(["--owner=3", "--group=4"])
            .args(arguments);
        assert!(command.status().unwrap().success());
    };
    tar(&["-czf", "a.tgz", "-C", "in", "."]);
    tar(&["-cf", "a.tar", "-C", "in", "d"]);
    tar(&["-cJf", "a.tar.xz", "in"]);
    // Compressed, but no archive.
    std::fs::write(
        bench.context().join("note.gz"),
        [0x1f, 0x8b, 8, 0, 0, 0, 0, 0],
    )
    .unwrap();
    let unpacked = ["d755 0:0 x", "d755 3:4 x/d", "f644 3:4 x/d/f \"f\""];
    assert_eq!(
        bench.build("FROM base\nADD a.tgz /x\n").last_layer(),
        unpacked
    );
    assert_eq!(
        bench.build("FROM base\nADD a.tar /x/\n").last_layer(),
        unpacked
    );
    let owned = bench.build("FROM base\nADD --chown=9 a.tar /x/\n");
    assert_eq!(owned.last_layer()[2], "f644 9:9 x/d/f \"f\"");
    let copied = bench.build("FROM base\nCOPY a.tar /x/\n");
    assert!(copied.last_layer()[1].starts_with("f644 0:0 x/a.tar"));
    let plain = bench.build("FROM base\nADD note.gz /x/\n");
    assert!(plain.last_layer()[1].starts_with("f644 0:0 x/note.gz"));
    let error = bench.fails("FROM base\nADD a.tar.xz /x/\n");
    assert!(
        error.ends_with("only plain, gzip and zstd archives are supported"),
        "{error}"
    );
    let whole = std::fs::read(bench.context().join("a.tgz")).unwrap();
    std::fs::write(bench.context().join("a.tgz"), &whole[..whole.len() / 2]).unwrap();
    let error = bench.fails("FROM base\nADD a.tgz /x/\n");
    assert!(
        error.contains("Dockerfile:2: `ADD a.tgz /x/`: cannot copy: cannot unpack /a.tgz"),
        "{error}"
    );
}

/// What `COPY --from` makes of a merged tree is what `cp -a` sees in a real overlay.
#[test]
fn layers_are_merged_as_overlay_merges_them() {
    let bench = Bench::new();
    let built = bench.build(
        "FROM base AS layers\n\
         RUN mkdir -p /t/keep /t/gone /t/again /t/swap && touch /t/keep/a /t/gone/b /t/again/c /t/swap/d /t/f\n\
         RUN rm -r /t/gone /t/again && mkdir /t/again && echo n > /t/again/n && rm /t/f && mkdir /t/f && touch /t/f/inside\n\
         RUN rm -r /t/swap && echo file > /t/swap && ln -s keep /t/link && chmod 2750 /t/keep && chown 3:4 /t/keep\n\
         RUN mkdir /t/gone && echo back > /t/gone/new && rm /t/keep/a && echo o > /t/keep/.o\n\
         FROM layers AS real\n\
         RUN cp -a /t /out\n\
         FROM scratch AS ours\n\
         COPY --from=layers /t /out\n\
         FROM scratch\n\
         COPY --from=real /out /real\n\
         COPY --from=ours /out /ours\n",
    );
    let layers: Vec<_> = built
        .image
        .layers
        .iter()
        .map(|l| bench.store.layers().path(l))
        .collect();
    let real = kit::listing(&layers[0].join("real"));
    assert_eq!(kit::listing(&layers[1].join("ours")), real);
    assert!(real.contains(&"d2750 3:4 keep".to_owned()), "{real:?}");
    assert!(
        real.contains(&"f644 0:0 gone/new \"back\"".to_owned()) && real.len() == 10,
        "{real:?}"
    );
}

#[test]
fn links_of_the_context_lead_nowhere_outside() {
    let bench = Bench::new();
    bench.file("dir/file", "inside").file("etc/passwd", "mine");
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, bench.context().join(name)).unwrap();
    };
    link("/etc", "absolute");
    link("../../../../../../etc", "relative");
    link("/etc/passwd", "dir/passwd");
    link("loop", "loop");
    let built = bench.build("FROM base\nCOPY absolute/passwd /x\n");
    assert_eq!(built.last_layer(), ["f644 0:0 x \"mine\""]);
    let built = bench.build("FROM base\nCOPY relative/passwd /x\n");
    assert_eq!(built.last_layer(), ["f644 0:0 x \"mine\""]);
    let built = bench.build("FROM base\nCOPY dir /x\n");
    let layer = [
        "d755 0:0 x",
        "f644 0:0 x/file \"inside\"",
        "l777 0:0 x/passwd -> /etc/passwd",
    ];
    assert_eq!(built.last_layer(), layer);
    let error = bench.fails("FROM base\nCOPY loop /x\n");
    assert!(
        error.starts_with("Dockerfile:2: `COPY loop /x`: cannot copy: "),
        "{error}"
    );
    assert!(error.contains("symbolic links"), "{error}");
    assert!(
        bench
            .fails("FROM base\nCOPY dir/file/x /x\n")
            .contains("no `dir/file/x`")
    );
}

#[test]
fn stages_are_built_only_when_needed() {
    let bench = Bench::new();
    let built = bench.build(
        "ARG VERSION=1\n\
         FROM nowhere:1 AS unused\n\
         RUN false\n\
         FROM base AS Maker\n\
         ARG VERSION\n\
         RUN mkdir /out && echo v$VERSION > /out/f && chown 5:6 /out/f && ln /out/f /out/g\n\
         RUN touch /elsewhere\n\
         FROM base AS copier\n\
         COPY --from=maker /out /copied\n\
         FROM copier\n\
         COPY --from=1 /out/f --from=1 /x\n"
            .replace(" --from=1 /x", " /x")
            .as_str(),
    );
    assert_eq!(
        bench.bases.asked.lock().unwrap().as_slice(),
        [["base:latest"]]
    );
    assert_eq!(built.read("/copied/f"), "v1\n");
    assert_eq!(built.read("/x"), "v1\n");
    let layers = built.own_layers();
    let meta = |name: &str| std::fs::metadata(layers[0].join("copied").join(name)).unwrap();
    use std::os::unix::fs::MetadataExt;
    assert_eq!(
        meta("f").ino(),
        meta("g").ino(),
        "files of one inode stay one"
    );
    assert!(
        built
            .outcomes
            .iter()
            .any(|line| line.starts_with("[maker 2/3] RUN mkdir"))
    );

    let mut request = bench.request("FROM base AS a\nRUN touch /a\nFROM nowhere AS b\n");
    request.target = Some("A".into());
    let built = bench.build_request(&request);
    assert_eq!(built.last_layer(), ["f644 0:0 a \"\""]);
    request.target = Some("c".into());
    let error = bench.try_build(&request).unwrap_err().to_string();
    assert!(error.contains("there is no stage `c`"), "{error}");
}

/// Each of two stages waits for what the other does; together they end.
#[test]
fn independent_stages_are_built_together() {
    let bench = Bench::new();
    let meet = |me: &str, other: &str| {
        format!(
            "RUN --mount=type=cache,id=meet,target=/m \
             touch /m/{me}; until [ -e /m/{other} ]; do :; done\n"
        )
    };
    let file = format!(
        "FROM base AS a\n{}FROM base AS b\n{}FROM scratch\n\
         COPY --from=a /etc/passwd /a\nCOPY --from=b /etc/passwd /b\n",
        meet("a", "b"),
        meet("b", "a"),
    );
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!(cores > 1, "two programs at once need two cores");
    assert_eq!(bench.build(&file).image.layers.len(), 2);
    let error = bench.fails(
        &file
            .replace("until", "exit 3; until")
            .replace("b; do", "c; do"),
    );
    assert!(error.contains("failed with exit code 3"), "{error}");
}

#[test]
fn copies_from_images() {
    let bench = Bench::new();
    let made = bench.build("FROM base\nRUN echo tool > /tool\n");
    bench.add_image("tools:1", &made.built);
    let built = bench.build("FROM scratch\nCOPY --from=tools:1 /tool /bin/busybox /opt/\n");
    assert_eq!(built.image.layers.len(), 1);
    assert!(
        built
            .last_layer()
            .contains(&"f644 0:0 opt/tool \"tool\"".to_owned())
    );
    let config = &built.image.config.config;
    assert_eq!((config.working_dir.as_str(), config.env.len()), ("/", 1));
}

#[test]
fn cached_steps_are_not_executed_again() {
    let bench = Bench::new();
    bench
        .file("app/main", "1")
        .file("app/other", "2")
        .file("lib", "3");
    let file =
        "FROM base\nWORKDIR /w\nCOPY lib .\nRUN echo built > /r\nCOPY app app\nRUN cat app/main\n";
    let first = bench.build(file);
    assert_eq!(first.hits(), 0);
    let again = bench.build(file);
    assert_eq!(again.hits(), 5);
    assert_eq!(
        again.image.id, first.image.id,
        "an unchanged build is the same image"
    );

    let touched = std::fs::File::options()
        .append(true)
        .open(bench.context().join("app/main"));
    touched
        .unwrap()
        .set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    assert_eq!(bench.build(file).hits(), 5, "times are no content");

    bench.file("app/main", "changed");
    let changed = bench.build(file);
    assert_eq!(changed.hits(), 3, "only what depends on it");
    assert_ne!(changed.image.id, first.image.id);

    let mode = PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(bench.context().join("lib"), mode).unwrap();
    assert_eq!(bench.build(file).hits(), 1, "permissions are content");

    let labelled = file.replace("RUN cat", "LABEL a=b\nRUN cat");
    assert_eq!(
        bench.build(&labelled).hits(),
        5,
        "a label is nothing a step sees"
    );
    let with_env = file.replace("RUN cat", "ENV A=b\nRUN cat");
    assert_eq!(bench.build(&with_env).hits(), 4);

    let mut request = bench.request(file);
    request.no_cache = true;
    assert_eq!(bench.build_request(&request).hits(), 0);
}

#[test]
fn arguments_count_where_they_are_declared() {
    let bench = Bench::new();
    let file = "FROM base\nRUN echo early\nARG A\nRUN echo $A > /a\n";
    let mut request = bench.request(file);
    request.build_args = vec![("A".into(), "1".into()), ("B".into(), "x".into())];
    let built = bench.build_request(&request);
    assert_eq!(built.read("/a"), "1\n");
    assert_eq!(
        built.built.warnings,
        ["build argument `B` is not used: no ARG names it."]
    );
    request.build_args = vec![("A".into(), "2".into()), ("http_proxy".into(), "p".into())];
    let built = bench.build_request(&request);
    assert_eq!((built.hits(), built.read("/a").as_str()), (1, "2\n"));
    let steps = bench.runner.steps.lock().unwrap();
    assert!(
        steps
            .last()
            .unwrap()
            .env
            .contains(&"http_proxy=p".to_owned())
    );
    drop(steps);
    let built = bench.build("FROM base\nARG X=arg\nENV X=${X}-env\nRUN echo $X > /x\n");
    assert_eq!(built.read("/x"), "arg-env\n");
    let built =
        bench.build("FROM base\nARG BASE=no\nARG TARGETOS\nRUN echo $BASE $TARGETOS > /x\n");
    assert_eq!(built.read("/x"), "yes linux\n", "ENV wins over ARG");
}

#[test]
fn ignore_files_hide_from_copy() {
    let bench = Bench::new();
    bench
        .file("keep", "1")
        .file("skip.log", "2")
        .file("deep/er/skip.log", "3");
    bench
        .file("deep/er/wanted.log", "4")
        .file("node_modules/x", "5")
        .file("empty/skip.log", "6");
    bench.file(
        ".dockerignore",
        "**/*.log\nnode_modules\n!deep/er/wanted.log\nempty\n",
    );
    let built = bench.build("FROM base\nCOPY . /x\n");
    let layer = [
        "d755 0:0 x",
        "f644 0:0 x/.dockerignore \"**/*.log\\nnode_modules\\n!deep/er/wanted.log\\nempty\"",
        "d755 0:0 x/deep",
        "d755 0:0 x/deep/er",
        "f644 0:0 x/deep/er/wanted.log \"4\"",
        "f644 0:0 x/keep \"1\"",
    ];
    assert_eq!(built.last_layer(), layer);
    bench.file("skip.log", "changed");
    assert_eq!(bench.build("FROM base\nCOPY . /x\n").hits(), 1);
    let error = bench.fails("FROM base\nCOPY skip.log /x\n");
    assert!(
        error.contains("hint: a pattern of the .dockerignore file excludes it"),
        "{error}"
    );
    let mut request = bench.request("FROM base\nCOPY . /x\n");
    request.dockerfile.ignore = Some("*\n!keep\n".into());
    assert_eq!(
        bench.build_request(&request).last_layer(),
        ["d755 0:0 x", "f644 0:0 x/keep \"1\""]
    );
}

#[test]
fn every_instruction_reaches_the_configuration() {
    let bench = Bench::new();
    let mut request = bench.request(
        "FROM base\n\
         ARG PORT=8000\n\
         MAINTAINER me\n\
         ENV A=1 B=\"two words\"\n\
         ENV PATH=/opt/bin:$PATH\n\
         LABEL name=x \"spaced key\"=\"v $A\"\n\
         EXPOSE $PORT 53/udp 10-11\n\
         VOLUME /v [\"/w\"]\n\
         USER ann:staff\n\
         WORKDIR /app\n\
         WORKDIR sub\n\
         STOPSIGNAL SIGQUIT\n\
         HEALTHCHECK --interval=5s --retries=3 CMD curl -f http://localhost/ || exit 1\n\
         ONBUILD LABEL triggered=$A\n\
         ENTRYPOINT [\"/bin/echo\"]\n\
         CMD hello $A\n",
    );
    request.labels.insert("from".into(), "request".into());
    request.tags = vec!["app:1".parse().unwrap()];
    let built = bench.build_request(&request);
    let config = &built.image.config.config;
    assert_eq!(
        config.env,
        ["PATH=/opt/bin:/bin", "BASE=yes", "A=1", "B=two words"]
    );
    assert_eq!(config.labels["spaced key"], "v 1");
    assert_eq!(config.labels["from"], "request");
    let ports: Vec<_> = config.exposed_ports.keys().collect();
    assert_eq!(ports, ["10/tcp", "11/tcp", "53/udp", "8000/tcp"]);
    assert_eq!(
        (config.user.as_str(), config.working_dir.as_str()),
        ("ann:staff", "/app/sub")
    );
    assert_eq!(config.stop_signal.as_deref(), Some("SIGQUIT"));
    let health = config.healthcheck.as_ref().unwrap();
    assert_eq!(
        health.test,
        ["CMD-SHELL", "curl -f http://localhost/ || exit 1"]
    );
    assert_eq!((health.interval, health.retries), (5_000_000_000, 3));
    assert_eq!(config.entrypoint, Some(vec!["/bin/echo".into()]));
    assert_eq!(
        config.cmd,
        Some(vec!["/bin/sh".into(), "-c".into(), "hello $A".into()])
    );
    assert_eq!(config.on_build, ["LABEL triggered=$A"]);
    assert_eq!(built.image.config.author.as_deref(), Some("me"));
    let named = bench.store.images().get(&"app:1".parse().unwrap()).unwrap();
    assert_eq!(named, Some(built.image.digest.clone()));

    bench.add_image("trigger", &built.built);
    let child = bench.build("FROM trigger\nUSER root\nENTRYPOINT [\"/x\"]\n");
    assert!(child.image.config.config.on_build.is_empty());
    assert_eq!(child.image.config.config.labels["triggered"], "1");
    assert_eq!(
        child.image.config.config.cmd, None,
        "a new ENTRYPOINT drops the base's CMD"
    );
}

#[test]
fn triggers_of_the_base_are_carried_out() {
    let bench = Bench::new();
    bench.file("f", "f");
    let base = bench.build("FROM base\nONBUILD COPY f /f\nONBUILD RUN cat /f > /g\n");
    bench.add_image("trigger", &base.built);
    let built = bench.build("FROM trigger\nRUN cat /g > /h\n");
    assert_eq!(built.read("/h"), "f");
}

#[test]
fn a_failing_step_says_where_and_shows_its_output() {
    let bench = Bench::new();
    let error = bench.fails("FROM base\n\nRUN echo before; \\\n   echo the reason >&2; exit 7\n");
    assert!(
        error.starts_with("Dockerfile:3: `RUN echo before;"),
        "{error}"
    );
    assert!(
        error.contains("failed with exit code 7; it last wrote:"),
        "{error}"
    );
    assert!(error.ends_with("  | before\n  | the reason"), "{error}");
    let outcomes = bench.events.outcomes();
    assert!(
        outcomes.last().unwrap().ends_with(": Error"),
        "{outcomes:?}"
    );
    let error = bench.fails("FROM base\nCOPY nothing /x\n");
    let context = bench.context();
    let wanted = format!(
        "Dockerfile:2: `COPY nothing /x`: no `nothing` in the build context {}",
        context.display()
    );
    assert_eq!(error, wanted);
    let error = bench.fails("FROM base AS a\nFROM base\nCOPY --from=nowhere / /\n");
    assert_eq!(error, "Dockerfile:3:13: there is no image nowhere:latest");
    let error = bench.fails("FROM base\nCOPY --chown=bob <<f /x\nf\n");
    assert!(error.ends_with("the image knows no user `bob`"), "{error}");
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_runs() {
    let bench = Bench::new();
    let error = bench.fails(
        "FROM base\n\
         RUN echo never\n\
         RUN --mount=type=secret,id=x cat /run/secrets/x\n\
         ADD https://example.com/x /x\n\
         COPY --parents a /x/\n\
         EXPOSE web\n",
    );
    assert!(bench.runner.steps.lock().unwrap().is_empty());
    for (line, message) in [
        (3, "RUN --mount=type=secret is not supported yet"),
        (4, "ADD from the network"),
        (5, "COPY --parents is not supported yet"),
        (6, "`web` is no port"),
    ] {
        assert!(error.contains(message), "{message} in {error}");
        assert!(
            error.contains(&format!("Dockerfile:{line}:")),
            "{line} in {error}"
        );
    }
    let error = bench.fails(
        "FROM base\n\
         ARG WEB=web\n\
         COPY a b /x\n\
         COPY --chmod=rwx a /x\n\
         EXPOSE $WEB\n\
         ENV X=\"${NO:?must be given}\"\n",
    );
    for (line, message) in [
        (3, "COPY of several sources needs a directory"),
        (4, "`rwx` is not a change of permissions"),
        (5, "`web` is not a port"),
        (6, "must be given"),
    ] {
        assert!(error.contains(message), "{message} in {error}");
        assert!(
            error.contains(&format!("Dockerfile:{line}:")),
            "{line} in {error}"
        );
    }
    assert!(bench.runner.steps.lock().unwrap().is_empty());
    let error = bench.fails("FROM a AS b\nCOPY --from=c x /\nFROM b AS c\n");
    assert!(error.contains("needs itself"), "{error}");
    let error = bench.fails("FROM ${NOTHING}\n");
    assert!(error.contains("the base of this stage is empty"), "{error}");
}

#[test]
fn mounts_show_what_they_should() {
    let bench = Bench::new();
    bench.file("src/main", "source");
    let file = "FROM base AS other\nRUN echo other > /o\n\
         FROM base\n\
         RUN --mount=type=bind,target=/src cat /src/src/main > /a\n\
         RUN --mount=type=bind,from=other,source=/o,target=/o cat /o > /b\n\
         RUN --mount=type=cache,target=/cache echo x >> /cache/n && cat /cache/n > /c\n\
         RUN --mount=type=cache,id=l,sharing=locked,target=/1 \
             --mount=type=cache,id=l,sharing=locked,target=/2 touch /1/t && ls /2/t\n\
         RUN --mount=type=tmpfs,target=/scratch touch /scratch/t\n";
    let built = bench.build(file);
    assert_eq!(built.read("/a"), "source");
    assert_eq!(built.read("/b"), "other\n");
    assert_eq!(built.read("/c"), "x\n");
    assert_eq!(
        built.last_layer(),
        Vec::<String>::new(),
        "no mount points are left"
    );
    assert_eq!(bench.build(file).hits(), 6);
    let mut request = bench.request(file);
    request.no_cache = true;
    assert_eq!(
        bench.build_request(&request).read("/c"),
        "x\nx\n",
        "caches outlive builds"
    );
}

#[test]
fn a_fixed_time_makes_builds_equal() {
    let build = || {
        let bench = Bench::new();
        bench.file("f", "f").file("d/g", "g");
        let mut request = bench.request("FROM scratch\nCOPY . /srv/\nWORKDIR /w\n");
        request.source_date_epoch = Some(1_000_000_000);
        bench.build_request(&request).image.digest
    };
    assert_eq!(build(), build());
}
