//! How a machine is told to run `shim boot run` when it boots.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::commands::{print, status};
use crate::error::{CliError, Kind};
use crate::host::Host;

/// Exists where systemd is the init system (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";
/// How long the units' stop may take; beyond the grace of most containers, short of what
/// holds a machine up.
const STOP_SECONDS: u32 = 300;

/// Where it is written down.
pub(super) enum Place {
    /// A unit in this directory.
    Systemd {
        directory: PathBuf,
        /// It is where the running systemd looks.
        usual: bool,
    },
    /// The caller's crontab.
    Cron,
}

/// Whether this machine runs systemd.
pub(super) fn systemd_runs() -> bool {
    Path::new(SYSTEMD).is_dir()
}

impl Place {
    pub(super) fn systemd(directory: Option<PathBuf>, host: &Host) -> Result<Self, CliError> {
        if let Some(directory) = directory {
            let directory = host.cwd.join(directory);
            return Ok(Self::Systemd {
                directory,
                usual: false,
            });
        }
        let variable = |name: &str| host.environment.get(name).filter(|v| !v.is_empty());
        let directory = match host.rootless() {
            false => "/etc/systemd/system".into(),
            true => variable("XDG_CONFIG_HOME")
                .map(PathBuf::from)
                .or_else(|| variable("HOME").map(|home| Path::new(home).join(".config")))
                .ok_or_else(|| {
                    CliError::new(
                        Kind::Failed,
                        "cannot tell where units are kept: HOME is not set",
                    )
                })?
                .join("systemd/user"),
        };
        Ok(Self::Systemd {
            directory,
            usual: systemd_runs(),
        })
    }
}

