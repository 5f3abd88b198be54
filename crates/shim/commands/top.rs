use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use engine::{Process, TICKS};

use crate::error::CliError;
use crate::format::Table;
use crate::host::Host;

/// Lists the processes of a container.
#[derive(Args)]
pub(crate) struct TopArgs {
    /// Container by name or id.
    container: String,
    /// Options of `ps`: `-ef` [default], `aux`, or `-o` with a list of columns.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "OPTIONS"
    )]
    options: Vec<String>,
}

/// A column: what `ps` calls it, and its heading.
type Column = (String, String);

/// Columns of `ps` that we know, each with its heading.
const KNOWN: [(&str, &str); 29] = [
    ("%cpu", "%CPU"),
    ("%mem", "%MEM"),
    ("args", "COMMAND"),
    ("c", "C"),
    ("cmd", "CMD"),
    ("comm", "COMMAND"),
    ("command", "COMMAND"),
    ("cputime", "TIME"),
    ("etime", "ELAPSED"),
    ("euser", "EUSER"),
    ("ni", "NI"),
    ("nlwp", "NLWP"),
    ("pcpu", "%CPU"),
    ("pgid", "PGID"),
    ("pid", "PID"),
    ("pmem", "%MEM"),
    ("ppid", "PPID"),
    ("rss", "RSS"),
    ("s", "S"),
    ("sid", "SID"),
    ("start", "START"),
    ("stat", "STAT"),
    ("state", "S"),
    ("stime", "STIME"),
    ("time", "TIME"),
    ("tty", "TTY"),
    ("uid", "UID"),
    ("user", "USER"),
    ("vsz", "VSZ"),
];
const FULL: [(&str, &str); 8] = [
    ("user", "UID"),
    ("pid", "PID"),
    ("ppid", "PPID"),
    ("c", "C"),
    ("stime", "STIME"),
    ("tty", "TTY"),
    ("time", "TIME"),
    ("cmd", "CMD"),
];
const BSD: [(&str, &str); 11] = [
    ("user", "USER"),
    ("pid", "PID"),
    ("%cpu", "%CPU"),
    ("%mem", "%MEM"),
    ("vsz", "VSZ"),
    ("rss", "RSS"),
    ("tty", "TTY"),
    ("stat", "STAT"),
    ("start", "START"),
    ("time", "TIME"),
    ("command", "COMMAND"),
];

pub(crate) fn run(args: &TopArgs, host: &Host) -> Result<ExitCode, CliError> {
    let columns = columns(&args.options)?;
    let engine = host.engine(true)?;
    let record = engine.find(&args.container)?;
    let processes = engine.processes(&record)?;
    let machine = Machine::read();
    let mut table = Table::default();
    table.row(columns.iter().map(|(_, heading)| heading.as_str()));
    for process in &processes {
        table.row(columns.iter().map(|(name, _)| machine.cell(name, process)));
    }
    super::print(&table.finish_wide())
}

/// What `ps` makes of its options, as far as we do it ourselves.
fn columns(options: &[String]) -> Result<Vec<Column>, CliError> {
    let usual = |list: &[(&str, &str)]| {
        let owned = |(name, heading): &(&str, &str)| ((*name).to_owned(), (*heading).to_owned());
        list.iter().map(owned).collect::<Vec<_>>()
    };
    let mut chosen: Vec<Column> = Vec::new();
    let mut bsd = false;
    let mut words = options.iter().flat_map(|o| o.split_whitespace());
    while let Some(word) = words.next() {
        let letters = word.trim_start_matches('-');
        let (flags, list) = match letters.split_once('o') {
            Some((flags, "")) => (flags, words.next()),
            Some((flags, list)) => (flags, Some(list)),
            None => (letters, None),
        };
        let unknown = || {
            CliError::usage(format!(
                "`{word}` is an option of ps that shim does not know"
            ))
            .hint("want -ef, aux, or -o with a list of columns")
        };
        match flags {
            "" | "e" | "f" | "ef" | "fe" | "A" | "Af" | "ax" | "a" | "x" | "ww" | "efww" => {}
            "aux" | "axu" | "u" | "auxww" => bsd = true,
            _ => return Err(unknown()),
        }
        match list {
            Some(list) => chosen.extend(parse_list(list)?),
            None if letters.contains('o') => return Err(unknown()),
            None => {}
        }
    }
    match (chosen.is_empty(), bsd) {
        (false, _) if chosen.iter().any(|(name, _)| name == "pid") => Ok(chosen),
        (false, _) => Err(CliError::usage(
            "the columns want `pid` among them, as docker's do",
        )),
        (true, true) => Ok(usual(&BSD)),
        (true, false) => Ok(usual(&FULL)),
    }
}

/// `pid,comm=PROGRAM`.
fn parse_list(list: &str) -> Result<Vec<Column>, CliError> {
    let column = |text: &str| {
        let (name, heading) = match text.split_once('=') {
            Some((name, heading)) => (name, Some(heading)),
            None => (text, None),
        };
        let name = name.to_ascii_lowercase();
        let known = KNOWN.iter().find(|(known, _)| *known == name);
        let (_, usual) = known.ok_or_else(|| {
            let names: Vec<&str> = KNOWN.iter().map(|(name, _)| *name).collect();
            CliError::usage(format!("there is no column `{name}`"))
                .hint(format!("want some of {}", names.join(", ")))
        })?;
        Ok((name, heading.unwrap_or(usual).to_owned()))
    };
    list.split(',').map(column).collect()
}

