//! The program inside one of its own containers, with that container's default confinement:
//! no mount, no namespace, no capability for either. What can be done there is done, and
//! what is lost is said.

#![expect(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is meant"
)]

mod kit;

use kit::bases::{Base, archive};
use kit::{Outcome, SHIM, Server, Shim, run};

/// Said once for each build.
const LOST: &str = "neither mounts nor namespaces can be had here";

/// Two stages, and what a step may come across: a cache, a removed file, another user, a
/// process that does not end.
const DOCKERFILE: &str = "\
FROM busybox AS make
RUN chmod 755 / && mkdir /out && echo built > /out/file
RUN --mount=type=cache,target=/var/cache/x echo line >> /var/cache/x/n && cp /var/cache/x/n /out/
FROM busybox
COPY --from=make --chown=1000:1001 /out/file /srv/file
RUN chmod 755 / && rm /bin/vi && (sleep 10000 &) && cat /srv/file > /srv/again
USER 1000
RUN test \"$(id -u)\" = 1000 && echo mine > /tmp/mine && ! touch /etc/denied 2>/dev/null
CMD [\"cat\", \"/srv/again\", \"/tmp/mine\"]
";

/// Runs a script in a container with default confinement that has the program in it.
fn inside(shim: &Shim, script: &str) -> Outcome {
    let context = shim.write("context/Dockerfile", DOCKERFILE);
    let base = archive(Base::Busybox);
    let script = format!("set -e\nexport SHIM_ROOT=/store\n{script}");
    let volumes = [
        format!("{SHIM}:/usr/bin/shim:ro"),
        format!("{}:/context:ro", context.parent().unwrap().display()),
        format!("{}:/base.tar:ro", base.display()),
    ];
    let mut args = vec!["run", "--rm", "--network", "host"];
    volumes.iter().for_each(|v| args.extend(["-v", v]));
    args.extend(["busybox", "sh", "-c", &script]);
    shim.run(&args)
}

as_root_and_user! {

fn an_image_is_built_and_pushed(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let registry = Server::open();
    let name = registry.name("nested:1");
    let script = format!(
        "shim load -q -i /base.tar
         shim build -t {name} /context 2>/build.log || {{ cat /build.log >&2; exit 1; }}
         shim push -q --tls-verify=false {name}
         grep -c '{LOST}' /build.log
         ps | grep -c '[s]leep 10000' || true
         shim build -t {name} /context 2>&1 | grep -c CACHED"
    );
    let said = inside(shim, &script).succeeded();
    let lines: Vec<&str> = said.lines().rev().take(3).collect();
    assert_eq!(lines, ["5", "0", "1"], "{said}");
    // Outside, with all isolation, it is an image like any other.
    shim.ok(&["pull", "-q", "--tls-verify=false", &name]);
    assert_eq!(shim.ok(&["run", "--rm", "--network", "none", &name]), "built\nmine");
    let show = "ls -ln /srv/file; ls /bin/vi /proc/1 /dev/null /etc/hosts 2>&1 | head -1; \
        ls /bin | grep -c busybox";
    let shown = shim.ok(&["run", "--rm", "--network", "none", &name, "sh", "-c", show]);
    assert!(shown.contains("1000     1001"), "{shown}");
    assert!(shown.contains("/bin/vi: No such file"), "{shown}");
    let source = format!("docker://{name}");
    let inspected = run("skopeo", &["inspect", "--tls-verify=false", &source]);
    assert!(String::from_utf8_lossy(&inspected).contains("\"Layers\""));
}

fn what_needs_isolation_is_refused(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let load = "shim load -q -i /base.tar; ";
    let refused = ["containers cannot run here", "hint: run shim outside this container"];
    inside(shim, &format!("{load} shim run --rm busybox true")).failed(&refused);
    let none = "shim build --network none /context";
    inside(shim, &format!("{load} {none}")).failed(&["cannot be kept from the network here"]);
    let left = inside(shim, &format!("{load} shim run busybox true || shim ps -aq"));
    assert_eq!(left.stdout, "", "no container is made that could not start: {left:?}");
}

}
