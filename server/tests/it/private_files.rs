//! What the server writes is its owner's alone, and a folder that is not is refused.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pitturu_protocol::types::accounts::LoginGuest;

use crate::launch::{Server, program};
use crate::player::Player;

fn below(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_path_buf()];
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            found.extend(below(&entry.unwrap().path()));
        }
    }
    found
}

#[test]
fn all_that_is_written_is_its_owners_alone() {
    let server = Server::start(&["listen.tls=127.0.0.1:0"]);
    let secret = "0123456789abcdef".to_owned();
    let guest = LoginGuest {
        secret,
        name: None,
        device: None,
    };
    Player::connect(server.ws).call(&guest).unwrap();
    let folder = server.folder();
    let data = folder.path().join("data");
    let found = below(folder.path());
    assert!(found.contains(&folder.path().join("data.master")));
    assert!(found.len() > 10, "{found:?}");
    // All but the folder of the test.
    for path in &found[1..] {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} {mode:o}", path.display());
    }
    drop(server);

    fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
    let refused = program()
        .args(["--dev", "--listen", "127.0.0.1:0", "--data"])
        .arg(&data)
        .args(["--set", "ops.listen=127.0.0.1:0"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(3));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    let command = format!("chmod 700 '{}'", data.display());
    assert!(said.contains(&command), "{said}");
}
