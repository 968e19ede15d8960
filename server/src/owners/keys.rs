//! Idempotency keys that an entity has seen a moment ago.
//!
//! The store keeps results for a day. This memory covers calls whose commit is in flight, and spares the look into the store for
//! first attempts: their client had seen the entity's stream up to some number when it made the call, so that an earlier attempt,
//! if there were one, would have been decided since; and here is every key decided since [`Keys::known_from`].

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::scan::Scanner;
use pitturu_store::clock::Steady;
use pitturu_store::entities::{KeyedRequest, KeyedResult};

use crate::connections::caller::IdempotencyKey;

/// How long a result is remembered here, in milliseconds.
pub const REMEMBER_MS: u64 = 20_000;

#[derive(Debug)]
enum State<W> {
    /// It is being looked up or carried out; these wait for the first one's answer.
    InFlight(Vec<W>),
    Done(Bytes),
}

/// What to do with a call.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing was carried out under this key: carry it out.
    First,
    /// The first one is in flight and will answer this one too.
    Waiting,
    /// The first one's reply.
    Before(Bytes),
    /// The store has to be asked whether the call was carried out before. Until then it is in flight.
    LookUp,
}

#[derive(Debug)]
struct Held<W> {
    method: u16,
    request: KeyedRequest,
    state: State<W>,
}

impl<W> Held<W> {
    fn of(key: &IdempotencyKey) -> Self {
        Self {
            method: key.method,
            request: key.request.clone(),
            state: State::InFlight(Vec::new()),
        }
    }
}

type KeyId = (UserId, Arc<str>);

/// The keys of one entity.
#[derive(Debug)]
pub struct Keys<W> {
    held: HashMap<KeyId, Held<W>>,
    /// When, and at which number of the stream, keys were done.
    done: VecDeque<(Steady, u64, KeyId)>,
    known_from: u64,
}

impl<W> Default for Keys<W> {
    fn default() -> Self {
        Self {
            held: HashMap::new(),
            done: VecDeque::new(),
            known_from: 0,
        }
    }
}

impl<W> Keys<W> {
    /// The keys of an entity whose stream stands at `head`: those decided up to there are in the store alone. None: the entity is
    /// new.
    pub fn new(head: Option<u64>) -> Self {
        let keys = Self::default();
        match head {
            Some(head) => keys.in_next_life(head),
            None => keys,
        }
    }

    /// What an earlier life remembers, if there was one, for a life that begins with the stream at `head`: what it does not remember is
    /// known to the store alone.
    pub fn in_next_life(mut self, head: u64) -> Self {
        self.known_from = self.known_from.max(head + 1);
        self
    }

    /// The keys of an entity whose calls show no number of a stream: each is looked up, unless it is held here.
    pub fn without_stream(self) -> Self {
        self.in_next_life(u64::MAX - 1)
    }

    /// Every key that was decided while the stream's head was this or more is known here.
    pub const fn known_from(&self) -> u64 {
        self.known_from
    }

