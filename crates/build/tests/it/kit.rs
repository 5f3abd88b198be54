//! A small language for builder tests: a context, a store with a busybox base, and a
//! step runner that mounts an overlay in a namespace of its own and calls chroot.
//!
//! The tests run as root, and fail where they do not.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use build::{
    BaseError, Bases, BuildError, BuildRequest, Built, DockerfileText, RunStep, StepError,
    StepNetwork, StepRunner,
};
use model::event::{Event, EventSink};
use model::{Digest, ImageConfig, MountKind, Platform, Reference};
use store::{Image, Options, Store};

const BUSYBOX: &str = "/bin/busybox";

/// A store and a context, both gone with it.
pub struct Bench {
    dir: tempfile::TempDir,
    pub store: Store,
    pub runner: Chroot,
    pub bases: Known,
    pub events: Recorder,
}

/// Executes steps with overlay and chroot.
#[derive(Default)]
pub struct Chroot {
    pub steps: Mutex<Vec<RunStep>>,
}

/// Finds what is in the store, and remembers what it was asked for.
#[derive(Default)]
pub struct Known {
    images: Mutex<BTreeMap<Reference, Digest>>,
    pub asked: Mutex<Vec<Vec<String>>>,
}

/// Keeps events.
#[derive(Default)]
pub struct Recorder(pub Mutex<Vec<Event>>);

impl EventSink for Recorder {
    fn send(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Recorder {
    /// `label: outcome` of everything that ended, and forgets it.
    pub fn outcomes(&self) -> Vec<String> {
        let events = std::mem::take(&mut *self.0.lock().unwrap());
        let line = |event| match event {
            Event::Done { id, outcome } | Event::Failed { id, outcome } => {
                Some(format!("{id}: {outcome}"))
            }
            _ => None,
        };
        events.into_iter().filter_map(line).collect()
    }
}

impl Bases for Known {
    fn resolve(
        &self,
        references: &[Reference],
        _platform: &Platform,
    ) -> Result<Vec<Digest>, BaseError> {
        let asked = references.iter().map(Reference::familiar).collect();
        self.asked.lock().unwrap().push(asked);
        let images = self.images.lock().unwrap();
        let find = |reference: &Reference| {
            images.get(reference).cloned().ok_or_else(|| BaseError {
                reference: Some(reference.clone()),
                message: format!("there is no image {}", reference.familiar()),
                hint: None,
                source: None,
            })
        };
        references.iter().map(find).collect()
    }
}

/// Mounts what the step wants below `$1`, then becomes its program.
const SCRIPT: &str = r#"
set -e
root=$1 layers=$2 upper=$3 work=$4 user=$5 cwd=$6
shift 6
mount -t overlay overlay -o "userxattr,lowerdir=$layers,upperdir=$upper,workdir=$work" "$root"
mkdir -p "$root/proc" "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/dev"
: > "$root/dev/null.txt"
while [ "$1" != -- ]; do
    kind=$1 source=$2 target=$root$3
    shift 3
    if [ "$kind" = tmpfs ]; then
        mkdir -p "$target"
        mount -t tmpfs tmpfs "$target"
        continue
    fi
    if [ -d "$source" ]; then mkdir -p "$target"; else
        mkdir -p "${target%/*}"
        [ -e "$target" ] || : > "$target"
    fi
    mount --bind "$source" "$target"
done
shift
exec chroot --userspec="$user" "$root" /bin/busybox env -i "$@"
"#;

impl StepRunner for Chroot {
    fn run(&self, step: &RunStep, output: &mut dyn FnMut(&[u8])) -> Result<i32, StepError> {
        self.steps.lock().unwrap().push(step.clone());
        let root = tempfile::tempdir().unwrap();
        let layers: Vec<_> = step.layers.iter().map(|l| l.to_str().unwrap()).collect();
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", SCRIPT, "step"])
            .arg(root.path());
        command
            .arg(layers.join(":"))
            .arg(&step.upper)
            .arg(&step.work);
        let user = if step.user.is_empty() {
            "0:0"
        } else {
            &step.user
        };
        command.arg(user).arg(&step.cwd);
        for mount in &step.mounts {
            match &mount.kind {
                MountKind::Bind { source } => command.arg("bind").arg(source).arg(&mount.target),
                _ => command.args(["tmpfs", "-", &mount.target]),
            };
        }
        command.arg("--").args(&step.env);
        command.args([
            "/bin/busybox",
            "sh",
            "-c",
            r#"cd "$0" && exec "$@""#,
            &step.cwd,
        ]);
        command.args(&step.argv).stdin(Stdio::null());
        let (mut reader, writer) = std::io::pipe().unwrap();
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        let mut child = command.spawn().unwrap();
        drop(command);
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = reader.read(&mut buffer) {
            output(&buffer[..length]);
        }
        Ok(child.wait().unwrap().code().unwrap_or(-1))
    }
}

impl Bench {
    /// An empty context, and a store with `base` in it.
    pub fn new() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "these tests mount and chroot: run them as root"
        );
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store"), Options::default()).unwrap();
        std::fs::create_dir(dir.path().join("context")).unwrap();
        let bench = Self {
            dir,
            store,
            runner: Chroot::default(),
            bases: Known::default(),
            events: Recorder::default(),
        };
        bench.add_base();
        bench
    }

