//! From a call's bytes to whoever answers it: access, rate, idempotency, decoding, dispatch.

use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::FutureExt as _;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::frame;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::methods::{Access, Change, Effect, Key, Method, MethodInfo, Target};
use pitturu_protocol::types;
use pitturu_protocol::types::accounts::{Identity, Role};
use pitturu_rules::rooms::Actor;
use pitturu_store::clock::{Steady, now_ms};
use pitturu_store::entities::KeyedRequest;
use pitturu_text::fields::{self, Texts};
use sha2::{Digest, Sha256};
use tracing::{Instrument as _, Span, debug_span};

use super::SessionContext;
use super::handlers::{Call, Handle};
use super::rates::{CachedBuckets, RateKey};
use super::replies::Replies;
use crate::call_traces;
use crate::chat::command::{Ask, Close, Command, Follow, ReplyTo, RoomCall};
use crate::chat::request::{self, Decoded, FollowRequest, RoomRequest};
use crate::connections::call::PendingCall;
use crate::connections::caller::{Caller, IdempotencyKey};
use crate::connections::connection::Connection;
use crate::connections::network::Network;
use crate::services::Services;

/// A call being carried out; it answers by the connection's outbox.
pub type Work = call_traces::Work;

/// How a call goes on.
pub enum Dispatch {
    /// It was answered on the spot.
    Answered,
    /// It is in a room's hands.
    Routed,
    /// To be finished before the connection's next frame is read: what follows may depend on it.
    Sequential(Work),
    /// To be carried out beside other calls.
    Concurrent(Work),
}

/// One call as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// To be answered.
    pub call: PendingCall,
    /// Number of the method.
    pub method: u16,
    /// Encoded request.
    pub body: &'a [u8],
    /// Idempotency key.
    pub key: Option<&'a str>,
    /// With a key, on the first attempt alone: the newest sequence of the call's room that its client had seen.
    pub first_head: Option<u64>,
}

/// Begins a call. What is answered on the spot is appended to `replies`. A refusal is for the caller to send.
pub fn begin(
    context: &Arc<SessionContext>,
    connection: &Arc<Connection>,
    buckets: &mut CachedBuckets,
    incoming: Incoming<'_>,
    now: Steady,
    replies: &mut Replies,
) -> Result<Dispatch, Fault> {
    let (method, identity) = admit(context, connection, buckets, incoming.method)?;
    let number = incoming.call.number;
    let span = debug_span!("call", conn = %connection.id, call = number, method = method.name);
    let _entered = span.enter();
    let key = match (method.effect, incoming.key) {
        (Effect::Writes, Some(key)) => Some(IdempotencyKey {
            key: key.into(),
            method: incoming.method,
            request: match method.key {
                Key::Kept => KeyedRequest::Hash(request_hash(incoming.body)),
                Key::Lasting => KeyedRequest::Whole(Bytes::copy_from_slice(incoming.body)),
            },
            first_head: incoming.first_head,
        }),
        (_, None) if method.key == Key::Lasting => {
            let text = "an idempotency key, which is the id of what the call makes";
            return Err(Fault::invalid("key", text));
        }
        _ => None,
    };
    let call = Call {
        caller: Caller {
            conn: connection.id,
            call: number,
            identity,
            address: connection.peer.address,
            now: now_ms(),
            steady: now,
            key,
        },
        connection: Arc::clone(connection),
        until_answered: OnceLock::new(),
    };
    match request::decode(incoming.method, incoming.body) {
        Some(decoded) => room_call(context, call, incoming.call, decoded?),
        None => caller_call(context, call, incoming, buckets, replies),
    }
}

/// Looks whether the caller may make this call now, and counts it.
///
/// # Errors
/// No such method; too many calls; not for this caller.
pub fn admit(
    context: &SessionContext,
    connection: &Connection,
    buckets: &mut CachedBuckets,
    method: u16,
) -> Result<(&'static MethodInfo, Option<Identity>), Fault> {
    let method = MethodInfo::of(method).ok_or_else(|| Fault::of(Code::UnknownMethod))?;
    let identity = connection.identity();
    let who = who(connection, identity.as_ref());
    context.rates.admit(buckets, who, method.rate)?;
    check_access(
        method.access,
        identity.as_ref().map(|identity| identity.role),
    )?;
    Ok((method, identity))
}

