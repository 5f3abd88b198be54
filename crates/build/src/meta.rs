//! Instructions that change nothing but the image's configuration.

use dockerfile::{Command, HealthCheck, Instruction, Pair, Probe, Word};
use model::image::{Empty, ImageHealth};
use model::units::parse_duration;

use crate::lower::Lowering;

/// Carries out such an instruction; returns its line for the history where that is not
/// the instruction as it is written.
pub(crate) fn apply(stage: &mut Lowering<'_>, instruction: &Instruction) -> Option<String> {
    match instruction {
        Instruction::Env(pairs) => Some(env(stage, pairs)),
        Instruction::Label(pairs) => Some(label(stage, pairs)),
        Instruction::Cmd(command) => Some(cmd(stage, command)),
        Instruction::Entrypoint(command) => Some(entrypoint(stage, command)),
        Instruction::Expose(words) => {
            words.iter().for_each(|word| expose(stage, word));
            None
        }
        Instruction::Volume(words) => {
            for word in words {
                let path = stage.word(word);
                if path.is_empty() {
                    stage.problem("a volume needs a path", word.span);
                }
                stage.config.config.volumes.insert(path, Empty {});
            }
            None
        }
        Instruction::User(word) => {
            stage.config.config.user = stage.word(word);
            Some(format!("USER {}", stage.config.config.user))
        }
        Instruction::StopSignal(word) => {
            let signal = stage.word(word);
            stage.config.config.stop_signal = Some(signal);
            None
        }
        Instruction::Shell(words) => {
            let shell = words.iter().map(|word| word.text.clone()).collect();
            stage.config.config.shell = Some(shell);
            None
        }
        Instruction::Maintainer(word) => {
            stage.config.author = Some(stage.word(word));
            None
        }
        Instruction::OnBuild(on_build) => {
            let expression = on_build.expression.clone();
            stage.config.config.on_build.push(expression);
            None
        }
        Instruction::HealthCheck(check) => {
            stage.config.config.healthcheck = Some(health(stage, check));
            None
        }
        // These do more than that, and are carried out elsewhere.
        Instruction::Run(_)
        | Instruction::Copy(_)
        | Instruction::Add(_)
        | Instruction::Workdir(_)
        | Instruction::Arg(_) => None,
    }
}

fn env(stage: &mut Lowering<'_>, pairs: &[Pair]) -> String {
    let mut history = "ENV".to_owned();
    for (name, value) in stage.pairs(pairs) {
        let pair = format!("{name}={value}");
        history.push_str(&format!(" {pair}"));
        let env = &mut stage.config.config.env;
        let is = |known: &&mut String| known.split('=').next() == Some(name.as_str());
        match env.iter_mut().find(is) {
            Some(known) => *known = pair,
            None => env.push(pair),
        }
    }
    history
}

fn label(stage: &mut Lowering<'_>, pairs: &[Pair]) -> String {
    let mut history = "LABEL".to_owned();
    for (name, value) in stage.pairs(pairs) {
        history.push_str(&format!(" {name}={value}"));
        stage.config.config.labels.insert(name, value);
    }
    history
}

fn cmd(stage: &mut Lowering<'_>, command: &Command) -> String {
    let argv = stage.argv(command);
    let history = format!("CMD {}", quoted(&argv));
    stage.config.config.cmd = Some(argv);
    stage.cmd_set = true;
    history
}

fn entrypoint(stage: &mut Lowering<'_>, command: &Command) -> String {
    let argv = stage.argv(command);
    let history = format!("ENTRYPOINT {}", quoted(&argv));
    stage.config.config.entrypoint = Some(argv);
    // The base's arguments were meant for the base's program.
    if !stage.cmd_set {
        stage.config.config.cmd = None;
    }
    history
}

/// A list as Go's `%q` writes it, which is what histories hold.
fn quoted(argv: &[String]) -> String {
    let words: Vec<_> = argv.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", words.join(" "))
}

fn expose(stage: &mut Lowering<'_>, word: &Word) {
    for port in stage.words(word) {
        match exposed(&port) {
            Some(ports) => {
                let ports = ports.into_iter().map(|port| (port, Empty {}));
                stage.config.config.exposed_ports.extend(ports);
            }
            None => {
                let message = format!("`{port}` is not a port (want e.g. 8000, 53/udp, 8000-8010)");
                stage.problem(message, word.span);
            }
        }
    }
}

/// The ports that `8000`, `53/udp` or `8000-8010/tcp` mean, with their protocol.
fn exposed(text: &str) -> Option<Vec<String>> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return None;
    }
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    if first == 0 || last < first {
        return None;
    }
    Some(
        (first..=last)
            .map(|port| format!("{port}/{protocol}"))
            .collect(),
    )
}

fn health(stage: &mut Lowering<'_>, check: &HealthCheck) -> ImageHealth {
    let probe = match check {
        HealthCheck::None => {
            return ImageHealth {
                test: vec!["NONE".into()],
                ..ImageHealth::default()
            };
        }
        HealthCheck::Probe(probe) => probe.as_ref(),
    };
    let Probe {
        command,
        interval,
        timeout,
        start_period,
        start_interval,
        retries,
    } = probe;
    let test = match command {
        Command::Shell(text) => vec!["CMD-SHELL".to_owned(), text.text.clone()],
        Command::Exec(words) => {
            let words = words.iter().map(|word| word.text.clone());
            std::iter::once("CMD".to_owned()).chain(words).collect()
        }
    };
    ImageHealth {
        test,
        interval: nanos(stage, interval.as_ref()),
        timeout: nanos(stage, timeout.as_ref()),
        start_period: nanos(stage, start_period.as_ref()),
        start_interval: nanos(stage, start_interval.as_ref()),
        retries: retries.unwrap_or_default().into(),
    }
}

fn nanos(stage: &mut Lowering<'_>, word: Option<&Word>) -> u64 {
    let Some(word) = word else {
        return 0;
    };
    match parse_duration(&stage.word(word)) {
        Ok(duration) => u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX),
        Err(error) => {
            stage.problem(error.to_string(), word.span);
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        let all = |text| exposed(text).map(|ports| ports.join(" "));
        assert_eq!(all("8000").as_deref(), Some("8000/tcp"));
        assert_eq!(all("53/UDP").as_deref(), Some("53/udp"));
        assert_eq!(all("1-3").as_deref(), Some("1/tcp 2/tcp 3/tcp"));
        for bad in ["", "x", "0", "3-1", "80/icmp", "70000", "1-"] {
            assert_eq!(exposed(bad), None, "{bad}");
        }
    }
}
