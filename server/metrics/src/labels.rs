//! Labels: what tells the series of a metric apart. Each has few values, all of them known beforehand: nothing that a client
//! chooses becomes one.

use pitturu_protocol::codes::{CloseCode, Code};
use pitturu_protocol::methods::{METHODS, MethodInfo, Rate};
use pitturu_protocol::types::points::PointsAccount;

/// One label.
pub trait Label: Copy + 'static {
    /// Its name.
    const NAME: &'static str;

    /// What its values are, where there are too many to list.
    const ABOUT: Option<&'static str> = None;

    /// How many values there are.
    const COUNT: usize;

    /// Every value.
    fn values() -> Vec<&'static str>;

    /// The place of this value among all.
    fn place(self) -> usize;
}

/// What is known of a label.
#[derive(Clone, Debug)]
pub struct LabelDescription {
    /// Its name.
    pub name: &'static str,
    /// Every value that it can have.
    pub values: Vec<&'static str>,
    /// What the values are, where there are too many to list.
    pub about: Option<&'static str>,
}

/// The labels of a metric: none, one, or two.
pub trait Labels: Copy + 'static {
    /// Their names, in order.
    fn names() -> Vec<&'static str>;

    /// What is known of them, in order.
    fn descriptions() -> Vec<LabelDescription>;

    /// The values of every series, in the order of [`Self::place`].
    fn series() -> Vec<Vec<&'static str>>;

    /// The place of this series among all.
    fn place(self) -> usize;
}

fn describe<A: Label>() -> LabelDescription {
    LabelDescription {
        name: A::NAME,
        values: A::values(),
        about: A::ABOUT,
    }
}

impl Labels for () {
    fn names() -> Vec<&'static str> {
        Vec::new()
    }

    fn descriptions() -> Vec<LabelDescription> {
        Vec::new()
    }

    fn series() -> Vec<Vec<&'static str>> {
        vec![Vec::new()]
    }

    fn place(self) -> usize {
        0
    }
}

impl<A: Label> Labels for A {
    fn names() -> Vec<&'static str> {
        vec![A::NAME]
    }

    fn descriptions() -> Vec<LabelDescription> {
        vec![describe::<A>()]
    }

    fn series() -> Vec<Vec<&'static str>> {
        A::values().into_iter().map(|value| vec![value]).collect()
    }

    fn place(self) -> usize {
        Label::place(self)
    }
}

impl<A: Label, B: Label> Labels for (A, B) {
    fn names() -> Vec<&'static str> {
        vec![A::NAME, B::NAME]
    }

    fn descriptions() -> Vec<LabelDescription> {
        vec![describe::<A>(), describe::<B>()]
    }

    fn series() -> Vec<Vec<&'static str>> {
        let firsts = A::values().into_iter();
        firsts
            .flat_map(|first| {
                B::values()
                    .into_iter()
                    .map(move |second| vec![first, second])
            })
            .collect()
    }

    fn place(self) -> usize {
        Label::place(self.0) * B::COUNT + Label::place(self.1)
    }
}

macro_rules! label {
    ($(#[$about:meta])* $type:ident $name:literal { $($(#[$doc:meta])* $value:ident $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type {
            $($(#[$doc])* $value,)*
        }

        impl $type {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$value,)*];

            /// As it is shown.
            pub const fn name(self) -> &'static str {
                *self.shared_name()
            }

            /// The same in half the space, for what there are many of.
            pub const fn shared_name(self) -> &'static &'static str {
                match self {
                    $(Self::$value => &$text,)*
                }
            }
        }

        impl Label for $type {
            const NAME: &'static str = $name;
            const COUNT: usize = Self::ALL.len();

            fn values() -> Vec<&'static str> {
                vec![$($text,)*]
            }

            fn place(self) -> usize {
                self as usize
            }
        }
    };
}

label! {
    /// What carries a connection.
    Transport "transport" {
        /// WebSocket, with or without TLS.
        WebSocket "ws",
        /// QUIC, as the SDKs for other than browsers speak it.
        Quic "quic",
        /// WebTransport.
        WebTransport "webtransport",
    }
}

label! {
    /// Why the server acts on a player by itself.
    Offence "rule" {
        /// Too much was said in too short a time.
        Flood "flood",
        /// The word filter has refused too much.
        Filter "filter",
    }
}

