//! Every key of the compose specification, and what becomes of it here.

use super::Key;
use super::Shape::{self, Any, Each, Items, Keys, Table};
use super::Status::{Honoured, NoEffect, NotYet};

const fn yes(name: &'static str, shape: Shape) -> Key {
    Key {
        name,
        status: Honoured,
        shape,
    }
}

const fn not_yet(name: &'static str) -> Key {
    Key {
        name,
        status: NotYet,
        shape: Any,
    }
}

const fn no_effect(name: &'static str) -> Key {
    Key {
        name,
        status: NoEffect,
        shape: Any,
    }
}

const fn not_yet_of(name: &'static str, shape: Shape) -> Key {
    Key {
        name,
        status: NotYet,
        shape,
    }
}

const fn no_effect_of(name: &'static str, shape: Shape) -> Key {
    Key {
        name,
        status: NoEffect,
        shape,
    }
}

/// The top of a file.
pub(super) static TOP: Shape = Keys(&[
    not_yet_of("configs", Each(&CONFIG)),
    yes("include", Items(&INCLUDE)),
    not_yet_of("models", Each(&MODEL)),
    yes("name", Any),
    yes("networks", Each(&NETWORK)),
    not_yet_of("secrets", Each(&SECRET)),
    yes("services", Each(&SERVICE)),
    // Has its own warning.
    yes("version", Any),
    yes("volumes", Each(&VOLUME)),
]);

const INCLUDE: Shape = Keys(&[
    yes("env_file", Any),
    yes("path", Any),
    yes("project_directory", Any),
]);

/// A service.
pub(super) const SERVICE: Shape = Keys(&[
    not_yet("annotations"),
    not_yet("attach"),
    yes("blkio_config", BLKIO),
    yes("build", BUILD),
    not_yet("cap_add"),
    not_yet("cap_drop"),
    not_yet("cgroup"),
    not_yet("cgroup_parent"),
    yes("command", Any),
    not_yet_of("configs", Items(&FILE_REFERENCE)),
    yes("container_name", Any),
    not_yet("cpu_count"),
    not_yet("cpu_percent"),
    yes("cpu_period", Any),
    yes("cpu_quota", Any),
    not_yet("cpu_rt_period"),
    not_yet("cpu_rt_runtime"),
    yes("cpu_shares", Any),
    yes("cpus", Any),
    yes("cpuset", Any),
    not_yet_of("credential_spec", CREDENTIAL_SPEC),
    yes("depends_on", Each(&DEPENDENCY)),
    yes("deploy", DEPLOY),
    not_yet_of("develop", DEVELOP),
    not_yet("device_cgroup_rules"),
    not_yet_of("devices", Items(&DEVICE)),
    not_yet("dns"),
    not_yet("dns_opt"),
    not_yet("dns_search"),
    not_yet("domainname"),
    yes("entrypoint", Any),
    yes("env_file", Items(&ENV_FILE)),
    yes("environment", Table),
    yes("expose", Any),
    yes("extends", Keys(&[yes("file", Any), yes("service", Any)])),
    not_yet("external_links"),
    yes("extra_hosts", Table),
    not_yet_of("gpus", Items(&DEVICE_REQUEST)),
    not_yet("group_add"),
    yes("healthcheck", HEALTHCHECK),
    yes("hostname", Any),
    yes("image", Any),
    yes("init", Any),
    not_yet("ipc"),
    not_yet("isolation"),
    not_yet("label_file"),
    yes("labels", Table),
    not_yet("links"),
    not_yet_of("logging", Keys(&[not_yet("driver"), not_yet("options")])),
    not_yet("mac_address"),
    yes("mem_limit", Any),
    yes("mem_reservation", Any),
    yes("mem_swappiness", Any),
    yes("memswap_limit", Any),
    not_yet_of("models", Each(&SERVICE_MODEL)),
    yes("network_mode", Any),
    yes("networks", Each(&SERVICE_NETWORK)),
    yes("oom_kill_disable", Any),
    not_yet("oom_score_adj"),
    not_yet("pid"),
    yes("pids_limit", Any),
    yes("platform", Any),
    yes("ports", Items(&PORT)),
    not_yet_of("post_start", Items(&HOOK)),
    not_yet_of("pre_start", Items(&HOOK)),
    not_yet_of("pre_stop", Items(&HOOK)),
    not_yet("privileged"),
    yes("profiles", Any),
    not_yet_of("provider", Keys(&[not_yet("options"), not_yet("type")])),
    yes("pull_policy", Any),
    not_yet("pull_refresh_after"),
    yes("read_only", Any),
    yes("restart", Any),
    not_yet("runtime"),
    not_yet("scale"),
    not_yet_of("secrets", Items(&FILE_REFERENCE)),
    not_yet("security_opt"),
    not_yet("shm_size"),
    yes("stdin_open", Any),
    yes("stop_grace_period", Any),
    yes("stop_signal", Any),
    not_yet("storage_opt"),
    not_yet("sysctls"),
    yes("tmpfs", Any),
    yes("tty", Any),
    not_yet_of("ulimits", Each(&ULIMIT)),
    not_yet("use_api_socket"),
    yes("user", Any),
    not_yet("userns_mode"),
    not_yet("uts"),
    yes("volumes", Items(&SERVICE_VOLUME)),
    not_yet("volumes_from"),
    yes("working_dir", Any),
]);

