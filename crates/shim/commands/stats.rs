use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use engine::{ContainerRecord, ContainerUsage, Engine};
use serde_json::{Value, json};

use super::follow::Interrupt;
use crate::error::CliError;
use crate::format::{Format, Table};
use crate::host::Host;
use crate::view;

const COLUMNS: [(&str, &str); 8] = [
    ("ID", "CONTAINER ID"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
];
const EVERY: Duration = Duration::from_secs(1);
/// A slice of that, so that an interrupt is heard.
const SLICE: Duration = Duration::from_millis(50);
/// Cursor to the upper left corner, everything behind it gone.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Shows how much of the machine containers use, again each second.
#[derive(Args)]
pub(crate) struct StatsArgs {
    /// Containers by name or id [default: those that run].
    containers: Vec<String>,
    /// Shows containers that do not run, too.
    #[arg(short, long)]
    all: bool,
    /// Shows it once.
    #[arg(long)]
    no_stream: bool,
    /// Prints ids in full.
    #[arg(long)]
    no_trunc: bool,
    /// Prints each container by this Go template, `table TEMPLATE`, or `json`.
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
}

pub(crate) fn run(args: &StatsArgs, host: &Host) -> Result<ExitCode, CliError> {
    let engine = host.engine(true)?;
    let format = Format::of(args.format.as_deref())?;
    let interrupt = Interrupt::catch()?;
    let mut before: HashMap<String, ContainerUsage> = HashMap::new();
    // The first look is only there to be compared with.
    for record in wanted(&engine, args)? {
        before.extend(look(&engine, &record)?.map(|usage| (record.id.to_string(), usage)));
    }
    loop {
        let mut waited = Duration::ZERO;
        while waited < EVERY && !interrupt.seen() {
            std::thread::sleep(SLICE);
            waited += SLICE;
        }
        if interrupt.seen() {
            return Ok(ExitCode::SUCCESS);
        }
        let mut rows = Vec::new();
        for record in wanted(&engine, args)? {
            let usage = look(&engine, &record)?;
            let earlier = before.get(record.id.as_str());
            rows.push(row(&record, usage.as_ref(), earlier, args.no_trunc));
            before.extend(usage.map(|usage| (record.id.to_string(), usage)));
        }
        let text = match &format {
            Some(format) => format.render_headed(&rows, &COLUMNS)?,
            None => table(&rows),
        };
        let clear = host.stdout_tty && !args.no_stream;
        let code = super::print(&format!("{}{text}", if clear { CLEAR } else { "" }))?;
        if args.no_stream {
            return Ok(code);
        }
    }
}

fn wanted(engine: &Engine, args: &StatsArgs) -> Result<Vec<ContainerRecord>, CliError> {
    if !args.containers.is_empty() {
        let found = args.containers.iter().map(|name| Ok(engine.find(name)?));
        return found.collect();
    }
    let list = engine.list()?.into_iter();
    let shown = list.filter(|c| args.all || c.observed.is_alive());
    Ok(shown.map(|c| c.record).collect())
}

/// One that is removed while we look uses nothing.
fn look(engine: &Engine, record: &ContainerRecord) -> Result<Option<ContainerUsage>, CliError> {
    match engine.container_usage(record) {
        Err(engine::Error::Store(engine::StoreError::NoContainer(_))) => Ok(None),
        other => Ok(other?),
    }
}

fn row(
    record: &ContainerRecord,
    usage: Option<&ContainerUsage>,
    before: Option<&ContainerUsage>,
    full: bool,
) -> Value {
    let pair = |a: u64, b: u64| {
        let format = model::units::format_size;
        format!("{} / {}", format(a), format(b))
    };
    let cpu = usage
        .zip(before)
        .map_or(0.0, |(now, then)| now.cpu_percent(then));
    let memory = usage.map_or((0, 0), |u| (u.memory, u.memory_limit));
    let share = match memory {
        (_, 0) => 0.0,
        (used, limit) => used as f64 / limit as f64 * 100.0,
    };
    let (net, block) = usage.map_or(((0, 0), (0, 0)), |u| {
        ((u.received, u.sent), (u.read, u.written))
    });
    let id = if full {
        record.id.as_str()
    } else {
        record.id.short()
    };
    json!({
        "Container": id,
        "ID": id,
        "Name": record.name,
        "CPUPerc": format!("{cpu:.2}%"),
        "MemUsage": format!("{} / {}", binary(memory.0), binary(memory.1)),
        "MemPerc": format!("{share:.2}%"),
        "NetIO": pair(net.0, net.1),
        "BlockIO": pair(block.0, block.1),
        "PIDs": usage.map_or(0, |u| u.pids).to_string(),
    })
}

/// Docker's `BytesSize`: four digits, units of 1024.
fn binary(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit < UNITS.len() - 1 {
        value /= 1024.0;
        unit += 1;
    }
    let digits = match value {
        v if v >= 1000.0 => 0,
        v if v >= 100.0 => 1,
        v if v >= 10.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    };
    format!("{text}{}", UNITS[unit])
}

fn table(rows: &[Value]) -> String {
    let mut table = Table::default();
    table.row(COLUMNS.iter().map(|(_, heading)| *heading));
    for row in rows {
        table.row(COLUMNS.iter().map(|(field, _)| view::text(row, field)));
    }
    table.finish()
}

#[cfg(test)]
mod tests {
    use super::binary;

    #[test]
    fn sizes_are_dockers() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1536, "1.5KiB"),
            (64 << 20, "64MiB"),
            (8_100_000_000, "7.544GiB"),
        ] {
            assert_eq!(binary(bytes), text);
        }
    }
}
