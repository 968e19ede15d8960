//! Sign-ins on their own: a chain of refresh tokens, whose answers get lost now and then.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use pitturu_protocol::codes::{Code, Fault, Retry};
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::accounts::{LoginGuest, Logout, RefreshTokens, SignedIn};
use tokio::time::{Instant, sleep};

use crate::model::Violation;
use crate::players::World;
use crate::raw::one_call;

/// Longest time for a call to get through, with whatever is broken meanwhile.
const PATIENCE: Duration = Duration::from_secs(40);

/// A sign-in as its player knows it.
#[derive(Clone, Debug)]
struct Device {
    account: String,
    newest: String,
    access: String,
    /// Whether the server has said that it is over.
    ended: bool,
    trace: Vec<String>,
}

/// Signs in, refreshes and signs out until the world stops; then looks whether each sign-in is as it should be.
pub async fn drill(world: Arc<World>, address: SocketAddr, number: u64) -> Vec<Violation> {
    let mut rng = Rng::with_seed(world.seed.wrapping_add(number));
    let mut devices = Vec::new();
    let mut violations = Vec::new();
    while !world.has_stopped() {
        match devices.len() {
            0..6 => devices.extend(sign_in(&world, address, number).await),
            count => {
                let device: &mut Device = &mut devices[rng.usize(..count)];
                if device.ended {
                    violations.extend(stays_out(&world, address, device).await);
                    devices.retain(|device| !device.ended);
                } else {
                    violations.extend(step(&world, address, device, &mut rng).await);
                }
            }
        }
        sleep(Duration::from_millis(rng.u64(..60))).await;
    }
    for device in &mut devices {
        let found = match device.ended {
            true => stays_out(&world, address, device).await,
            false => goes_on(&world, address, device).await,
        };
        violations.extend(found);
    }
    violations
}

/// Repeats a call under its key until the server has an answer that lasts. `None`: it took too long.
async fn insist<M: Method>(
    address: SocketAddr,
    token: Option<&str>,
    request: &M,
    key: &str,
) -> Option<Result<M::Reply, Fault>> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        match one_call(address, token.map(str::to_owned), request, key).await {
            Some(Err(fault)) if fault.code.retry() == Retry::Later => {}
            Some(answer) => return Some(answer),
            None => {}
        }
        sleep(Duration::from_millis(40)).await;
    }
    None
}

async fn sign_in(world: &World, address: SocketAddr, number: u64) -> Option<Device> {
    let account = format!("{:-<32}", format!("drill-{:x}-{number}", world.seed));
    let request = LoginGuest {
        secret: account.clone(),
        name: Some("drill".to_owned()),
        device: None,
    };
    let key = format!("{account}-{}", world.number());
    let signed_in = insist(address, None, &request, &key).await?.ok()?;
    Some(Device {
        account,
        newest: signed_in.refresh,
        access: signed_in.access,
        ended: false,
        trace: vec!["signed in".to_owned()],
    })
}

fn violation(device: &Device, message: String) -> Violation {
    Violation {
        rule: "tokens",
        subject: format!("a sign-in of {}", device.account),
        message,
        trace: device.trace.clone(),
    }
}

async fn refresh(
    world: &World,
    address: SocketAddr,
    device: &mut Device,
) -> Option<(RefreshTokens, String, Result<SignedIn, Fault>)> {
    let request = RefreshTokens {
        refresh: device.newest.clone(),
    };
    let key = format!("{}-{}", device.account, world.number());
    let answer = insist(address, None, &request, &key).await?;
    let told = answer.as_ref().map(|_| "new tokens");
    device.trace.push(format!(
        "refresh under {key}: {:?}",
        told.map_err(|fault| fault.code)
    ));
    Some((request, key, answer))
}

/// One step of a sign-in that lasts.
async fn step(
    world: &World,
    address: SocketAddr,
    device: &mut Device,
    rng: &mut Rng,
) -> Option<Violation> {
    if rng.u8(..10) == 0 {
        return log_out(world, address, device).await;
    }
    let (request, key, answer) = refresh(world, address, device).await?;
    let signed_in = match answer {
        Ok(signed_in) => signed_in,
        Err(fault) => {
            let message = format!(
                "its newest refresh token was refused: {}",
                fault.code.name()
            );
            return Some(violation(device, message));
        }
    };
    let used = std::mem::replace(&mut device.newest, signed_in.refresh);
    device.access = signed_in.access;
    match rng.u8(..10) {
        0..3 => {
            // As if the answer had been lost.
            let again = insist(address, None, &request, &key).await?;
            device
                .trace
                .push(format!("the same again: {}", again.is_ok()));
            match again {
                Ok(again) if again.refresh == device.newest => None,
                Ok(_) => Some(violation(
                    device,
                    "a repeated refresh gave another token".to_owned(),
                )),
                Err(fault) => {
                    let message = format!("a repeated refresh was refused: {}", fault.code.name());
                    Some(violation(device, message))
                }
            }
        }
        3 => {
            // As if the token had been stolen.
            let request = RefreshTokens { refresh: used };
            let key = format!("{}-{}", device.account, world.number());
            let stolen = insist(address, None, &request, &key).await?;
            device.ended = true;
            device.trace.push(format!(
                "the used token under {key}: {:?}",
                stolen.as_ref().map(|_| ()).map_err(|fault| fault.code)
            ));
            match stolen {
                Err(fault) if ends_session(fault.code) => None,
                Err(fault) => {
                    let message = format!("a used token was refused with {}", fault.code.name());
                    Some(violation(device, message))
                }
                Ok(_) => Some(violation(device, "a used token gave new ones".to_owned())),
            }
        }
        _ => None,
    }
}

const fn ends_session(code: Code) -> bool {
    matches!(code, Code::RefreshReused | Code::TokenInvalid)
}

async fn log_out(world: &World, address: SocketAddr, device: &mut Device) -> Option<Violation> {
    let key = format!("{}-{}", device.account, world.number());
    let answer = insist(address, Some(&device.access), &Logout {}, &key).await?;
    device.trace.push(format!(
        "log out: {:?}",
        answer.as_ref().map(|_| ()).map_err(|fault| fault.code)
    ));
    if answer.is_ok() {
        device.ended = true;
        return None;
    }
    // An attempt whose answer was lost may have ended it, or a clock that jumped the life of its access token.
    match refresh(world, address, device).await? {
        (_, _, Ok(signed_in)) => {
            device.newest = signed_in.refresh;
            device.access = signed_in.access;
        }
        (_, _, Err(_)) => device.ended = true,
    }
    None
}

/// A sign-in that is over gives no tokens any more.
async fn stays_out(world: &World, address: SocketAddr, device: &mut Device) -> Option<Violation> {
    let (_, _, answer) = refresh(world, address, device).await?;
    answer.ok().map(|_| {
        let message = "it was over, and its token gave new ones".to_owned();
        violation(device, message)
    })
}

/// A sign-in that nobody has ended gives new tokens.
async fn goes_on(world: &World, address: SocketAddr, device: &mut Device) -> Option<Violation> {
    let (_, _, answer) = refresh(world, address, device).await?;
    answer.err().map(|fault| {
        let message = format!(
            "it was not over, and its token was refused: {}",
            fault.code.name()
        );
        violation(device, message)
    })
}
