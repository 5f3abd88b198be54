//! Hidden entries: what our own program is executed again for.

use std::path::PathBuf;
use std::process::ExitCode;

use engine::Settings;

/// The exit code of a hidden entry, or `None` if the command line names none.
pub(crate) fn hidden() -> Option<ExitCode> {
    let first = std::env::args_os().nth(1)?;
    let rest: Vec<_> = std::env::args_os().skip(2).collect();
    let code = match first.to_str()? {
        runtime::supervise::ENTRY => runtime::supervise::main(&rest),
        runtime::session::ENTRY => runtime::session::main(&rest),
        runtime::init::ENTRY => runtime::init::main(&rest),
        runtime::step::ENTRY => runtime::step::main(),
        runtime::step::BARE_ENTRY => runtime::step::bare_main(),
        engine::GATEWAY_ENTRY => gateway(),
        engine::REMOVE_ENTRY => remove(),
        _ => return None,
    };
    Some(ExitCode::from(code as u8))
}

/// `__gateway RUN_DIR`, with the pipe that tells of its start as standard input.
fn gateway() -> i32 {
    let Some(run_dir) = std::env::args_os().nth(2).map(PathBuf::from) else {
        return 2;
    };
    engine::run_gateway(run_dir)
}

/// `__remove ROOT RUN_DIR ID`: the last act of a `--rm` container's supervisor, which does
/// what a foreground client has left of it.
fn remove() -> i32 {
    let arguments: Vec<_> = std::env::args_os().skip(2).collect();
    let [root, run, id] = arguments.as_slice() else {
        return 2;
    };
    let settings = Settings {
        root: root.into(),
        run: run.into(),
        exe: "/proc/self/exe".into(),
        rootless: std::fs::read_to_string("/proc/self/uid_map")
            .is_ok_and(|map| !map.trim_start().starts_with("0          0 4294967295")),
        rung: engine::Rung::Full,
        limits: None,
        registry: engine::RegistryConfig::default(),
        on_damage: None,
    };
    let removed = engine::run_removal(settings, &id.to_string_lossy());
    i32::from(removed.is_err())
}
