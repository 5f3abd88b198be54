//! The same Dockerfile, built by buildah: trees and configurations must agree.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kit::{self, Bench};
use model::image::RunConfig;

/// A buildah with a store of its own.
struct Buildah(tempfile::TempDir);

impl Buildah {
    fn call(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("buildah");
        command.arg("--root").arg(self.0.path().join("root"));
        command.arg("--runroot").arg(self.0.path().join("run"));
        command.args(["--storage-driver", "vfs"]).args(arguments);
        let output = command.output().expect("buildah is installed");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "buildah {arguments:?}: {complaint}"
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Builds the context's Dockerfile; the image's tree and configuration.
    fn build(context: &Path) -> (Self, PathBuf, RunConfig) {
        let buildah = Self(tempfile::tempdir().unwrap());
        buildah.call(&[
            "bud",
            "-q",
            "--layers=false",
            "-t",
            "t",
            context.to_str().unwrap(),
        ]);
        let container = buildah.call(&["from", "t"]);
        let tree = PathBuf::from(buildah.call(&["mount", &container]));
        let inspected = buildah.call(&["inspect", "--type", "image", "t"]);
        let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
        let config = inspected["OCIv1"]["config"].clone();
        let mut config: RunConfig = serde_json::from_value(config).unwrap();
        config.labels.remove("io.buildah.version");
        (buildah, tree, config)
    }
}

#[test]
fn trees_and_configurations_agree() {
    let bench = Bench::new();
    bench
        .file("a.txt", "a")
        .file("dir/b.txt", "b")
        .file("dir/sub/c.txt", "c")
        .file("z", "");
    bench
        .file("skipped/f", "f")
        .file("skipped/kept", "k")
        .file(".dockerignore", "skipped/f\n");
    std::os::unix::fs::symlink("dir", bench.context().join("link")).unwrap();
    std::os::unix::fs::symlink("nowhere", bench.context().join("dir/sub/dangling")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(bench.context().join("dir/sub"), mode).unwrap();
    let file = "ARG TOP=/top\n\
         FROM scratch AS first\n\
         ARG TOP\n\
         COPY a.txt ${TOP}/\n\
         COPY --chown=7:8 dir /owned\n\
         FROM scratch\n\
         ARG NAME=value\n\
         ENV A=${NAME} B=\"two words\" C=a\\ b\n\
         ENV D $A and ${NOPE:-default} ${A:+set}\n\
         LABEL one=1 two=\"$A\"\n\
         COPY a.txt /file\n\
         COPY a.txt /inside/\n\
         COPY dir /tree\n\
         COPY dir/* /flat/\n\
         COPY link /followed\n\
         COPY */*.txt /glob/\n\
         COPY --chown=5:6 dir /chowned\n\
         COPY --chmod=640 a.txt /chmodded/\n\
         COPY --from=first /owned /from\n\
         COPY --from=0 /top/a.txt /from/\n\
         COPY dir /tree/again\n\
         COPY skipped /kept\n\
         WORKDIR /work\n\
         COPY a.txt .\n\
         COPY a.txt z dir ./several/\n\
         WORKDIR below\n\
         ADD a.txt ../added\n\
         USER 5:6\n\
         EXPOSE 8000 53/udp\n\
         VOLUME /data /more\n\
         STOPSIGNAL SIGINT\n\
         ENTRYPOINT [\"/entry\"]\n\
         CMD some command\n";
    bench.file("Dockerfile", file);
    let (_buildah, tree, theirs) = Buildah::build(&bench.context());
    std::fs::remove_file(bench.context().join("Dockerfile")).unwrap();

    let built = bench.build(file);
    bench.add_image("built", &built.built);
    let merged = bench.build("FROM scratch\nCOPY --from=built / /\n");
    let ours = bench.store.layers().path(&merged.image.layers[0]);
    assert_eq!(kit::listing(&ours), kit::listing(&tree));

    let config = &built.image.config.config;
    assert_eq!(config.env, theirs.env);
    assert_eq!(config.labels, theirs.labels);
    assert_eq!(config.cmd, theirs.cmd);
    assert_eq!(config.entrypoint, theirs.entrypoint);
    assert_eq!(config.exposed_ports, theirs.exposed_ports);
    assert_eq!(config.volumes, theirs.volumes);
    assert_eq!(config.user, theirs.user);
    assert_eq!(config.working_dir, theirs.working_dir);
    assert_eq!(config.stop_signal, theirs.stop_signal);
}
