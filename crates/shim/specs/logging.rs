//! `--log-driver` and `--log-opt`.

use std::collections::BTreeMap;

use engine::RunRequest;
use model::container::{LogDriver, LogPlan};

use crate::error::CliError;

const KNOWN: &str = "max-size, max-file, labels, env, tag, mode=blocking";

/// What the two flags mean for a request whose labels and variables are set.
pub(crate) fn logging(
    driver: Option<&str>,
    options: &[String],
    request: &RunRequest,
) -> Result<LogPlan, CliError> {
    let driver = match driver {
        None | Some("json-file" | "") => LogDriver::JsonFile,
        Some("local") => LogDriver::Local,
        Some("none") => LogDriver::None,
        Some(other) => {
            let message = format!("the log driver `{other}` is not supported");
            return Err(CliError::usage(message).hint("use json-file, local or none"));
        }
    };
    let mut plan = LogPlan {
        driver,
        ..LogPlan::default()
    };
    for text in options {
        let wrong = |why: &str| {
            CliError::usage(format!("invalid --log-opt `{text}`: {why}"))
                .hint(format!("write NAME=VALUE; known are {KNOWN}"))
        };
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| wrong("it has no value"))?;
        if driver == LogDriver::None {
            return Err(wrong("the log driver `none` has no options"));
        }
        take(&mut plan, name, value, request).map_err(|why| wrong(&why))?;
        plan.options.insert(name.to_owned(), value.to_owned());
    }
    Ok(plan)
}

fn take(plan: &mut LogPlan, name: &str, value: &str, request: &RunRequest) -> Result<(), String> {
    match name {
        "max-size" if value == "-1" => plan.max_size = None,
        "max-size" => match model::units::parse_size(value) {
            Ok(size @ 1..) => plan.max_size = Some(size),
            _ => return Err(format!("`{value}` is not a size")),
        },
        "max-file" => match value.parse() {
            Ok(files @ 1..) => plan.max_files = Some(files),
            _ => return Err(format!("`{value}` is no number of files")),
        },
        "compress" => match value.parse() {
            Ok(false) => {}
            Ok(true) => return Err("files of logs stay as they are".into()),
            Err(_) => return Err(format!("`{value}` is neither true nor false")),
        },
        "labels" => plan.attributes.extend(chosen(value, &request.labels)),
        "env" => plan.attributes.extend(chosen(value, &request.env)),
        "tag" if value.contains("{{") => return Err("templates are not supported".into()),
        "tag" => {
            plan.attributes.insert(name.to_owned(), value.to_owned());
        }
        "mode" if value == "blocking" => {}
        "mode" | "max-buffer-size" | "labels-regex" | "env-regex" => {
            return Err("it is not supported".into());
        }
        _ => return Err("it is not known".into()),
    }
    Ok(())
}

/// Those of the pairs whose names are in the list.
fn chosen(names: &str, pairs: &[(String, String)]) -> BTreeMap<String, String> {
    let wanted = |name: &String| names.split(',').any(|n| n.trim() == name);
    pairs
        .iter()
        .filter(|(name, _)| wanted(name))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(driver: Option<&str>, options: &[&str]) -> Option<LogPlan> {
        let options: Vec<_> = options.iter().map(|o| o.to_string()).collect();
        let request = RunRequest {
            labels: vec![("tier".into(), "web".into())],
            ..RunRequest::default()
        };
        logging(driver, &options, &request).ok()
    }

    #[test]
    fn options() {
        let plan = read(
            None,
            &[
                "max-size=10m",
                "max-file=3",
                "compress=false",
                "labels=tier,x",
            ],
        );
        let plan = plan.unwrap();
        assert_eq!((plan.max_size, plan.max_files), (Some(10 << 20), Some(3)));
        assert_eq!(plan.attributes["tier"], "web");
        assert_eq!(read(Some("none"), &[]).unwrap().driver, LogDriver::None);
        for bad in [
            "max-size=0",
            "max-file=0",
            "colour=red",
            "max-size",
            "compress=true",
        ] {
            assert_eq!(read(None, &[bad]), None, "{bad}");
        }
        assert_eq!(read(Some("syslog"), &[]), None);
        assert_eq!(read(Some("none"), &["max-size=1m"]), None);
    }
}
