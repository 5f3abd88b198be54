//! Asking the user's systemd to take this process in.
//!
//! A login's processes are in a scope that belongs to the machine's systemd; what is
//! delegated to the user is another branch of the tree, where only the user's own instance
//! may bring them. It listens on a private socket and speaks D-Bus there, without a bus
//! between: one message and its answer, written by hand
//! (<https://dbus.freedesktop.org/doc/dbus-specification.html>).

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use super::machine::{outer_uid, unified_path};

/// A manager that takes longer is not well.
const PATIENCE: Duration = Duration::from_secs(5);

/// Has the user's systemd move this process into a scope of its own, below the cgroup that
/// is delegated to the user.
pub(super) fn take_in() -> sys::Result<()> {
    let uid = outer_uid().unwrap_or_default();
    let socket = PathBuf::from(format!("/run/user/{uid}/systemd/private"));
    let fail = |error| sys::Error::new("ask", format!("systemd at {}", socket.display()), error);
    let before = own_path()?;
    let mut stream = UnixStream::connect(&socket).map_err(fail)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(fail)?;
    let pid = std::process::id();
    let name = format!(
        "shim-{pid}-{}.scope",
        sys::process::start_time(pid.cast_signed())?
    );
    ask(&mut stream, uid, &name, pid).map_err(fail)?;
    // The answer says that the job is queued.
    let began = std::time::Instant::now();
    while own_path()? == before {
        if began.elapsed() > PATIENCE {
            return Err(fail(std::io::ErrorKind::TimedOut.into()));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn own_path() -> sys::Result<Option<String>> {
    let text = sys::process::read_proc("self/cgroup")?;
    Ok(unified_path(&text).map(str::to_owned))
}

fn ask(stream: &mut UnixStream, uid: u32, name: &str, pid: u32) -> std::io::Result<()> {
    let uid = uid
        .to_string()
        .bytes()
        .map(|b| format!("{b:02x}"))
        .collect::<String>();
    stream.write_all(format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes())?;
    let line = read_line(stream)?;
    if !line.starts_with("OK") {
        return Err(std::io::Error::other(format!("it says `{}`", line.trim())));
    }
    stream.write_all(b"BEGIN\r\n")?;
    stream.write_all(&start_transient_unit(name, pid))?;
    answer(stream)
}

fn read_line(stream: &mut UnixStream) -> std::io::Result<String> {
    let (mut line, mut byte) = (String::new(), [0]);
    while !line.ends_with('\n') && line.len() < 1024 {
        stream.read_exact(&mut byte)?;
        line.push(byte[0].into());
    }
    Ok(line)
}

const RETURN: u8 = 2;
const ERROR: u8 = 3;
const SERIAL: u32 = 1;

/// Reads messages up to the answer; signals may come before it.
fn answer(stream: &mut UnixStream) -> std::io::Result<()> {
    for _ in 0..100 {
        let mut head = [0; 16];
        stream.read_exact(&mut head)?;
        let number = |at: usize| {
            let bytes = [head[at], head[at + 1], head[at + 2], head[at + 3]];
            match head[0] {
                b'B' => u32::from_be_bytes(bytes),
                _ => u32::from_le_bytes(bytes),
            }
        };
        let (body, fields) = (number(4), number(12));
        let length = u64::from(fields.next_multiple_of(8)) + u64::from(body);
        let mut rest = Vec::new();
        stream.take(length.min(1 << 20)).read_to_end(&mut rest)?;
        match head[1] {
            RETURN => return Ok(()),
            ERROR => {
                let text = rest
                    .get(fields.next_multiple_of(8) as usize + 4..)
                    .unwrap_or_default();
                let text = String::from_utf8_lossy(text);
                return Err(std::io::Error::other(
                    text.trim_end_matches('\0').to_owned(),
                ));
            }
            _ => {}
        }
    }
    Err(std::io::Error::other("it does not answer"))
}

/// The message, little-endian.
fn start_transient_unit(name: &str, pid: u32) -> Vec<u8> {
    let mut body = Wire::default();
    body.text(name);
    body.text("fail");
    // Properties: an array of pairs of a name and a variant.
    body.array(8, |array| {
        array.align(8);
        array.text("PIDs");
        array.signature("au");
        array.array(4, |pids| pids.number(pid));
        array.align(8);
        array.text("Description");
        array.signature("s");
        array.text("a supervisor of shim");
    });
    // Auxiliary units: none.
    body.array(8, |_| {});
    let mut message = Wire::default();
    message.0.extend([b'l', 1, 0, 1]);
    message.number(u32::try_from(body.0.len()).unwrap_or(0));
    message.number(SERIAL);
    message.array(8, |fields| {
        let mut field = |code: u8, kind: &str, value: &str| {
            fields.align(8);
            fields.0.push(code);
            fields.signature(kind);
            match kind {
                "g" => fields.signature(value),
                _ => fields.text(value),
            }
        };
        field(1, "o", "/org/freedesktop/systemd1");
        field(2, "s", "org.freedesktop.systemd1.Manager");
        field(3, "s", "StartTransientUnit");
        field(6, "s", "org.freedesktop.systemd1");
        field(8, "g", "ssa(sv)a(sa(sv))");
    });
    message.align(8);
    message.0.extend(body.0);
    message.0
}

/// Values as D-Bus lays them out.
#[derive(Default)]
struct Wire(Vec<u8>);

impl Wire {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, number: u32) {
        self.align(4);
        self.0.extend(number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(u32::try_from(text.len()).unwrap_or(0));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.0.push(u8::try_from(text.len()).unwrap_or(0));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    /// Its length does not count the padding before the first element.
    fn array(&mut self, alignment: usize, fill: impl FnOnce(&mut Self)) {
        self.number(0);
        let length = self.0.len() - 4;
        self.align(alignment);
        let start = self.0.len();
        fill(self);
        let filled = u32::try_from(self.0.len() - start).unwrap_or(0);
        self.0[length..length + 4].copy_from_slice(&filled.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_laid_out_as_the_specification_says() {
        let message = start_transient_unit("a.scope", 7);
        let number =
            |at: usize| u32::from_le_bytes(message[at..at + 4].try_into().unwrap()) as usize;
        let body = (16 + number(12)).next_multiple_of(8);
        assert_eq!(message.len(), body + number(4));
        assert_eq!(&message[body..body + 12], b"\x07\0\0\0a.scope\0");
        assert_eq!(&message[body + 12..body + 21], b"\x04\0\0\0fail\0");
        // The properties begin at a multiple of eight, the length of their array before it.
        assert_eq!(&message[body + 32..body + 41], b"\x04\0\0\0PIDs\0");
        assert_eq!(&message[body + 41..body + 45], b"\x02au\0");
        assert!(message.ends_with(&[0; 4]), "no auxiliary units");
    }
}
