//! The words between a client and a supervisor (or an exec session).
//!
//! A unix stream of frames: one byte of kind, four bytes of length (big endian), the
//! payload. Kinds below 128 are requests, the others replies.
//!
//! Standard input has a window: a client keeps at most [`INPUT_WINDOW`] bytes that no
//! [`Reply::InputTaken`] has confirmed. The supervisor can therefore always read its
//! sockets, and a signal overtakes input that the container does not read.

use model::container::{ProcessPlan, RunState};
use serde::{Deserialize, Serialize};
use sys::pty::WindowSize;

/// Longest payload that is accepted.
pub const MAX_PAYLOAD: usize = 256 * 1024;

/// Most bytes of input a client may have on their way.
pub const INPUT_WINDOW: usize = 256 * 1024;

const HEADER: usize = 5;

/// What a client asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Send me the output, and my input to the process.
    Attach(AttachRequest),
    /// Bytes for standard input.
    Input(Vec<u8>),
    /// No more input will come: close the process's standard input.
    CloseInput,
    /// My terminal has this size now.
    Resize(WindowSize),
    /// Send this signal to the first process.
    Signal(i32),
    /// Stop: signal, wait, SIGKILL. What is absent comes from the plan.
    Stop {
        /// Signal number.
        signal: Option<i32>,
        /// Milliseconds until SIGKILL.
        grace_ms: Option<u64>,
    },
    /// Send one [`Reply::Status`].
    Status,
    /// Send a [`Reply::Status`] now and after each change.
    Watch,
    /// Send [`Reply::Exit`] when the container has ended for good.
    Wait,
    /// I leave on purpose; input stays open.
    Detach,
    /// Execute this (first message of an exec session).
    Exec(Box<ExecRequest>),
}

/// How a client wants to be attached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachRequest {
    /// It will send input.
    pub input: bool,
    /// Input is closed when it disappears without a [`Request::Detach`].
    pub input_once: bool,
    /// Nothing may be skipped: output waits while this client is slow, as long as it is
    /// the only one.
    pub lossless: bool,
    /// It removes the container once that has ended; whoever supervises it does so only if
    /// this client is gone without having done it.
    #[serde(default)]
    pub removes: bool,
    /// At most this many bytes of earlier output first.
    pub replay: u32,
    /// Size of its terminal.
    #[serde(skip)]
    pub size: Option<WindowSize>,
}

/// What an exec session does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecRequest {
    /// What is executed.
    pub process: ProcessPlan,
    /// Nobody listens: answer [`Reply::Started`] and let go.
    pub detached: bool,
}

/// What a client is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Bytes that the process wrote.
    Output(Stream, Vec<u8>),
    /// So many bytes of input have reached the process.
    InputTaken(u32),
    /// The process runs.
    Started,
    /// It could not be started.
    Failed(Failure),
    /// It has ended: exit status, or 128 + signal.
    Exit(i32),
    /// The state now.
    Status(Box<RunState>),
    /// A request without other answer was carried out.
    Accepted,
    /// A request was not carried out, and why.
    Refused(String),
    /// So many bytes of output were left out because the client was slow.
    Skipped(u64),
}

/// A start that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Docker's exit code: 125 the engine, 126 not executable, 127 not found.
    pub code: i32,
    /// What failed and why, one sentence.
    pub message: String,
    /// What the user can do.
    #[serde(default)]
    pub hint: Option<String>,
}

/// Which stream of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Bytes that are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The payload would be too long.
    #[error("a frame of {0} bytes is longer than allowed")]
    TooLong(usize),
    /// No frame has this kind, or not on this side.
    #[error("frame kind {0} is unknown")]
    Kind(u8),
    /// The payload does not fit its kind.
    #[error("the payload of a frame of kind {0} is malformed")]
    Payload(u8),
}

/// A message that travels in frames.
pub trait Message: Sized {
    /// Appends the frame.
    fn encode(&self, out: &mut Vec<u8>);
    /// Reads the payload of a frame of this kind.
    fn decode(kind: u8, payload: &[u8]) -> Result<Self, FrameError>;
}

/// Cuts a stream of bytes into messages.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    at: usize,
}

