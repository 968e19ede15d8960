//! What the game is before the first fault, and after the last one.

use fastrand::Rng;
use pitturu_client::{CallError, Client, ClientOptions};
use pitturu_protocol::types::accounts::{Register, Role, SetRole};
use pitturu_protocol::types::points::GrantPoints;

use super::Worker;
use crate::game::BOARDS;
use crate::players::World;
use crate::record::Outcome;
use crate::server::{ADMIN, ADMIN_PASSWORD};

/// Points that everybody has to begin with: so few that some wallets come to be empty.
const GRANTED: u64 = 500;

/// Note of the points that everybody has to begin with.
pub const GRANT_NOTE: &str = "to begin with";

/// Gives everybody points, and services their role, as an admin.
pub(super) async fn begin_game(world: &World) -> Result<(), String> {
    let options = ClientOptions::new(format!("ws://{}", world.address));
    let admin = Client::connect(options).map_err(|error| error.to_string())?;
    let register = Register {
        username: ADMIN.to_owned(),
        password: ADMIN_PASSWORD.to_owned(),
        name: None,
        email: None,
        device: None,
    };
    let refused = |error: CallError| format!("the admin could not: {error}");
    admin.call(register).await.map_err(refused)?;
    for player in &world.players {
        let grant = GrantPoints {
            user: player.user,
            amount: GRANTED,
            reference: None,
            note: GRANT_NOTE.to_owned(),
        };
        admin.call(grant).await.map_err(refused)?;
    }
    for service in world.services {
        let role = SetRole {
            user: world.players[service].user,
            role: Role::Service,
        };
        admin.call(role).await.map_err(refused)?;
    }
    admin.close();
    Ok(())
}

/// On a server at rest everybody follows every leaderboard, and then each of them changes once more: so followers have to hear of it.
///
/// # Errors
/// Says who could not.
pub async fn last_word(world: &World) -> Result<(), String> {
    let mut rng = Rng::with_seed(world.seed);
    for board in BOARDS {
        for player in &world.players {
            let mut worker = Worker::new(world, player, &mut rng);
            let followed = worker.follow(board).await;
            if !matches!(followed, Outcome::Done(_)) {
                let name = &player.name;
                return Err(format!("{name} follows {}: {followed:?}", board.name));
            }
        }
    }
    let service = &world.players[world.services[0]];
    for board in BOARDS {
        let user = world.players[rng.usize(..world.players.len())].user;
        let submitted = Worker::new(world, service, &mut rng)
            .submit(board, user)
            .await;
        if !matches!(submitted, Outcome::Done(_)) {
            return Err(format!("a score for {}: {submitted:?}", board.name));
        }
    }
    Ok(())
}
