//! Clients that nobody here wrote: npm `ws`, PyPI `websockets` and `picows`, and Chromium. Their scripts are in `tests/interop`;
//! `make setup` installs what they need. What is missing is left out loudly, or fails with PITTURU_REQUIRE_ALL=1.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::launch::Server;

/// Where the scripts of the clients are, with what they need.
pub fn interop() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop")
}

/// Whether it is there. If not, says so; with PITTURU_REQUIRE_ALL=1 that is a failure.
fn has(what: &str, there: bool) -> bool {
    has_or_says_how(what, there, "make setup installs it")
}

/// As [`has`], for what is not installed but made.
pub fn has_or_says_how(what: &str, there: bool, how: &str) -> bool {
    if there {
        return true;
    }
    let required = std::env::var_os("PITTURU_REQUIRE_ALL").is_some_and(|value| value == "1");
    let line = format!("tests that need {what}: {how}");
    assert!(!required, "nothing may be left out, but: {line}");
    eprintln!("\n!!! LEFT OUT: {line}\n");
    // The test runner shows no output of a test that passes; the end of `make test` shows this list.
    if let Some(list) = std::env::var_os("PITTURU_LEFT_OUT") {
        let mut list = OpenOptions::new()
            .append(true)
            .create(true)
            .open(list)
            .unwrap();
        writeln!(list, "{line}").unwrap();
    }
    false
}

/// The program of a proxy on this machine, by its name; says what is left out if there is none.
pub fn proxy(name: &str) -> Option<String> {
    let search = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/proxy");
    let found = Command::new(search).arg(name).output().unwrap();
    let path = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    let is_there = found.status.success();
    has_or_says_how(name, is_there, "make setup installs it").then_some(path)
}

/// Whether Node and this package are there.
pub fn has_node(package: &str) -> bool {
    let node = Command::new("node").arg("--version").output();
    has("Node", node.is_ok_and(|output| output.status.success()))
        && has(
            &format!("the npm package {package}"),
            interop().join("node_modules").join(package).is_dir(),
        )
}

fn python() -> Option<PathBuf> {
    let python = interop().join(".venv/bin/python");
    has("the Python environment of tests/interop", python.is_file()).then_some(python)
}

fn chromium() -> Option<String> {
    let named = std::env::var("PITTURU_CHROMIUM").ok();
    let found = || {
        ["chromium", "chromium-browser", "google-chrome"]
            .into_iter()
            .find(|name| {
                let version = Command::new(name).arg("--version").output();
                version.is_ok_and(|output| output.status.success())
            })
            .map(|name| {
                let which = Command::new("sh")
                    .args(["-c", &format!("command -v {name}")])
                    .output();
                let path = which.expect("sh runs").stdout;
                String::from_utf8_lossy(&path).trim().to_owned()
            })
    };
    let chromium = named.or_else(found);
    has("Chromium", chromium.is_some()).then_some(chromium)?
}

fn run(program: impl AsRef<OsStr>, arguments: &[&str]) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(program.as_ref())
        .args(arguments)
        .current_dir(interop())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
    assert!(status.success(), "{arguments:?}: {status}\n{out}\n{err}");
    assert!(
        out.trim_end().ends_with("ok"),
        "{arguments:?}\n{out}\n{err}"
    );
}

#[test]
fn npm_ws() {
    if !has_node("ws") {
        return;
    }
    let server = Server::start(&["listen.tls=127.0.0.1:0"]);
    run("node", &["ws.mjs", &format!("ws://{}/", server.ws)]);
    let certificate = server.data().join("dev-cert.pem").display().to_string();
    let port = server.tls.expect("TLS is on").port();
    run(
        "node",
        &[
            "ws.mjs",
            &format!("wss://localhost:{port}/ws"),
            &certificate,
        ],
    );
}

#[test]
fn pypi_websockets() {
    let Some(python) = python() else { return };
    let server = Server::start(&[]);
    run(
        python,
        &["websockets_client.py", &format!("ws://{}/", server.ws)],
    );
}

#[test]
fn pypi_picows() {
    let Some(python) = python() else { return };
    let server = Server::start(&[]);
    run(
        python,
        &["picows_client.py", &format!("ws://{}/", server.ws)],
    );
}

#[test]
fn chromium_connects() {
    if !has_node("playwright-core") {
        return;
    }
    let Some(chromium) = chromium() else { return };
    let server = Server::start(&["listen.tls=127.0.0.1:0"]);
    let plain = format!("ws://{}/", server.ws);
    let secure = format!("wss://{}/ws", server.tls.expect("TLS is on"));
    run("node", &["chromium.mjs", &chromium, &plain, &secure]);
}