label! {
    /// Why a handshake led to no connection.
    HandshakeRefusal "reason" {
        /// The server has as many connections as it may.
        Full "full",
        /// The client's address has.
        AddressFull "address_full",
        /// It took too long.
        Timeout "timeout",
        /// The socket broke, or the client went.
        Io "io",
        /// The two did not agree on TLS.
        Tls "tls",
        /// The client speaks something else.
        Protocol "protocol",
        /// It asks for another subprotocol.
        Subprotocol "subprotocol",
        /// It asks for no upgrade.
        NotWebSocket "not_websocket",
        /// It asks by another method.
        Method "method",
        /// It asks for another version.
        Version "version",
        /// It asks for another path.
        Path "path",
        /// Its page may not connect.
        Origin "origin",
        /// Its head is too long.
        HeadTooLarge "head_too_large",
        /// What it says can't be read.
        Malformed "malformed",
        /// A proxy in front did not begin with a PROXY header that can be read.
        ProxyHeader "proxy_header",
    }
}

label! {
    /// How a call, or a sign-in, ended. What the server would not do is a refusal, what it could not do a failure.
    Outcome "outcome" {
        /// As the caller wanted.
        Ok "ok",
        /// The server would not.
        Refused "refused",
        /// The server could not.
        Failed "failed",
    }
}

impl Outcome {
    /// How something ended that was answered with this code.
    pub const fn of(code: Code) -> Self {
        match code {
            Code::Internal | Code::Unavailable | Code::Overloaded | Code::StorageUnavailable => {
                Self::Failed
            }
            _ => Self::Refused,
        }
    }
}

label! {
    /// What a player signs in with.
    SignInWay "way" {
        /// A new name and password.
        Register "register",
        /// A name and a password.
        Password "password",
        /// The secret of a guest, new or known.
        Guest "guest",
        /// A refresh token.
        Refresh "refresh",
        /// An access token, by a call.
        Access "access",
        /// An access token, in the hello.
        Hello "hello",
    }
}

label! {
    /// What is left of a message of a room.
    Lasting "class" {
        /// It is stored.
        Stored "stored",
        /// It was for those who were there.
        Ephemeral "ephemeral",
    }
}

label! {
    /// What a slow reader loses of an event.
    DeliveryClass "class" {
        /// Nothing: it is read from the store later.
        Durable "durable",
        /// All but the newest.
        Latest "latest",
        /// It.
        Volatile "volatile",
    }
}

label! {
    /// A kind of entity.
    EntityKind "kind" {
        /// Rooms.
        Rooms "rooms",
        /// Players.
        Players "players",
        /// The one that decides roles.
        Staff "staff",
        /// Seasons of leaderboards.
        Boards "boards",
        /// What is left of items.
        Stocks "stocks",
        /// The one that keeps what all players had.
        Totals "totals",
        /// The one that keeps the audit log.
        AuditLog "audit_log",
        /// The one that keeps reports of players.
        Reports "reports",
    }
}

label! {
    /// Which limit a call counts against.
    CallClass "class" {
        /// [`Rate::Free`].
        Free "free",
        /// [`Rate::Read`].
        Read "read",
        /// [`Rate::Write`].
        Write "write",
        /// [`Rate::Chat`].
        Chat "chat",
        /// [`Rate::SignIn`].
        SignIn "sign_in",
        /// There is no such method.
        Unknown "unknown",
    }
}

impl CallClass {
    /// That of the method with this number.
    pub fn of(method: u16) -> Self {
        match MethodInfo::of(method).map(|method| method.rate) {
            Some(Rate::Free) => Self::Free,
            Some(Rate::Read) => Self::Read,
            Some(Rate::Write) => Self::Write,
            Some(Rate::Chat) => Self::Chat,
            Some(Rate::SignIn) => Self::SignIn,
            None => Self::Unknown,
        }
    }
}

/// A method of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CalledMethod(u8);

/// Numbers of methods up to the highest one.
const NUMBERS: usize = METHODS[METHODS.len() - 1].number as usize + 1;

/// For each number the place of its method, or one where there is no method.
#[allow(clippy::cast_possible_truncation, reason = "checked at compile time")]
static PLACES: [u8; NUMBERS] = {
    assert!(METHODS.len() < u8::MAX as usize);
    let mut places = [u8::MAX; NUMBERS];
    let mut place = 0;
    while place < METHODS.len() {
        places[METHODS[place].number as usize] = place as u8;
        place += 1;
    }
    places
};

impl CalledMethod {
    /// The method with this number, if there is one.
    pub fn of(number: u16) -> Option<Self> {
        let place = *PLACES.get(usize::from(number))?;
        (usize::from(place) < METHODS.len()).then_some(Self(place))
    }
}

impl Label for CalledMethod {
    const NAME: &'static str = "method";
    const ABOUT: Option<&'static str> = Some("each [call](api.md)");
    const COUNT: usize = METHODS.len();

    fn values() -> Vec<&'static str> {
        METHODS.iter().map(|method| method.name).collect()
    }

    fn place(self) -> usize {
        usize::from(self.0)
    }
}

