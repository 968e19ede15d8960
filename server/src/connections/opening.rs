//! One opening of a room, or of the inbox, on a connection.

/// One opening of a room on a connection, until it is closed, lost or opened again, or one time that the inbox was asked for, until
/// it is asked for again. Whatever belongs to it carries its number,
/// so that nothing of an earlier right is sent: a room that was closed or lost, or whose player has signed out, is not open
/// as anything. A later opening is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Opening(u32);

impl Opening {
    /// The opening with this number, unique on its connection.
    pub const fn numbered(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self.0
    }
}
