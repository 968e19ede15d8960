//! What tests do where there can be no link.

use std::env;
use std::fs::OpenOptions;
use std::io::Write;

use crate::conditions::Conditions;
use crate::link::{LossyLink, OpenError};

/// A link for a test, or none where this machine has none: then it says so, here and at the end of `make test`, and the test has
/// nothing to do.
///
/// # Panics
/// With `PITTURU_REQUIRE_ALL=1`, where what is missing could be installed. Rights and devices that the machine does not give are left out
/// there as well: nothing that the tests could do would get them.
#[allow(clippy::print_stderr, reason = "tests say there what is left out")]
pub fn open_or_leave_out(conditions: Conditions) -> Option<LossyLink> {
    let error = match LossyLink::new(conditions) {
        Ok(link) => return Some(link),
        Err(error) => error,
    };
    let line = format!("tests over a lossy link: {error}");
    let is_required = env::var_os("PITTURU_REQUIRE_ALL").is_some_and(|value| value == "1");
    let is_given = matches!(error, OpenError::Namespace(_) | OpenError::Tun(_));
    assert!(
        !is_required || is_given,
        "nothing may be left out, but: {line}"
    );
    eprintln!("\n!!! LEFT OUT: {line}\n");
    // The test runner shows no output of a test that passes; the end of `make test` shows this list.
    if let Some(list) = env::var_os("PITTURU_LEFT_OUT") {
        let list = OpenOptions::new().append(true).create(true).open(list);
        let written = list.and_then(|mut list| writeln!(list, "{line}"));
        written.expect("the list of what is left out can be written");
    }
    None
}