pub(super) const BUILD: Shape = Keys(&[
    not_yet("additional_contexts"),
    yes("args", Table),
    not_yet("cache_from"),
    not_yet("cache_to"),
    yes("context", Any),
    yes("dockerfile", Any),
    yes("dockerfile_inline", Any),
    not_yet("entitlements"),
    not_yet("extra_hosts"),
    not_yet("isolation"),
    not_yet("labels"),
    not_yet("network"),
    not_yet("no_cache"),
    not_yet("platforms"),
    not_yet("privileged"),
    not_yet("provenance"),
    not_yet("pull"),
    not_yet("sbom"),
    not_yet_of("secrets", Items(&FILE_REFERENCE)),
    not_yet("shm_size"),
    not_yet("ssh"),
    not_yet("tags"),
    yes("target", Any),
    not_yet_of("ulimits", Each(&ULIMIT)),
]);

pub(super) const HEALTHCHECK: Shape = Keys(&[
    yes("disable", Any),
    yes("interval", Any),
    yes("retries", Any),
    yes("start_interval", Any),
    yes("start_period", Any),
    yes("test", Any),
    yes("timeout", Any),
]);

const DEPENDENCY: Shape = Keys(&[
    yes("condition", Any),
    yes("required", Any),
    yes("restart", Any),
]);

const ENV_FILE: Shape = Keys(&[yes("format", Any), yes("path", Any), yes("required", Any)]);

const PORT: Shape = Keys(&[
    no_effect("app_protocol"),
    yes("host_ip", Any),
    yes("mode", Any),
    yes("name", Any),
    yes("protocol", Any),
    yes("published", Any),
    yes("target", Any),
]);

const SERVICE_VOLUME: Shape = Keys(&[
    yes(
        "bind",
        Keys(&[
            yes("create_host_path", Any),
            not_yet("propagation"),
            not_yet("recursive"),
            no_effect("selinux"),
        ]),
    ),
    no_effect("consistency"),
    not_yet_of("image", Keys(&[not_yet("subpath")])),
    yes("read_only", Any),
    yes("source", Any),
    yes("target", Any),
    yes("tmpfs", Keys(&[yes("mode", Any), yes("size", Any)])),
    yes("type", Any),
    yes(
        "volume",
        Keys(&[not_yet("labels"), yes("nocopy", Any), not_yet("subpath")]),
    ),
]);

const SERVICE_NETWORK: Shape = Keys(&[
    yes("aliases", Any),
    not_yet("driver_opts"),
    not_yet("gw_priority"),
    not_yet("interface_name"),
    yes("ipv4_address", Any),
    not_yet("ipv6_address"),
    not_yet("link_local_ips"),
    not_yet("mac_address"),
    yes("priority", Any),
]);

pub(super) const DEPLOY: Shape = Keys(&[
    no_effect("endpoint_mode"),
    no_effect("labels"),
    not_yet("mode"),
    no_effect_of(
        "placement",
        Keys(&[
            no_effect("constraints"),
            no_effect("max_replicas_per_node"),
            no_effect_of("preferences", Items(&Keys(&[no_effect("spread")]))),
        ]),
    ),
    not_yet("replicas"),
    yes(
        "resources",
        Keys(&[
            yes(
                "limits",
                Keys(&[yes("cpus", Any), yes("memory", Any), yes("pids", Any)]),
            ),
            yes("reservations", RESERVATIONS),
        ]),
    ),
    not_yet_of(
        "restart_policy",
        Keys(&[
            not_yet("condition"),
            not_yet("delay"),
            not_yet("max_attempts"),
            not_yet("window"),
        ]),
    ),
    no_effect_of("rollback_config", UPDATE),
    not_yet_of("update_config", UPDATE),
]);

