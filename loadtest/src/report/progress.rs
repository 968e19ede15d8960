//! What a test does right now, on standard error: a bar and one line that changes on a terminal, one line every few
//! seconds elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;

use super::Second;
use super::number::{self, NONE, bytes, count, milliseconds, plain};

/// How often a line is printed where lines stay.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Live progress of one run. Its methods may be called from any thread.
#[derive(Debug)]
pub struct Progress {
    output: Output,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    title: String,
    seconds_total: u64,
    phase: String,
    done: u64,
    total: u64,
    main: Option<(String, Option<f64>)>,
    printed: Option<Instant>,
}

enum Output {
    Terminal(ProgressBar),
    Lines(Mutex<Box<dyn Write + Send>>),
}

impl Progress {
    /// Begins a run that measures for `seconds_total` seconds.
    #[must_use]
    pub fn begin(title: &str, seconds_total: u64) -> Self {
        let output = if io::stderr().is_terminal() {
            Output::Terminal(bar())
        } else {
            Output::Lines(Mutex::new(Box::new(io::stderr())))
        };
        Self::with(output, title, seconds_total)
    }

    /// Progress that nobody sees, for tests and quiet commands.
    #[must_use]
    pub fn hidden() -> Self {
        Self::with(Output::Terminal(ProgressBar::hidden()), "", 0)
    }

    fn with(output: Output, title: &str, seconds_total: u64) -> Self {
        let progress = Self {
            output,
            state: Mutex::new(State {
                title: title.to_owned(),
                seconds_total,
                phase: String::new(),
                done: 0,
                total: 0,
                main: None,
                printed: None,
            }),
        };
        progress.show(title, 0, seconds_total);
        progress
    }

    /// Says which operation a second's line is about, and how many per second are meant to begin. Without it, the
    /// line is about the operation that ended most often.
    pub fn follow(&self, operation: &str, offered_per_second: Option<f64>) {
        self.change(|state| state.main = Some((operation.to_owned(), offered_per_second)));
    }

    /// Begins a part of the run with `total` steps, such as `connecting 1,000 players`.
    pub fn phase(&self, title: &str, total: u64) {
        let line = self.change(|state| {
            state.phase = title.to_owned();
            state.done = 0;
            state.total = total;
            state.printed = Some(Instant::now());
            format!("{}: {title}", state.title)
        });
        if let Output::Terminal(bar) = &self.output {
            bar.set_message("");
        }
        self.show(&line, 0, total);
    }

    /// Counts steps of the phase.
    pub fn inc(&self, steps: u64) {
        if let Output::Terminal(bar) = &self.output {
            bar.inc(steps);
            return;
        }
        let line = self.change(|state| {
            state.done += steps;
            let waited = state.printed.is_none_or(|at| at.elapsed() >= LINE_EVERY);
            let complete = state.done == state.total;
            (waited || complete).then(|| {
                state.printed = Some(Instant::now());
                let (done, total) = (count(state.done), count(state.total));
                format!("{}: {}, {done} of {total}", state.title, state.phase)
            })
        });
        if let Some(line) = line {
            self.print(&line);
        }
    }

    /// Shows a second of the measured part; where lines stay, every fifth.
    pub fn second(&self, second: &Second) {
        let (line, title, total) = self.change(|state| {
            let main = state.main.as_ref();
            let main = main.map(|(name, offered)| (name.as_str(), *offered));
            (line(second, main), state.title.clone(), state.seconds_total)
        });
        let every = i64::try_from(LINE_EVERY.as_secs()).unwrap_or(i64::MAX);
        match &self.output {
            Output::Terminal(bar) => {
                let position = u64::try_from(second.second).unwrap_or(0);
                let seconds = match second.second {
                    ..0 => format!("{title}: seconds, warming up"),
                    _ => format!("{title}: seconds"),
                };
                bar.set_message(line);
                self.show(&seconds, position.min(total), total);
            }
            Output::Lines(_) if second.second.rem_euclid(every) == 0 => {
                let (at, total) = (second.second, count(total));
                self.print(&format!("{title}: {at} s of {total}, {line}"));
            }
            Output::Lines(_) => {}
        }
    }

    /// Ends the run and clears the bar.
    pub fn finish(&self) {
        match &self.output {
            Output::Terminal(bar) => bar.finish_and_clear(),
            Output::Lines(_) => {
                let line = self.change(|state| format!("{}: done", state.title));
                self.print(&line);
            }
        }
    }

    fn show(&self, line: &str, position: u64, total: u64) {
        match &self.output {
            Output::Terminal(bar) => {
                bar.set_position(position);
                bar.set_length(total);
                bar.set_prefix(line.to_owned());
            }
            Output::Lines(_) => self.print(line),
        }
    }

