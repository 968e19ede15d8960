//! How long to wait before trying again: exponential with full jitter, so that clients that were cut
//! off together do not come back together.

/// Waits that grow. The n-th is drawn evenly from 0 to `base_ms · 2ⁿ`, at most `cap_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackOff {
    /// Longest first wait in milliseconds.
    pub base_ms: u64,
    /// Longest wait of all in milliseconds.
    pub cap_ms: u64,
}

impl Default for BackOff {
    fn default() -> Self {
        Self {
            base_ms: 250,
            cap_ms: 20_000,
        }
    }
}

impl BackOff {
    /// The least that the longest wait of a client's is, in milliseconds, so that it comes about 20 times a second at most. A
    /// shorter one counts as this.
    pub const CAP_MS_MIN: u64 = 100;

    /// The most that the longest wait of a client's may be: a day.
    pub const CAP_MS_MAX: u64 = 24 * 3_600_000;

    /// The waits of a client that asks for these: it neither storms its server nor stays away for good. Absent without a first wait,
    /// and when the longest one is shorter than the first or longer than [`Self::CAP_MS_MAX`].
    pub fn of_client(self) -> Option<Self> {
        let Self { base_ms, cap_ms } = self;
        let is_one = base_ms >= 1 && (base_ms..=Self::CAP_MS_MAX).contains(&cap_ms);
        is_one.then_some(Self {
            base_ms,
            cap_ms: cap_ms.max(Self::CAP_MS_MIN),
        })
    }

    /// Longest wait after `attempts` failures in a row.
    pub fn ceiling_ms(&self, attempts: u32) -> u64 {
        let factor = 1u64.checked_shl(attempts).unwrap_or(u64::MAX);
        self.base_ms.saturating_mul(factor).min(self.cap_ms)
    }

    /// The wait after `attempts` failures in a row.
    pub fn wait_ms(&self, attempts: u32, jitter: &mut Jitter) -> u64 {
        jitter.up_to(self.ceiling_ms(attempts))
    }
}

/// Random numbers for spreading load, drawn from a seed. Anybody can guess them: never use them as secrets or keys.
#[derive(Clone, Debug)]
pub struct Jitter(u64);

impl Jitter {
    /// A generator whose whole sequence follows from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits (splitmix64).
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `most`, both included.
    pub fn up_to(&mut self, most: u64) -> u64 {
        match most.checked_add(1) {
            Some(count) => self.bits() % count,
            None => self.bits(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_never_beyond() {
        let back_off = BackOff::default();
        let ceilings: Vec<u64> = (0..9).map(|n| back_off.ceiling_ms(n)).collect();
        assert_eq!(
            ceilings,
            [250, 500, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000]
        );
        assert_eq!(back_off.ceiling_ms(u32::MAX), 20_000);
        let mut jitter = Jitter::new(1);
        assert!((0..1000).all(|n| back_off.wait_ms(n, &mut jitter) <= 20_000));
    }

    #[test]
    fn a_client_neither_storms_its_server_nor_stays_away_for_good() {
        let of_client = |base_ms, cap_ms| BackOff { base_ms, cap_ms }.of_client();
        for kept in [
            BackOff::default(),
            BackOff {
                base_ms: 1,
                cap_ms: 86_400_000,
            },
        ] {
            assert_eq!(kept.of_client(), Some(kept));
        }
        assert_eq!(
            of_client(1, 1),
            Some(BackOff {
                base_ms: 1,
                cap_ms: 100
            })
        );
        for (base_ms, cap_ms) in [
            (0, 0),
            (0, 1_000),
            (1_000_000_000, 1),
            (101, 100),
            (2, 1),
            (1, 86_400_001),
            (u64::MAX, u64::MAX),
        ] {
            assert_eq!(of_client(base_ms, cap_ms), None);
        }
    }

    #[test]
    fn jitter_covers_its_range() {
        let mut jitter = Jitter::new(7);
        let drawn: std::collections::HashSet<u64> = (0..200).map(|_| jitter.up_to(3)).collect();
        assert_eq!(drawn, (0..4).collect());
        assert_eq!(jitter.up_to(0), 0);
        jitter.up_to(u64::MAX);
    }
}
