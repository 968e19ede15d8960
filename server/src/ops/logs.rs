//! Logs: JSON lines for machines or text for people, to standard error, with secrets masked.

use std::fmt;
use std::io::{self, IsTerminal as _, Write};

use pitturu_text::plain::plain;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::{EnvFilter, reload};

use crate::ops::mask::mask;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For a person at a terminal.
    Text,
}

/// What libraries say that write at info what only their authors want to know. Whoever names them hears more.
const QUIET: &str = "fjall=warn,lsm_tree=warn";

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// These are no levels.
    #[error("log.level: {0:?} is not allowed")]
    Levels(String),
    /// Something else has installed a subscriber.
    #[error("logs are already set up")]
    Twice,
}

/// Levels of logs while the process runs.
pub struct LogControl(Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>);

impl LogControl {
    /// Goes on with these levels.
    ///
    /// # Errors
    /// [`LogError::Levels`]; then those of before stay.
    pub fn set_levels(&self, levels: &str) -> Result<(), LogError> {
        (self.0)(filter(levels)?).map_err(|_| LogError::Levels(levels.to_owned()))
    }
}

impl fmt::Debug for LogControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogControl")
    }
}

/// Sends the logs of this process to standard error. Once per process.
///
/// # Errors
/// [`LogError`].
pub fn start(levels: &str, format: LogFormat) -> Result<LogControl, LogError> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(levels)?)
        // At level debug each call is a span; its line comes when it ends, with the time that it took.
        .with_span_events(FmtSpan::CLOSE)
        // Colours are for terminals, not for files.
        .with_ansi(io::stderr().is_terminal())
        .with_writer(SafeWriter {
            to: io::stderr,
            keeps_colours: io::stderr().is_terminal(),
        });
    let (control, begun): (LogControl, _) = match format {
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            let levels = lines.reload_handle();
            let control = LogControl(Box::new(move |filter| levels.reload(filter)));
            (control, lines.try_init())
        }
        LogFormat::Text => {
            let lines = lines.with_target(false).with_filter_reloading();
            let levels = lines.reload_handle();
            let control = LogControl(Box::new(move |filter| levels.reload(filter)));
            (control, lines.try_init())
        }
    };
    begun.map_err(|_| LogError::Twice)?;
    Ok(control)
}

fn filter(levels: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(format!("{QUIET},{levels}")).map_err(|_| LogError::Levels(levels.to_owned()))
}

/// Masks secrets in each line on its way, and [takes from it](plain) what could forge other lines or command the terminal of whoever reads
/// it. The formatter hands over one whole line at a time.
#[derive(Clone, Debug)]
pub struct SafeWriter<M> {
    /// Makes what lines are written to.
    pub to: M,
    /// Whether the formatter's own colours stay.
    pub keeps_colours: bool,
}

/// The writer of one line.
#[derive(Debug)]
pub struct SafeLine<W> {
    to: W,
    keeps_colours: bool,
}

impl<'a, M, W> MakeWriter<'a> for SafeWriter<M>
where
    M: Fn() -> W,
    W: Write,
{
    type Writer = SafeLine<W>;

    fn make_writer(&'a self) -> Self::Writer {
        SafeLine {
            to: (self.to)(),
            keeps_colours: self.keeps_colours,
        }
    }
}

impl<W: Write> Write for SafeLine<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let masked = mask(&text);
        let (shown, end) = match masked.strip_suffix('\n') {
            Some(shown) => (shown, "\n"),
            None => (&*masked, ""),
        };
        let shown = plain(shown, false, self.keeps_colours);
        // In one piece, so that lines of other threads do not come between.
        self.to.write_all(format!("{shown}{end}").as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
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

    /// What would clear the screen, begin a line of its own, and turn the writing around.
    const BAD: &str = "\x1b\u{9b}\u{202e}\u{2028}\n";

    fn logged(json: bool) -> String {
        let sink = Sink::default();
        let writer = {
            let sink = sink.clone();
            SafeWriter {
                to: move || sink.clone(),
                keeps_colours: false,
            }
        };
        let lines = tracing_subscriber::fmt()
            .with_writer(writer)
            .with_ansi(false);
        let emit = || {
            tracing::info!(token = "s3cret-1", user = "ann", "signed in");
            tracing::warn!(email = ?Some("s3cret-2@x.y"), "mail bounced");
            tracing::info!("refused password=s3cret-3");
            tracing::info!(reason = %BAD, "closed {BAD}");
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
            assert_eq!(text.lines().count(), 4, "{text}");
            let active = text
                .chars()
                .find(|char| *char != '\n' && BAD.contains(*char));
            assert_eq!(active, None, "{text}");
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
