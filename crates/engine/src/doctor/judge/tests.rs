use super::*;
use crate::doctor::{Mapper, Namespaces, Space, worst};

/// A machine where all is well, for a plain user.
fn well() -> Facts {
    let mapper = |name: &'static str| Mapper {
        name,
        path: Some(format!("/usr/bin/{name}").into()),
        privileged: true,
    };
    Facts {
        uid: 1000,
        user: "anna".into(),
        kernel: "6.1.0".into(),
        missing_calls: Vec::new(),
        filters: true,
        namespaces: Namespaces {
            reach: Reach::Overlay,
            allowed: Some(true),
            most: Some(15_000),
            apparmor: None,
        },
        confined: false,
        subuid: Some((100_000, 65_536)),
        subgid: Some((100_000, 65_536)),
        free_ids: 165_536,
        mappers: vec![mapper("newuidmap"), mapper("newgidmap")],
        cgroups: "version 2".into(),
        limits: Vec::new(),
        runtime: "/run/user/1000/shim/x".into(),
        runtime_in_memory: true,
        runtime_of_session: true,
        store: "/home/anna/.local/share/shim".into(),
        store_kind: "ext4".into(),
        space: Some(Space {
            bytes: 50 << 30,
            files: Some(1_000_000),
        }),
        first_port: 80,
        lingers: Some(true),
        certificates: vec!["/etc/ssl/certs/ca-certificates.crt".into()],
        name_servers: vec!["10.0.0.1".into()],
        year: 2026,
        clock_kept: Some(true),
    }
}

/// What is wrong with such a machine once it has been changed.
fn after(change: impl FnOnce(&mut Facts)) -> Vec<Finding> {
    let mut facts = well();
    change(&mut facts);
    let mut findings = judge(&facts);
    findings.retain(|finding| finding.severity > Severity::Fine);
    findings
}

#[track_caller]
fn only(severity: Severity, check: &str, remedy: Option<&str>, change: impl FnOnce(&mut Facts)) {
    let findings = after(change);
    let [finding] = findings.as_slice() else {
        panic!("{findings:#?}");
    };
    assert_eq!((finding.severity, finding.check), (severity, check));
    assert_eq!(finding.remedy.as_deref(), remedy, "{finding:#?}");
    assert!(finding.consequence.is_some(), "{finding:#?}");
}

fn refused(facts: &mut Facts) {
    facts.namespaces.reach = Reach::Nothing("Operation not permitted".into());
}

#[test]
fn nothing_is_wrong_where_all_is_well() {
    assert_eq!(after(|_| ()), []);
    assert_eq!(worst(&judge(&well())), Severity::Fine);
}

#[test]
fn each_lack_has_its_remedy() {
    use Severity::{Degraded, Fatal};
    only(Fatal, "kernel", None, |f| f.missing_calls = vec!["openat2"]);
    only(Fatal, "system call filters", None, |f| f.filters = false);
    let both = "usermod --add-subuids 165536-231071 --add-subgids 165536-231071 anna";
    only(Degraded, "subordinate ids", Some(both), |f| {
        (f.subuid, f.subgid) = (None, None);
    });
    let groups = "usermod --add-subgids 165536-231071 anna";
    only(Degraded, "subordinate ids", Some(groups), |f| {
        f.subgid = None
    });
    only(Degraded, "subordinate ids", Some(both), |f| {
        f.subuid = Some((100_000, 1000));
    });
    let mappers = "newuidmap and newgidmap";
    only(Degraded, mappers, Some("apt-get install uidmap"), |f| {
        f.mappers[1].path = None;
    });
    only(Fatal, mappers, Some("chmod u+s /usr/bin/newuidmap"), |f| {
        f.mappers[0].privileged = false;
    });
    let delegate = "systemctl edit user@";
    only(Degraded, "limits", Some(delegate), |f| {
        f.limits = vec![("--memory", "not delegated".into(), delegate.into())];
    });
    only(Degraded, "runtime directory", None, |f| {
        f.runtime_in_memory = false
    });
    let prune = Some("shim system prune -f");
    let space = |bytes, files| {
        Some(Space {
            bytes,
            files: Some(files),
        })
    };
    only(Degraded, "store", prune, |f| {
        f.space = space(1 << 20, 1 << 20)
    });
    only(Degraded, "store", prune, |f| f.space = space(1 << 40, 10));
    only(
        Fatal,
        "store",
        Some("mkdir -p /home/anna/.local/share/shim"),
        |f| f.space = None,
    );
    only(
        Degraded,
        "certificates",
        Some("apt-get install ca-certificates"),
        |f| {
            f.certificates.clear();
        },
    );
    let server = "echo nameserver 9.9.9.9 >> /etc/resolv.conf";
    only(Degraded, "resolver", Some(server), |f| {
        f.name_servers.clear()
    });
    only(Degraded, "clock", Some("timedatectl set-ntp true"), |f| {
        f.year = 1970
    });
}

#[test]
fn the_switch_that_refuses_namespaces_is_named() {
    let remedy = |change: fn(&mut Facts)| {
        let findings = after(|facts| {
            refused(facts);
            change(facts);
        });
        assert_eq!(worst(&findings), Severity::Fatal);
        findings[0].remedy.clone()
    };
    assert_eq!(
        remedy(|f| f.namespaces.allowed = Some(false)).as_deref(),
        Some("sysctl -w kernel.unprivileged_userns_clone=1")
    );
    assert_eq!(
        remedy(|f| f.namespaces.most = Some(0)).as_deref(),
        Some("sysctl -w user.max_user_namespaces=15000")
    );
    assert_eq!(
        remedy(|f| f.namespaces.apparmor = Some(true)).as_deref(),
        Some("sysctl -w kernel.apparmor_restrict_unprivileged_userns=0")
    );
    assert_eq!(remedy(|_| ()), None);
}

#[test]
fn a_containers_root_is_worse_off_but_not_helpless() {
    let findings = after(|facts| {
        refused(facts);
        (facts.uid, facts.confined) = (0, true);
        facts.missing_calls = vec!["clone3"];
    });
    assert_eq!(worst(&findings), Severity::Degraded, "{findings:#?}");
}

#[test]
fn root_needs_no_ids_and_no_low_ports() {
    let findings = after(|facts| {
        facts.uid = 0;
        (facts.subuid, facts.subgid) = (None, None);
        facts.mappers.clear();
        facts.first_port = 1024;
        facts.lingers = Some(false);
    });
    assert_eq!(findings, []);
}

#[test]
fn what_every_plain_user_lacks_is_told_but_no_defect() {
    let mut facts = well();
    (facts.first_port, facts.lingers) = (1024, Some(false));
    let findings = judge(&facts);
    assert_eq!(worst(&findings), Severity::Fine);
    let told = |check: &str| {
        let finding = findings.iter().find(|finding| finding.check == check);
        finding.and_then(|finding| finding.remedy.as_deref())
    };
    let ports = "sysctl -w net.ipv4.ip_unprivileged_port_start=80";
    assert_eq!(told("ports"), Some(ports));
    assert_eq!(told("after logout"), Some("loginctl enable-linger anna"));
}
