//! The thread that uses an application's token store. Nothing that the store does stops anything else.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::{TokenStore, TokenStoreError, Tokens};
use crate::foreign::{Foreign, guarded};
use crate::problem::Problem;

/// How long a [`TokenStore`] may take for what it is asked. After that the client goes on without it; what it does later still
/// counts in the store.
pub const TOKEN_STORE_WITHIN: Duration = Duration::from_secs(5);

/// Longest token that is taken for one.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Whether the client reads for the first time, and holds no tokens of its own.
pub(crate) type First = bool;

/// What became of reading.
pub(crate) struct Read {
    /// What is kept: the first time in any case, later only if somebody else has put it there.
    pub(crate) found: Option<Tokens>,
    pub(crate) problem: Option<Problem>,
}

/// Who waits for what came of a job.
type Asker<T> = oneshot::Sender<Result<T, Arc<str>>>;

#[derive(Default)]
struct Jobs {
    save: Option<(Tokens, Asker<()>)>,
    read: Option<(First, Asker<Option<Tokens>>)>,
    ended: bool,
}

#[derive(Default)]
struct Desk {
    jobs: Mutex<Jobs>,
    work: Condvar,
}

/// The thread, from outside. It ends when this is dropped, once it has done what it was asked.
pub(crate) struct Keeper {
    desk: Arc<Desk>,
    problem: Option<Arc<str>>,
}

impl Keeper {
    pub(crate) fn start(store: Foreign<Arc<dyn TokenStore>>) -> Self {
        let desk = Arc::new(Desk::default());
        let thread = std::thread::Builder::new().name("pitturu-tokens".into());
        let at_desk = Arc::clone(&desk);
        let begun = thread.spawn(move || Clerk { store, held: None }.work(&at_desk));
        let problem = begun.err().map(|error| Arc::from(error.to_string()));
        Self { desk, problem }
    }

    /// Reads what is kept.
    pub(crate) fn read(&self, first: First) -> impl Future<Output = Read> + Send + use<> {
        let (to, answer) = oneshot::channel();
        self.ask(|jobs| jobs.read.replace((first, to)));
        let problem = self.problem.clone();
        async move {
            let result = match problem {
                Some(why) => Err(why),
                None => within(answer).await,
            };
            match result {
                Ok(found) => Read {
                    found,
                    problem: None,
                },
                Err(why) => Read {
                    found: None,
                    problem: Some(Problem::TokensNotLoaded { why }),
                },
            }
        }
    }

    /// Keeps these tokens. Of several that wait the newest is kept.
    pub(crate) fn save(
        &self,
        tokens: Tokens,
    ) -> impl Future<Output = Option<Problem>> + Send + use<> {
        let (to, answer) = oneshot::channel();
        self.ask(|jobs| jobs.save.replace((tokens, to)));
        let problem = self.problem.clone();
        async move {
            let result = match problem {
                Some(why) => Err(why),
                None => within(answer).await,
            };
            result.err().map(|why| Problem::TokensNotSaved { why })
        }
    }

    /// Whoever asked for what is replaced is woken, so that is dropped without the lock.
    fn ask<T>(&self, with: impl FnOnce(&mut Jobs) -> T) {
        let replaced = with(&mut self.desk.jobs.lock());
        self.desk.work.notify_one();
        guarded(|| drop(replaced));
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.ask(|jobs| jobs.ended = true);
    }
}

async fn within<T>(answer: oneshot::Receiver<Result<T, Arc<str>>>) -> Result<T, Arc<str>> {
    match tokio::time::timeout(TOKEN_STORE_WITHIN, answer).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err("something newer was asked of the store".into()),
        Err(_) => Err("the store does not answer".into()),
    }
}

/// Who works at the desk.
struct Clerk {
    store: Foreign<Arc<dyn TokenStore>>,
    /// What is kept as far as this client knows; absent while it could not be read or saved.
    held: Option<Tokens>,
}

