//! The connection to the server, and the session that lasts from command to command.

use std::env;
use std::fs;
use std::io::{self, BufRead};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pitturu_client::types::accounts::SignedIn;
use pitturu_client::{Client, ClientOptions, ConnectionState, FileTokens, TokenStore};
use serde_json::json;
use tokio::time::timeout;

use crate::AdminError;
use crate::acts::Shown;
use crate::arguments::ConnectionArguments;

/// How long a call may take, the connection included: a person waits.
const CALL_WITHIN: Duration = Duration::from_secs(15);

/// How long a server that can't be reached is tried again before the command gives up and says why. It may be starting.
const TRIED_FOR: Duration = Duration::from_secs(3);

/// The password, for programs, which have no standard input to spare.
const PASSWORD: &str = "PITTURU_ADMIN_PASSWORD";

/// A client that connects when it is first used.
pub(crate) struct Connection {
    client: Client,
    tokens: FileTokens,
    path: PathBuf,
}

impl Connection {
    /// Begins to connect.
    pub(crate) fn open(arguments: &ConnectionArguments) -> Result<Self, AdminError> {
        let path = match &arguments.tokens {
            Some(path) => path.clone(),
            None => usual_file().ok_or(AdminError::NoHome)?,
        };
        let tokens = FileTokens::new(path.clone());
        let mut options = ClientOptions::new(arguments.url.as_str())
            .tokens(tokens.clone())
            .call_timeout(CALL_WITHIN);
        if let Some(path) = &arguments.trust {
            options = options.trust_pem(fs::read(path)?);
        }
        let client = Client::connect(options)?;
        Ok(Self {
            client,
            tokens,
            path,
        })
    }

    /// Waits for the connection.
    async fn reach(&self) -> Result<(), AdminError> {
        let reached = timeout(CALL_WITHIN, self.connected()).await;
        let silent = "it does not answer".to_owned();
        reached
            .unwrap_or(Err(silent))
            .map_err(AdminError::Unreachable)
    }

    /// Says why there is no connection, once it was tried for long enough.
    async fn connected(&self) -> Result<(), String> {
        let begun = Instant::now();
        let mut connection = self.client.connection();
        loop {
            match &*connection.borrow_and_update() {
                ConnectionState::Offline { why: Some(why), .. } if begun.elapsed() >= TRIED_FOR => {
                    return Err(why.to_string());
                }
                ConnectionState::Offline { .. } | ConnectionState::Connecting => {}
                // From here on calls say what is wrong.
                ConnectionState::CatchingUp
                | ConnectionState::Online
                | ConnectionState::Stopped { .. } => return Ok(()),
            }
            if connection.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    /// Signs in, in place of whoever is.
    pub(crate) async fn sign_in(&self, name: &str) -> Result<Shown, AdminError> {
        let password = password()?;
        self.reach().await?;
        self.leave().await;
        let signed_in = self.client.login(name, &password).await?;
        self.kept(&signed_in).await
    }

    /// Makes an account and signs it in, in place of whoever is.
    pub(crate) async fn register(&self, name: &str) -> Result<Shown, AdminError> {
        let password = password()?;
        self.reach().await?;
        self.leave().await;
        let signed_in = self.client.register(name, &password).await?;
        self.kept(&signed_in).await
    }

    /// Who is signed in, if the tokens are kept for the next command. Otherwise the session, which nobody could use, is ended.
    async fn kept(&self, signed_in: &SignedIn) -> Result<Shown, AdminError> {
        let kept = self.tokens.load().unwrap_or_default();
        if kept.refresh.as_deref() == Some(signed_in.refresh.as_str()) {
            return Ok(shown(signed_in));
        }
        self.client.logout().await?;
        Err(AdminError::NotKept(self.path.clone()))
    }

    /// Ends the session of whoever is signed in.
    async fn leave(&self) {
        if self.has_tokens() {
            // Whose session can't be ended any more has none.
            drop(self.client.logout().await);
        }
    }

    /// Ends the session.
    pub(crate) async fn sign_out(&self) -> Result<Shown, AdminError> {
        self.signed_in().await?.logout().await?;
        Ok(Shown::of(&json!({})))
    }

    /// The client of somebody who is signed in, connected.
    pub(crate) async fn signed_in(&self) -> Result<&Client, AdminError> {
        if !self.has_tokens() {
            return Err(AdminError::SignedOut);
        }
        self.reach().await?;
        Ok(&self.client)
    }

    /// Says goodbye. The session stays.
    pub(crate) fn close(&self) {
        self.client.close();
    }

    fn has_tokens(&self) -> bool {
        let tokens = self.tokens.load().unwrap_or_default();
        tokens.access.is_some() || tokens.refresh.is_some()
    }
}

fn shown(signed_in: &SignedIn) -> Shown {
    let identity = &signed_in.identity;
    Shown::of(&json!({
        "user": identity.user,
        "role": identity.role,
        "session": identity.session,
    }))
}

fn password() -> Result<String, AdminError> {
    if let Ok(password) = env::var(PASSWORD) {
        return Ok(password);
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let password = line.trim_end_matches(['\n', '\r']);
    match password.is_empty() {
        true => Err(AdminError::NoPassword),
        false => Ok(password.to_owned()),
    }
}

/// Where tokens are kept, by the rule of the XDG folders.
fn usual_file() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let state = set("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| Some(PathBuf::from(set("HOME")?).join(".local/state")));
    Some(state?.join("pitturu/admin-tokens"))
}
