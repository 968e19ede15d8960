//! Logs: JSON lines for machines or text for people, to standard error, with secrets masked.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::ops::mask::mask;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For a person at a terminal.
    Text,
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `log.level` is not a filter.
    #[error(
        "log.level: {0:?} is not allowed; it is a level such as info or debug, or levels by module"
    )]
    Level(String),
    /// Something else has installed a subscriber.
    #[error("logs are already set up")]
    Twice,
}

/// Sends the logs of this process to standard error. Once per process.
pub fn start(level: &str, format: LogFormat) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(level).map_err(|_| LogError::Level(level.to_owned()))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // At level debug each call is a span; its line comes when it ends, with the time that it took.
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(MaskedWriter(io::stderr));
    match format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => lines.with_target(false).try_init(),
    }
    .map_err(|_| LogError::Twice)
}

/// Masks each line on its way. The formatter hands over one whole line at a time.
#[derive(Clone, Debug)]
pub struct MaskedWriter<M>(pub M);

/// The writer of one line.
#[derive(Debug)]
pub struct MaskedLine<W>(W);

impl<'a, M, W> MakeWriter<'a> for MaskedWriter<M>
where
    M: Fn() -> W,
    W: Write,
{
    type Writer = MaskedLine<W>;

    fn make_writer(&'a self) -> Self::Writer {
        MaskedLine((self.0)())
    }
}

impl<W: Write> Write for MaskedLine<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(line) {
            Ok(text) => self.0.write_all(mask(text).as_bytes())?,
            Err(_) => self
                .0
                .write_all(mask(&String::from_utf8_lossy(line)).as_bytes())?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(json: bool) -> String {
        let sink = Sink::default();
        let writer = {
            let sink = sink.clone();
            MaskedWriter(move || sink.clone())
        };
        let lines = tracing_subscriber::fmt()
            .with_writer(writer)
            .with_ansi(false);
        let emit = || {
            tracing::info!(token = "s3cret-1", user = "ann", "signed in");
            tracing::warn!(email = ?Some("s3cret-2@x.y"), "mail bounced");
            tracing::info!("refused password=s3cret-3");
        };
        if json {
            tracing::subscriber::with_default(lines.json().flatten_event(true).finish(), emit);
        } else {
            tracing::subscriber::with_default(lines.finish(), emit);
        }
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn secrets_reach_neither_format() {
        for json in [true, false] {
            let text = logged(json);
            assert!(!text.contains("s3cret"), "{text}");
            assert!(text.contains("ann") && text.contains("signed in"), "{text}");
            assert_eq!(text.lines().count(), 3, "{text}");
        }
    }

    #[test]
    fn json_lines_stay_json() {
        for line in logged(true).lines() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(value.get("level").is_some(), "{line}");
        }
    }
}