    fn add_base(&self) {
        let scratch = self.store.layers().scratch().unwrap();
        let root = scratch.upper();
        for dir in ["bin", "etc", "tmp", "srv", "data"] {
            std::fs::create_dir(root.join(dir)).unwrap();
        }
        std::fs::set_permissions(root.join("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
        std::fs::set_permissions(root.join("srv"), PermissionsExt::from_mode(0o750)).unwrap();
        std::os::unix::fs::chown(root.join("srv"), Some(7), Some(8)).unwrap();
        std::os::unix::fs::symlink("/data", root.join("link")).unwrap();
        std::os::unix::fs::symlink("/../../../../etc", root.join("data/up")).unwrap();
        std::fs::write(
            root.join("etc/passwd"),
            "root:x:0:0::/:/bin/sh\nann:x:1000:1001::/:\n",
        )
        .unwrap();
        std::fs::write(root.join("etc/group"), "root:x:0:\nstaff:x:50:ann\n").unwrap();
        std::fs::copy(BUSYBOX, root.join("bin/busybox")).expect("busybox-static is installed");
        for applet in [
            "sh", "cat", "echo", "ls", "mkdir", "true", "env", "id", "ln", "rm", "touch", "chown",
            "cp", "chmod",
        ] {
            std::fs::hard_link(root.join("bin/busybox"), root.join("bin").join(applet)).unwrap();
        }
        let layer = self.store.layers().adopt(scratch).unwrap();
        let mut config = ImageConfig {
            architecture: Platform::native().architecture,
            os: "linux".into(),
            created: Some("2020-01-01T00:00:00Z".into()),
            ..ImageConfig::default()
        };
        config.config.env = vec!["PATH=/bin".into(), "BASE=yes".into()];
        config.config.cmd = Some(vec!["sh".into()]);
        config.rootfs.kind = "layers".into();
        config.rootfs.diff_ids = vec![layer.diff_id.clone()];
        let image = self
            .store
            .images()
            .create(&config, &[(&layer).into()], None)
            .unwrap();
        self.bases
            .images
            .lock()
            .unwrap()
            .insert("base".parse().unwrap(), image.digest);
    }

    /// Makes an image of a build a base for others.
    pub fn add_image(&self, name: &str, built: &Built) {
        let name = name.parse().unwrap();
        self.bases
            .images
            .lock()
            .unwrap()
            .insert(name, built.manifest.clone());
    }

    pub fn context(&self) -> PathBuf {
        self.dir.path().join("context")
    }

    /// Writes a file of the context, and the directories above it.
    pub fn file(&self, path: &str, content: &str) -> &Self {
        let path = self.context().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    pub fn request(&self, dockerfile: &str) -> BuildRequest {
        BuildRequest {
            context: self.context(),
            dockerfile: DockerfileText {
                name: "Dockerfile".into(),
                text: dockerfile.into(),
                ignore: None,
            },
            target: None,
            build_args: vec![],
            platform: Platform::native(),
            tags: vec![],
            labels: BTreeMap::new(),
            no_cache: false,
            network: StepNetwork::None,
            extra_hosts: vec![],
            source_date_epoch: None,
        }
    }

    pub fn try_build(&self, request: &BuildRequest) -> Result<Built, BuildError> {
        build::build(
            request,
            &self.store,
            &self.bases,
            &self.runner,
            &self.events,
        )
    }

    #[track_caller]
    pub fn build(&self, dockerfile: &str) -> Outcome {
        self.build_request(&self.request(dockerfile))
    }

    #[track_caller]
    pub fn build_request(&self, request: &BuildRequest) -> Outcome {
        match self.try_build(request) {
            Ok(built) => Outcome {
                image: self.store.images().load(&built.manifest).unwrap(),
                outcomes: self.events.outcomes(),
                built,
                store: self.store.clone(),
            },
            Err(error) => panic!("{}", chain(&error)),
        }
    }

    /// The error of a build that must fail, with its causes and hint.
    #[track_caller]
    pub fn fails(&self, dockerfile: &str) -> String {
        let error = self
            .try_build(&self.request(dockerfile))
            .expect_err("the build must fail");
        let leftovers = std::fs::read_dir(self.store.root().join("tmp"))
            .unwrap()
            .count();
        assert_eq!(leftovers, 0, "a failed build leaves nothing half made");
        let hint = error
            .hint()
            .map_or_else(String::new, |hint| format!("\nhint: {hint}"));
        format!("{}{hint}", chain(&error))
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// A finished build.
#[must_use]
pub struct Outcome {
    pub built: Built,
    pub image: Image,
    /// `label: outcome` of each step.
    pub outcomes: Vec<String>,
    store: Store,
}

impl Outcome {
    /// Layers above the base's one.
    pub fn own_layers(&self) -> Vec<PathBuf> {
        self.image.layers[1..]
            .iter()
            .map(|layer| self.store.layers().path(layer))
            .collect()
    }

    /// The last layer as text: `mode uid:gid path [content or target]`, sorted.
    pub fn last_layer(&self) -> Vec<String> {
        listing(&self.store.layers().path(self.image.layers.last().unwrap()))
    }

    /// What is at `path` in the image; the last layer that has it wins.
    pub fn read(&self, path: &str) -> String {
        let layers = self.image.layers.iter().rev();
        let mut paths = layers.map(|l| {
            self.store
                .layers()
                .path(l)
                .join(path.trim_start_matches('/'))
        });
        let path = paths.find(|path| path.symlink_metadata().is_ok());
        let path = path.expect("the image has the file");
        std::fs::read_to_string(path).unwrap()
    }

    /// How many steps came from the cache.
    pub fn hits(&self) -> usize {
        self.outcomes
            .iter()
            .filter(|outcome| outcome.ends_with("CACHED"))
            .count()
    }
}

/// Everything below a directory, but not the directory.
pub fn listing(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    list(root, Path::new(""), &mut lines);
    lines
}

fn list(root: &Path, below: &Path, lines: &mut Vec<String>) {
    let mut entries: Vec<_> = std::fs::read_dir(root.join(below))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    entries.sort();
    for name in entries {
        let inner = below.join(&name);
        let path = root.join(&inner);
        let meta = path.symlink_metadata().unwrap();
        let (kind, content) = if meta.is_symlink() {
            ('l', format!(" -> {}", path.read_link().unwrap().display()))
        } else if meta.is_dir() {
            ('d', String::new())
        } else if meta.is_file() {
            let content = std::fs::read(&path).unwrap();
            let text = if content.len() > 64 {
                "…".into()
            } else {
                String::from_utf8_lossy(&content)
            };
            ('f', format!(" {:?}", text.trim_end()))
        } else {
            ('s', String::new())
        };
        let (mode, uid, gid) = (meta.mode() & 0o7777, meta.uid(), meta.gid());
        lines.push(format!(
            "{kind}{mode:o} {uid}:{gid} {}{content}",
            inner.display()
        ));
        if kind == 'd' {
            list(root, &inner, lines);
        }
    }
}
