use jsonwebtoken::{Algorithm, EncodingKey, Header};
use pitturu_protocol::codes::Code;
use pitturu_protocol::types::accounts::{IssuePasswordReset, RefreshTokens, Role};
use pitturu_store::auth_keys::AuthKeys as _;
use pitturu_store::master_keys::MasterKeys;

use super::{DAY, MINUTE, START, World, code, keyed};
use crate::services::accounts::masters::Masters;
use crate::services::accounts::signing::Claims;
use crate::services::accounts::tokens::{self, RefreshOf, TokenMaker};

async fn kids(world: &World) -> Vec<String> {
    let keys = world.store.signing_keys().await.unwrap();
    keys.into_iter().map(|key| key.kid).collect()
}

#[tokio::test]
async fn keys_are_replaced_by_age_and_old_ones_verify_for_a_tokens_life() {
    let mut world = World::new().await;
    let tokens = world.register("ana").await;
    let first = kids(&world).await;
    assert_eq!(first.len(), 1);
    world.accounts.maintain(world.now + 29 * DAY).await.unwrap();
    assert_eq!(kids(&world).await, first);

    world.now += 30 * DAY;
    let old = world.refresh(&tokens.refresh).await.unwrap();
    world.accounts.maintain(world.now).await.unwrap();
    assert_eq!(kids(&world).await.len(), 2);
    let new = world.refresh(&old.refresh).await.unwrap();
    assert_ne!(kid(&old.access), kid(&new.access));
    world.identify(&old).await.expect("signed with the old key");
    world.identify(&new).await.unwrap();

    world.now += 15 * MINUTE - 1_000;
    world.accounts.maintain(world.now).await.unwrap();
    world.identify(&old).await.expect("still in its time");
    world.now += 1_000;
    world.accounts.maintain(world.now).await.unwrap();
    assert_eq!(kids(&world).await.len(), 1);
    assert_eq!(
        code(world.identify(&old).await),
        Code::TokenInvalid,
        "its key is gone"
    );
    assert_eq!(code(world.identify(&new).await), Code::TokenExpired);
    world.restart().await;
    assert_eq!(kids(&world).await.len(), 1);
    world.refresh(&new.refresh).await.unwrap();
}

#[tokio::test]
async fn a_key_that_was_not_yet_deleted_verifies_no_longer_either() {
    let mut world = World::new().await;
    let tokens = world.register("ana").await;
    world.accounts.rotate_keys(world.now).await.unwrap();
    world.now += 15 * MINUTE;
    assert_eq!(kids(&world).await.len(), 2);
    assert_eq!(code(world.identify(&tokens).await), Code::TokenInvalid);
}

#[tokio::test]
async fn a_start_can_force_a_new_key() {
    let mut world = World::new().await;
    let tokens = world.register("ana").await;
    world.config.signing.rotate_at_start = true;
    world.restart().await;
    assert_eq!(kids(&world).await.len(), 2);
    world.identify(&tokens).await.unwrap();
    assert_ne!(
        kid(&world.login("ana", super::PASSWORD).await.unwrap().access),
        kid(&tokens.access)
    );
}

#[tokio::test]
async fn a_longer_life_in_the_configuration_keeps_old_keys_longer() {
    let mut world = World::new().await;
    world.config.signing.access_life_ms = 60 * MINUTE;
    world.restart().await;
    let tokens = world.register("ana").await;
    world.accounts.rotate_keys(world.now).await.unwrap();
    world.config.signing.access_life_ms = 15 * MINUTE;
    world.restart().await;
    world.now += 30 * MINUTE;
    world.accounts.maintain(world.now).await.unwrap();
    world.identify(&tokens).await.unwrap();
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let world = World::new().await;
    let ana = world.register("ana").await;
    let key = world.store.signing_keys().await.unwrap().remove(0);
    let claims = Claims {
        sub: ana.identity.user,
        sid: ana.identity.session,
        role: super::Role::Admin,
        guest: false,
        iat: world.now / 1_000,
        exp: world.now / 1_000 + 900,
        jti: "x".to_owned(),
    };
    let sign = |header: &Header, secret: &[u8], claims: &Claims| {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(secret)).unwrap()
    };
    let header = Header {
        kid: Some(key.kid.clone()),
        ..Header::new(Algorithm::HS256)
    };
    let master = world.accounts.masters.newest();
    let secret = tokens::derived(&master, b"sign", &key.secret.0);
    let right = sign(&header, &secret, &claims);
    let identity = world.accounts.identify(&right, world.now).await.unwrap();
    assert_eq!(
        identity.role,
        super::Role::Player,
        "the stored role counts, not the token's"
    );

    let strong = Header {
        alg: Algorithm::HS512,
        ..header.clone()
    };
    let unnamed = Header {
        kid: None,
        ..header.clone()
    };
    let unknown = Header {
        kid: Some("0000".to_owned()),
        ..header.clone()
    };
    let [head, body, signature] = right.split('.').collect::<Vec<_>>()[..] else {
        panic!()
    };
    // {"alg":"none","typ":"JWT"}
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    let forged = [
        sign(&header, &[0; 32], &claims),
        sign(&strong, &secret, &claims),
        sign(&unnamed, &secret, &claims),
        sign(&unknown, &secret, &claims),
        format!("{none}.{body}."),
        format!("{none}.{body}.{signature}"),
        format!("{head}.{body}."),
        format!("{head}.{}.{signature}", &body[..body.len() - 4]),
        format!("{right}.x"),
        String::new(),
        "...".to_owned(),
        "x".repeat(60_000),
        ana.refresh.clone(),
        sign(
            &header,
            &secret,
            &Claims {
                sid: pitturu_protocol::ids::SessionId::from_bytes([3; 10]),
                ..claims.clone()
            },
        ),
    ];
    for token in forged {
        let result = world.accounts.identify(&token, world.now).await;
        assert_eq!(code(result), Code::TokenInvalid, "{token}");
    }
    let late = sign(
        &header,
        &secret,
        &Claims {
            exp: world.now / 1_000,
            ..claims
        },
    );
    assert_eq!(
        code(world.accounts.identify(&late, world.now).await),
        Code::TokenExpired
    );
}