    /// Notes a call, and who waits for its answer if another one is in flight. A key that came with another request is
    /// refused.
    ///
    /// `head` is where the entity's stream stands. A client that has seen more, of an entity that was restored from a backup or
    /// in a lie, says nothing about earlier attempts.
    pub fn see(
        &mut self,
        user: UserId,
        key: &IdempotencyKey,
        head: u64,
        waiter: impl FnOnce() -> W,
    ) -> Result<Seen, Fault> {
        let id = (user, key.key.clone());
        let held = match self.held.entry(id) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(vacant) => {
                vacant.insert(Held::of(key));
                let known = self.known_from..=head;
                let is_first = key.first_head.is_some_and(|seen| known.contains(&seen));
                return Ok(if is_first { Seen::First } else { Seen::LookUp });
            }
        };
        check_request(held.method, &held.request, key)?;
        match &mut held.state {
            State::InFlight(waiters) => {
                waiters.push(waiter());
                Ok(Seen::Waiting)
            }
            State::Done(reply) => Ok(Seen::Before(reply.clone())),
        }
    }

    /// Notes a call that is the first under its key, as its caller knows.
    pub fn begin(&mut self, user: UserId, key: &IdempotencyKey) {
        let id = (user, key.key.clone());
        self.held.entry(id).or_insert_with(|| Held::of(key));
    }

    /// The first call is durable, decided while the stream's head was `head`. Returns those who wait for its reply.
    pub fn done(
        &mut self,
        user: UserId,
        key: &IdempotencyKey,
        reply: Bytes,
        head: u64,
        now: Steady,
    ) -> Vec<W> {
        let id = (user, key.key.clone());
        let Some(held) = self.held.get_mut(&id) else {
            return Vec::new();
        };
        self.done.push_back((now, head, id));
        match std::mem::replace(&mut held.state, State::Done(reply)) {
            State::InFlight(waiters) => waiters,
            State::Done(_) => Vec::new(),
        }
    }

    /// The first call is durable, and the store has its result: whoever comes later looks it up. Returns those who wait for its reply.
    pub fn stored(&mut self, user: UserId, key: &IdempotencyKey) -> Vec<W> {
        self.forget(user, key)
    }

    /// The first call was refused. Returns those who wait, to be refused too.
    pub fn refused(&mut self, user: UserId, key: &IdempotencyKey) -> Vec<W> {
        self.forget(user, key)
    }

    fn forget(&mut self, user: UserId, key: &IdempotencyKey) -> Vec<W> {
        match self.held.remove(&(user, key.key.clone())) {
            Some(Held {
                state: State::InFlight(waiters),
                ..
            }) => waiters,
            _ => Vec::new(),
        }
    }

    /// Everybody who waits: this life has ended. What is done stays, for the next one.
    pub fn take_waiters(&mut self) -> Vec<W> {
        let is_in_flight = |held: &Held<W>| matches!(held.state, State::InFlight(_));
        let ended = self.held.extract_if(|_, held| is_in_flight(held));
        let waiters = ended.map(|(_, held)| match held.state {
            State::InFlight(waiters) => waiters,
            State::Done(_) => Vec::new(),
        });
        waiters.flatten().collect()
    }

    /// Whether something is remembered that is not older than 20 seconds.
    pub fn remembers(&self, now: Steady) -> bool {
        let newest = self.done.back();
        newest.is_some_and(|(at, ..)| now <= at.after_ms(REMEMBER_MS))
    }

    /// Forgets what is older than 20 seconds.
    pub fn forget_old(&mut self, now: Steady) {
        while self
            .done
            .front()
            .is_some_and(|(at, ..)| at.after_ms(REMEMBER_MS) < now)
        {
            if let Some((_, head, id)) = self.done.pop_front() {
                self.held.remove(&id);
                self.known_from = self.known_from.max(head + 1);
            }
        }
        if self.held.is_empty() && self.done.is_empty() {
            // Many entities rest, and a burst of keys leaves as much memory as it took.
            (self.held, self.done) = (HashMap::new(), VecDeque::new());
        }
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

/// The result that the store has under a call's key, unless it belongs to another request.
pub fn of_this_request(
    found: Option<KeyedResult>,
    key: &IdempotencyKey,
) -> Result<Option<Bytes>, Fault> {
    match found {
        Some(result) => {
            check_request(result.method, &result.request, key)?;
            Ok(Some(result.reply.into()))
        }
        None => Ok(None),
    }
}

/// Refuses a key that came with another request, and says which field of it differs, if the earlier one is there to compare.
fn check_request(method: u16, earlier: &KeyedRequest, key: &IdempotencyKey) -> Result<(), Fault> {
    if method == key.method && *earlier == key.request {
        return Ok(());
    }
    let differs = match (earlier, &key.request) {
        (KeyedRequest::Whole(earlier), KeyedRequest::Whole(request)) if method == key.method => {
            differing(earlier, request)
        }
        _ => None,
    };
    let fault = Fault::of(Code::KeyReused);
    Err(match differs {
        Some(field) => fault.of_field(&field),
        None => fault,
    })
}

/// The first field, in the order of names, that one of two encoded requests has otherwise than the other.
fn differing(one: &[u8], other: &[u8]) -> Option<String> {
    let fields = |bytes| {
        Scanner::fields(bytes)
            .into_iter()
            .collect::<BTreeMap<_, _>>()
    };
    let (one, other) = (fields(one), fields(other));
    let names = one.keys().chain(other.keys()).collect::<BTreeSet<_>>();
    let mut differing = names
        .into_iter()
        .filter(|name| one.get(*name) != other.get(*name));
    differing.next().map(|name| (*name).to_owned())
}

/// What to store of a keyed call.
pub fn result(user: UserId, key: &IdempotencyKey, reply: Vec<u8>) -> KeyedResult {
    KeyedResult {
        user,
        key: key.key.clone(),
        method: key.method,
        request: key.request.clone(),
        reply,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: UserId = UserId::from_bytes([1; 10]);

    fn key(text: &str, first_head: Option<u64>) -> IdempotencyKey {
        IdempotencyKey {
            key: text.into(),
            method: 8,
            request: KeyedRequest::Hash([1; 16]),
            first_head,
        }
    }

    #[test]
    fn of_a_lasting_key_the_field_that_differs_is_named() {
        let request = |amount: u64, note: Option<&str>| {
            let mut body = vec![("amount", amount.to_string())];
            body.extend(note.map(|note| ("note", note.to_owned())));
            let body: BTreeMap<_, _> = body.into_iter().collect();
            let body = pitturu_protocol::codec::encode(&body);
            IdempotencyKey {
                request: KeyedRequest::Whole(body.into()),
                ..key("k", None)
            }
        };
        let first = request(1, None);
        let stored = || Some(result(USER, &first, vec![9]));
        assert_eq!(
            of_this_request(stored(), &first),
            Ok(Some(Bytes::from(vec![9])))
        );
        let other_note = request(1, Some("x"));
        let mut keys = Keys::new(None);
        keys.begin(USER, &first);
        for (other, field) in [(request(2, None), "amount"), (other_note, "note")] {
            let fault = of_this_request(stored(), &other).expect_err("another request");
            assert_eq!(
                (fault.code, fault.field.as_deref()),
                (Code::KeyReused, Some(field))
            );
            let fault = keys
                .see(USER, &other, 0, || ())
                .expect_err("another request");
            assert_eq!(
                (fault.code, fault.field.as_deref()),
                (Code::KeyReused, Some(field))
            );
        }
    }

    #[test]
    fn a_first_attempt_is_looked_up_when_an_earlier_one_could_have_been_forgotten() {
        let mut keys = Keys::new(Some(7));
        for (head, seen) in [
            (None, Seen::LookUp),
            (Some(7), Seen::LookUp),
            (Some(8), Seen::First),
            (Some(20), Seen::First),
            (Some(21), Seen::LookUp),
        ] {
            let key = key(&format!("{head:?}"), head);
            assert_eq!(keys.see(USER, &key, 20, || ()), Ok(seen));
        }
        let first = key("Some(8)", Some(8));
        keys.done(USER, &first, Bytes::new(), 9, Steady::at_ms(1_000));
        keys.forget_old(Steady::at_ms(1_000 + REMEMBER_MS));
        assert_eq!(
            keys.see(USER, &first, 20, || ()),
            Ok(Seen::Before(Bytes::new()))
        );
        keys.forget_old(Steady::at_ms(1_001 + REMEMBER_MS));
        assert_eq!(keys.known_from(), 10);
        assert_eq!(keys.see(USER, &first, 20, || ()), Ok(Seen::LookUp));
        let mut new = Keys::new(None);
        assert_eq!(new.see(USER, &key("k", Some(0)), 0, || ()), Ok(Seen::First));
    }

    #[test]
    fn a_key_belongs_to_one_request() {
        let mut keys = Keys::new(None);
        let first = key("k", Some(0));
        assert_eq!(keys.see(USER, &first, 0, || 1), Ok(Seen::First));
        assert_eq!(keys.see(USER, &first, 0, || 2), Ok(Seen::Waiting));
        let other_method = IdempotencyKey {
            method: 9,
            ..first.clone()
        };
        let other_request = IdempotencyKey {
            request: KeyedRequest::Hash([2; 16]),
            ..first.clone()
        };
        for other in [other_method, other_request] {
            let refused = keys.see(USER, &other, 0, || 3).map_err(|fault| fault.code);
            assert_eq!(refused, Err(Code::KeyReused));
            let stored = result(USER, &first, vec![1]);
            let found = of_this_request(Some(stored), &other);
            assert_eq!(found.map_err(|fault| fault.code), Err(Code::KeyReused));
        }
        let reply = Bytes::from_static(b"r");
        assert_eq!(
            keys.done(USER, &first, reply.clone(), 0, Steady::at_ms(1)),
            [2]
        );
        assert_eq!(keys.see(USER, &first, 0, || 4), Ok(Seen::Before(reply)));
    }
}
