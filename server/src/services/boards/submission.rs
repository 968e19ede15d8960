//! Scores from game servers, and in which season they count.
//!
//! A score goes to the season that runs by the clock. One that is over sends it on to the next, so that each score is in one season, whatever the clock does.
//! A call that is repeated under its key may come when another season runs: attempts under one key come one after the other, and before
//! one goes to a season, the others where the key may have served are asked for its result.

use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::audit_log::AuditAct;
use pitturu_protocol::types::boards::{RemoveScore, ScoreSubmitted, SubmitScore};
use pitturu_protocol::types::system::Done;
use pitturu_rules::audit_log::Note;
use pitturu_rules::boards::{SeasonOf, Submission};
use pitturu_store::clock::Steady;
use pitturu_store::fail_points::is_undone;
use serde::de::DeserializeOwned;

use super::BoardService;
use crate::boards;
use crate::boards::command::Wish;
use crate::connections::caller::{Caller, IdempotencyKey};
use crate::owners::keys::of_this_request;

/// Seasons that one call tries. Each is over when the next is tried, so that more than two are tried only after the clock was set.
const SEASONS_TRIED_MAX: usize = 64;

impl BoardService {
    /// [`SubmitScore`].
    pub async fn submit(
        &self,
        caller: &Caller,
        request: SubmitScore,
    ) -> Result<ScoreSubmitted, Fault> {
        let by = self.parts.players.staff.service(caller).await?.user;
        self.parts.players.check_exists(request.user).await?;
        let has_key = caller.key.is_some();
        let wish = || Wish::Submit {
            submission: Box::new(Submission {
                player: request.user,
                score: request.score,
                metadata: request.metadata.clone().unwrap_or_default(),
                at: caller.now,
                by: Some(by),
            }),
            has_key,
        };
        self.at_running(caller, by, &request.board, wish).await
    }

    /// [`RemoveScore`].
    pub async fn remove(&self, caller: &Caller, request: RemoveScore) -> Result<Done, Fault> {
        let by = self.parts.players.staff.service(caller).await?.user;
        let RemoveScore {
            board,
            season,
            user,
            note,
        } = request;
        let note = Note {
            by: Some(by),
            user: Some(user),
            reason: Some(note).filter(|note| !note.is_empty()),
            address: Some(caller.address.ip().to_string()),
            ..Note::new(AuditAct::ScoreRemoved, caller.now)
        };
        let wish = |only_running| Wish::Remove {
            player: user,
            only_running,
            note: Some(Box::new(note.clone())),
        };
        match season {
            None => {
                let wish = || wish(true);
                self.at_running::<bool>(caller, by, &board, wish).await?;
            }
            Some(number) => {
                let of = self.season(caller, &board, Some(number)).await?;
                let key = caller.key.clone().map(|key| (by, key));
                self.parts
                    .ask::<Option<bool>>(&of, wish(false), key, caller.now)
                    .await?;
            }
        }
        Ok(Done {})
    }

    /// Has the running season do something, and no other.
    pub(super) async fn at_running<T: DeserializeOwned>(
        &self,
        caller: &Caller,
        by: UserId,
        board: &str,
        wish: impl Fn() -> Wish,
    ) -> Result<T, Fault> {
        let mut of = self.known.running(board, caller.now).await?;
        let key = caller.key.clone().map(|key| (by, key));
        let _attempt = match &key {
            Some((user, key)) => Some(self.attempts.begin(*user, &key.key).await),
            None => None,
        };
        for _ in 0..SEASONS_TRIED_MAX {
            if let Some(key) = &key
                && !is_undone("keys_across_seasons")
                && let Some(earlier) = self.earlier(caller.now, &of, key).await?
            {
                return Ok(earlier);
            }
            self.known.note(&of, Steady::now()).await?;
            let answer = self.parts.ask(&of, wish(), key.clone(), caller.now);
            if let Some(done) = answer.await? {
                return Ok(done);
            }
            let next = self.parts.definitions.next(&of, caller.now);
            of = next.ok_or_else(|| Fault::of(Code::BoardNotFound).of_field("season"))?;
        }
        Err(Fault::of(Code::Unavailable))
    }

    /// What a call under this key has come to in another season.
    async fn earlier<T: DeserializeOwned>(
        &self,
        now: u64,
        of: &SeasonOf,
        (user, key): &(UserId, IdempotencyKey),
    ) -> Result<Option<T>, Fault> {
        let moment = (now, Steady::now());
        let kept_ms = self.parts.keys_kept_ms;
        for other in self.known.others(of, moment, kept_ms).await? {
            let entity = boards::entity(other.id());
            let found = self.parts.store.entities().recall(entity, *user, &key.key);
            if let Some(body) = of_this_request(found.await?, key)? {
                return codec::decode(&body).map_err(|_| Fault::of(Code::Internal));
            }
        }
        Ok(None)
    }
}
