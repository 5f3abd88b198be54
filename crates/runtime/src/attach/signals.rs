//! Signals of an attached client, as something to poll.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

use super::ClientError;

/// The terminal has another size.
pub(super) const WINDOW_CHANGED: i32 = SIGWINCH;

const CAUGHT: [i32; 7] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH];

/// Caught while this lives; afterwards they are ignored until somebody asks for them.
#[derive(Debug)]
pub(super) struct Signals(SignalDelivery<UnixStream, SignalOnly>);

impl Signals {
    pub(super) fn catch() -> Result<Self, ClientError> {
        let failed = |source| ClientError::Stdio {
            act: "catch",
            stream: "signals",
            source,
        };
        let (read, write) = UnixStream::pair().map_err(failed)?;
        SignalDelivery::with_pipe(read, write, SignalOnly, CAUGHT)
            .map(Self)
            .map_err(failed)
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_read().as_fd()
    }

    pub(super) fn pending(&mut self) -> Vec<i32> {
        self.0.pending().collect()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.0.handle().close();
    }
}