    /// A progress line that can't be written is no reason to end a test.
    fn print(&self, line: &str) {
        if let Output::Lines(lines) = &self.output {
            let mut lines = lines.lock();
            let _ = writeln!(lines, "{line}").and_then(|()| lines.flush());
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock())
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Terminal(_) => "Terminal",
            Self::Lines(_) => "Lines",
        })
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{bar:20.cyan/dim} {human_pos} of {human_len}  {prefix}\n{wide_msg}",
    )
    .expect("the template is a constant that a test reads")
    .progress_chars("━━─");
    let bar = ProgressBar::new(0).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// `deliver 49,987/s of 50,000, p50 3.1 ms, p99 18 ms, cores 1.2 + 0.85, 310 MiB`: cores of server and generator, and
/// the server's memory. `main` is the operation's name and how many of it are offered per second.
fn line(second: &Second, main: Option<(&str, Option<f64>)>) -> String {
    let mut line = String::new();
    let mut errors = 0;
    let busiest = || {
        let most = second
            .operations
            .iter()
            .max_by_key(|(_, instant)| instant.done);
        most.map(|(name, _)| (name.as_str(), None))
    };
    if let Some((name, offered)) = main.or_else(busiest) {
        let instant = second.operations.get(name).copied().unwrap_or_default();
        line += &format!("{name} {}/s", count(instant.done));
        if let Some(offered) = offered {
            line += &format!(" of {}", plain(offered));
        }
        if instant.done > 0 {
            let (p50, p99) = (milliseconds(instant.p50_ms), milliseconds(instant.p99_ms));
            line += &format!(", p50 {p50}, p99 {p99}");
        }
        line += ", ";
        errors = instant.errors;
    }
    let server = second.server_cores.map_or(NONE.to_owned(), plain);
    line += &format!("cores {server} + {}", plain(second.generator_cores));
    if let Some(memory) = second.server_memory_bytes {
        line += &format!(", {}", bytes(number::float(memory)));
    }
    if errors > 0 {
        line += &format!(", errors {}", count(errors));
    }
    line
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::report::{Subject, sample};

    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines() -> (Progress, Screen) {
        let screen = Screen::default();
        let output = Output::Lines(Mutex::new(Box::new(screen.clone())));
        (Progress::with(output, "fanout", 60), screen)
    }

    fn shown(screen: &Screen) -> String {
        String::from_utf8(screen.0.lock().clone()).unwrap()
    }

    #[test]
    fn lines_tell_the_phases_and_every_fifth_second() {
        let (progress, screen) = lines();
        progress.phase("connecting 3 players", 3);
        for _ in 0..3 {
            progress.inc(1);
        }
        let run = sample::run(Subject::Server, 1, 1.0);
        for second in &run.timeline {
            progress.second(second);
        }
        progress.finish();
        let shown = shown(&screen);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[..2], ["fanout", "fanout: connecting 3 players"]);
        assert_eq!(*lines.last().unwrap(), "fanout: done");
        assert!(
            lines.contains(&"fanout: connecting 3 players, 3 of 3"),
            "{shown}"
        );
        let seconds = lines.iter().filter(|line| line.contains(" s of 60"));
        assert_eq!(seconds.count(), 14, "{shown}");
    }

    #[test]
    fn a_second_fits_into_one_line() {
        let run = sample::run(Subject::Server, 1, 1.0);
        let second = run
            .timeline
            .iter()
            .find(|second| second.second == 0)
            .unwrap();
        assert_eq!(
            line(second, Some(("deliver", Some(50_000.0)))),
            "deliver 49,987/s of 50,000, p50 3.1 ms, p99 15.5 ms, \
             cores 1.2 + 0.85, 280 MiB"
        );
        assert!(line(second, None).contains("deliver 49,987/s, p50"));
    }

    #[test]
    fn errors_come_last() {
        let mut second = Second::default();
        let instant = crate::report::Instant {
            errors: 1_200,
            ..Default::default()
        };
        second.operations.insert("send".into(), instant);
        let line = line(&second, None);
        assert_eq!(line, "send 0/s, cores – + 0, errors 1,200");
    }

    #[test]
    fn an_empty_second_has_a_line() {
        let line = line(&Second::default(), Some(("send", None)));
        assert_eq!(line, "send 0/s, cores – + 0");
    }

    #[test]
    fn the_bar_can_be_drawn() {
        assert!(!bar().is_finished());
        let progress = Progress::hidden();
        progress.phase("a", 2);
        progress.inc(1);
        progress.second(&Second::default());
        progress.finish();
    }
}