impl Decoder {
    /// A decoder that begins with these bytes.
    pub fn with(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0 }
    }

    /// Takes more bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.at == self.bytes.len() {
            self.bytes.clear();
            self.at = 0;
            self.bytes.shrink_to(4096);
        } else if self.at > 64 * 1024 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message, if there is one. After an error the stream is lost.
    pub fn take<M: Message>(&mut self) -> Result<Option<M>, FrameError> {
        let rest = &self.bytes[self.at..];
        let Some((header, rest)) = rest.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
        if length > MAX_PAYLOAD {
            return Err(FrameError::TooLong(length));
        }
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        let message = M::decode(header[0], payload)?;
        self.at += HEADER + length;
        Ok(Some(message))
    }

    /// Bytes that were fed and are not yet part of a message.
    pub fn pending(&self) -> &[u8] {
        &self.bytes[self.at..]
    }
}

/// Kinds on the wire.
mod kind {
    pub(super) const ATTACH: u8 = 1;
    pub(super) const INPUT: u8 = 2;
    pub(super) const CLOSE_INPUT: u8 = 3;
    pub(super) const RESIZE: u8 = 4;
    pub(super) const SIGNAL: u8 = 5;
    pub(super) const STOP: u8 = 6;
    pub(super) const STATUS: u8 = 7;
    pub(super) const WATCH: u8 = 8;
    pub(super) const WAIT: u8 = 9;
    pub(super) const DETACH: u8 = 10;
    pub(super) const EXEC: u8 = 11;
    pub(super) const STDOUT: u8 = 129;
    pub(super) const STDERR: u8 = 130;
    pub(super) const INPUT_TAKEN: u8 = 131;
    pub(super) const STARTED: u8 = 132;
    pub(super) const FAILED: u8 = 133;
    pub(super) const EXIT: u8 = 134;
    pub(super) const STATE: u8 = 135;
    pub(super) const ACCEPTED: u8 = 136;
    pub(super) const REFUSED: u8 = 137;
    pub(super) const SKIPPED: u8 = 138;
}

impl Message for Request {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Attach(attach) => put(out, kind::ATTACH, &attach.to_bytes()),
            Self::Input(bytes) => put(out, kind::INPUT, bytes),
            Self::CloseInput => put(out, kind::CLOSE_INPUT, &[]),
            Self::Resize(size) => put(out, kind::RESIZE, &size_bytes(*size)),
            Self::Signal(signal) => put(out, kind::SIGNAL, &signal.to_be_bytes()),
            Self::Stop { signal, grace_ms } => {
                let mut payload = [0; 14];
                payload[0] = u8::from(signal.is_some());
                payload[1..5].copy_from_slice(&signal.unwrap_or(0).to_be_bytes());
                payload[5] = u8::from(grace_ms.is_some());
                payload[6..].copy_from_slice(&grace_ms.unwrap_or(0).to_be_bytes());
                put(out, kind::STOP, &payload);
            }
            Self::Status => put(out, kind::STATUS, &[]),
            Self::Watch => put(out, kind::WATCH, &[]),
            Self::Wait => put(out, kind::WAIT, &[]),
            Self::Detach => put(out, kind::DETACH, &[]),
            Self::Exec(request) => put_json(out, kind::EXEC, request),
        }
    }

    fn decode(kind: u8, payload: &[u8]) -> Result<Self, FrameError> {
        let malformed = || FrameError::Payload(kind);
        Ok(match kind {
            kind::ATTACH => Self::Attach(AttachRequest::from_bytes(payload).ok_or_else(malformed)?),
            kind::INPUT => Self::Input(payload.to_vec()),
            kind::RESIZE => {
                let bytes = payload.try_into().map_err(|_| malformed())?;
                Self::Resize(size_from(bytes))
            }
            kind::SIGNAL => {
                let bytes = payload.try_into().map_err(|_| malformed())?;
                Self::Signal(i32::from_be_bytes(bytes))
            }
            kind::STOP => stop_from(payload).ok_or_else(malformed)?,
            kind::EXEC => Self::Exec(serde_json::from_slice(payload).map_err(|_| malformed())?),
            kind::CLOSE_INPUT => empty(Self::CloseInput, kind, payload)?,
            kind::STATUS => empty(Self::Status, kind, payload)?,
            kind::WATCH => empty(Self::Watch, kind, payload)?,
            kind::WAIT => empty(Self::Wait, kind, payload)?,
            kind::DETACH => empty(Self::Detach, kind, payload)?,
            other => return Err(FrameError::Kind(other)),
        })
    }
}

