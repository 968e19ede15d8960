use jsonwebtoken::{Algorithm, EncodingKey, Header};
use pitturu_protocol::codes::Code;
use pitturu_store::auth_keys::AuthKeys as _;

use super::{DAY, MINUTE, World, code};
use crate::services::accounts::signing::Claims;

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
    world.accounts.rotate_signing_key(world.now).await.unwrap();
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
    world.accounts.rotate_signing_key(world.now).await.unwrap();
    world.config.signing.access_life_ms = 15 * MINUTE;
    world.restart().await;
    world.now += 30 * MINUTE;
    world.accounts.maintain(world.now).await.unwrap();
    world.identify(&tokens).await.unwrap();
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let world = World::new().await;
    let tokens = world.register("ana").await;
    let key = world.store.signing_keys().await.unwrap().remove(0);
    let claims = Claims {
        sub: tokens.identity.user,
        sid: tokens.identity.session,
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
    let right = sign(&header, &key.secret.0, &claims);
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
        sign(&strong, &key.secret.0, &claims),
        sign(&unnamed, &key.secret.0, &claims),
        sign(&unknown, &key.secret.0, &claims),
        format!("{none}.{body}."),
        format!("{none}.{body}.{signature}"),
        format!("{head}.{body}."),
        format!("{head}.{}.{signature}", &body[..body.len() - 4]),
        format!("{right}.x"),
        String::new(),
        "...".to_owned(),
        "x".repeat(60_000),
        tokens.refresh.clone(),
        sign(
            &header,
            &key.secret.0,
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
        &key.secret.0,
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
