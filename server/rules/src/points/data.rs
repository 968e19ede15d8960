//! What the game's team writes about points.

use pitturu_protocol::limits::INTEGER_MAX;
use serde::{Deserialize, Serialize};

use super::refusal::PointsRefusal;

/// What players may do with points.
///
/// ```toml
/// [points.gifts]
/// enabled = true
/// least = 10
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PointsData {
    /// What they may give to one another.
    pub gifts: GiftRules,
}

/// What players may give to one another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GiftRules {
    /// Whether they may give anything. What is on its way arrives all the same.
    pub enabled: bool,
    /// The least amount of one gift, in points.
    pub least: u64,
}

impl Default for GiftRules {
    fn default() -> Self {
        Self {
            enabled: true,
            least: 1,
        }
    }
}

impl GiftRules {
    /// Refuses a gift of so many points if the game has no such gifts.
    ///
    /// # Errors
    /// [`PointsRefusal::NoGifts`], [`PointsRefusal::SmallGift`].
    pub const fn check(&self, amount: u64) -> Result<(), PointsRefusal> {
        if !self.enabled {
            return Err(PointsRefusal::NoGifts);
        }
        if amount < self.least {
            return Err(PointsRefusal::SmallGift { least: self.least });
        }
        Ok(())
    }

    /// A field that can't be followed, and what is wrong with it.
    pub fn mistake(&self) -> Option<(&'static str, String)> {
        let is_amount = (1..=INTEGER_MAX).contains(&self.least);
        (!is_amount).then(|| ("least", format!("a whole number from 1 to {INTEGER_MAX}")))
    }
}
