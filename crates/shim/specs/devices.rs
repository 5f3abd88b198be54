//! `--device`, `--device-cgroup-rule` and `--gpus`.

use engine::DeviceRequest;
use model::{DeviceAccess, DeviceRule};

use super::csv;
use crate::error::CliError;

/// Reads one `--device`: a node of the host, or `VENDOR/CLASS=NAME`.
pub(crate) fn device(text: &str) -> Result<DeviceRequest, CliError> {
    let wrong = |why: &str| {
        CliError::usage(format!("invalid device `{text}`: {why}"))
            .hint("write PATH[:PATH_INSIDE][:rwm], e.g. /dev/fuse or /dev/sda:/dev/xvda:r, or VENDOR/CLASS=NAME")
    };
    if engine::is_device_name(text) {
        return Ok(DeviceRequest::Named(text.to_owned()));
    }
    let parts: Vec<&str> = text.split(':').collect();
    let access = |text: &str| text.parse::<DeviceAccess>();
    let (host, path, access) = match parts.as_slice() {
        [host] => (*host, *host, DeviceAccess::ALL),
        [host, second] => match access(second) {
            Ok(access) => (*host, *host, access),
            Err(_) => (*host, *second, DeviceAccess::ALL),
        },
        [host, path, third] => match access(third) {
            Ok(access) => (*host, *path, access),
            Err(error) => return Err(wrong(&error.to_string())),
        },
        _ => return Err(wrong("too many colons")),
    };
    if !host.starts_with('/') {
        return Err(wrong("the device must be an absolute path"));
    }
    if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(wrong("the path inside must be an absolute path"));
    }
    Ok(DeviceRequest::Node {
        host: host.into(),
        path: path.to_owned(),
        access,
    })
}

/// Reads one `--device-cgroup-rule`.
pub(crate) fn rule(text: &str) -> Result<DeviceRule, CliError> {
    text.parse::<DeviceRule>()
        .map_err(|error| CliError::usage(error.to_string()).hint("e.g. `c 10:200 rwm`"))
}

/// Reads `--gpus`.
pub(crate) fn gpus(text: &str) -> Result<Vec<DeviceRequest>, CliError> {
    let wrong = |why: String| {
        CliError::usage(format!("invalid --gpus `{text}`: {why}"))
            .hint("write all, a number, or device=NAME, e.g. '\"device=0,1\"'")
    };
    let count = |value: &str| match value {
        "all" | "-1" => Ok(DeviceRequest::Gpus(None)),
        value => match value.parse::<u32>() {
            Ok(number @ 1..=64) => Ok(DeviceRequest::Gpus(Some(number))),
            _ => Err(wrong(format!("`{value}` is no number of GPUs"))),
        },
    };
    let mut out = Vec::new();
    for field in csv::fields(text).map_err(|why| wrong(why.to_owned()))? {
        match field.split_once('=') {
            None => out.push(count(&field)?),
            Some(("count", value)) => out.push(count(value)?),
            Some(("device", names)) => out.extend(names.split(',').map(|name| {
                let whole = engine::is_device_name(name);
                DeviceRequest::Named(match whole {
                    true => name.to_owned(),
                    false => format!("nvidia.com/gpu={name}"),
                })
            })),
            Some(("driver", "nvidia" | "cdi")) => {}
            // What a GPU can do is up to its specification.
            Some(("capabilities", _)) => {}
            Some((key, _)) => return Err(wrong(format!("the key `{key}` is not supported"))),
        }
    }
    match out.is_empty() {
        true => Ok(vec![DeviceRequest::Gpus(None)]),
        false => Ok(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        let show = |text: &str| match device(text) {
            Ok(DeviceRequest::Node { host, path, access }) => {
                format!("{} {path} {access}", host.display())
            }
            Ok(other) => format!("{other:?}"),
            Err(_) => "error".into(),
        };
        assert_eq!(show("/dev/a"), "/dev/a /dev/a rwm");
        assert_eq!(show("/dev/a:r"), "/dev/a /dev/a r");
        assert_eq!(show("/dev/a:/dev/b"), "/dev/a /dev/b rwm");
        assert_eq!(show("/dev/a:/dev/b:rw"), "/dev/a /dev/b rw");
        assert_eq!(show("a.com/gpu=0"), "Named(\"a.com/gpu=0\")");
        for bad in [
            "",
            "dev",
            "/dev/a:b",
            "/dev/a:/dev/b:x",
            "/a:/b:r:m",
            "/a:/../b",
        ] {
            assert_eq!(show(bad), "error", "{bad}");
        }
    }

    #[test]
    fn gpu_requests() {
        assert_eq!(gpus("all").unwrap(), [DeviceRequest::Gpus(None)]);
        assert_eq!(gpus("2").unwrap(), [DeviceRequest::Gpus(Some(2))]);
        let named = |n: &str| DeviceRequest::Named(format!("nvidia.com/gpu={n}"));
        assert_eq!(gpus("\"device=0,1\"").unwrap(), [named("0"), named("1")]);
        assert!(gpus("0").is_err() && gpus("some").is_err() && gpus("driver=x").is_err());
    }
}