/// What the numbers of `/proc` are relative to.
struct Machine {
    /// Ticks since boot.
    now: u64,
    /// Bytes of memory.
    memory: u64,
    users: BTreeMap<u32, String>,
}

impl Machine {
    fn read() -> Self {
        let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let uptime = file("/proc/uptime");
        let seconds: f64 = uptime
            .split_whitespace()
            .next()
            .and_then(|t| t.parse().ok())
            .unwrap_or(0.0);
        let kib = file("/proc/meminfo")
            .lines()
            .find_map(|l| {
                l.strip_prefix("MemTotal:")?
                    .split_whitespace()
                    .next()?
                    .parse::<u64>()
                    .ok()
            })
            .unwrap_or(0);
        let passwd = file("/etc/passwd");
        let user = |line: &str| {
            let mut fields = line.split(':');
            let name = fields.next()?.to_owned();
            Some((fields.nth(1)?.parse().ok()?, name))
        };
        Self {
            now: (seconds * TICKS as f64) as u64,
            memory: kib * 1024,
            // The first of several names counts, as for getpwuid(3).
            users: passwd.lines().rev().filter_map(user).collect(),
        }
    }

    fn cell(&self, column: &str, process: &Process) -> String {
        let age = self.now.saturating_sub(process.start);
        let share = |part: u64, whole: u64| match whole {
            0 => 0.0,
            whole => part as f64 / whole as f64 * 100.0,
        };
        match column {
            "user" | "euser" => {
                let known = self.users.get(&process.uid);
                known.cloned().unwrap_or_else(|| process.uid.to_string())
            }
            "uid" => process.uid.to_string(),
            "pid" => process.pid.to_string(),
            "ppid" => process.parent.to_string(),
            "pgid" => process.group.to_string(),
            "sid" => process.session.to_string(),
            "c" => format!("{:.0}", share(process.cpu, age).min(99.0).floor()),
            "%cpu" | "pcpu" => format!("{:.1}", share(process.cpu, age)),
            "%mem" | "pmem" => format!("{:.1}", share(process.resident_bytes, self.memory)),
            "vsz" => (process.virtual_bytes / 1024).to_string(),
            "rss" => (process.resident_bytes / 1024).to_string(),
            "ni" => process.nice.to_string(),
            "nlwp" => process.threads.to_string(),
            "tty" => terminal(process.tty),
            "s" | "state" => process.state.to_string(),
            "stat" => state(process),
            "stime" | "start" => started(age),
            "time" | "cputime" => clock(process.cpu / TICKS),
            "etime" => elapsed(age / TICKS),
            "comm" => process.name.clone(),
            _ if process.argv.is_empty() => format!("[{}]", process.name),
            _ => process.argv.join(" "),
        }
    }
}

/// `pts/0` by its device number; others seldom occur.
fn terminal(device: i32) -> String {
    let (major, minor) = (
        (device >> 8) & 0xfff,
        (device & 0xff) | ((device >> 12) & 0xfff00),
    );
    match major {
        0 => "?".into(),
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        _ => "?".into(),
    }
}

fn state(process: &Process) -> String {
    let mut text = process.state.to_string();
    match process.nice {
        ..0 => text.push('<'),
        0 => {}
        1.. => text.push('N'),
    }
    if process.session == process.pid {
        text.push('s');
    }
    if process.threads > 1 {
        text.push('l');
    }
    text
}

/// The time of day, or the day of one that is older, in UTC.
fn started(age: u64) -> String {
    let ago = jiff::SignedDuration::from_secs((age / TICKS) as i64);
    let Ok(then) = jiff::Timestamp::now().checked_sub(ago) else {
        return "?".into();
    };
    let format = if age < 24 * 3600 * TICKS {
        "%H:%M"
    } else {
        "%b%d"
    };
    then.strftime(format).to_string()
}

/// `HH:MM:SS`.
fn clock(seconds: u64) -> String {
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// `[[DD-]HH:]MM:SS`.
fn elapsed(seconds: u64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let rest = format!("{:02}:{:02}", seconds / 60 % 60, seconds % 60);
    match (days, hours) {
        (0, 0) => rest,
        (0, hours) => format!("{hours:02}:{rest}"),
        (days, hours) => format!("{days}-{hours:02}:{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(options: &[&str]) -> String {
        let options: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
        match columns(&options) {
            Ok(columns) => columns
                .into_iter()
                .map(|(_, h)| h)
                .collect::<Vec<_>>()
                .join(" "),
            Err(_) => "error".into(),
        }
    }

    #[test]
    fn options_of_ps() {
        let full = "UID PID PPID C STIME TTY TIME CMD";
        assert_eq!(names(&[]), full);
        assert_eq!(names(&["-ef"]), full);
        assert_eq!(names(&["aux"]).split(' ').next_back(), Some("COMMAND"));
        assert_eq!(names(&["-o", "pid,comm=PROG"]), "PID PROG");
        assert_eq!(names(&["-eo", "pid,user"]), "PID USER");
        assert_eq!(names(&["-opid,%cpu"]), "PID %CPU");
        for bad in [&["-o", "comm"][..], &["-o"], &["-Z"], &["-o", "pid,colour"]] {
            assert_eq!(names(bad), "error", "{bad:?}");
        }
    }

    #[test]
    fn times_and_terminals() {
        assert_eq!(clock(3_725), "01:02:05");
        assert_eq!(elapsed(65), "01:05");
        assert_eq!(elapsed(90_061), "1-01:01:01");
        assert_eq!(terminal(0), "?");
        assert_eq!(terminal(136 << 8 | 3), "pts/3");
    }
}
