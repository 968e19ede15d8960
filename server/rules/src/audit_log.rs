//! The audit log: what is noted by those who do something or to whom it happens, and how notes become one chain of entries.
//!
//! What a note says for good and what may be personal are kept apart. The entry holds a salted digest of the personal part, which can be
//! erased without breaking the chain.

use std::fmt::Write as _;

use pitturu_protocol::codec;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::accounts::Role;
use pitturu_protocol::types::audit_log::{AuditAct, AuditDetails, AuditEntry, AuditRecord};
use pitturu_protocol::types::chat::MemberRole;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Something that the audit log keeps, as the entity tells it in whose commit it happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What happened.
    pub act: AuditAct,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// Who did it, if somebody did who was signed in.
    pub by: Option<UserId>,
    /// About which player.
    pub user: Option<UserId>,
    /// In which room.
    pub room: Option<RoomId>,
    /// Which message of the room.
    pub seq: Option<u64>,
    /// Until when it holds by itself.
    pub until: Option<u64>,
    /// The role in the whole product that was given.
    pub role: Option<Role>,
    /// The role in the room that was given.
    pub room_role: Option<MemberRole>,
    /// On which leaderboard, and in which of its seasons.
    pub board: Option<(String, u64)>,
    /// Why.
    pub reason: Option<String>,
    /// The network address that it came from.
    pub address: Option<String>,
}

impl Note {
    /// A note of something that happened at this time.
    pub const fn new(act: AuditAct, at: u64) -> Self {
        Self {
            act,
            at,
            by: None,
            user: None,
            room: None,
            seq: None,
            until: None,
            role: None,
            room_role: None,
            board: None,
            reason: None,
            address: None,
        }
    }
}

/// What the audit log is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditSignal {
    /// This has happened.
    Noted(Box<Note>),
}

/// Where the log stands: its newest entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The entry's number; 0 when there is none.
    pub number: u64,
    /// Its digest; empty when there is none.
    pub digest: String,
}

impl Head {
    /// Adds an entry. `salt` is random.
    pub fn append(&mut self, note: Note, salt: [u8; 16]) -> AuditRecord {
        let details = (note.reason.is_some() || note.address.is_some()).then(|| AuditDetails {
            salt: Some(hexadecimal(&salt)),
            reason: note.reason,
            address: note.address,
        });
        let (board, season) = note.board.unzip();
        let entry = AuditEntry {
            number: self.number + 1,
            previous: std::mem::take(&mut self.digest),
            at: note.at,
            act: note.act,
            by: note.by,
            user: note.user,
            room: note.room,
            seq: note.seq,
            until: note.until,
            role: note.role,
            room_role: note.room_role,
            board,
            season,
            details: details.as_ref().map(digest),
        };
        let digest = digest(&entry);
        self.number = entry.number;
        self.digest.clone_from(&digest);
        AuditRecord {
            entry,
            digest,
            details,
        }
    }

    /// Goes on to the entry that follows, which was read from somewhere.
    ///
    /// # Errors
    /// It is not the one that was added there. The log goes on behind it as if it were, so that one fault is told once.
    pub fn follow(&mut self, record: &AuditRecord) -> Result<(), ChainFault> {
        let found = self.check(record);
        self.number = record.entry.number;
        self.digest.clone_from(&record.digest);
        found
    }

    fn check(&self, record: &AuditRecord) -> Result<(), ChainFault> {
        let AuditRecord { entry, details, .. } = record;
        if entry.number != self.number + 1 {
            return Err(ChainFault::Missing(self.number + 1));
        }
        if entry.previous != self.digest {
            return Err(ChainFault::Torn);
        }
        if digest(entry) != record.digest {
            return Err(ChainFault::Changed);
        }
        match details {
            Some(details) if Some(digest(details)) != entry.details => {
                Err(ChainFault::DetailsChanged)
            }
            _ => Ok(()),
        }
    }
}

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// Another entry should stand here.
    #[error("entry {0} is missing")]
    Missing(u64),
    /// It does not hold the digest of the entry before it.
    #[error("it does not follow from the entry before it")]
    Torn,
    /// It is not what its digest was made of.
    #[error("it was changed: its digest is of another entry")]
    Changed,
    /// Its details are not what the entry's digest of them was made of.
    #[error("its details were changed")]
    DetailsChanged,
}

/// The digest of what is sent, as it is sent.
pub fn digest<T: Serialize>(what: &T) -> String {
    hexadecimal(&Sha256::digest(codec::encode(what)))
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes all");
    }
    text
}

#[cfg(test)]
mod tests;
