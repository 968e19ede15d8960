//! Everybody's sign-up, on a server that nobody has broken yet.

use std::net::SocketAddr;

use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::accounts::{LoginGuest, Register, Role, SetRole, SignedIn};
use tokio::task::JoinSet;

use super::world::Person;
use crate::raw::one_call;
use crate::server::ADMIN;

/// Services: an admin and servers of the game.
pub const SERVICES: u32 = 4;

/// Sign-ups at the same time.
const AT_ONCE: u32 = 32;

/// Signs everybody up: services first, an admin at their head, then so many players.
///
/// # Errors
/// Says who could not sign up.
pub async fn sign_up(address: SocketAddr, seed: u64, players: u32) -> Result<Vec<Person>, String> {
    let admin = Register {
        username: ADMIN.to_owned(),
        password: "correct horse battery".to_owned(),
        name: None,
        email: None,
        device: None,
    };
    let key = format!("{:-<32}", format!("ledger-admin-{seed:x}"));
    let admin = answered(one_call(address, None, &admin, &key).await, "the admin")?;
    for number in 1..SERVICES {
        let service = guest(address, seed, number, "first").await?;
        give_role(address, &admin.access, service.identity.user, number).await?;
    }
    let mut signing = JoinSet::new();
    for part in 0..AT_ONCE {
        signing.spawn(async move {
            let mut people = Vec::new();
            // A service signs in once more: its token knows its role then.
            let mine = (1..SERVICES + players).filter(|number| number % AT_ONCE == part);
            for number in mine {
                let signed_in = guest(address, seed, number, "again").await?;
                people.push((number, person(signed_in)));
            }
            Ok::<_, String>(people)
        });
    }
    let mut people = vec![(0, person(admin))];
    while let Some(signed) = signing.join_next().await {
        people.extend(signed.map_err(|error| error.to_string())??);
    }
    people.sort_by_key(|(number, _)| *number);
    Ok(people.into_iter().map(|(_, person)| person).collect())
}

fn person(signed_in: SignedIn) -> Person {
    Person {
        user: signed_in.identity.user,
        token: signed_in.access,
    }
}

fn answered<T>(answer: Option<Result<T, Fault>>, who: &str) -> Result<T, String> {
    let answer = answer.ok_or_else(|| format!("{who} has no answer"))?;
    answer.map_err(|fault| format!("{who} is refused: {fault:?}"))
}

async fn guest(
    address: SocketAddr,
    seed: u64,
    number: u32,
    time: &str,
) -> Result<SignedIn, String> {
    let secret = format!("{:-<32}", format!("ledger-{seed:x}-{number}"));
    let request = LoginGuest {
        secret: secret.clone(),
        name: Some(format!("p{number}")),
        device: None,
    };
    let who = format!("person {number}");
    let key = format!("{secret}-{time}");
    answered(one_call(address, None, &request, &key).await, &who)
}

async fn give_role(
    address: SocketAddr,
    token: &str,
    user: UserId,
    number: u32,
) -> Result<(), String> {
    let role = Role::Service;
    let request = SetRole { user, role };
    let key = format!("role-{number}");
    let answer = one_call(address, Some(token.to_owned()), &request, &key).await;
    answered(answer, SetRole::NAME).map(|_| ())
}
