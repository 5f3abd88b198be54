//! Each type in the specification's words, long forms only.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use model::{RestartPolicy, units};

use super::Out;
use crate::project::{
    Attachment, Build, Health, HealthTest, Network, Port, Project, PullPolicy, Service,
    ServiceNetwork, ServiceVolume, Tmpfs, Volume, VolumeKind,
};

/// A mapping under construction, absent values left out.
#[derive(Default)]
pub(super) struct Fields(Vec<(String, Out)>);

impl Fields {
    pub(super) fn put(&mut self, key: &str, value: Out) {
        self.0.push((key.to_owned(), value));
    }

    fn text(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.put(key, text(value));
        }
    }

    fn flag(&mut self, key: &str, value: bool) {
        if value {
            self.put(key, Out::Bool(true));
        }
    }

    fn duration(&mut self, key: &str, value: Option<Duration>) {
        if let Some(value) = value {
            self.put(key, text(&units::format_duration(value)));
        }
    }

    pub(super) fn list(&mut self, key: &str, items: Vec<Out>) {
        if !items.is_empty() {
            self.put(key, Out::List(items));
        }
    }

    pub(super) fn map(&mut self, key: &str, entries: Vec<(String, Out)>) {
        if !entries.is_empty() {
            self.put(key, Out::Map(entries));
        }
    }

    pub(super) fn done(self) -> Out {
        Out::Map(self.0)
    }
}

fn text(value: &str) -> Out {
    Out::Text(value.to_owned())
}

fn texts(values: &[String]) -> Vec<Out> {
    values.iter().map(|value| text(value)).collect()
}

fn path(value: &Path) -> Out {
    Out::Text(value.to_string_lossy().into_owned())
}

fn table(values: &BTreeMap<String, Option<String>>) -> Vec<(String, Out)> {
    let value = |value: &Option<String>| value.as_deref().map_or(Out::Null, text);
    values
        .iter()
        .map(|(name, content)| (name.clone(), value(content)))
        .collect()
}

fn labels(values: &BTreeMap<String, String>) -> Vec<(String, Out)> {
    values
        .iter()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect()
}

/// The whole project.
pub(super) fn project(project: &Project) -> Out {
    let mut out = Fields::default();
    out.text("name", Some(&project.name));
    let services = project.services.iter();
    out.put(
        "services",
        Out::Map(
            services
                .map(|(key, one)| (key.clone(), service(one)))
                .collect(),
        ),
    );
    let networks = project.networks.iter();
    out.map(
        "networks",
        networks
            .map(|(key, one)| (key.clone(), network(one)))
            .collect(),
    );
    let volumes = project.volumes.iter();
    out.map(
        "volumes",
        volumes
            .map(|(key, one)| (key.clone(), volume(one)))
            .collect(),
    );
    out.done()
}

/// One service.
pub(super) fn service(service: &Service) -> Out {
    let mut out = Fields::default();
    out.list("profiles", texts(&service.profiles));
    if let Some(one) = &service.build {
        out.put("build", build(one));
    }
    if let Some(command) = &service.command {
        out.put("command", Out::List(texts(command)));
    }
    out.text("container_name", service.container_name.as_deref());
    out.map("depends_on", dependencies(service));
    if let Some(entrypoint) = &service.entrypoint {
        out.put("entrypoint", Out::List(texts(entrypoint)));
    }
    out.map("environment", table(&service.environment));
    out.list("expose", texts(&service.expose));
    let hosts = service.extra_hosts.iter();
    out.list(
        "extra_hosts",
        hosts
            .map(|(name, ip)| text(&format!("{name}={ip}")))
            .collect(),
    );
    if let Some(one) = &service.health {
        out.put("healthcheck", health(one));
    }
    out.text("hostname", service.hostname.as_deref());
    out.text("image", service.image.as_deref());
    out.flag("init", service.init);
    out.map("labels", labels(&service.labels));
    super::limits::put(&mut out, &service.limits);
    place_in_network(&mut out, &service.network);
    let platform = service.platform.as_ref().map(ToString::to_string);
    out.text("platform", platform.as_deref());
    out.list("ports", service.ports.iter().map(port).collect());
    out.text("pull_policy", pull_policy(service.pull_policy));
    out.flag("read_only", service.read_only);
    out.text("restart", restart(service.restart).as_deref());
    out.flag("stdin_open", service.stdin_open);
    out.duration("stop_grace_period", service.stop_grace_period);
    out.text("stop_signal", service.stop_signal.as_deref());
    out.list("tmpfs", service.tmpfs.iter().map(tmpfs).collect());
    out.flag("tty", service.tty);
    out.text("user", service.user.as_deref());
    out.list("volumes", service.volumes.iter().map(mount).collect());
    out.text("working_dir", service.working_dir.as_deref());
    out.done()
}