impl Message for Reply {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Output(stream, bytes) => put_output(out, *stream, bytes),
            Self::InputTaken(count) => put(out, kind::INPUT_TAKEN, &count.to_be_bytes()),
            Self::Started => put(out, kind::STARTED, &[]),
            Self::Failed(failure) => put_json(out, kind::FAILED, failure),
            Self::Exit(code) => put(out, kind::EXIT, &code.to_be_bytes()),
            Self::Status(state) => put_json(out, kind::STATE, state),
            Self::Accepted => put(out, kind::ACCEPTED, &[]),
            Self::Refused(why) => put(out, kind::REFUSED, why.as_bytes()),
            Self::Skipped(count) => put(out, kind::SKIPPED, &count.to_be_bytes()),
        }
    }

    fn decode(kind: u8, payload: &[u8]) -> Result<Self, FrameError> {
        let malformed = || FrameError::Payload(kind);
        let word = || <[u8; 4]>::try_from(payload).map_err(|_| malformed());
        Ok(match kind {
            kind::STDOUT => Self::Output(Stream::Stdout, payload.to_vec()),
            kind::STDERR => Self::Output(Stream::Stderr, payload.to_vec()),
            kind::INPUT_TAKEN => Self::InputTaken(u32::from_be_bytes(word()?)),
            kind::EXIT => Self::Exit(i32::from_be_bytes(word()?)),
            kind::FAILED => Self::Failed(serde_json::from_slice(payload).map_err(|_| malformed())?),
            kind::STATE => Self::Status(serde_json::from_slice(payload).map_err(|_| malformed())?),
            kind::REFUSED => Self::Refused(String::from_utf8_lossy(payload).into_owned()),
            kind::SKIPPED => {
                let bytes = payload.try_into().map_err(|_| malformed())?;
                Self::Skipped(u64::from_be_bytes(bytes))
            }
            kind::STARTED => empty(Self::Started, kind, payload)?,
            kind::ACCEPTED => empty(Self::Accepted, kind, payload)?,
            other => return Err(FrameError::Kind(other)),
        })
    }
}

impl AttachRequest {
    fn to_bytes(self) -> [u8; 9] {
        let flags = u8::from(self.input)
            | u8::from(self.input_once) << 1
            | u8::from(self.lossless) << 2
            | u8::from(self.size.is_some()) << 3
            | u8::from(self.removes) << 4;
        let mut bytes = [0; 9];
        bytes[0] = flags;
        bytes[1..5].copy_from_slice(&self.replay.to_be_bytes());
        bytes[5..].copy_from_slice(&size_bytes(self.size.unwrap_or_default()));
        bytes
    }

    fn from_bytes(payload: &[u8]) -> Option<Self> {
        let (flags, rest) = payload.split_first()?;
        let (replay, size) = rest.split_first_chunk::<4>()?;
        let size = size_from(size.try_into().ok()?);
        (*flags < 32).then(|| Self {
            input: flags & 1 != 0,
            input_once: flags & 2 != 0,
            lossless: flags & 4 != 0,
            removes: flags & 16 != 0,
            replay: u32::from_be_bytes(*replay),
            size: (flags & 8 != 0).then_some(size),
        })
    }
}

/// Appends a frame of output without copying it into a message first.
pub(crate) fn put_output(out: &mut Vec<u8>, stream: Stream, bytes: &[u8]) {
    let kind = match stream {
        Stream::Stdout => kind::STDOUT,
        Stream::Stderr => kind::STDERR,
    };
    put(out, kind, bytes);
}

fn put(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("callers cut at MAX_PAYLOAD");
    out.reserve(HEADER + payload.len());
    out.push(kind);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(payload);
}

fn put_json(out: &mut Vec<u8>, kind: u8, value: &impl Serialize) {
    let payload = serde_json::to_vec(value).expect("plain structs serialise");
    put(out, kind, &payload);
}

