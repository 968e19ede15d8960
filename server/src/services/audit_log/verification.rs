//! Whether the audit log is whole: no entry of it was changed, removed or put in, as far as the digests tell.
//!
//! Whoever writes to the store can write the whole log anew, or cut its end off. That shows against a digest that was kept elsewhere:
//! the server logs one with each entry, and [`Verification::of`] takes it.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use pitturu_rules::audit_log::Head;
use pitturu_store::StoreError;

use crate::players::store::PlayerStore;

/// Faults that are told of one by one; the rest is counted.
const TOLD_MAX: usize = 20;

/// Number and digest of an entry, as the log of the server has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownEntry(Head);

impl FromStr for KnownEntry {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "a number, a colon and the 64 digits of the digest";
        let (number, digest) = text.split_once(':').ok_or(FORM)?;
        let number = number.parse().map_err(|_| FORM)?;
        let are_digits = digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        if number == 0 || digest.len() != 64 || !are_digits {
            return Err(FORM);
        }
        let digest = digest.to_ascii_lowercase();
        Ok(Self(Head { number, digest }))
    }
}

/// What was found of the log.
#[derive(Debug, Default)]
pub struct Verification {
    /// The newest entry.
    pub head: Head,
    /// Entries whose details were erased.
    pub erased: u64,
    /// What is wrong.
    pub faults: u64,
    /// The first of that, in words.
    pub told: Vec<String>,
}

impl Verification {
    /// Looks at every entry, and at those whose digests are known from elsewhere.
    ///
    /// # Errors
    /// Those of the store, but for rows that can't be read: those are faults of the log.
    pub async fn of(players: &PlayerStore, known: &[KnownEntry]) -> Result<Self, StoreError> {
        let mut found = Self::default();
        match found.follow(players, known).await {
            Err(error @ StoreError::Damaged(_)) => {
                let behind = found.head.number;
                found.fault(format!(
                    "what follows entry {behind} can't be read: {error}"
                ));
            }
            followed => followed?,
        }
        for KnownEntry(known) in known {
            if known.number > found.head.number {
                let number = known.number;
                found.fault(format!(
                    "entry {number} is known, and the log ends before it"
                ));
            }
        }
        Ok(found)
    }

    async fn follow(
        &mut self,
        players: &PlayerStore,
        known: &[KnownEntry],
    ) -> Result<(), StoreError> {
        loop {
            let records = players.audit_log_after(self.head.number).await?;
            if records.is_empty() {
                break;
            }
            for record in &records {
                let number = record.entry.number;
                if let Err(fault) = self.head.follow(record) {
                    self.fault(format!("entry {number}: {fault}"));
                }
                let is_other = |KnownEntry(known): &KnownEntry| {
                    known.number == number && known.digest != record.digest
                };
                if known.iter().any(is_other) {
                    self.fault(format!("entry {number}: its digest is not the known one"));
                }
                self.erased +=
                    u64::from(record.details.is_none() && record.entry.details.is_some());
            }
        }
        let head = players.audit_head().await?.unwrap_or_default();
        if head != self.head {
            let (last, number) = (self.head.number, head.number);
            self.fault(format!(
                "the log ends with entry {last}, and its head is another: {number}"
            ));
        }
        Ok(())
    }

    fn fault(&mut self, what: String) {
        self.faults += 1;
        if self.told.len() < TOLD_MAX {
            self.told.push(what);
        }
    }
}

impl Display for Verification {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Head { number, digest } = &self.head;
        writeln!(f, "{number} entries, details of {} erased", self.erased)?;
        if !digest.is_empty() {
            writeln!(f, "  the newest is {number}:{digest}")?;
        }
        for what in &self.told {
            writeln!(f, "FAULT {what}")?;
        }
        write!(f, "{} faults", self.faults)
    }
}