fn kid(access: &str) -> String {
    jsonwebtoken::decode_header(access).unwrap().kid.unwrap()
}

/// Who has a copy of the store, and knows how tokens are made.
#[tokio::test]
async fn a_copy_of_the_store_forges_nothing() {
    let mut world = World::new().await;
    let request = super::login("ana", super::PASSWORD);
    world.register("ana").await;
    let caller = keyed(world.anyone(), "k", &request);
    let tokens = world.accounts.login(&caller, request).await.unwrap();
    let claims = Claims {
        sub: tokens.identity.user,
        sid: tokens.identity.session,
        role: Role::Admin,
        guest: false,
        iat: world.now / 1_000,
        exp: world.now / 1_000 + 600,
        jti: "x".to_owned(),
    };
    for key in world.store.signing_keys().await.unwrap() {
        let header = Header {
            kid: Some(key.kid),
            ..Header::new(Algorithm::HS256)
        };
        let signing = EncodingKey::from_secret(&key.secret.0);
        let forged = jsonwebtoken::encode(&header, &claims, &signing).unwrap();
        let identified = world.accounts.identify(&forged, world.now).await;
        assert_eq!(code(identified), Code::TokenInvalid);
    }
    // With the master keys as well, but from before the last refresh.
    let path = world.masters.path().join("master");
    let stolen = MasterKeys::open(&path, [0; 32], 0).unwrap();
    let thief = TokenMaker::new(Masters::new(stolen));
    let sessions = world.players.sessions(tokens.identity.user).await.unwrap();
    let current = world.refresh(&tokens.refresh).await.unwrap();
    let about = RefreshOf {
        user: tokens.identity.user,
        session: tokens.identity.session,
        generation: 1,
    };
    let known = sessions.iter().map(|row| row.nonce).chain([[0; 16]]);
    for nonce in known {
        let forged = thief.refresh(about, nonce).text;
        assert_ne!(forged, current.refresh);
        assert_eq!(code(world.refresh(&forged).await), Code::TokenInvalid);
    }
    world.restart().await;
    world.refresh(&current.refresh).await.unwrap();
}

#[tokio::test]
async fn without_the_master_keys_access_tokens_lapse_and_refresh_tokens_hold() {
    let mut world = World::new().await;
    let first = world.register("ana").await;
    let tokens = world.refresh(&first.refresh).await.unwrap();
    std::fs::remove_file(world.masters.path().join("master")).unwrap();
    world.restart().await;
    assert_eq!(code(world.identify(&tokens).await), Code::TokenInvalid);
    let used = world.refresh(&first.refresh).await;
    assert_eq!(code(used), Code::TokenInvalid, "nobody knows who made it");
    let next = world.refresh(&tokens.refresh).await.unwrap();
    world.identify(&next).await.unwrap();
}

#[tokio::test]
async fn a_rotation_of_the_master_key_loses_no_token_and_no_repetition() {
    let mut world = World::new().await;
    let root = world.register("root").await;
    let first = world.register("ana").await;
    let request = RefreshTokens {
        refresh: first.refresh.clone(),
    };
    let caller = keyed(world.anyone(), "r", &request);
    let second = world
        .accounts
        .refresh_tokens(&caller, request.clone())
        .await
        .unwrap();
    let reset = IssuePasswordReset {
        user: first.identity.user,
    };
    let admin = keyed(world.signed_in(&root.identity), "p", &reset);
    let issued = world
        .accounts
        .issue_password_reset(&admin, reset.clone())
        .await
        .unwrap();
    for _ in 0..3 {
        world.accounts.rotate_keys(world.now).await.unwrap();
        world.restart().await;
        world.identify(&second).await.unwrap();
        let again = world
            .accounts
            .refresh_tokens(&caller, request.clone())
            .await;
        assert_eq!(again.unwrap().refresh, second.refresh);
        let again = world
            .accounts
            .issue_password_reset(&admin, reset.clone())
            .await;
        assert_eq!(again.unwrap(), issued);
    }
    let third = world.refresh(&second.refresh).await.unwrap();
    assert_eq!(
        code(world.refresh(&second.refresh).await),
        Code::RefreshReused
    );
    assert_eq!(
        code(world.refresh(&third.refresh).await),
        Code::TokenInvalid
    );
}

#[tokio::test]
async fn the_master_key_is_replaced_by_age() {
    let mut world = World::new().await;
    let path = world.masters.path().join("master");
    let count = || MasterKeys::open(&path, [0; 32], 0).unwrap().all().count();
    world.accounts.maintain(world.now + 29 * DAY).await.unwrap();
    assert_eq!(count(), 1);
    for months in 1..=6 {
        world.now = START + months * 30 * DAY;
        world.accounts.maintain(world.now).await.unwrap();
        world.accounts.maintain(world.now).await.unwrap();
        // What was made with one is good for 90 days from its end.
        assert_eq!(count() as u64, (months + 1).min(4));
    }
}