fn empty<M>(message: M, kind: u8, payload: &[u8]) -> Result<M, FrameError> {
    match payload {
        [] => Ok(message),
        _ => Err(FrameError::Payload(kind)),
    }
}

fn size_bytes(size: WindowSize) -> [u8; 4] {
    let ([a, b], [c, d]) = (size.rows.to_be_bytes(), size.cols.to_be_bytes());
    [a, b, c, d]
}

fn size_from([a, b, c, d]: [u8; 4]) -> WindowSize {
    WindowSize {
        rows: u16::from_be_bytes([a, b]),
        cols: u16::from_be_bytes([c, d]),
    }
}

fn stop_from(payload: &[u8]) -> Option<Request> {
    let payload: [u8; 14] = payload.try_into().ok()?;
    let (signal, grace) = payload.split_at(5);
    Some(Request::Stop {
        signal: (signal[0] == 1)
            .then(|| i32::from_be_bytes([signal[1], signal[2], signal[3], signal[4]])),
        grace_ms: (grace[0] == 1)
            .then(|| grace[1..].try_into().ok().map(u64::from_be_bytes))
            .flatten(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn requests() -> impl Strategy<Value = Request> {
        let size = (any::<u16>(), any::<u16>()).prop_map(|(rows, cols)| WindowSize { rows, cols });
        let attach = (
            any::<[bool; 4]>(),
            any::<u32>(),
            proptest::option::of(size.clone()),
        );
        prop_oneof![
            attach.prop_map(|([input, input_once, lossless, removes], replay, size)| {
                Request::Attach(AttachRequest {
                    input,
                    input_once,
                    lossless,
                    removes,
                    replay,
                    size,
                })
            }),
            proptest::collection::vec(any::<u8>(), 0..300).prop_map(Request::Input),
            Just(Request::CloseInput),
            size.prop_map(Request::Resize),
            any::<i32>().prop_map(Request::Signal),
            (any::<Option<i32>>(), any::<Option<u64>>())
                .prop_map(|(signal, grace_ms)| Request::Stop { signal, grace_ms }),
            Just(Request::Status),
            Just(Request::Watch),
            Just(Request::Wait),
            Just(Request::Detach),
        ]
    }

    fn replies() -> impl Strategy<Value = Reply> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300)
                .prop_map(|b| Reply::Output(Stream::Stderr, b)),
            any::<u32>().prop_map(Reply::InputTaken),
            Just(Reply::Started),
            (any::<i32>(), ".*", proptest::option::of(".*")).prop_map(|(code, message, hint)| {
                Reply::Failed(Failure {
                    code,
                    message,
                    hint,
                })
            }),
            any::<i32>().prop_map(Reply::Exit),
            Just(Reply::Accepted),
            ".*".prop_map(Reply::Refused),
            any::<u64>().prop_map(Reply::Skipped),
        ]
    }

    fn round_trip<M: Message + PartialEq + std::fmt::Debug>(messages: &[M], piece: usize) {
        let mut wire = Vec::new();
        messages.iter().for_each(|m| m.encode(&mut wire));
        let mut decoder = Decoder::default();
        let mut seen = Vec::new();
        for bytes in wire.chunks(piece) {
            decoder.feed(bytes);
            while let Some(message) = decoder.take::<M>().unwrap() {
                seen.push(message);
            }
        }
        assert_eq!(seen, messages);
        assert!(decoder.pending().is_empty());
    }

    proptest! {
        #[test]
        fn requests_round_trip(list in proptest::collection::vec(requests(), 0..8), piece in 1usize..50) {
            round_trip(&list, piece);
        }

        #[test]
        fn replies_round_trip(list in proptest::collection::vec(replies(), 0..8), piece in 1usize..50) {
            round_trip(&list, piece);
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::with(bytes.clone());
            while let Ok(Some(_)) = decoder.take::<Request>() {}
            let mut decoder = Decoder::with(bytes);
            while let Ok(Some(_)) = decoder.take::<Reply>() {}
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_it_is_buffered() {
        let mut decoder = Decoder::with(vec![2, 0xff, 0, 0, 0]);
        assert_eq!(
            decoder.take::<Request>(),
            Err(FrameError::TooLong(0xff00_0000))
        );
    }
}