fn build(build: &Build) -> Out {
    let mut out = Fields::default();
    out.map("args", table(&build.args));
    out.text("context", Some(&build.context));
    match &build.dockerfile_inline {
        Some(inline) => out.text("dockerfile_inline", Some(inline)),
        None => {
            let file = Path::new(&build.dockerfile);
            out.put(
                "dockerfile",
                path(file.strip_prefix(&build.context).unwrap_or(file)),
            );
        }
    }
    out.text("target", build.target.as_deref());
    out.done()
}

fn dependencies(service: &Service) -> Vec<(String, Out)> {
    let one = |(name, dependency): (&String, &crate::Dependency)| {
        let mut out = Fields::default();
        out.text("condition", Some(dependency.condition.as_str()));
        out.put("required", Out::Bool(dependency.required));
        out.flag("restart", dependency.restart);
        (name.clone(), out.done())
    };
    service.depends_on.iter().map(one).collect()
}

fn health(health: &Health) -> Out {
    let mut out = Fields::default();
    match &health.test {
        Some(HealthTest::Disabled) => out.flag("disable", true),
        Some(HealthTest::Command(command)) => {
            let words = std::iter::once(text("CMD")).chain(texts(command));
            out.put("test", Out::List(words.collect()));
        }
        Some(HealthTest::Shell(line)) => {
            out.put("test", Out::List(vec![text("CMD-SHELL"), text(line)]));
        }
        None => {}
    }
    out.duration("timeout", health.timeout);
    out.duration("interval", health.interval);
    if let Some(retries) = health.retries {
        out.put("retries", Out::Int(i64::from(retries)));
    }
    out.duration("start_period", health.start_period);
    out.duration("start_interval", health.start_interval);
    out.done()
}

fn place_in_network(out: &mut Fields, network: &ServiceNetwork) {
    match network {
        ServiceNetwork::None => out.text("network_mode", Some("none")),
        ServiceNetwork::Host => out.text("network_mode", Some("host")),
        ServiceNetwork::Service(name) => {
            out.text("network_mode", Some(&format!("service:{name}")));
        }
        ServiceNetwork::Container(name) => {
            out.text("network_mode", Some(&format!("container:{name}")));
        }
        ServiceNetwork::Networks(attachments) => {
            let mut entries: Vec<(String, Out)> = attachments.iter().map(attachment).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            out.map("networks", entries);
        }
    }
}

fn attachment(attachment: &Attachment) -> (String, Out) {
    let mut out = Fields::default();
    out.list("aliases", texts(&attachment.aliases));
    let address = attachment.ipv4_address.map(|address| address.to_string());
    out.text("ipv4_address", address.as_deref());
    if attachment.priority != 0 {
        out.put("priority", Out::Int(attachment.priority));
    }
    let value = if out.0.is_empty() {
        Out::Null
    } else {
        out.done()
    };
    (attachment.network.clone(), value)
}

