//! What processes use: processor time and memory, from `/proc` or from a metrics page.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::report::Host;

/// Ticks per second in `/proc`; Linux shows this rate to all programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Longest time for a metrics page.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a process has used up to now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Processor seconds, user and system.
    pub cpu_seconds: f64,
    /// Of those, in the system.
    pub cpu_system_seconds: Option<f64>,
    /// Resident memory in bytes.
    pub memory_bytes: u64,
}

impl Sample {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds + other.cpu_seconds,
            cpu_system_seconds: self
                .cpu_system_seconds
                .zip(other.cpu_system_seconds)
                .map(|(one, other)| one + other),
            memory_bytes: self.memory_bytes + other.memory_bytes,
        }
    }
}

/// What processes had used at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResourceSample {
    /// When, by [`crate::clock`].
    pub at: u64,
    /// The server.
    pub server: Option<Sample>,
    /// All generator processes.
    pub generator: Sample,
}

/// Where a process can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A process of this machine.
    Process(u32),
    /// A server's `/metrics` on its operations port.
    Metrics(SocketAddr),
}

impl Probe {
    /// What it has used; none when it can't be seen any more.
    pub fn sample(self) -> Option<Sample> {
        match self {
            Self::Process(pid) => of_process(pid),
            Self::Metrics(address) => of_metrics(&page(address).ok()?),
        }
    }
}

fn of_process(pid: u32) -> Option<Sample> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    // The name of the program may hold anything but ends with the last parenthesis.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(Sample {
        cpu_seconds: (user + system) / TICKS_PER_SECOND,
        cpu_system_seconds: Some(system / TICKS_PER_SECOND),
        memory_bytes: kibibytes(&status, "VmRSS:")? * 1024,
    })
}

/// The number after a name in a file of `/proc` whose lines are `Name: 123 kB`.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn of_metrics(page: &str) -> Option<Sample> {
    let value = |name: &str| -> Option<f64> {
        let mut values = page.lines().filter_map(|line| line.strip_prefix(name));
        values.find_map(|rest| rest.trim().parse().ok())
    };
    // A size of memory is a whole number below 2^53.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let memory_bytes = value("process_resident_memory_bytes ")? as u64;
    Some(Sample {
        cpu_seconds: value("process_cpu_seconds_total ")?,
        cpu_system_seconds: None,
        memory_bytes,
    })
}

fn page(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}

/// Has the system end this process when the one that started it ends, however that ends: nobody would read what it
/// measures, and it would go on to load the machine.
pub fn end_with_parent() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    Ok(())
}

/// Packets that found no room in the buffer of this machine's UDP socket with that port, since it was opened.
pub fn udp_losses(port: u16) -> Option<u64> {
    losses(&fs::read_to_string("/proc/net/udp").ok()?, port)
}

fn losses(table: &str, port: u16) -> Option<u64> {
    let local = format!(":{port:04X}");
    let line = table.lines().skip(1).find(|line| {
        let mut fields = line.split_whitespace();
        fields
            .nth(1)
            .is_some_and(|address| address.ends_with(&local))
    })?;
    line.split_whitespace().last()?.parse().ok()
}

/// The machine that this process runs on.
pub fn host() -> Host {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let processor = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned());
    Host {
        cores: cores(),
        processor: processor.unwrap_or_default(),
        memory_bytes: kibibytes(&read("/proc/meminfo"), "MemTotal:").unwrap_or_default() * 1024,
        kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
    }
}

/// Cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_seen() {
        let before = Probe::Process(std::process::id()).sample().unwrap();
        let mut waste = vec![1_u64; 8 << 20];
        while Probe::Process(std::process::id())
            .sample()
            .unwrap()
            .cpu_seconds
            < before.cpu_seconds + 0.05
        {
            waste
                .iter_mut()
                .for_each(|value| *value = value.wrapping_mul(3));
        }
        let after = Probe::Process(std::process::id()).sample().unwrap();
        assert!(after.memory_bytes > before.memory_bytes + (32 << 20));
        assert_eq!(Probe::Process(u32::MAX).sample(), None);
    }

    #[test]
    fn losses_of_a_socket_are_found_by_its_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n \
                     98: 0100007F:D431 00000000:0000 07 00000000:00000000 00:00000000 00000000  0 0 42 2 0 0\n \
                     99: 0100007F:1CB6 0100007F:D431 07 00000000:00000000 00:00000000 00000000  0 0 43 2 0 17\n";
        assert_eq!(losses(table, 0x1cb6), Some(17));
        assert_eq!(losses(table, 0xd431), Some(0));
        assert_eq!(losses(table, 7), None);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(udp_losses(socket.local_addr().unwrap().port()), Some(0));
    }

    #[test]
    fn a_metrics_page_is_read() {
        let page = "HTTP/1.1 200 OK\r\n\r\n# TYPE process_cpu_seconds_total counter\n\
                    process_cpu_seconds_total 1.5\nprocess_resident_memory_bytes 4096\n";
        let sample = of_metrics(page).unwrap();
        assert_eq!((sample.cpu_seconds, sample.memory_bytes), (1.5, 4096));
        assert_eq!(of_metrics("nothing"), None);
    }
}
