//! The tables, each an ordered map of its own from key to row.

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident $text:literal;)*) => {
        /// A table. Its key is written in its description: partition key, then clustering key.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Table {
            $($(#[$doc])* $name,)*
        }

        impl Table {
            /// Every table, in the order of their numbers in memory.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Name on disk. Never changes.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            pub(crate) const fn index(self) -> usize {
                self as usize
            }
        }
    };
}

tables! {
    /// The engine's own: name of the value.
    Meta "meta";
    /// Results of keyed calls, one database: hash of entity, player and key.
    KeysA "keys_a";
    /// Results of keyed calls, the other database: hash of entity, player and key.
    KeysB "keys_b";
    /// Results of keyed calls that are kept for good: hash of entity, player and key.
    KeysLasting "keys_lasting";
    /// Where entities stand: entity.
    EntityHeads "entity_heads";
    /// Rows of entities: entity, key of the row.
    EntityRows "entity_rows";
    /// Rows of streams, behind the version that they were last written with: entity, stream, number.
    Entries "entries";
    /// Entities that have ended, while their rows are being removed: entity.
    EntitiesEnded "entities_ended";
    /// Entities that have ended and whose rows are gone: when they ended, entity.
    EntityMarkers "entity_markers";
    /// Rows of lists: list, key of the row.
    Lists "lists";
    /// Which entity has a key: space, key.
    Claims "claims";
    /// Signals that are not known to be applied: sender, version, index.
    Signals "signals";
    /// Up to where signals were applied: target, sender.
    Applied "applied";
    /// Keys of access tokens: key id.
    SigningKeys "signing_keys";
    /// Secrets from which ids follow: name.
    Secrets "secrets";
}
