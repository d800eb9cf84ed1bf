//! Standard output and error: kept up to a cap, the rest dropped and counted. The stream never
//! closes, because a print to a closed one panics in most languages.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use lockkeeper_types::clean;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::Log;

/// What a plugin may write at once: also what the host allocates for it at once.
const CHUNK: usize = 64 << 10;
const LINE_CHARS: usize = 2_000;

/// What a plugin has written to either stream.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    cap: usize,
    written: Arc<Mutex<Written>>,
}

#[derive(Debug, Default)]
struct Written {
    kept: Vec<u8>,
    dropped: u64,
}

impl Output {
    pub(crate) fn with_cap(cap: usize) -> Self {
        Self {
            cap,
            written: Arc::default(),
        }
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        // Nothing that holds the lock can leave it half-written.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, bytes: &[u8]) {
        let mut written = self.written();
        let room = self.cap.saturating_sub(written.kept.len());
        let (kept, dropped) = bytes.split_at(room.min(bytes.len()));
        written.kept.extend_from_slice(kept);
        written.dropped += dropped.len() as u64;
    }

    /// The lines written so far.
    pub(crate) fn log(&self) -> Log {
        let written = self.written();
        Log {
            lines: String::from_utf8_lossy(&written.kept)
                .lines()
                .map(|line| clean(line, LINE_CHARS))
                .collect(),
            dropped: written.dropped,
        }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.add(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK)
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.add(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let output = Output::with_cap(10);
        output.add(b"one\ntwo");
        output.add(b"\n\x1b[31mthree");
        let log = output.log();
        assert_eq!(log.lines, ["one", "two", "\\u{1b}["]);
        assert_eq!(log.dropped, 8);
    }
}