/// Whose limits the caller's calls count against.
fn who(connection: &Connection, identity: Option<&Identity>) -> RateKey {
    match identity {
        Some(identity) if identity.role.gives() => RateKey::Service(identity.user),
        Some(identity) => RateKey::User(identity.user),
        None => RateKey::Address(Network::of(connection.peer.address.ip())),
    }
}

fn check_access(access: Access, role: Option<Role>) -> Result<(), Fault> {
    let allowed = match (access, role) {
        (Access::Anyone, _) => true,
        (_, None) => return Err(Fault::of(Code::Unauthenticated)),
        (Access::Player, Some(_)) => true,
        (Access::Moderator, Some(role)) => role.keeps_order(),
        (Access::Service, Some(role)) => role.gives(),
        (Access::Admin, Some(role)) => role == Role::Admin,
    };
    if allowed {
        Ok(())
    } else {
        Err(Fault::of(Code::Forbidden))
    }
}

fn request_hash(body: &[u8]) -> [u8; 16] {
    let digest = Sha256::digest(body);
    let mut hash = [0; 16];
    hash.copy_from_slice(&digest[..16]);
    hash
}

fn room_call(
    context: &Arc<SessionContext>,
    call: Call,
    pending: PendingCall,
    decoded: Decoded,
) -> Result<Dispatch, Fault> {
    let actor = call.actor()?;
    let (room, target) = (decoded.request.room(), decoded.target);
    let ask = match decoded.request {
        RoomRequest::Follow(request) => {
            return Ok(follow(context, call, pending, actor, request));
        }
        RoomRequest::Close(_) => {
            let close = Close {
                room,
                connection: call.connection,
                actor,
                call: pending,
                span: Span::current(),
            };
            context.services.rooms.send(Command::Close(Box::new(close)));
            return Ok(Dispatch::Routed);
        }
        RoomRequest::Read(request) => Ask::Read(request),
        RoomRequest::Edit(request) => Ask::Edit(request),
        RoomRequest::Decide(request) => Ask::Decide(request, None),
    };
    let room_call = Box::new(RoomCall {
        room,
        recipient: call.connection.into(),
        actor,
        address: call.caller.address,
        call: pending,
        ask,
        key: call.caller.key,
        span: Span::current(),
    });
    // A role in the whole product is held against nobody's but those of whoever acts by one.
    let is_looked_at = |must: Target| must != Target::Rank || room_call.actor.role.keeps_order();
    let Some((other, must)) = target.filter(|(_, must)| is_looked_at(*must)) else {
        context.services.rooms.send(Command::Call(room_call));
        return Ok(Dispatch::Routed);
    };
    let context = Arc::clone(context);
    let work = async move { look_at_target(&context.services, room_call, other, must).await };
    let work = pending.trace().carried_by(Box::pin(work));
    Ok(Dispatch::Sequential(work))
}

/// Hands a call that begins following to its room. A player who joins is counted first.
fn follow(
    context: &Arc<SessionContext>,
    call: Call,
    pending: PendingCall,
    actor: Actor,
    request: FollowRequest,
) -> Dispatch {
    let joins = match &request {
        FollowRequest::JoinRoom(request) => Some(request.room),
        FollowRequest::OpenRoom(_) => None,
    };
    let mut follow = Box::new(Follow {
        connection: call.connection,
        actor,
        request,
        joining: None,
        key: joins.and(call.caller.key),
        to: ReplyTo::Call(pending),
        span: Span::current(),
    });
    let Some(room) = joins else {
        context.services.rooms.send(Command::Follow(follow));
        return Dispatch::Routed;
    };
    let context = Arc::clone(context);
    Dispatch::Sequential(pending.trace().carried_by(Box::pin(async move {
        let (services, user) = (&context.services, follow.actor.user);
        match services.directory.check_room_for_one_more(user, room).await {
            Ok(joining) => {
                follow.joining = Some(joining);
                services.rooms.send(Command::Follow(follow));
            }
            Err(fault) => follow.connection.refuse(pending, &fault),
        }
    })))
}

