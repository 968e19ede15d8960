//! `pitturu admin`: what the staff does from a shell, on any machine that reaches the server as players do.
//!
//! It is a client like any other: it signs in as one of the staff, and the server decides what they may. Nothing here
//! reads the server's files or its configuration.
//!
//! - [`arguments`]: what may be typed; `acts`: which calls that makes; `printing`: how answers are shown;
//! - `connecting`: the connection and the tokens that are kept between commands.

mod acts;
pub mod arguments;
mod connecting;
mod printing;
mod times;

use std::io::{self, Write};
use std::path::PathBuf;

use pitturu_client::{CallError, InvalidOptions, one_line};

use self::acts::Shown;
use self::arguments::{Admin, Command};
use self::connecting::Connection;

/// Why a command has not done what it was to do.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The server refused, or did not answer in time. What it says is shown as what strangers wrote.
    #[error("{}", one_line(&.0.to_string()))]
    Call(#[from] CallError),
    /// There is no connection to be had.
    #[error("the server can't be reached: {}", one_line(.0))]
    Unreachable(String),
    /// The address of the server, or the certificate to trust, can't be used.
    #[error("{0}")]
    Options(#[from] InvalidOptions),
    /// A file can't be read, or the answer not be written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The tokens could not be written, and the session was ended again.
    #[error("the tokens can't be kept in {}: its folder has to be one that this user may write into, or --tokens names another file", one_line(&.0.display().to_string()))]
    NotKept(PathBuf),
    /// Nobody is signed in.
    #[error("nobody is signed in: `pitturu admin sign-in NAME` comes first")]
    SignedOut,
    /// The folder for tokens is not known.
    #[error("there is no home folder for tokens: name a file with --tokens")]
    NoHome,
    /// No password came.
    #[error("no password came on standard input, nor by PITTURU_ADMIN_PASSWORD")]
    NoPassword,
    /// The audit log is not whole.
    #[error("{0} faults in the audit log")]
    AuditLog(u64),
}

impl AdminError {
    /// The exit code of the process: 2 for what can't be right, whichever server is asked.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Options(_) => 2,
            _ => 1,
        }
    }
}

/// Carries a command out, and writes what came of it.
///
/// # Errors
/// [`AdminError`].
pub async fn run(admin: Admin, out: &mut impl Write) -> Result<(), AdminError> {
    let Admin {
        connection,
        json,
        command,
    } = admin;
    let connection = Connection::open(&connection)?;
    let done = carry_out(&connection, command).await;
    connection.close();
    let shown = done?;
    printing::print(out, &shown.value, json)?;
    match shown.faults {
        0 => Ok(()),
        faults => Err(AdminError::AuditLog(faults)),
    }
}

async fn carry_out(connection: &Connection, command: Command) -> Result<Shown, AdminError> {
    Ok(match command {
        Command::SignIn { name } => connection.sign_in(&name).await?,
        Command::Register { name } => connection.register(&name).await?,
        Command::SignOut => connection.sign_out().await?,
        Command::Player(command) => acts::of_player(connection.signed_in().await?, command).await?,
        Command::Room(command) => acts::of_room(connection.signed_in().await?, command).await?,
        Command::Report(command) => {
            acts::of_reports(connection.signed_in().await?, command).await?
        }
        Command::AuditLog(command) => {
            acts::of_audit_log(connection.signed_in().await?, command).await?
        }
    })
}

#[cfg(test)]
mod tests {
    use pitturu_client::{Code, Fault};

    use super::*;

    #[test]
    fn what_a_server_refuses_with_commands_no_terminal() {
        let fault = Fault::new(Code::Forbidden, "muted: \u{1b}[2Jbye\n\u{202e}Mina \u{9b}");
        let said = AdminError::from(CallError::from(fault)).to_string();
        assert!(said.contains("[2Jbye"), "{said:?}");
        assert_eq!(one_line(&said), said);
    }
}
