//! The gateway process.
//!
//! ```text
//!  control ── one connection a container; decides what is done in which order
//!     │ jobs            │ orders
//!  router              front ── accepts, datagrams, names ──► workers ── copy streams
//!  (router namespace)  (the host's namespace, no capabilities)
//! ```
//!
//! Four kinds of threads that share one table, [`world`]. `control` and `router` may do what
//! it takes to make links, namespaces and low ports, and read nothing that a container sent;
//! `front` and the workers read that, and may do nothing.
//!
//! What it does not do: the kernel accepts a container's connection before we know whether
//! the other machine does, so a refusal looks like a connection that is reset at once; only
//! TCP and UDP leave, so `ping` works within a network only; and IPv6 is spoken with clients
//! of published ports, not inside.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::error::{Error, Result};
use control::Control;
use survivors::Survivors;

mod control;
mod datagrams;
mod front;
mod names;
mod poll;
mod ports;
mod privilege;
mod router;
mod service;
mod survivors;
mod worker;
mod world;

pub use world::HOST_ALIAS;

/// How long a gateway that is ending may still hold the lock.
const HANDOVER: Duration = Duration::from_secs(5);

/// What the gateway is told at its start.
#[derive(Debug)]
pub struct GatewayConfig {
    /// Where to listen; [`socket_path`](crate::socket_path) of `run_dir`.
    pub socket: PathBuf,
    /// Holds `gateway.lock` and `gateway.json`.
    pub run_dir: PathBuf,
    /// The router namespace of a gateway that died, when one is known.
    pub router_netns: Option<OwnedFd>,
    /// Written `ready` to as soon as the gateway listens, or what is in the way.
    pub ready: Option<OwnedFd>,
}

/// What `gateway.json` says: which process the gateway is, for whoever wants to join its user
/// namespace. A process that started at another time has only inherited the number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The process's id.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
}

impl Identity {
    /// Reads `gateway.json`; `None` when there is no gateway, or a dead one's file is left.
    pub fn read(run_dir: &Path) -> Option<Self> {
        let bytes = fs::read(run_dir.join("gateway.json")).ok()?;
        let it: Self = serde_json::from_slice(&bytes).ok()?;
        (sys::process::start_time(it.pid).ok()? == it.start_time).then_some(it)
    }
}

/// Runs the gateway until no container needs it. Gives the exit code.
///
/// The process must be in the host's network namespace and, when it is a user's, in our
/// user namespace already. It leaves its session, its directory, its terminal and every
/// descriptor that it was not told about.
pub fn main(config: GatewayConfig) -> i32 {
    let GatewayConfig {
        socket,
        run_dir,
        router_netns,
        ready,
    } = config;
    let mut ready = ready.map(File::from);
    match serve(&socket, &run_dir, router_netns, &mut ready) {
        Ok(()) => 0,
        Err(error) => {
            if let Some(mut ready) = ready {
                // Whoever waited is gone: there is nobody else to tell.
                let _ = ready.write_all(error.sentence().as_bytes());
            }
            1
        }
    }
}

fn serve(
    socket: &Path,
    run_dir: &Path,
    router: Option<OwnedFd>,
    ready: &mut Option<File>,
) -> Result<()> {
    let kept: Vec<i32> = ready
        .iter()
        .map(AsRawFd::as_raw_fd)
        .chain(router.iter().map(AsRawFd::as_raw_fd))
        .collect();
    detach(&kept)?;
    let Some(_lock) = lock(run_dir)? else {
        tell_ready(ready);
        return Ok(());
    };
    raise_descriptor_limit();
    let _ = fs::remove_file(socket);
    let listener = sys::unix::listen(socket, 128)?;
    write_identity(run_dir)?;
    privilege::keep_few()?;
    let mut control = Control::new(listener, router, Survivors::of(run_dir))?;
    tell_ready(ready);
    control.run();
    // In this order: who finds no socket starts another gateway, which waits for the lock.
    let _ = fs::remove_file(socket);
    let _ = fs::remove_file(run_dir.join("gateway.json"));
    Ok(())
}

fn tell_ready(ready: &mut Option<File>) {
    if let Some(mut pipe) = ready.take() {
        // Whoever waited may be gone; the next command finds us all the same.
        let _ = pipe.write_all(b"ready");
    }
}

/// Every stream takes two descriptors, and the usual limit of 1,024 is a habit, not a need.
fn raise_descriptor_limit() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    // Fewer streams at once, then.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit);
}

/// Takes the lock of the run directory; `None` when another gateway lives there.
fn lock(run_dir: &Path) -> Result<Option<File>> {
    let path = run_dir.join("gateway.lock");
    let fail = |act| {
        let path = path.clone();
        move |source| Error::File { act, path, source }
    };
    let file = File::create(&path).map_err(fail("create"))?;
    let end = Instant::now() + HANDOVER;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(fs::TryLockError::Error(error)) => return Err(fail("lock")(error)),
            Err(fs::TryLockError::WouldBlock) if Client::connect(run_dir)?.is_some() => {
                return Ok(None);
            }
            Err(fs::TryLockError::WouldBlock) if Instant::now() < end => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(fs::TryLockError::WouldBlock) => {
                return Err(Error::Start(
                    "another one holds its lock and does not answer".into(),
                ));
            }
        }
    }
}

fn write_identity(run_dir: &Path) -> Result<()> {
    let pid = std::process::id().cast_signed();
    let identity = Identity {
        pid,
        start_time: sys::process::start_time(pid)?,
    };
    let text = serde_json::to_vec(&identity).expect("plain numbers");
    let path = run_dir.join("gateway.json");
    let fresh = run_dir.join("gateway.json.new");
    fs::write(&fresh, text)
        .and_then(|()| fs::rename(&fresh, &path))
        .map_err(|source| Error::File {
            act: "write",
            path,
            source,
        })
}

/// Leaves everything that belongs to whoever started us: a pipe kept open would keep its
/// reader waiting for as long as a container runs.
fn detach(kept: &[i32]) -> Result<()> {
    // A process that leads a group already stays where it is.
    let _ = rustix::process::setsid();
    let fail = |what: &'static str| move |errno| Error::from(sys::Error::new("open", what, errno));
    rustix::process::chdir("/").map_err(fail("/"))?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(fail("/dev/null"))?;
    rustix::stdio::dup2_stdin(null.as_fd()).map_err(fail("stdin"))?;
    rustix::stdio::dup2_stdout(null.as_fd()).map_err(fail("stdout"))?;
    rustix::stdio::dup2_stderr(null.as_fd()).map_err(fail("stderr"))?;
    drop(null);
    sys::process::close_inherited(kept)?;
    Ok(())
}
