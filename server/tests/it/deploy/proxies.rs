//! The proxies that an example of `deploy/` is for, started with it on free ports in front of a server or of whoever notes what comes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tempfile::TempDir;

use super::{replaced, text};
use crate::conformance::proxy;
use crate::raw::PATIENCE;

/// Where proxies listen: an address that no other test uses.
const HERE: &str = "127.0.77.1";

/// A proxy, and the example for it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Program {
    Nginx,
    Caddy,
    HaProxy,
}

pub(super) use Program::{Caddy, HaProxy, Nginx};

/// Where the example finds the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behind {
    /// Players.
    pub(super) players: SocketAddr,
    /// Health.
    pub(super) ops: SocketAddr,
}

/// A proxy that runs.
pub(super) struct Proxy {
    child: Child,
    /// Where it ends TLS.
    pub(super) tls: SocketAddr,
    /// Where it passes bytes on as they are; HAProxy alone does.
    pub(super) through: SocketAddr,
    /// The certificate, in PEM.
    pub(super) certificate: String,
    _folder: TempDir,
    said: Arc<Mutex<String>>,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Nginx => "nginx",
            Caddy => "caddy",
            HaProxy => "haproxy",
        }
    }

    /// Its program on this machine; says what is left out if there is none.
    fn path(self) -> Option<String> {
        proxy(self.name())
    }

    /// The example, with places that exist here. Whatever is not where and how it was is missed.
    fn example(
        self,
        behind: Behind,
        folder: &Path,
        tls: SocketAddr,
        through: SocketAddr,
    ) -> String {
        let here = folder.display();
        let players = behind.players.to_string();
        let at = |text: &str, part: &str, other: &str| replaced(text, part, other);
        match self {
            Nginx => {
                let example = text("deploy/nginx.conf");
                let example = at(
                    &example,
                    "server 127.0.0.1:7350;",
                    &format!("server {players};"),
                );
                let example = at(&example, "listen 443 ssl;", &format!("listen {tls} ssl;"));
                let example = at(&example, "listen [::]:443 ssl;", "");
                let example = at(&example, "/etc/pitturu/", &format!("{here}/"));
                let example = at(&example, "/run/nginx.pid", &format!("{here}/nginx.pid"));
                let example = at(&example, "user www-data;", "");
                let example = at(&example, "worker_rlimit_nofile 131072;", "");
                let example = at(&example, "65536", "512");
                // What the program was built to use belongs to its package.
                let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .map(|kind| format!("{kind}_temp_path {here}/{kind};"))
                    .concat();
                at(&example, "http {", &format!("http {{ {temporary}"))
            }
            Caddy => {
                let example = text("deploy/Caddyfile");
                let example = at(
                    &example,
                    "reverse_proxy 127.0.0.1:7350",
                    &format!("reverse_proxy {players}"),
                );
                let port = behind.ops.port();
                let example = at(&example, "health_port 7351", &format!("health_port {port}"));
                let example = at(&example, "\n{\n", "\n{\n\tadmin off\n\tauto_https off\n");
                let site =
                    format!("https://{tls} {{\n\ttls {here}/fullchain.pem {here}/privkey.pem");
                at(&example, "play.example.org {", &site)
            }
            HaProxy => {
                let example = text("deploy/haproxy.cfg");
                let port = format!("check port {}", behind.ops.port());
                let example = at(&example, "check port 7351", &port);
                let example = at(
                    &example,
                    "server game 127.0.0.1:7350",
                    &format!("server game {players}"),
                );
                let example = at(
                    &example,
                    "server game 10.0.0.5:7443",
                    &format!("server game {players}"),
                );
                let example = at(&example, "192.0.2.1:443", &tls.to_string());
                let example = at(&example, "192.0.2.2:443", &through.to_string());
                let example = at(
                    &example,
                    "/etc/haproxy/play.example.org.pem",
                    &format!("{here}/both.pem"),
                );
                at(&example, "maxconn 50000", "maxconn 100")
            }
        }
    }

    fn command(self, path: &str, folder: &Path) -> Command {
        let mut command = Command::new(path);
        let file = folder.join("proxy.conf");
        match self {
            Nginx => command
                .args(["-e", "stderr", "-g", "daemon off;", "-p"])
                .arg(folder)
                .arg("-c"),
            Caddy => command.args(["run", "--adapter", "caddyfile", "--config"]),
            HaProxy => command.args(["-db", "-f"]),
        };
        command
            .arg(file)
            // Caddy keeps things there.
            .env("HOME", folder)
            .env("XDG_DATA_HOME", folder)
            .env("XDG_CONFIG_HOME", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Starts it, and waits until it listens. Nothing where there is no such program.
    pub(super) fn start(self, behind: Behind) -> Option<Proxy> {
        let path = self.path()?;
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec![HERE.to_owned()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let both = format!("{certificate}{key}");
        let (tls, through) = (free_address(), free_address());
        let example = self.example(behind, folder.path(), tls, through);
        for (name, text) in [
            ("fullchain.pem", &certificate),
            ("privkey.pem", &key),
            ("both.pem", &both),
            ("proxy.conf", &example),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let mut child = self.command(&path, folder.path()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn({
            let said = Arc::clone(&said);
            move || {
                for line in stderr.lines().map_while(Result::ok) {
                    said.lock().push_str(&format!("{line}\n"));
                }
            }
        });
        let mut proxy = Proxy {
            child,
            tls,
            through,
            certificate,
            _folder: folder,
            said,
        };
        proxy.wait_until_it_listens();
        Some(proxy)
    }
}

impl Proxy {
    fn wait_until_it_listens(&mut self) {
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(self.tls).is_err() {
            let ended = self.child.try_wait().unwrap();
            assert_eq!(ended, None, "{}", self.said.lock());
            assert!(Instant::now() < until, "{}", self.said.lock());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // An orderly end, or the workers of nginx outlive it.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the proxy said:\n{}", self.said.lock());
        }
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((HERE, 0)).unwrap();
    listener.local_addr().unwrap()
}

/// Stands where the server would: is healthy, and notes what else comes, up to the end of a request's head.
pub(super) struct Notes {
    /// Where.
    pub(super) address: SocketAddr,
    heads: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Notes {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::default();
        let notes = Self {
            address,
            heads: Arc::clone(&heads),
        };
        // For as long as the test program runs.
        std::thread::spawn(move || {
            for tcp in listener.incoming().map_while(Result::ok) {
                let heads = Arc::clone(&heads);
                std::thread::spawn(move || note(tcp, &heads));
            }
        });
        notes
    }

    /// What came first on a connection, once it fits.
    pub(super) fn wait_for(&self, fits: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let until = Instant::now() + PATIENCE;
        loop {
            let heads = self.heads.lock().clone();
            if let Some(head) = heads.iter().find(|head| fits(head)) {
                return head.clone();
            }
            assert!(Instant::now() < until, "{heads:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn note(mut tcp: TcpStream, heads: &Mutex<Vec<Vec<u8>>>) {
    let mut head = Vec::new();
    let mut bytes = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") {
        match tcp.read(&mut bytes) {
            Ok(0) | Err(_) => break,
            Ok(count) => head.extend_from_slice(&bytes[..count]),
        }
    }
    let answer: &[u8] = if head.starts_with(b"GET /ready ") {
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    } else {
        heads.lock().push(head);
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    };
    let _ = tcp.write_all(answer);
}
