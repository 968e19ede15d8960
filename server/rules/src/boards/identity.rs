//! What a season of a leaderboard is called, and by which id it is found.

use pitturu_protocol::ids::{BoardId, ID_BYTES};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Season;

/// One season of one leaderboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeasonOf {
    /// The leaderboard's name.
    #[serde(rename = "b")]
    pub board: String,
    /// The season.
    #[serde(rename = "s")]
    pub season: Season,
}

impl SeasonOf {
    /// Its id, which follows from name, number and beginning: seasons of other resets are other ones.
    pub fn id(&self) -> BoardId {
        let digest = Sha256::new()
            .chain_update(self.season.number.to_be_bytes())
            .chain_update(self.season.starts_at.to_be_bytes())
            .chain_update(&self.board);
        BoardId::from_bytes(first_bytes(digest))
    }
}

/// What stands for a leaderboard, in whichever season, where ids do.
pub fn board_key(board: &str) -> [u8; ID_BYTES] {
    first_bytes(Sha256::new().chain_update(board))
}

fn first_bytes(digest: Sha256) -> [u8; ID_BYTES] {
    let whole: [u8; 32] = digest.finalize().into();
    *whole.first_chunk().expect("it is longer")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_name_number_and_beginning_is_another_one() {
        let mut ids = HashSet::new();
        for board in ["a", "b"] {
            for number in [1, 2] {
                for starts_at in [1, 2] {
                    let season = Season {
                        number,
                        starts_at,
                        ends_at: None,
                    };
                    let of = SeasonOf {
                        board: board.to_owned(),
                        season,
                    };
                    // When it ends may be known later than that it has begun.
                    let ended = SeasonOf {
                        season: Season {
                            ends_at: Some(9),
                            ..season
                        },
                        ..of.clone()
                    };
                    assert_eq!(of.id(), ended.id());
                    assert!(ids.insert(of.id()));
                }
            }
        }
    }
}