/// Looks up what the room must know of the player whom the call is about, and hands the call on. What is refused for it is
/// refused by the room, which first asks whether the call was carried out before, and whether the caller may know of the room.
async fn look_at_target(
    services: &Services,
    mut room_call: Box<RoomCall>,
    other: UserId,
    must: Target,
) {
    let user = room_call.actor.user;
    let keeps_order = room_call.actor.role.keeps_order();
    let found = async {
        let role = match keeps_order && must != Target::Unblocked {
            true => {
                services
                    .moderation
                    .role_of(other, room_call.actor.now)
                    .await?
            }
            false => Role::Player,
        };
        Ok::<_, Fault>(pitturu_rules::rooms::Target {
            user: other,
            role,
            exists: services.profile.display_name(other).await?.is_some(),
            is_blocked: must == Target::Unblocked
                && services.friends.is_blocked_either(user, other).await?,
        })
    };
    match found.await {
        Ok(found) => {
            if let Ask::Decide(_, target) = &mut room_call.ask {
                *target = Some(found);
            }
            services.rooms.send(Command::Call(room_call));
        }
        Err(fault) => room_call.recipient.refuse(room_call.call, &fault),
    }
}

fn carry_out<M: Method + Texts>(
    context: &Arc<SessionContext>,
    call: Call,
    incoming: Incoming<'_>,
    buckets: &mut CachedBuckets,
    replies: &mut Replies,
) -> Result<Dispatch, Fault>
where
    Services: Handle<M>,
{
    let request: M = fields::decode(incoming.body)?;
    let more = <Services as Handle<M>>::cost(&request).saturating_sub(1);
    if let Some(more) = NonZeroU32::new(more) {
        let who = who(&call.connection, call.caller.identity.as_ref());
        context.rates.admit_more(buckets, who, M::INFO.rate, more)?;
    }
    let pending = incoming.call;
    if <Services as Handle<M>>::AT_ONCE {
        let outcome = context.services.handle(&call, request).now_or_never();
        match outcome.expect("the handler says that it never waits") {
            Ok(reply) => replies.reply(pending, &reply, incoming.body.len()),
            Err(fault) => replies.refuse(pending, fault),
        }
        return Ok(Dispatch::Answered);
    }
    let context = Arc::clone(context);
    let work = async move {
        match context.services.handle(&call, request).await {
            Ok(reply) => {
                let frame = Bytes::from(frame::reply(pending.number, &reply));
                call.connection.reply(pending, frame);
            }
            Err(fault) => call.connection.refuse(pending, &fault),
        }
    };
    let work = pending
        .trace()
        .carried_by(Box::pin(work.instrument(Span::current())));
    Ok(if M::INFO.changes == Change::Nothing {
        Dispatch::Concurrent(work)
    } else {
        Dispatch::Sequential(work)
    })
}

/// Walks the table of methods and keeps the lines whose place is `Caller`.
macro_rules! caller_calls {
    (@keep [$($kept:tt)*]
        $number:literal $module:ident::$request:ident => $reply_module:ident::$reply:ident,
        $access:ident, Caller, $rate:ident, $effect:ident $(, $column:ident = $value:ident)*; $($rest:tt)*) => {
        caller_calls!(@keep [$($kept)* $module::$request;] $($rest)*);
    };
    (@keep [$($kept:tt)*]
        $number:literal $module:ident::$request:ident => $reply_module:ident::$reply:ident,
        $access:ident, $place:ident, $rate:ident, $effect:ident $(, $column:ident = $value:ident)*; $($rest:tt)*) => {
        caller_calls!(@keep [$($kept)*] $($rest)*);
    };
    (@keep [$($module:ident::$request:ident;)*]) => {
        fn caller_call(
            context: &Arc<SessionContext>,
            call: Call,
            incoming: Incoming<'_>,
            buckets: &mut CachedBuckets,
            replies: &mut Replies,
        ) -> Result<Dispatch, Fault> {
            match incoming.method {
                $(
                    <types::$module::$request as Method>::NUMBER => {
                        carry_out::<types::$module::$request>(context, call, incoming, buckets, replies)
                    }
                )*
                _ => Err(Fault::of(Code::UnknownMethod)),
            }
        }
    };
    ($($table:tt)*) => {
        caller_calls!(@keep [] $($table)*);
    };
}

pitturu_protocol::for_each_method!(caller_calls);
