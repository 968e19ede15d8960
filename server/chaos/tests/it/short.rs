//! A few rounds of the harness with fixed seeds: every kind of fault that needs no special right, half a minute in all.

use std::process::Command;

use crate::PROGRAM;

#[test]
fn broken_in_every_way_the_server_keeps_its_promises() {
    let ran = Command::new(&*PROGRAM).arg("--short").output().unwrap();
    println!("{}", String::from_utf8_lossy(&ran.stdout));
    eprintln!("{}", String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{}", ran.status);
}
