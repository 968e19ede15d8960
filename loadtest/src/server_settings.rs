//! Settings of every server under test.

/// What every server under test is given: the limits on one player are not what is measured.
pub const SETTINGS: [&str; 17] = [
    "listen.connections_max=1000000",
    "listen.connections_per_address_max=1000000",
    "accounts.access_life=12h",
    "chat.rooms_per_player_max=100000",
    "limits.chat_per_second=1000000",
    "limits.chat_burst=1000000",
    "limits.write_per_second=1000000",
    "limits.write_burst=1000000",
    "limits.read_per_second=1000000",
    "limits.read_burst=1000000",
    "limits.service_per_second=1000000",
    "limits.service_burst=1000000",
    "limits.sign_in_per_second=1000000",
    "limits.sign_in_burst=1000000",
    "limits.free_per_second=1000000",
    "limits.free_burst=1000000",
    "limits.frames_per_second=1000000",
];
