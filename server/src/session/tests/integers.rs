//! Every integer of every call at its limits and beyond them.

use pitturu_protocol::codes::Code;
use pitturu_protocol::methods::Access;
use pitturu_protocol::types::system::Resume;
use pitturu_schemas::catalog::Catalog;
use pitturu_schemas::integers;
use pitturu_schemas::wire::to_bytes;
use serde_json::Value;

use super::answers_calls;
use super::world::{Raw, World};
use crate::connections::link::memory::Options;

/// Beyond what any field may hold.
const BEYOND: [i128; 8] = [
    1 << 53,
    (1 << 53) + 1,
    1 << 63,
    (1 << 64) - 1,
    -1,
    -(1 << 53),
    -(1 << 53) - 1,
    -(1 << 63),
];

fn json(integer: i128) -> Value {
    match u64::try_from(integer) {
        Ok(positive) => positive.into(),
        Err(_) => i64::try_from(integer).expect("of 64 bits").into(),
    }
}

#[tokio::test]
async fn every_integer_is_taken_within_its_range_and_refused_by_name_beyond_it() {
    let world = World::new().await;
    let (mut admin, _) = world.registered("root").await;
    let catalog = Catalog::collect();
    let mut places = 0;
    for method in &catalog.methods {
        let name = method.info.name;
        let (mut guest, _) = world.guest(name, Options::default()).await;
        let client = match method.info.access {
            Access::Moderator | Access::Service | Access::Admin => &mut admin,
            _ => &mut guest,
        };
        for place in integers::places(&catalog, method.request.name) {
            places += 1;
            let (min, max) = (i128::from(place.min), i128::from(place.max));
            let limits = [min - 1, min, max, max + 1, 0, (1 << 53) - 1];
            for integer in limits.into_iter().chain(BEYOND) {
                let raw = Raw {
                    method: method.info.number,
                    body: to_bytes(&place.with(json(integer))),
                };
                let key = format!("{}-{integer}", place.path);
                let path = place.path.as_str();
                let outcome = client.call_raw(&raw, &key).await;
                if (min..=max).contains(&integer) {
                    let unfit = outcome.is_err_and(|fault| fault.code == Code::BadRequest);
                    assert!(!unfit, "{name}: {path} = {integer} does not fit");
                    continue;
                }
                let fault = outcome.expect_err(&format!("{name}: {path} = {integer} is taken"));
                assert!(
                    matches!(fault.code, Code::InvalidArgument | Code::BadRequest),
                    "{name}: {path} = {integer}: {fault:?}"
                );
                assert_eq!(fault.field.as_deref(), Some(path), "{name} = {integer}");
            }
        }
        answers_calls(client).await;
        let inbox = Resume {
            epoch: None,
            inbox: Some(0),
            rooms: Vec::new(),
        };
        client.call(&inbox).await.expect("the inbox is readable");
    }
    assert!(places > 30, "only {places} integers were found");
}
