//! Runs a command over a bad network.

#![allow(clippy::print_stderr, reason = "a program for people at a terminal")]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::thread;
use std::time::Duration;

use clap::Parser;
use pitturu_lossy_link::{Conditions, LossyLink, SERVER, Way};

/// Set for the program that was started as the root of a user namespace, so that it is not tried twice.
const IN_USER_NAMESPACE: &str = "LOSSY_LINK_IN_USER_NAMESPACE";

/// Runs a command over a link that delays, loses, reorders, repeats and limits packets. The command finds its server at 10.77.0.1: what
/// --server starts, or without it what listens on this machine (at all addresses, not only at 127.0.0.1). Linux; without --server it takes
/// root.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// How long each packet is on its way, in each direction, as in 40ms.
    #[arg(long, default_value = "0ms", value_parser = humantime::parse_duration)]
    delay: Duration,
    /// How much longer it may take, each by chance, in order.
    #[arg(long, default_value = "0ms", value_parser = humantime::parse_duration)]
    jitter: Duration,
    /// Which part is lost, as in 5% or 0.05.
    #[arg(long, default_value = "0", value_parser = part)]
    loss: f64,
    /// Which part is set back, so that later ones overtake it.
    #[arg(long, default_value = "0", value_parser = part)]
    reorder: f64,
    /// How far that is.
    #[arg(long, default_value = "10ms", value_parser = humantime::parse_duration)]
    reorder_by: Duration,
    /// Which part arrives twice.
    #[arg(long, default_value = "0", value_parser = part)]
    duplicate: f64,
    /// Bits per second of each direction; without it any number.
    #[arg(long)]
    rate: Option<u64>,
    /// Bytes that may wait for a --rate.
    #[arg(long, default_value_t = Conditions::default().queue)]
    queue: u64,
    /// Decides what happens to which packet.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A line of shell that starts a server on the other side.
    #[arg(long)]
    server: Option<String>,
    /// The command.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

impl Cli {
    fn conditions(&self) -> Conditions {
        Conditions {
            delay: self.delay,
            jitter: self.jitter,
            loss: self.loss,
            reorder: self.reorder,
            reorder_by: self.reorder_by,
            duplicate: self.duplicate,
            rate: self.rate,
            queue: self.queue,
            seed: self.seed,
            ..Conditions::default()
        }
    }
}

/// `5%` and `0.05`.
fn part(text: &str) -> Result<f64, String> {
    let (number, whole) = match text.strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    let number: f64 = number
        .trim()
        .parse()
        .map_err(|_| format!("{text} is no number"))?;
    let part = number / whole;
    if (0.0..=1.0).contains(&part) {
        Ok(part)
    } else {
        Err(format!("{text} is not from 0 to 100%"))
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("pitturu-lossy-link: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root && cli.server.is_some() && std::env::var_os(IN_USER_NAMESPACE).is_none() {
        return Err(again_as_root_of_a_user_namespace().into());
    }
    let (link, server) = match &cli.server {
        None => (LossyLink::to_here(cli.conditions())?, None),
        Some(line) => {
            let link = LossyLink::new(cli.conditions())?;
            let child = link
                .server()
                .spawn(Command::new("sh").args(["-c", line]).process_group(0))?;
            (link, Some(Server(child)))
        }
    };
    eprintln!("the server's side is {SERVER}; seed {}", cli.seed);
    let mut command = Command::new(&cli.command[0]);
    command.args(&cli.command[1..]);
    let status = link.client().spawn(&mut command)?.wait()?;
    drop(server);
    for way in Way::BOTH {
        eprintln!("{way:?}: {:?}", link.counts(way));
    }
    Ok(code(status))
}

/// Returns only if it can't be.
fn again_as_root_of_a_user_namespace() -> io::Error {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    Command::new("unshare")
        .args(["--user", "--map-root-user"])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(IN_USER_NAMESPACE, "1")
        .exec()
}

fn code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The server and what its shell started, stopped when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        use rustix::process::{Pid, Signal, kill_process_group};
        let group = Pid::from_child(&self.0);
        // Whoever has gone already needs no signal.
        let _ = kill_process_group(group, Signal::TERM);
        for _ in 0..100 {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_percentages_or_fractions() {
        for (text, expected) in [("5%", 0.05), ("0.05", 0.05), ("100%", 1.0), ("0", 0.0)] {
            let found = part(text).unwrap();
            assert!((found - expected).abs() < 1e-12, "{text}");
        }
        for text in ["101%", "-1%", "2", "much", "", "%", "NaN"] {
            assert!(part(text).is_err(), "{text}");
        }
    }
}
