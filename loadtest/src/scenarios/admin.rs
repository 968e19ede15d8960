//! An admin among the players, who is listed in `accounts.admins`.

use pitturu_protocol::codes::Code;
use pitturu_protocol::types::accounts::{Login, Register};

use crate::player::{Failed, Player};
use crate::thread_players::ThreadPlayers;

/// The admin's password.
const PASSWORD: &str = "a password for tests";

/// The admin of this name, signed in, and a token for further connections. The account is made by whoever comes first.
pub(super) async fn sign_in(
    thread: &ThreadPlayers,
    name: &str,
) -> Result<(Player, String), Failed> {
    let route = thread.plan.route(thread.players.start);
    let mut player = Player::connect(route, None, &thread.tally).await?;
    let register = Register {
        username: name.to_owned(),
        password: PASSWORD.to_owned(),
        name: None,
        email: None,
        device: None,
    };
    let signed_in = match player.call(&register).await {
        Err(Failed::Refused(fault)) if fault.code == Code::UsernameTaken => {
            let login = Login {
                username: name.to_owned(),
                password: PASSWORD.to_owned(),
                device: None,
                known: None,
            };
            player.call(&login).await?
        }
        registered => registered?,
    };
    Ok((player, signed_in.access))
}

/// A connection that is signed in by its greeting.
pub(super) async fn connect(
    thread: &ThreadPlayers,
    number: u64,
    token: String,
) -> Result<Player, Failed> {
    let player = Player::connect(thread.plan.route(number), Some(token), &thread.tally).await?;
    match player.token_refused() {
        Some(fault) => Err(Failed::Refused(fault)),
        None => Ok(player),
    }
}
