//! The example configurations, the unit and the image: the server starts with them, and they agree with each other.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{replaced, text};
use crate::launch::program;

const DIRECT: &str = "deploy/pitturu.toml";
const CONTAINER: &str = "deploy/pitturu.container.toml";
const UNIT: &str = "deploy/pitturu.service";
const IMAGE: &str = "deploy/Containerfile";

/// Open files beside those of connections, on a machine with some tens of cores.
const OTHER_FILES: u64 = 1_200;

/// Values of a directive of the unit.
fn directive(name: &str) -> Vec<String> {
    let unit = text(UNIT);
    let lines = unit.lines();
    lines
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .map(str::to_owned)
        .collect()
}

/// The environment that the image sets.
fn environment() -> Vec<(String, String)> {
    let image = text(IMAGE);
    let (_, behind) = image.split_once("\nENV ").unwrap();
    let mut set = Vec::new();
    for line in behind.lines() {
        let (name, value) = line.trim().trim_end_matches(" \\").split_once('=').unwrap();
        set.push((name.to_owned(), value.to_owned()));
        if !line.ends_with('\\') {
            break;
        }
    }
    assert_eq!(set.len(), 3, "{set:?}");
    set
}

/// The configuration of the example in folders that exist here, with a certificate, on free ports.
fn adapted(example: &str, folder: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let here = folder.display();
    std::fs::write(folder.join("fullchain.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("privkey.pem"), made.signing_key.serialize_pem()).unwrap();
    let mut adapted = replaced(&text(example), "/etc/pitturu/", &format!("{here}/"));
    let listens = if example == DIRECT { ":443" } else { ":7443" };
    adapted = replaced(&adapted, &format!("[::]{listens}"), "127.0.0.1:0");
    if example == DIRECT {
        adapted = replaced(&adapted, "/var/lib/pitturu\"", &format!("{here}/data\""));
        adapted = replaced(&adapted, "/var/lib/pitturu-keys/", &format!("{here}/"));
        adapted = replaced(&adapted, "127.0.0.1:7351", "127.0.0.1:0");
    }
    adapted
}

/// Starts the server, without development mode, until it is ready, and stops it in order.
fn starts(mut command: Command) {
    let mut server = command
        .args(["--set", "listen.ws=127.0.0.1:0"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(server.stderr.take().unwrap()).lines();
    let mut said = Vec::new();
    for line in lines.map_while(Result::ok) {
        let is_ready = line.contains("\"message\":\"ready\"");
        said.push(line);
        if is_ready {
            let pid = server.id().to_string();
            Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        }
    }
    let status = server.wait().unwrap();
    let said = said.join("\n");
    assert!(status.success(), "{status}\n{said}");
    assert!(said.contains("\"message\":\"ready\""), "{said}");
    // A warning is of something that an operator has to mend.
    assert!(!said.contains("needs a restart"), "{said}");
    assert!(!said.contains("has no effect"), "{said}");
}

#[test]
fn a_server_starts_with_the_example_for_one_machine() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pitturu.toml");
    std::fs::write(&file, adapted(DIRECT, folder.path())).unwrap();
    let mut command = program();
    command.arg("--config").arg(&file);
    starts(command);
    assert!(folder.path().join("master").exists());
}

#[test]
fn a_server_starts_with_the_image_s_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pitturu.toml");
    std::fs::write(&file, adapted(CONTAINER, folder.path())).unwrap();
    let mut command = program();
    command.arg("--config").arg(&file);
    for (name, value) in environment() {
        let value = match name.as_str() {
            "PITTURU_OPS__LISTEN" => replaced(&value, "0.0.0.0:7351", "127.0.0.1:0"),
            _ => format!("{}{value}", folder.path().display()),
        };
        command.env(name, value);
    }
    std::fs::create_dir(folder.path().join("keys")).unwrap();
    starts(command);
    assert!(folder.path().join("keys/master").exists());
}

#[test]
fn the_unit_agrees_with_the_configuration() {
    let config: toml::Table = text(DIRECT).parse().unwrap();
    let key = |section: &str, key: &str| config[section][key].clone();
    let states = directive("StateDirectory").join(" ");
    let states: Vec<String> = states
        .split(' ')
        .map(|name| format!("/var/lib/{name}"))
        .collect();
    let store = key("store", "dir");
    assert!(states.contains(&store.as_str().unwrap().to_owned()));
    let master = key("accounts", "master_file");
    let keys = Path::new(master.as_str().unwrap()).parent().unwrap();
    assert!(states.contains(&keys.display().to_string()));
    assert_eq!(directive("StateDirectoryMode"), ["0700"]);

    let files: u64 = directive("LimitNOFILE")[0].parse().unwrap();
    let connections = key("listen", "connections_max").as_integer().unwrap();
    assert!(files > u64::try_from(connections).unwrap() + OTHER_FILES);

    let stop = &directive("TimeoutStopSec")[0];
    let stop: u64 = stop.trim_end_matches('s').parse().unwrap();
    let shutdown = pitturu_server::config::table::KEYS
        .iter()
        .find(|key| key.name == "server.shutdown_timeout")
        .unwrap();
    let shutdown: u64 = shutdown.default.trim_end_matches('s').parse().unwrap();
    assert!(Duration::from_secs(stop) > 2 * Duration::from_secs(shutdown));
    assert_eq!(directive("KillSignal"), ["SIGTERM"]);
    assert_eq!(directive("ExecReload"), ["/bin/kill -HUP $MAINPID"]);
}