impl Label for Code {
    const NAME: &'static str = "code";
    const ABOUT: Option<&'static str> = Some("each [code](protocol.md) of a fault, by its name");
    const COUNT: usize = Self::ALL.len();

    fn values() -> Vec<&'static str> {
        Self::ALL.iter().map(|code| code.name()).collect()
    }

    /// No server says a code that it does not know; such a one would count as the first, which is a fault of the server's own.
    fn place(self) -> usize {
        let known = Self::ALL.iter().position(|known| *known == self);
        known.unwrap_or(0)
    }
}

impl Label for PointsAccount {
    const NAME: &'static str = "account";
    const COUNT: usize = Self::ALL.len();

    fn values() -> Vec<&'static str> {
        Self::ALL.iter().map(|account| account.name()).collect()
    }

    fn place(self) -> usize {
        let known = Self::ALL.iter().position(|known| *known == self);
        known.unwrap_or(0)
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// The server closed it for a reason of the protocol.
    Closed(CloseCode),
    /// The server closed it, for the client broke the rules of what carries it.
    TransportViolation,
    /// The client closed it.
    ByClient,
    /// The network gave it up.
    Lost,
}

impl ConnectionEnd {
    /// How a connection ended that the server closed with this number.
    pub fn of_number(number: u16) -> Self {
        let code = CloseCode::ALL.iter().find(|code| code.number() == number);
        code.map_or(Self::TransportViolation, |code| Self::Closed(*code))
    }
}

impl Label for ConnectionEnd {
    const NAME: &'static str = "reason";
    const COUNT: usize = CloseCode::ALL.len() + 3;

    fn values() -> Vec<&'static str> {
        let others = ["transport_violation", "by_client", "lost"];
        let codes = CloseCode::ALL.iter().map(|code| code.name());
        codes.chain(others).collect()
    }

    fn place(self) -> usize {
        let codes = CloseCode::ALL.len();
        match self {
            Self::Closed(code) => {
                let known = CloseCode::ALL.iter().position(|known| *known == code);
                known.unwrap_or(0)
            }
            Self::TransportViolation => codes,
            Self::ByClient => codes + 1,
            Self::Lost => codes + 2,
        }
    }
}

/// The version of the server that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version;

impl Label for Version {
    const NAME: &'static str = "version";
    const ABOUT: Option<&'static str> = Some("that of the program");
    const COUNT: usize = 1;

    fn values() -> Vec<&'static str> {
        // All crates of the project have one version.
        vec![env!("CARGO_PKG_VERSION")]
    }

    fn place(self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every value has a place of its own, in the order in which the values are listed.
    fn check<A: Label>(every: impl IntoIterator<Item = A>) {
        let places: Vec<usize> = every.into_iter().map(Label::place).collect();
        assert_eq!(places, (0..A::COUNT).collect::<Vec<_>>(), "{}", A::NAME);
        assert_eq!(A::values().len(), A::COUNT, "{}", A::NAME);
    }

    #[test]
    fn every_value_of_a_label_has_its_place() {
        check(Transport::ALL.iter().copied());
        check(HandshakeRefusal::ALL.iter().copied());
        check(Code::ALL.iter().copied());
        check(PointsAccount::ALL.iter().copied());
        check(
            METHODS
                .iter()
                .map(|method| CalledMethod::of(method.number).unwrap()),
        );
        let closed = CloseCode::ALL
            .iter()
            .map(|code| ConnectionEnd::Closed(*code));
        let others = [
            ConnectionEnd::TransportViolation,
            ConnectionEnd::ByClient,
            ConnectionEnd::Lost,
        ];
        check(closed.chain(others));
    }

    #[test]
    fn two_labels_make_a_series_of_each_pair() {
        let series = <(Transport, Outcome)>::series();
        assert_eq!(series.len(), Transport::ALL.len() * Outcome::ALL.len());
        for &transport in Transport::ALL {
            for &outcome in Outcome::ALL {
                let place = Labels::place((transport, outcome));
                assert_eq!(series[place], [transport.name(), outcome.name()]);
            }
        }
    }

    #[test]
    fn numbers_without_a_method_are_none() {
        assert_eq!(CalledMethod::of(u16::MAX), None);
        assert_eq!(CalledMethod::of(2), None);
        assert_eq!(CallClass::of(2), CallClass::Unknown);
        let end = ConnectionEnd::of_number(CloseCode::Flooding.number());
        assert_eq!(end, ConnectionEnd::Closed(CloseCode::Flooding));
        assert_eq!(
            ConnectionEnd::of_number(1009),
            ConnectionEnd::TransportViolation
        );
    }
}
