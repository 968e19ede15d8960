//! A call under way.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use pitturu_protocol::client::{Request, Ticket};
use pitturu_protocol::codec;
use pitturu_protocol::methods::{Effect, Method};
use tokio::sync::oneshot;

use crate::error::CallError;
use crate::random::random_text;
use crate::shared::{Answer, Shared};

enum Stage {
    /// Not sent yet: it can still be changed.
    Made(Request, Option<Duration>),
    Sent(Ticket, oneshot::Receiver<Answer>),
    Failed(CallError),
    Done,
}

/// A call of method `M`: a future of its reply. It is queued when it is first polled or [`sent`](Call::send). Dropping it cancels it;
/// a write that had reached the server may have taken effect.
#[must_use = "a call does nothing unless it is awaited or sent"]
pub struct Call<M: Method> {
    shared: Arc<Shared>,
    stage: Stage,
    method: PhantomData<fn() -> M>,
}

impl<M: Method> std::fmt::Debug for Call<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("method", &M::NAME)
            .finish_non_exhaustive()
    }
}

impl<M: Method> Call<M> {
    pub(crate) fn new(shared: Arc<Shared>, request: &M, timeout: Duration) -> Self {
        let mut request = Request::of(request);
        let stage = match M::INFO.effect {
            Effect::Reads => Stage::Made(request, Some(timeout)),
            Effect::Writes => match random_text() {
                Ok(key) => {
                    request.key = Some(key);
                    request.key_is_new = true;
                    Stage::Made(request, Some(timeout))
                }
                Err(error) => Stage::Failed(error),
            },
        };
        Self {
            shared,
            stage,
            method: PhantomData,
        }
    }

    /// Ends it with [`Code::Deadline`](pitturu_protocol::codes::Code::Deadline) after this time. Without effect once it is sent.
    pub fn with_deadline(mut self, timeout: Duration) -> Self {
        if let Stage::Made(_, deadline) = &mut self.stage {
            *deadline = Some(timeout);
        }
        self
    }

    /// Lets it wait for as long as it takes, for example for a connection. Without effect once it is sent.
    pub fn without_deadline(mut self) -> Self {
        if let Stage::Made(_, deadline) = &mut self.stage {
            *deadline = None;
        }
        self
    }

    /// Uses this idempotency key instead of a drawn one, to repeat an action of an earlier run of the program. The server then
    /// looks for an earlier result, which it need not do for a drawn one. Without effect once it is sent.
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        if let Stage::Made(request, _) = &mut self.stage {
            request.key = Some(key.into());
            request.key_is_new = false;
        }
        self
    }

    /// Queues it now; the answer can be awaited later.
    pub fn send(mut self) -> Self {
        self.start();
        self
    }

    /// The outcome, if it has come: for game loops and other code that can't await. Sends the call if it is not sent yet. After the
    /// outcome was taken it is [`CallError::Closed`].
    pub fn try_answer(&mut self) -> Option<Result<M::Reply, CallError>> {
        let mut context = Context::from_waker(Waker::noop());
        match Pin::new(self).poll(&mut context) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }

    fn start(&mut self) {
        if let Stage::Made(..) = &self.stage
            && let Stage::Made(request, timeout) = std::mem::replace(&mut self.stage, Stage::Done)
        {
            self.stage = match self.shared.call(request, timeout) {
                Ok((ticket, answer)) => Stage::Sent(ticket, answer),
                Err(error) => Stage::Failed(error),
            };
        }
    }
}

impl<M: Method> Future for Call<M> {
    type Output = Result<M::Reply, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let call = self.get_mut();
        call.start();
        let outcome = match &mut call.stage {
            Stage::Sent(_, answer) => {
                let answer = ready!(Pin::new(answer).poll(cx));
                answer
                    .map_err(|_| CallError::Closed)
                    .and_then(|answer| Ok(codec::decode(&answer?)?))
            }
            Stage::Failed(error) => Err(error.clone()),
            Stage::Made(..) | Stage::Done => Err(CallError::Closed),
        };
        call.stage = Stage::Done;
        Poll::Ready(outcome)
    }
}

impl<M: Method> Drop for Call<M> {
    fn drop(&mut self) {
        if let Stage::Sent(ticket, _) = self.stage {
            self.shared.cancel(ticket);
        }
    }
}
