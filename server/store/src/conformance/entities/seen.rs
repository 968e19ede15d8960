//! Everything that readers see of the entities that the suite knows.

use pitturu_protocol::ids::UserId;

use super::super::user;
use super::entity;
use crate::entities::{
    Applied, Bounds, Entities, EntityId, Glance, Head, KeyedResult, List, LoadedPart, Part, Row,
    RowRange, Undelivered,
};

/// Entities that are looked at.
pub(crate) const ENTITIES: u8 = 6;

/// Lists that are looked at, numbered from 0.
pub(crate) const LISTS: u8 = 3;

/// Keys of players whose results are looked for.
pub(crate) const KEYS: [&str; 3] = ["key", "k", "key2"];

/// Rows that are looked at on their own.
pub(crate) const ROWS: [&[u8]; 3] = [b"same", b"a", b"gone"];

/// What readers see.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    loaded: Vec<Option<(Head, Vec<LoadedPart>)>>,
    glances: Vec<Option<Glance>>,
    rows_of: Vec<Option<Vec<u8>>>,
    rows: Vec<Vec<Row>>,
    lists: Vec<Vec<Row>>,
    results: Vec<Option<KeyedResult>>,
    undelivered: Vec<Vec<Undelivered>>,
    applied: Vec<Option<Applied>>,
    senders: Vec<EntityId>,
}

pub(crate) fn entities() -> Vec<EntityId> {
    (0..ENTITIES).map(entity).collect()
}

pub(crate) fn users() -> [UserId; 2] {
    [user(1), user(2)]
}

/// Looks at everything.
pub(crate) async fn seen(store: &dyn Entities) -> Seen {
    let all = entities();
    let parts = vec![
        Part::Rows(RowRange::default()),
        Part::Newest(0, Bounds::ALL),
        Part::Newest(1, Bounds::ALL),
    ];
    let keys = ROWS.map(<[u8]>::to_vec).to_vec();
    let one_row = all
        .iter()
        .map(|entity| (*entity, keys[0].clone()))
        .collect();
    let mut seen = Seen {
        loaded: Vec::new(),
        glances: store.glances(all.clone(), keys).await.unwrap(),
        rows_of: store.rows_of(one_row).await.unwrap(),
        rows: Vec::new(),
        lists: Vec::new(),
        results: Vec::new(),
        undelivered: Vec::new(),
        applied: Vec::new(),
        senders: store.senders(None, 1_000).await.unwrap(),
    };
    for &entity in &all {
        let loaded = store.load(entity, parts.clone()).await.unwrap();
        seen.loaded
            .push(loaded.map(|loaded| (loaded.head, loaded.parts)));
        let rows = store.rows(entity, RowRange::default(), Bounds::ALL);
        seen.rows.push(rows.await.unwrap());
        seen.undelivered
            .push(store.undelivered(entity, None, 1_000).await.unwrap());
        for user in users() {
            for key in KEYS {
                let result = store.recall(entity, user, key).await.unwrap();
                seen.results.push(result);
            }
        }
        for &from in &all {
            seen.applied
                .push(store.applied(entity, from).await.unwrap());
        }
    }
    for list in 0..LISTS {
        let rows = store.list(List(list), RowRange::default(), Bounds::ALL);
        seen.lists.push(rows.await.unwrap());
    }
    seen
}
