//! The bare fan-out over QUIC: on one thread, one write to the stream of each member. The first message of a connection is the number
//! of its room, as without QUIC.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use quinn::{Connection, Incoming, SendStream, WriteError};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local};

use super::{Messages, endpoint, with_length};

struct Member {
    sender: RefCell<SendStream>,
    /// What the stream would not take. While there is any, only [`Member::send_rest`] writes.
    unsent: RefCell<VecDeque<Bytes>>,
    waits: Notify,
    is_gone: Cell<bool>,
}

type Rooms = Rc<RefCell<HashMap<u64, Vec<Rc<Member>>>>>;

pub(super) fn serve(runtime: &Runtime, listen: SocketAddr) -> io::Result<()> {
    LocalSet::new().block_on(runtime, async {
        let endpoint = endpoint(listen)?;
        let rooms = Rooms::default();
        while let Some(incoming) = endpoint.accept().await {
            spawn_local(member(incoming, Rc::clone(&rooms)));
        }
        Ok(())
    })
}

/// Serves one connection to its end, which concerns nobody else.
async fn member(incoming: Incoming, rooms: Rooms) {
    let Ok(connection) = incoming.await else {
        return;
    };
    let Ok((sender, receiver)) = connection.accept_bi().await else {
        return;
    };
    let mut messages = Messages::of(receiver);
    let Some(first) = messages.next().await else {
        return;
    };
    let room = first
        .first_chunk()
        .map_or(0, |room| u64::from_be_bytes(*room));
    let own = Rc::new(Member {
        sender: RefCell::new(sender),
        unsent: RefCell::default(),
        waits: Notify::new(),
        is_gone: Cell::new(false),
    });
    let join = Rc::clone(&own);
    rooms.borrow_mut().entry(room).or_default().push(join);
    spawn_local(Rc::clone(&own).send_rest(connection));
    while let Some(message) = messages.next().await {
        let message = with_length(&message);
        for member in rooms.borrow().get(&room).into_iter().flatten() {
            member.send(&message);
        }
    }
    own.leave();
    if let Some(members) = rooms.borrow_mut().get_mut(&room) {
        members.retain(|member| !Rc::ptr_eq(member, &own));
    }
}

impl Member {
    fn send(&self, message: &Bytes) {
        let mut unsent = self.unsent.borrow_mut();
        let is_first = unsent.is_empty();
        unsent.push_back(message.clone());
        drop(unsent);
        if is_first {
            let mut nobody = Context::from_waker(Waker::noop());
            match self.poll_send(&mut nobody) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => self.leave(),
                Poll::Pending => self.waits.notify_one(),
            }
        }
    }

    /// Sends what waits, whenever there is some.
    async fn send_rest(self: Rc<Self>, connection: Connection) {
        loop {
            tokio::select! {
                () = self.waits.notified() => {}
                _ = connection.closed() => return,
            }
            if self.is_gone.get() || poll_fn(|cx| self.poll_send(cx)).await.is_err() {
                return self.leave();
            }
        }
    }

    fn poll_send(&self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        let mut unsent = self.unsent.borrow_mut();
        if self.is_gone.get() {
            unsent.clear();
        }
        let mut sender = self.sender.borrow_mut();
        while !unsent.is_empty() {
            let pieces = unsent.make_contiguous();
            let written = ready!(pin!(sender.write_chunks(pieces)).poll(cx))?;
            unsent.drain(..written.chunks);
        }
        Poll::Ready(Ok(()))
    }

    /// Takes nothing more.
    fn leave(&self) {
        self.is_gone.set(true);
        self.unsent.borrow_mut().clear();
    }
}