fn port(port: &Port) -> Out {
    let mut out = Fields::default();
    out.text("name", port.name.as_deref());
    out.text("mode", Some("ingress"));
    let ip = port.host_ip.map(|ip| ip.to_string());
    out.text("host_ip", ip.as_deref());
    out.put("target", Out::Int(i64::from(port.target)));
    let published = port.published.map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    out.text("published", published.as_deref());
    out.text("protocol", Some(port.transport.as_str()));
    out.done()
}

fn pull_policy(policy: PullPolicy) -> Option<&'static str> {
    match policy {
        PullPolicy::Missing => None,
        PullPolicy::Always => Some("always"),
        PullPolicy::Never => Some("never"),
        PullPolicy::Build => Some("build"),
    }
}

fn restart(policy: RestartPolicy) -> Option<String> {
    match policy {
        RestartPolicy::No => None,
        RestartPolicy::Always => Some("always".into()),
        RestartPolicy::UnlessStopped => Some("unless-stopped".into()),
        RestartPolicy::OnFailure { max_retries: 0 } => Some("on-failure".into()),
        RestartPolicy::OnFailure { max_retries } => Some(format!("on-failure:{max_retries}")),
    }
}

fn tmpfs(tmpfs: &Tmpfs) -> Out {
    let options = [
        tmpfs.size.map(|size| format!("size={size}")),
        tmpfs.mode.map(|mode| format!("mode={mode:o}")),
        tmpfs.read_only.then(|| "ro".to_owned()),
    ];
    let options: Vec<String> = options.into_iter().flatten().collect();
    match options.is_empty() {
        true => text(&tmpfs.target),
        false => text(&format!("{}:{}", tmpfs.target, options.join(","))),
    }
}

fn mount(mount: &ServiceVolume) -> Out {
    let mut out = Fields::default();
    let kind = match &mount.kind {
        VolumeKind::Named { .. } | VolumeKind::Anonymous { .. } => "volume",
        VolumeKind::Bind { .. } => "bind",
        VolumeKind::Tmpfs { .. } => "tmpfs",
    };
    out.text("type", Some(kind));
    match &mount.kind {
        VolumeKind::Named { volume, .. } => out.text("source", Some(volume)),
        VolumeKind::Bind { source, .. } => out.put("source", path(source)),
        VolumeKind::Anonymous { .. } | VolumeKind::Tmpfs { .. } => {}
    }
    out.text("target", Some(&mount.target));
    out.flag("read_only", mount.read_only);
    let mut options = Fields::default();
    match &mount.kind {
        VolumeKind::Named { copy_up, .. } | VolumeKind::Anonymous { copy_up } => {
            options.flag("nocopy", !copy_up);
        }
        VolumeKind::Bind {
            create_host_path, ..
        } => {
            options.put("create_host_path", Out::Bool(*create_host_path));
        }
        VolumeKind::Tmpfs { size, mode } => {
            options.text("size", size.map(|size| size.to_string()).as_deref());
            if let Some(mode) = mode {
                options.put("mode", Out::Int(i64::from(*mode)));
            }
        }
    }
    out.map(kind, options.0);
    out.done()
}

fn network(network: &Network) -> Out {
    let mut out = Fields::default();
    out.text("name", Some(&network.name));
    out.flag("external", network.external);
    out.flag("internal", network.internal);
    if let Some((address, prefix)) = network.subnet {
        let mut pool = Fields::default();
        pool.text("subnet", Some(&format!("{address}/{prefix}")));
        out.put(
            "ipam",
            Out::Map(vec![("config".into(), Out::List(vec![pool.done()]))]),
        );
    }
    out.map("labels", labels(&network.labels));
    out.done()
}

fn volume(volume: &Volume) -> Out {
    let mut out = Fields::default();
    out.text("name", Some(&volume.name));
    out.flag("external", volume.external);
    out.map("labels", labels(&volume.labels));
    out.done()
}
