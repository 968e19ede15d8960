//! Opaque tokens: refresh and reset. A secret follows from a master key, which the store has not, and a random nonce, so that the same token can be made
//! again for a repeated call although only its hash is stored: the nonce is stored as long as repetitions are answered. Who has an old copy of the
//! store knows neither the key nor the nonces drawn since. Ids of players that a repeated call has to find again are derived as well.

use hmac::{Hmac, Mac};
use pitturu_protocol::ids::{ID_BYTES, SessionId, UserId};
use pitturu_rules::accounts::{Claim, Hidden, Nonce, SecretHash};
use sha2::{Digest, Sha256};

use super::masters::Masters;

/// Bytes of a token's secret.
const SECRET_BYTES: usize = 32;

/// How many of them, the first ones, are the nonce of a refresh token.
const NONCE_BYTES: usize = 16;

/// What refresh tokens begin with, so that a leaked one is recognised for what it is.
const REFRESH_PREFIX: &str = "pr1";

/// What reset tokens begin with.
const RESET_PREFIX: &str = "pp1";

/// Generations stay below this, so that a token cannot name one that makes arithmetic overflow.
const GENERATION_END: u64 = 1 << 53;

/// Makes tokens and recognises its own.
#[derive(Clone, Debug)]
pub struct TokenMaker {
    masters: Masters,
}

/// A token to hand out, and the hash to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// For the client.
    pub text: String,
    /// For the store.
    pub hash: SecretHash,
}

/// A refresh token that a client presents, not yet believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresentedRefresh {
    /// The player it names.
    pub user: UserId,
    /// The session it names.
    pub session: SessionId,
    /// The generation it names.
    pub generation: u64,
    secret: [u8; SECRET_BYTES],
}

impl TokenMaker {
    /// Derives tokens from the newest of these keys, and recognises those of all.
    pub const fn new(masters: Masters) -> Self {
        Self { masters }
    }

    /// A new refresh token of a session's generation.
    pub fn refresh(&self, about: RefreshOf, nonce: Nonce) -> Made {
        refresh(&self.masters.newest(), about, nonce)
    }

    /// The refresh token that was made before, if its key is still kept.
    pub fn refresh_again(&self, about: RefreshOf, nonce: Nonce, hash: SecretHash) -> Option<Made> {
        let made = self.masters.all();
        let mut made = made.iter().map(|master| refresh(master, about, nonce));
        made.find(|made| made.hash == hash)
    }

    /// Whether this server made the token, at whatever time as long as its key is kept. In constant time.
    pub fn is_genuine(&self, token: &PresentedRefresh) -> bool {
        let about = RefreshOf {
            user: token.user,
            session: token.session,
            generation: token.generation,
        };
        let (nonce, tag) = token.secret.split_at(NONCE_BYTES);
        self.masters.all().iter().any(|master| {
            let mac = refresh_mac(master, about, nonce);
            mac.verify_truncated_left(tag).is_ok()
        })
    }

    /// A player's new reset token.
    pub fn reset(&self, user: UserId, nonce: &Nonce) -> Made {
        reset(&self.masters.newest(), user, nonce)
    }

    /// The reset tokens that can have been made of this nonce, by the newest key first.
    pub fn resets(&self, user: UserId, nonce: &Nonce) -> Vec<Made> {
        let masters = self.masters.all();
        masters.iter().map(|key| reset(key, user, nonce)).collect()
    }

    /// The player whom a call under this key makes for a claim, at its first attempt, its second, ...
    pub fn new_player(&self, claim: &Claim, key: &str, attempt: u32) -> UserId {
        let (kind, claimed) = match claim {
            Claim::Name(folded) => (b"name".as_slice(), folded.as_bytes()),
            Claim::Secret(hash) => (b"secret".as_slice(), hash.as_slice()),
        };
        let mut mac = mac_by(&self.masters.newest(), b"player");
        for part in [kind, claimed, key.as_bytes()] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.update(&attempt.to_be_bytes());
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        UserId::from_bytes(*bytes.first_chunk().expect("it is longer"))
    }

    /// Who stands for a name that no account has: one of 65,536, whom nobody is. What a call does for an account it does there,
    /// so that nobody learns from it whether there is one, and such names fill nothing.
    pub fn nobody(&self, name: &str) -> UserId {
        let master = self.masters.newest();
        let mut all = mac_by(&master, b"nobody");
        let mut one = mac_by(&master, b"nobody's name");
        all.update(&[]);
        one.update(name.as_bytes());
        let all: [u8; 32] = all.finalize().into_bytes().into();
        let one: [u8; 32] = one.finalize().into_bytes().into();
        let mut bytes: [u8; ID_BYTES] = *all.first_chunk().expect("it is longer");
        bytes[ID_BYTES - 2..].copy_from_slice(&one[..2]);
        UserId::from_bytes(bytes)
    }
}

