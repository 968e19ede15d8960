//! The points of a build for chaos runs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, ErrorKind, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Signal, getpid, kill_process};

/// What an armed point does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// Kills the process at the last of so many passages.
    Abort(u64),
    /// Fails so many times, with no space left.
    NoSpace(u64),
    /// Fails so many times, with another error.
    Io(u64),
    /// Takes longer, so many times.
    Delay(Duration, u64),
}

#[derive(Default)]
struct Points {
    armed: HashMap<String, Action>,
    passed: BTreeMap<&'static str, u64>,
    undone: HashSet<String>,
}

/// Milliseconds.
static CLOCK_OFFSET: AtomicI64 = AtomicI64::new(0);

fn points() -> &'static Mutex<Points> {
    static POINTS: OnceLock<Mutex<Points>> = OnceLock::new();
    POINTS.get_or_init(|| {
        let listed = |name: &str| std::env::var(name).unwrap_or_default();
        let mut points = Points::default();
        for text in listed("CHAOS_ARM")
            .split(',')
            .filter(|text| !text.is_empty())
        {
            if let Err(wrong) = points.arm(text) {
                say(&wrong);
            }
        }
        let undone = listed("CHAOS_UNDO");
        let names = undone.split(',').filter(|name| !name.is_empty());
        points.undone = names.map(str::to_owned).collect();
        if let Ok(offset) = listed("CHAOS_CLOCK").parse() {
            CLOCK_OFFSET.store(offset, Ordering::Relaxed);
        }
        Mutex::new(points)
    })
}

impl Points {
    fn arm(&mut self, text: &str) -> Result<(), String> {
        let wrong = || format!("{text:?} arms nothing");
        let (point, action) = text.split_once('=').ok_or_else(wrong)?;
        let mut parts = action.split(':');
        let kind = parts.next().unwrap_or_default();
        let mut number = || parts.next().and_then(|text| text.parse::<u64>().ok());
        let action = match kind {
            "abort" => Action::Abort(number().unwrap_or(1)),
            "no_space" => Action::NoSpace(number().unwrap_or(1)),
            "io" => Action::Io(number().unwrap_or(1)),
            "delay" => {
                let time = Duration::from_millis(number().ok_or_else(wrong)?);
                Action::Delay(time, number().unwrap_or(1))
            }
            _ => return Err(wrong()),
        };
        self.armed.insert(point.to_owned(), action);
        Ok(())
    }

    /// Counts a passage; what happens at it.
    fn take(&mut self, point: &'static str) -> Option<Action> {
        *self.passed.entry(point).or_default() += 1;
        let armed = self.armed.get_mut(point)?;
        let left = match armed {
            Action::Abort(left)
            | Action::NoSpace(left)
            | Action::Io(left)
            | Action::Delay(_, left) => left,
        };
        *left = left.saturating_sub(1);
        let is_last = *left == 0;
        let action = *armed;
        if is_last {
            self.armed.remove(point);
        }
        match action {
            Action::Abort(_) if !is_last => None,
            action => Some(action),
        }
    }
}

fn say(line: &str) {
    // Without standard error nobody listens.
    let _ = writeln!(io::stderr(), "chaos: {line}");
}

/// A point that can end or delay the process.
pub fn pass(point: &'static str) {
    // What could fail here has been armed at the wrong place; it was said.
    let _ = fail(point);
}

/// A point that can fail as well.
///
/// # Errors
/// What the point was armed with.
pub fn fail(point: &'static str) -> io::Result<()> {
    // The lock is given back before the point waits.
    let action = points().lock().take(point);
    match action {
        None => Ok(()),
        Some(Action::Delay(time, _)) => {
            say(&format!("{point} delay"));
            std::thread::sleep(time);
            Ok(())
        }
        Some(Action::NoSpace(_)) => {
            say(&format!("{point} no_space"));
            Err(ErrorKind::StorageFull.into())
        }
        Some(Action::Io(_)) => {
            say(&format!("{point} io"));
            Err(io::Error::other("a chaos run broke the disk"))
        }
        Some(Action::Abort(_)) => {
            say(&format!("{point} abort"));
            let _ = kill_process(getpid(), Signal::KILL);
            std::process::abort()
        }
    }
}

/// Whether this protection is left out.
pub fn is_undone(protection: &'static str) -> bool {
    points().lock().undone.contains(protection)
}

/// Milliseconds that the wall clock is ahead of the system's.
pub fn clock_offset_ms() -> i64 {
    points();
    CLOCK_OFFSET.load(Ordering::Relaxed)
}

/// Carries out one order of a chaos run and says what became of it: `arm/TEXT`, `disarm`, `undo/PROTECTION`, `clock/OFFSET_MS`,
/// or `passed` for how often each point was passed.
pub fn control(order: &str) -> String {
    let (verb, text) = order.split_once('/').unwrap_or((order, ""));
    let mut points = points().lock();
    let done = match verb {
        "arm" => points.arm(text),
        "disarm" => {
            points.armed.clear();
            Ok(())
        }
        "undo" => {
            points.undone.insert(text.to_owned());
            Ok(())
        }
        "clock" => match text.parse() {
            Ok(offset) => {
                CLOCK_OFFSET.store(offset, Ordering::Relaxed);
                Ok(())
            }
            Err(_) => Err(format!("{text:?} is no number of milliseconds")),
        },
        "passed" => {
            let counts = points.passed.iter();
            return counts
                .map(|(point, count)| format!("{point} {count}\n"))
                .collect();
        }
        _ => Err(format!("{verb:?} is no order")),
    };
    match done {
        Ok(()) => "done\n".to_owned(),
        Err(wrong) => format!("{wrong}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_acts_as_often_as_it_was_armed_for() {
        let mut points = Points::default();
        points.arm("a=no_space:2").unwrap();
        points.arm("b=abort:3").unwrap();
        let of_a: Vec<bool> = (0..3).map(|_| points.take("a").is_some()).collect();
        assert_eq!(of_a, [true, true, false]);
        let of_b: Vec<bool> = (0..4).map(|_| points.take("b").is_some()).collect();
        assert_eq!(of_b, [false, false, true, false]);
        assert_eq!(points.passed["b"], 4);
    }

    #[test]
    fn other_texts_arm_nothing() {
        for text in ["a", "a=", "a=explode", "a=delay:soon"] {
            assert!(Points::default().arm(text).is_err(), "{text}");
        }
    }
}