const RESERVATIONS: Shape = Keys(&[
    no_effect("cpus"),
    not_yet_of("devices", Items(&DEVICE_REQUEST)),
    no_effect("generic_resources"),
    yes("memory", Any),
]);

const UPDATE: Shape = Keys(&[
    no_effect("delay"),
    no_effect("failure_action"),
    no_effect("max_failure_ratio"),
    no_effect("monitor"),
    no_effect("order"),
    no_effect("parallelism"),
]);

const DEVELOP: Shape = Keys(&[not_yet_of(
    "watch",
    Items(&Keys(&[
        not_yet("action"),
        not_yet_of("exec", HOOK),
        not_yet("ignore"),
        not_yet("include"),
        not_yet("initial_sync"),
        not_yet("path"),
        not_yet("target"),
    ])),
)]);

const HOOK: Shape = Keys(&[
    not_yet("command"),
    not_yet("environment"),
    not_yet("image"),
    not_yet("per_replica"),
    not_yet("privileged"),
    not_yet("user"),
    not_yet("working_dir"),
]);

const DEVICE: Shape = Keys(&[not_yet("permissions"), not_yet("source"), not_yet("target")]);

const DEVICE_REQUEST: Shape = Keys(&[
    not_yet("capabilities"),
    not_yet("count"),
    not_yet("device_ids"),
    not_yet("driver"),
    not_yet("options"),
]);

const CREDENTIAL_SPEC: Shape = Keys(&[not_yet("config"), not_yet("file"), not_yet("registry")]);

const SERVICE_MODEL: Shape = Keys(&[not_yet("endpoint_var"), not_yet("model_var")]);

const FILE_REFERENCE: Shape = Keys(&[
    not_yet("gid"),
    not_yet("mode"),
    not_yet("source"),
    not_yet("target"),
    not_yet("uid"),
]);

const ULIMIT: Shape = Keys(&[not_yet("hard"), not_yet("soft")]);

const BLKIO: Shape = Keys(&[
    yes("device_read_bps", Items(&RATE)),
    yes("device_read_iops", Items(&RATE)),
    yes("device_write_bps", Items(&RATE)),
    yes("device_write_iops", Items(&RATE)),
    yes("weight", Any),
    yes(
        "weight_device",
        Items(&Keys(&[yes("path", Any), yes("weight", Any)])),
    ),
]);

const RATE: Shape = Keys(&[yes("path", Any), yes("rate", Any)]);

const NETWORK: Shape = Keys(&[
    no_effect("attachable"),
    yes("driver", Any),
    not_yet("driver_opts"),
    not_yet("enable_ipv4"),
    not_yet("enable_ipv6"),
    yes("external", Keys(&[yes("name", Any)])),
    yes("internal", Any),
    yes(
        "ipam",
        Keys(&[
            yes("config", Items(&IPAM_POOL)),
            yes("driver", Any),
            not_yet("options"),
        ]),
    ),
    yes("labels", Table),
    yes("name", Any),
]);

const IPAM_POOL: Shape = Keys(&[
    not_yet("aux_addresses"),
    not_yet("gateway"),
    not_yet("ip_range"),
    yes("subnet", Any),
]);

const VOLUME: Shape = Keys(&[
    yes("driver", Any),
    not_yet("driver_opts"),
    yes("external", Keys(&[yes("name", Any)])),
    yes("labels", Table),
    yes("name", Any),
]);

const SECRET: Shape = Keys(&[
    not_yet("driver"),
    not_yet("driver_opts"),
    not_yet("environment"),
    not_yet_of("external", Keys(&[not_yet("name")])),
    not_yet("file"),
    not_yet("labels"),
    not_yet("name"),
    not_yet("template_driver"),
]);

const CONFIG: Shape = Keys(&[
    not_yet("content"),
    not_yet("environment"),
    not_yet_of("external", Keys(&[not_yet("name")])),
    not_yet("file"),
    not_yet("labels"),
    not_yet("name"),
    not_yet("template_driver"),
]);

const MODEL: Shape = Keys(&[
    not_yet("context_size"),
    not_yet("model"),
    not_yet("name"),
    not_yet("runtime_flags"),
]);