/// What a refresh token is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshOf {
    /// The player.
    pub user: UserId,
    /// The session.
    pub session: SessionId,
    /// How many times it was refreshed.
    pub generation: u64,
}

fn refresh(master: &Hidden<[u8; 32]>, about: RefreshOf, nonce: Nonce) -> Made {
    let tag = refresh_mac(master, about, &nonce).finalize().into_bytes();
    let mut secret = [0; SECRET_BYTES];
    secret[..NONCE_BYTES].copy_from_slice(&nonce);
    secret[NONCE_BYTES..].copy_from_slice(&tag[..SECRET_BYTES - NONCE_BYTES]);
    let RefreshOf {
        user,
        session,
        generation,
    } = about;
    Made {
        text: format!(
            "{REFRESH_PREFIX}.{user}.{session}.{generation}.{}",
            to_hex(&secret)
        ),
        hash: hash_of(&secret),
    }
}

fn refresh_mac(master: &Hidden<[u8; 32]>, about: RefreshOf, nonce: &[u8]) -> Hmac<Sha256> {
    let mut mac = mac_by(master, b"refresh");
    mac.update(about.user.as_bytes());
    mac.update(about.session.as_bytes());
    mac.update(&about.generation.to_be_bytes());
    mac.update(nonce);
    mac
}

fn reset(master: &Hidden<[u8; 32]>, user: UserId, nonce: &Nonce) -> Made {
    let mut mac = mac_by(master, b"reset");
    mac.update(user.as_bytes());
    mac.update(nonce);
    let secret: [u8; SECRET_BYTES] = mac.finalize().into_bytes().into();
    Made {
        text: format!("{RESET_PREFIX}.{user}.{}", to_hex(&secret)),
        hash: hash_of(&secret),
    }
}

/// What follows from a master key and something that the store keeps.
pub(super) fn derived(master: &Hidden<[u8; 32]>, purpose: &[u8], from: &[u8]) -> [u8; 32] {
    let mut mac = mac_by(master, purpose);
    mac.update(from);
    mac.finalize().into_bytes().into()
}

fn mac_by(master: &Hidden<[u8; 32]>, purpose: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&master.0).expect("HMAC takes keys of any length");
    mac.update(purpose);
    mac
}

impl PresentedRefresh {
    /// Reads a refresh token.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let token = Self {
            user: (parts.next()? == REFRESH_PREFIX)
                .then(|| parts.next())
                .flatten()?
                .parse()
                .ok()?,
            session: parts.next()?.parse().ok()?,
            generation: parts.next()?.parse().ok().filter(|&n| n < GENERATION_END)?,
            secret: from_hex(parts.next()?)?,
        };
        parts.next().is_none().then_some(token)
    }

    /// The hash under which the store keeps the token's secret.
    pub fn hash(&self) -> SecretHash {
        hash_of(&self.secret)
    }
}

/// Whose reset token is presented, as it says itself, and its hash.
pub fn presented_reset(text: &str) -> Option<(UserId, SecretHash)> {
    let (user, secret) = text
        .strip_prefix(RESET_PREFIX)?
        .strip_prefix('.')?
        .split_once('.')?;
    Some((user.parse().ok()?, hash_of(&from_hex(secret)?)))
}

/// The hash under which the store keeps a secret.
pub fn hash_of(secret: &[u8]) -> SecretHash {
    Sha256::digest(secret).into()
}

/// Bytes as lower-case hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

