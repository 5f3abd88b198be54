//! Following several containers' logs at once, until all end or the user interrupts.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use compose::Project;
use engine::{ContainerRecord, Engine, LogQuery};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::CliError;
use crate::host::Host;

/// Colours of the services' prefixes, as SGR codes; red is left to errors.
const COLORS: [u8; 6] = [36, 33, 32, 35, 34, 96];
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Counts SIGINT and SIGTERM instead of dying of them.
pub(crate) struct Interrupt {
    count: std::sync::Arc<AtomicU32>,
}

impl Interrupt {
    /// From here on the two signals are counted.
    pub(crate) fn catch() -> Result<Self, CliError> {
        let count = std::sync::Arc::new(AtomicU32::new(0));
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let seen = count.clone();
        std::thread::spawn(move || {
            for _ in signals.forever() {
                seen.fetch_add(1, Ordering::SeqCst);
            }
        });
        Ok(Self { count })
    }

    /// Whether there was one.
    pub(crate) fn seen(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    /// Waits for a second one, or for [`Interrupt::release`].
    pub(crate) fn wait_for_second(&self) {
        while self.count.load(Ordering::SeqCst) < 2 {
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Lets waiting threads go.
    pub(crate) fn release(&self) {
        self.count.fetch_add(2, Ordering::SeqCst);
    }
}

/// Shows containers' logs side by side.
pub(crate) fn show(
    engine: &Engine,
    project: &Project,
    containers: &[ContainerRecord],
    query: &LogQuery,
    stop: &(dyn Fn() -> bool + Sync),
    host: &Host,
) -> Result<(), CliError> {
    let short = |record: &ContainerRecord| {
        let prefix = format!("{}-", project.name);
        record
            .name
            .strip_prefix(&prefix)
            .unwrap_or(&record.name)
            .to_owned()
    };
    let width = containers.iter().map(|c| short(c).len()).max().unwrap_or(0);
    let color = host.stdout_tty
        && host
            .environment
            .get("NO_COLOR")
            .is_none_or(String::is_empty);
    let results: Vec<Result<(), engine::Error>> = std::thread::scope(|scope| {
        let threads: Vec<_> = containers
            .iter()
            .enumerate()
            .map(|(i, record)| {
                let name = format!("{:width$}  | ", short(record));
                let prefix = match color {
                    true => format!("\x1b[{}m{name}\x1b[0m", COLORS[i % COLORS.len()]),
                    false => name,
                };
                scope.spawn(move || {
                    engine.logs(record, query, &|| !stop(), &mut |line| match stop() {
                        true => Err(std::io::ErrorKind::BrokenPipe.into()),
                        false => super::project::write_log(line, query.timestamps, Some(&prefix)),
                    })
                })
            })
            .collect();
        threads.into_iter().filter_map(|t| t.join().ok()).collect()
    });
    results
        .into_iter()
        .collect::<Result<(), _>>()
        .map_err(CliError::from)
}
