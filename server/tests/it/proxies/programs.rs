//! Programs that stand in front of a server, each in a process of its own on a free port.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::conformance::proxy;
use crate::raw::PATIENCE;

/// A running proxy.
pub(super) struct Front {
    child: Child,
    /// Where it listens.
    pub(super) address: SocketAddr,
    _folder: TempDir,
}

impl Front {
    /// HAProxy, which says whom it brings by the PROXY protocol, and asks for the server's health all the while.
    pub(super) fn haproxy(server: SocketAddr) -> Option<Self> {
        let config = |front: SocketAddr, _: &Path| {
            format!(
                "global\n  maxconn 6000\n  nbthread 1\n\
                 defaults\n  mode tcp\n  timeout connect 60s\n  timeout client 10m\n  timeout server 10m\n\
                 frontend players\n  bind {front}\n  default_backend pitturu\n\
                 backend pitturu\n  option httpchk\n  \
                 http-check send meth GET uri / ver HTTP/1.1 hdr Host localhost\n  http-check expect status 426\n  \
                 server one {server} send-proxy-v2 check inter 500ms\n"
            )
        };
        let program = proxy("haproxy")?;
        Some(Self::start(config, |path, _| {
            let mut command = Command::new(&program);
            command.arg("-db").arg("-f").arg(path);
            command
        }))
    }

    /// nginx, which adds the player's address to what the player has sent.
    pub(super) fn nginx_x_forwarded_for(server: SocketAddr) -> Option<Self> {
        Self::nginx(
            server,
            "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
        )
    }

    /// nginx, which does so as the RFC writes it, and takes the other header away.
    pub(super) fn nginx_forwarded(server: SocketAddr) -> Option<Self> {
        Self::nginx(
            server,
            "proxy_set_header Forwarded \"$http_forwarded, for=$remote_addr\";\n\
             proxy_set_header X-Forwarded-For \"\";",
        )
    }

    fn nginx(server: SocketAddr, headers: &str) -> Option<Self> {
        let config = |front: SocketAddr, folder: &Path| {
            let folder = folder.display();
            let kept: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|kind| format!("{kind}_temp_path {folder}/{kind};\n"))
                .concat();
            format!(
                "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr warn;\n\
                 events {{ worker_connections 10000; }}\n\
                 http {{\naccess_log off;\n{kept}\
                 server {{\nlisten {front} backlog=4096;\nlocation / {{\n\
                 proxy_pass http://{server};\nproxy_http_version 1.1;\n\
                 proxy_set_header Upgrade $http_upgrade;\nproxy_set_header Connection upgrade;\n\
                 proxy_set_header Host $host;\nproxy_read_timeout 10m;\n{headers}\n}}\n}}\n}}\n"
            )
        };
        let program = proxy("nginx")?;
        Some(Self::start(config, |path, folder| {
            let mut command = Command::new(&program);
            command.args(["-e", "stderr", "-p"]).arg(folder);
            command.arg("-c").arg(path);
            command
        }))
    }

    fn start(
        config: impl Fn(SocketAddr, &Path) -> String,
        command: impl Fn(&Path, &Path) -> Command,
    ) -> Self {
        let until = Instant::now() + PATIENCE;
        // Between the look for a free port and its use somebody else may take it.
        loop {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("proxy.conf");
            std::fs::write(&path, config(address, folder.path())).unwrap();
            let child = command(&path, folder.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            let mut front = Self {
                child,
                address,
                _folder: folder,
            };
            while front.child.try_wait().unwrap().is_none() {
                if TcpStream::connect(address).is_ok() {
                    return front;
                }
                assert!(Instant::now() < until, "the proxy does not listen");
                std::thread::sleep(Duration::from_millis(20));
            }
            assert!(Instant::now() < until, "the proxy does not start");
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