fn from_hex(text: &str) -> Option<[u8; SECRET_BYTES]> {
    let digits: Vec<u8> = text
        .bytes()
        .map(|byte| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        })
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |sum, digit| sum << 4 | digit))
        .collect();
    (digits.len() == 2 * SECRET_BYTES)
        .then(|| bytes.try_into().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use pitturu_store::master_keys::MasterKeys;
    use proptest::prelude::*;

    use super::*;

    const USER: UserId = UserId::from_bytes([1; 10]);
    const SESSION: SessionId = SessionId::from_bytes([2; 10]);

    fn by(master: u8) -> TokenMaker {
        TokenMaker::new(Masters::new(MasterKeys::in_memory([master; 32])))
    }

    fn maker() -> TokenMaker {
        by(7)
    }

    const fn about(generation: u64) -> RefreshOf {
        RefreshOf {
            user: USER,
            session: SESSION,
            generation,
        }
    }

    const NONCE: Nonce = [5; 16];

    #[test]
    fn a_token_is_the_same_each_time_and_recognised() {
        let made = maker().refresh(about(3), NONCE);
        assert_eq!(made, maker().refresh(about(3), NONCE));
        let token = PresentedRefresh::parse(&made.text).unwrap();
        assert_eq!(
            (token.user, token.session, token.generation),
            (USER, SESSION, 3)
        );
        assert_eq!(token.hash(), made.hash);
        assert!(maker().is_genuine(&token));
        assert!(!by(8).is_genuine(&token));
        let other_nonce = maker().refresh(about(3), [6; 16]);
        assert_ne!(other_nonce.hash, made.hash);
    }

    #[tokio::test]
    async fn tokens_of_keys_that_were_replaced_are_made_again_and_recognised() {
        let masters = Masters::new(MasterKeys::in_memory([7; 32]));
        let maker = TokenMaker::new(masters.clone());
        let made = maker.refresh(about(3), NONCE);
        let reset = maker.reset(USER, &NONCE);
        let token = PresentedRefresh::parse(&made.text).unwrap();
        masters.rotate(1_000, 1).await.unwrap();
        assert_ne!(maker.refresh(about(3), NONCE), made);
        let again = maker.refresh_again(about(3), NONCE, made.hash);
        assert_eq!(again.as_ref(), Some(&made));
        assert_eq!(maker.refresh_again(about(4), NONCE, made.hash), None);
        assert!(maker.is_genuine(&token));
        assert!(maker.resets(USER, &NONCE).contains(&reset));
        masters.rotate(2_000, 1).await.unwrap();
        assert!(!maker.is_genuine(&token), "its key is gone");
    }

    #[test]
    fn a_token_of_another_generation_session_or_purpose_is_another() {
        let token = PresentedRefresh::parse(&maker().refresh(about(3), NONCE).text).unwrap();
        assert!(!maker().is_genuine(&PresentedRefresh {
            generation: 4,
            ..token
        }));
        let other = SessionId::from_bytes([3; 10]);
        assert!(!maker().is_genuine(&PresentedRefresh {
            session: other,
            ..token
        }));
        let reset = maker().reset(USER, &[0; 16]);
        assert_ne!(reset.hash, maker().reset(USER, &[1; 16]).hash);
        let another = UserId::from_bytes([2; 10]);
        assert_ne!(reset.hash, maker().reset(another, &[0; 16]).hash);
    }

    #[test]
    fn other_texts_are_no_tokens() {
        let good = maker().refresh(about(3), NONCE).text;
        for bad in [
            "".to_owned(),
            ".".repeat(2_000),
            good.replace("pr1", "pr2"),
            good.to_uppercase(),
            format!("{good}.x"),
            format!("{good}0"),
            good[..good.len() - 1].to_owned(),
            good.replace(".3.", ".-3."),
            good.replace(".3.", ".99999999999999999999."),
            good.replace(".3.", ".9007199254740992."),
        ] {
            assert_eq!(PresentedRefresh::parse(&bad), None, "{bad}");
        }
        let reset = maker().reset(USER, &[4; 16]);
        let presented = Some((USER, reset.hash));
        assert_eq!(presented_reset(&reset.text), presented);
        for bad in [
            good,
            "pp1".to_owned(),
            reset.text.replace("pp1.", "pp1"),
            reset.text.replace("pp1", "pr1"),
            format!("{}.x", reset.text),
            reset.text[..reset.text.len() - 1].to_owned(),
        ] {
            assert_eq!(presented_reset(&bad), None, "{bad}");
        }
    }

    #[test]
    fn the_player_of_a_key_is_the_same_each_time_and_nobody_elses() {
        let name = Claim::Name("ana".to_owned());
        let player = maker().new_player(&name, "k", 0);
        assert_eq!(player, maker().new_player(&name, "k", 0));
        let others = [
            maker().new_player(&Claim::Name("anak".to_owned()), "", 0),
            maker().new_player(&name, "l", 0),
            maker().new_player(&name, "k", 1),
            maker().new_player(&Claim::Secret([0; 32]), "k", 0),
            by(8).new_player(&name, "k", 0),
            maker().nobody("ana"),
        ];
        assert!(others.iter().all(|other| *other != player));
        assert_eq!(maker().nobody("ana"), maker().nobody("ana"));
        assert_ne!(maker().nobody("ana"), maker().nobody("ben"));
    }

    proptest! {
        #[test]
        fn a_changed_token_is_never_genuine(at in 0_usize..120, with in any::<char>()) {
            let good = maker().refresh(about(3), NONCE).text;
            let mut chars: Vec<char> = good.chars().collect();
            let at = at % chars.len();
            chars[at] = with;
            let changed: String = chars.into_iter().collect();
            if let Some(token) = PresentedRefresh::parse(&changed) {
                prop_assert!(changed == good || !maker().is_genuine(&token), "{}", changed);
            }
        }
    }
}