impl Clerk {
    fn work(mut self, desk: &Desk) {
        loop {
            let mut jobs = desk.jobs.lock();
            if jobs.save.is_none() && jobs.read.is_none() {
                if jobs.ended {
                    return;
                }
                desk.work.wait(&mut jobs);
                continue;
            }
            let save = jobs.save.take();
            let read = if save.is_none() {
                jobs.read.take()
            } else {
                None
            };
            drop(jobs);
            // Whoever asked may have gone on without the answer.
            if let Some((tokens, to)) = save {
                to.send(self.save(&tokens)).ok();
            }
            if let Some((first, to)) = read {
                to.send(self.read(first)).ok();
            }
        }
    }

    fn read(&mut self, first: First) -> Result<Option<Tokens>, Arc<str>> {
        let store = Arc::clone(&self.store);
        let kept = told(|| in_turn(&*store, || load(&*store)))?;
        // What was never read may be older than what the client holds.
        let is_news = first || self.held.as_ref().is_some_and(|held| *held != kept);
        self.held = Some(kept.clone());
        Ok(is_news.then_some(kept))
    }

    fn save(&mut self, tokens: &Tokens) -> Result<(), Arc<str>> {
        let store = Arc::clone(&self.store);
        if *tokens == Tokens::default() {
            return self.clear();
        }
        told(|| in_turn(&*store, || save(&*store, tokens)))?;
        self.held = Some(tokens.clone());
        Ok(())
    }

    /// Clears what this client has put there or found there, and leaves what others have put there since. What can't be read is
    /// nobody's.
    fn clear(&mut self) -> Result<(), Arc<str>> {
        let store = Arc::clone(&self.store);
        let held = self.held.clone();
        told(|| {
            in_turn(&*store, || match load(&*store) {
                Ok(kept) if held.as_ref().is_some_and(|held| *held != kept) => Ok(()),
                _ => save(&*store, &Tokens::default()),
            })
        })?;
        self.held = Some(Tokens::default());
        Ok(())
    }
}

/// Does `work` while the store keeps everybody else out.
fn in_turn<T>(
    store: &dyn TokenStore,
    mut work: impl FnMut() -> Result<T, Failed>,
) -> Result<T, Failed> {
    let mut done = None;
    store
        .alone(&mut || done = Some(work()))
        .map_err(Foreign::new)?;
    done.unwrap_or_else(|| failed("the store did not let its work be done"))
}

/// An error of the store's.
type Failed = Foreign<TokenStoreError>;

fn failed<T>(why: &str) -> Result<T, Failed> {
    Err(Foreign::new(why.into()))
}

fn save(store: &dyn TokenStore, tokens: &Tokens) -> Result<(), Failed> {
    store.save(tokens).map_err(Foreign::new)
}

fn load(store: &dyn TokenStore) -> Result<Tokens, Failed> {
    let tokens = store.load().map_err(Foreign::new)?;
    let is_token = |token: &Option<String>| token.as_deref().is_none_or(may_be_token);
    if is_token(&tokens.access) && is_token(&tokens.refresh) {
        Ok(tokens)
    } else {
        failed("what is kept can't be tokens")
    }
}

/// Whether a server may have given it. What it is good for only the server can tell.
fn may_be_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= TOKEN_BYTES_MAX
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

/// What the store did, or why not. All that is the store's is over when this returns, the error that it gave and what a panic carried
/// included.
fn told<T>(work: impl FnOnce() -> Result<T, Failed>) -> Result<T, Arc<str>> {
    let error = match guarded(work) {
        Some(Ok(value)) => return Ok(value),
        Some(Err(error)) => error,
        None => return Err("the store panicked".into()),
    };
    let why = guarded(|| error.to_string());
    Err(why.map_or_else(
        || "the store gave an error that can't be shown".into(),
        Arc::from,
    ))
}
