//! Reading what the server has while nothing moves.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use pitturu_protocol::codec;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::frame::{self, CallId, ServerFrame};
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::points::{ListMovements, Movement, MovementsFrom};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::protocol::Message as Packet;

use super::calls::PersonNo;
use super::clients::connect;
use super::world::World;
use crate::raw::socket::Socket;

/// Connections that read at the same time.
const READERS: usize = 8;

/// Pages that wait to be looked at.
const PAGES_WAITING: usize = 64;

/// Movements of a page.
const PAGE: u32 = 200;

/// A connection that asks one thing after the other.
pub struct Reader {
    socket: Socket,
    last: CallId,
}

impl Reader {
    /// Connects as this person.
    ///
    /// # Errors
    /// Says that there is no server.
    pub async fn connect(world: &World, person: PersonNo) -> Result<Self, String> {
        let process = *world.process.borrow();
        let process = process.ok_or("there is no server")?;
        let token = &world.people[person as usize].token;
        let socket = connect(process, token).await;
        let socket = socket.map_err(|_| format!("person {person} can't sign in"))?;
        Ok(Self { socket, last: 0 })
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The connection is gone, or the reply is unreadable.
    pub async fn ask<M: Method>(
        &mut self,
        request: &M,
        key: Option<&str>,
    ) -> Result<Result<M::Reply, Fault>, String> {
        self.last += 1;
        let packet = Packet::Binary(frame::call(self.last, request, key).into());
        let sent = self.socket.send(packet).await;
        sent.map_err(|error| error.to_string())?;
        loop {
            let bytes = match self.socket.next().await {
                Some(Ok(Packet::Binary(bytes))) => bytes,
                Some(Ok(Packet::Ping(_) | Packet::Pong(_))) => continue,
                _ => return Err("the connection is gone".to_owned()),
            };
            let mut rest: &[u8] = &bytes;
            while !rest.is_empty() {
                let (read, after) = ServerFrame::read(rest).map_err(|error| error.to_string())?;
                rest = after;
                match read {
                    ServerFrame::Reply { call, body } if call == self.last => {
                        let reply = codec::decode(body).map_err(|error| error.to_string())?;
                        return Ok(Ok(reply));
                    }
                    ServerFrame::Fault { call, fault } if call == self.last => {
                        return Ok(Err(fault));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Asks for what nobody may refuse.
    ///
    /// # Errors
    /// It was refused, or as [`Self::ask`].
    pub async fn read<M: Method>(&mut self, request: &M) -> Result<M::Reply, String> {
        let answer = self.ask(request, None).await?;
        answer.map_err(|fault| format!("{} is refused: {fault:?}", M::NAME))
    }
}

/// Reads the movements of each of these players behind a number, and hands them over page by page, in their order.
pub fn read_all(
    world: &Arc<World>,
    from: &[(PersonNo, u64)],
) -> mpsc::Receiver<Result<(PersonNo, Vec<Movement>), String>> {
    let (pages, taken) = mpsc::channel(PAGES_WAITING);
    let size = from.len().div_ceil(READERS).max(1);
    let mut readers = JoinSet::new();
    for part in from.chunks(size) {
        let (world, part, pages) = (Arc::clone(world), part.to_vec(), pages.clone());
        readers.spawn(async move {
            if let Err(error) = read_some(&world, part, &pages).await {
                let _ = pages.send(Err(error)).await;
            }
        });
    }
    tokio::spawn(readers.join_all());
    taken
}

async fn read_some(
    world: &World,
    from: Vec<(PersonNo, u64)>,
    pages: &mpsc::Sender<Result<(PersonNo, Vec<Movement>), String>>,
) -> Result<(), String> {
    let mut reader = Reader::connect(world, 0).await?;
    for (player, after) in from {
        let mut next = Some(MovementsFrom::After(after));
        while next.is_some() {
            let request = ListMovements {
                user: Some(world.user(player)),
                from: next,
                limit: Some(PAGE),
                ..ListMovements::default()
            };
            let page = reader.read(&request).await?;
            next = page.next;
            // Whoever takes them may have stopped.
            let _ = pages.send(Ok((player, page.movements))).await;
        }
    }
    Ok(())
}
