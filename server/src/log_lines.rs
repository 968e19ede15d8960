//! Kinds of log lines that clients can cause without end: so many a second, and then one that says how many more there were.

use std::time::Duration;

use parking_lot::Mutex;
use pitturu_store::clock::Steady;
use tokio::runtime::Handle;
use tracing::info;

/// A kind of lines.
#[derive(Debug)]
pub struct LogLines {
    name: &'static str,
    per_second: u32,
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    second: u64,
    written: u32,
    left_out: u64,
    /// A task says how many were left out when the second is over.
    is_reported: bool,
}

/// Connections that were opened.
pub static OPENED: LogLines = LogLines::new("connection opened", 200);

/// Connections that were closed.
pub static CLOSED: LogLines = LogLines::new("connection closed", 200);

/// Handshakes that led to no connection.
pub static HANDSHAKES_REFUSED: LogLines = LogLines::new("handshake refused", 20);

/// Connections that could not be accepted, of players or operators.
pub static ACCEPTS_FAILED: LogLines = LogLines::new("accept failed", 1);

/// Pages that may not connect.
pub static ORIGINS_REFUSED: LogLines = LogLines::new("origin refused", 5);

/// Proxies whose headers name two players.
pub static FORWARDED_DISPUTED: LogLines = LogLines::new("forwarded disputed", 5);

/// Players who signed in.
pub static SIGNED_IN: LogLines = LogLines::new("signed in", 200);

/// Players who signed out, and other ends of sessions.
pub static SIGNED_OUT: LogLines = LogLines::new("signed out", 100);

/// Sign-ins that were refused.
pub static SIGN_INS_REFUSED: LogLines = LogLines::new("sign-in refused", 20);

/// Wrong passwords, and who has to wait for them.
pub static PASSWORDS_REFUSED: LogLines = LogLines::new("wrong password", 20);

/// Passwords that were changed or asked for.
pub static PASSWORDS: LogLines = LogLines::new("password", 20);

/// Where the audit log stands.
pub static AUDITED: LogLines = LogLines::new("audit log stands at", 20);

impl LogLines {
    /// So many lines a second.
    pub const fn new(name: &'static str, per_second: u32) -> Self {
        Self {
            name,
            per_second,
            window: Mutex::new(Window {
                second: 0,
                written: 0,
                left_out: 0,
                is_reported: false,
            }),
        }
    }

    /// Whether one more line may be written now. It is counted either way.
    pub fn admit(&'static self) -> bool {
        let second = Steady::now().as_ms() / 1_000;
        let mut window = self.window.lock();
        if window.second != second {
            window.second = second;
            window.written = 0;
        }
        if window.written < self.per_second {
            window.written += 1;
            return true;
        }
        window.left_out += 1;
        if !window.is_reported
            && let Ok(runtime) = Handle::try_current()
        {
            window.is_reported = true;
            runtime.spawn(self.report());
        }
        false
    }

    async fn report(&'static self) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let left_out = {
            let mut window = self.window.lock();
            window.is_reported = false;
            std::mem::take(&mut window.left_out)
        };
        info!(kind = self.name, left_out, "so many more lines of a kind");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static FEW: LogLines = LogLines::new("few", 3);

    #[tokio::test]
    async fn what_is_too_much_is_counted_and_told_once() {
        // Two seconds at most: a new one may begin meanwhile.
        let admitted = (0..1_000).filter(|_| FEW.admit()).count();
        assert!((3..=6).contains(&admitted), "{admitted}");
        {
            let window = FEW.window.lock();
            assert_eq!(window.left_out, 1_000 - admitted as u64);
            assert!(window.is_reported);
        }
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let window = FEW.window.lock();
        assert_eq!((window.left_out, window.is_reported), (0, false));
        drop(window);
        assert!(FEW.admit(), "another second");
    }
}