/// Writes it down, whatever was there before; or shows it.
pub(super) fn install(place: &Place, show: bool, host: &Host) -> Result<ExitCode, CliError> {
    match place {
        Place::Systemd { .. } if show => return print(&unit(host)?),
        Place::Cron if show => return print(&format!("{}\n", cron_line(host)?)),
        Place::Systemd { directory, usual } => {
            let path = directory.join(unit_name(host));
            let wants = directory.join(format!("{}.wants", target(host)));
            std::fs::create_dir_all(&wants).map_err(|e| failed("create", &wants, &e))?;
            // A reader sees the old unit or the new one.
            let half = path.with_extension("tmp");
            std::fs::write(&half, unit(host)?).map_err(|e| failed("write", &half, &e))?;
            std::fs::rename(&half, &path).map_err(|e| failed("write", &path, &e))?;
            // What `systemctl enable` would do.
            let link = wants.join(unit_name(host));
            match std::os::unix::fs::symlink(&path, &link) {
                Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(failed("link", &link, &e));
                }
                _ => {}
            }
            print(&format!("{}\n", path.display()))?;
            if *usual {
                tell_systemd(host);
            }
        }
        Place::Cron => {
            let before = crontab()?;
            let mut text = without_ours(&before, host);
            text.push_str(&cron_line(host)?);
            text.push('\n');
            if text != before {
                set_crontab(&text)?;
            }
            print(&format!("{}\n", cron_line(host)?))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes it back; nothing there is as good.
pub(super) fn remove(place: &Place, host: &Host) -> Result<ExitCode, CliError> {
    match place {
        Place::Systemd { directory, usual } => {
            let path = directory.join(unit_name(host));
            let wants = directory.join(format!("{}.wants", target(host)));
            for path in [wants.join(unit_name(host)), path] {
                match std::fs::remove_file(&path) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                        return Err(failed("remove", &path, &e));
                    }
                    _ => {}
                }
            }
            if *usual {
                let _ = systemctl(host, &["daemon-reload"]);
            }
        }
        Place::Cron => {
            let before = crontab()?;
            let after = without_ours(&before, host);
            if after != before {
                set_crontab(&after)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn failed(act: &str, path: &Path, error: &std::io::Error) -> CliError {
    CliError::new(
        Kind::Failed,
        format!("cannot {act} {}: {error}", path.display()),
    )
}

/// The default store has the plain name; every other one a name of its own.
fn unit_name(host: &Host) -> String {
    match host.has_default_root() {
        true => "shim-boot.service".into(),
        false => format!("shim-boot-{}.service", host.store_digits()),
    }
}

/// What the unit is started with.
fn target(host: &Host) -> &'static str {
    match host.rootless() {
        true => "default.target",
        false => "multi-user.target",
    }
}

/// The unit. One container that does not start must not take the others along: systemd
/// ends all processes of a unit that fails.
fn unit(host: &Host) -> Result<String, CliError> {
    let (exe, root) = (systemd_word(&host.exe)?, systemd_word(&host.root)?);
    // A user's manager knows nothing of the system's units.
    let network = match host.rootless() {
        true => "",
        false => "Wants=network-online.target\nAfter=network-online.target\n",
    };
    Ok(format!(
        "# Written by `shim boot install`; `shim boot remove` takes it back.\n\
         [Unit]\n\
         Description=Containers of shim that are to be restarted\n\
         {network}\n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         Delegate=yes\n\
         ExecStart=-{exe} --root {root} boot run\n\
         ExecStop=-{exe} --root {root} boot stop\n\
         TimeoutStartSec=infinity\n\
         TimeoutStopSec={STOP_SECONDS}\n\
         \n\
         [Install]\n\
         WantedBy={}\n",
        target(host)
    ))
}

/// A path as a word of a unit's command line (systemd.service(5), systemd.syntax(7)).
fn systemd_word(path: &Path) -> Result<String, CliError> {
    let text = one_line(path)?;
    let mut word = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => word.extend(['\\', c]),
            '%' | '$' => word.extend([c, c]),
            c => word.push(c),
        }
    }
    word.push('"');
    Ok(word)
}

fn one_line(path: &Path) -> Result<&str, CliError> {
    let text = path
        .to_str()
        .filter(|text| !text.chars().any(char::is_control));
    text.ok_or_else(|| {
        let message = format!(
            "{} cannot be written in a unit or a crontab",
            path.display()
        );
        CliError::new(Kind::Failed, message).hint("name the store with --root, in plain characters")
    })
}

/// Makes the running systemd take notice, now and without a login.
fn tell_systemd(host: &Host) {
    // It reads the unit at the next boot in any case.
    let _ = systemctl(host, &["daemon-reload"]);
    if host.rootless() && !quietly(Command::new("loginctl").arg("enable-linger")) {
        status("hint: `loginctl enable-linger` lets your units start without a login");
    }
}

fn systemctl(host: &Host, args: &[&str]) -> bool {
    let mut command = Command::new("systemctl");
    if host.rootless() {
        command.arg("--user");
    }
    quietly(command.args(args))
}

fn quietly(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Ours in a crontab ends with this; to the shell it is a comment.
fn mark(host: &Host) -> String {
    format!("# shim boot {}", host.store_digits())
}

fn cron_line(host: &Host) -> Result<String, CliError> {
    let (exe, root) = (cron_word(&host.exe)?, cron_word(&host.root)?);
    // Who logs in later must look for the runtime files in the same place.
    let runtime = match host.environment.get("XDG_RUNTIME_DIR") {
        Some(dir) if host.rootless() && !dir.is_empty() => {
            format!("XDG_RUNTIME_DIR={} ", cron_word(Path::new(dir))?)
        }
        _ => String::new(),
    };
    Ok(format!(
        "@reboot {runtime}{exe} --root {root} boot run {}",
        mark(host)
    ))
}

/// A path as a word of the shell, in a line where cron takes `%` for a line's end.
fn cron_word(path: &Path) -> Result<String, CliError> {
    let quoted = one_line(path)?.replace('\'', r"'\''").replace('%', r"\%");
    Ok(format!("'{quoted}'"))
}

fn without_ours(crontab: &str, host: &Host) -> String {
    let mark = mark(host);
    let kept = crontab.lines().filter(|line| !line.ends_with(&mark));
    kept.map(|line| format!("{line}\n")).collect()
}

/// The caller's crontab; empty if there is none.
fn crontab() -> Result<String, CliError> {
    let output = Command::new("crontab")
        .arg("-l")
        .stdin(Stdio::null())
        .output();
    let output = output.map_err(|e| no_cron(&e))?;
    match output.status.success() {
        true => String::from_utf8(output.stdout)
            .map_err(|_| CliError::new(Kind::Failed, "the crontab is not UTF-8")),
        // Its way of saying that there is none.
        false => Ok(String::new()),
    }
}

fn set_crontab(text: &str) -> Result<(), CliError> {
    let mut child = Command::new("crontab")
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| no_cron(&e))?;
    if let Some(mut stdin) = child.stdin.take() {
        // If it does not read, its exit code says why.
        let _ = stdin.write_all(text.as_bytes());
    }
    let output = child.wait_with_output()?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(CliError::new(
                Kind::Failed,
                format!("cannot change the crontab: {said}"),
            ))
        }
    }
}

fn no_cron(error: &std::io::Error) -> CliError {
    let message = format!("this machine runs no systemd, and crontab cannot be used: {error}");
    CliError::new(Kind::Failed, message)
        .hint("install cron, or have `shim boot run` executed by whatever starts this machine")
}
