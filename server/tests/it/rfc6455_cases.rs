//! The table of RFC 6455 cases, numbered after the Autobahn test suite's list where that has the case. Texts are refused
//! here (1003), so its text cases are done with binary messages.

use pitturu_protocol::limits::MESSAGE_BYTES_MAX;

use crate::raw::{
    BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close, frame, header, message, unmasked,
};

/// What the server must say next.
#[derive(Clone, Debug)]
pub(crate) enum Expect {
    /// This binary message.
    Message(Vec<u8>),
    /// A pong with this payload.
    Pong(Vec<u8>),
    /// A close frame with this code, or without one.
    Close(Option<u16>),
    /// Nothing more: the end of the connection.
    End,
}

/// Bytes in, answers out.
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) name: &'static str,
    /// Each is one write.
    pub(crate) send: Vec<Vec<u8>>,
    pub(crate) expect: Vec<Expect>,
}

impl Case {
    pub(crate) fn group(&self) -> &str {
        self.id.split('.').next().unwrap_or_default()
    }
}

const FIN: u8 = 0x80;
const UNSUPPORTED: u16 = 1003;
const VIOLATION: u16 = 1002;
const NOT_UTF8: u16 = 1007;
const TOO_BIG: u16 = 1009;

/// Valid text with letters of one to four bytes.
const TEXT_VALID: &[u8] = "Hello-µ@ßöäüàá-UTF-8!! 안녕 👾".as_bytes();

/// The same kind of text with a surrogate inside.
const TEXT_INVALID: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited";

#[derive(Default)]
struct Table(Vec<Case>);

impl Table {
    fn add(
        &mut self,
        id: impl Into<String>,
        name: &'static str,
        send: Vec<Vec<u8>>,
        expect: Vec<Expect>,
    ) {
        self.0.push(Case {
            id: id.into(),
            name,
            send,
            expect,
        });
    }

    /// Sends, then closes: the answers, then the echo of the close.
    fn answered(
        &mut self,
        id: impl Into<String>,
        name: &'static str,
        mut send: Vec<Vec<u8>>,
        mut expect: Vec<Expect>,
    ) {
        send.push(close(1000, b""));
        expect.extend([Expect::Close(Some(1000)), Expect::End]);
        self.add(id, name, send, expect);
    }

    /// Sends, and is closed with this code after the answers.
    fn refused(
        &mut self,
        id: impl Into<String>,
        name: &'static str,
        send: Vec<Vec<u8>>,
        code: u16,
    ) {
        self.refused_after(id, name, send, Vec::new(), code);
    }

    fn refused_after(
        &mut self,
        id: impl Into<String>,
        name: &'static str,
        send: Vec<Vec<u8>>,
        mut expect: Vec<Expect>,
        code: u16,
    ) {
        expect.extend([Expect::Close(Some(code)), Expect::End]);
        self.add(id, name, send, expect);
    }
}

fn bytewise(bytes: &[u8]) -> Vec<Vec<u8>> {
    chopped(bytes, 1)
}

fn chopped(bytes: &[u8], size: usize) -> Vec<Vec<u8>> {
    bytes.chunks(size).map(<[u8]>::to_vec).collect()
}

/// Bytes that show when they are cut, moved or repeated.
fn pattern(length: usize) -> Vec<u8> {
    let cycle = (0..=250u8).map(|index| index.wrapping_mul(31)).cycle();
    cycle.take(length).collect()
}

/// One message in frames of `size` bytes.
fn fragments(opcode: u8, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
    let count = payload.len().div_ceil(size).max(1);
    (0..count)
        .map(|index| {
            let part = &payload[index * size..payload.len().min((index + 1) * size)];
            let first = if index == 0 { opcode } else { CONTINUATION };
            let last = if index + 1 == count { FIN } else { 0 };
            frame(first | last, part)
        })
        .collect()
}

/// The whole table.
pub(crate) fn cases() -> Vec<Case> {
    let mut table = Table::default();
    framing(&mut table);
    pings(&mut table);
    reserved_bits(&mut table);
    opcodes(&mut table);
    fragmentation(&mut table);
    utf8(&mut table);
    closing(&mut table);
    close_codes(&mut table);
    limits(&mut table);
    others(&mut table);
    table.0
}

fn framing(table: &mut Table) {
    let sizes = [0, 125, 126, 127, 128, 65535, 65536];
    for (index, size) in sizes.into_iter().enumerate() {
        let text = vec![b'*'; size];
        let id = format!("1.1.{}", index + 1);
        table.refused(
            id,
            "text is refused",
            vec![message(TEXT, &text)],
            UNSUPPORTED,
        );
        let binary = pattern(size);
        table.answered(
            format!("1.2.{}", index + 1),
            "binary",
            vec![message(BINARY, &binary)],
            vec![Expect::Message(binary)],
        );
    }
    let binary = pattern(65536);
    table.answered(
        "1.2.8",
        "binary in chops of 997 bytes",
        chopped(&message(BINARY, &binary), 997),
        vec![Expect::Message(binary)],
    );
    let mut long = vec![FIN | BINARY, 0x80 | 126, 0, 3];
    long.extend([0, 0, 0, 0, 7, 8, 9]);
    table.answered(
        "1.2.9",
        "a length that could be shorter",
        vec![long],
        vec![Expect::Message(vec![7, 8, 9])],
    );
}

fn pings(table: &mut Table) {
    let full = pattern(125);
    let ping = |payload: &[u8]| message(PING, payload);
    let pong = |payload: &[u8]| Expect::Pong(payload.to_vec());
    table.answered("2.1", "empty ping", vec![ping(b"")], vec![pong(b"")]);
    table.answered("2.2", "ping", vec![ping(b"Hello")], vec![pong(b"Hello")]);
    let odd = [0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff];
    table.answered("2.3", "binary ping", vec![ping(&odd)], vec![pong(&odd)]);
    table.answered(
        "2.4",
        "ping of 125 bytes",
        vec![ping(&full)],
        vec![pong(&full)],
    );
    table.refused(
        "2.5",
        "ping of 126 bytes",
        vec![ping(&pattern(126))],
        VIOLATION,
    );
    table.answered(
        "2.6",
        "ping bytewise",
        bytewise(&ping(&full)),
        vec![pong(&full)],
    );
    table.answered("2.7", "empty pong", vec![message(PONG, b"")], vec![]);
    table.answered("2.8", "pong", vec![message(PONG, b"unasked")], vec![]);
    table.answered(
        "2.9",
        "pong, then ping",
        vec![message(PONG, b"unasked"), ping(b"asked")],
        vec![pong(b"asked")],
    );
    let ten: Vec<Vec<u8>> = (0..10u8).map(|index| vec![b'p', index]).collect();
    let sent: Vec<Vec<u8>> = ten.iter().map(|payload| ping(payload)).collect();
    let pongs: Vec<Expect> = ten.iter().map(|payload| pong(payload)).collect();
    table.answered("2.10", "ten pings", sent.clone(), pongs.clone());
    table.answered(
        "2.11",
        "ten pings bytewise",
        bytewise(&sent.concat()),
        pongs,
    );
}

fn reserved_bits(table: &mut Table) {
    let payload = b"reserved";
    for bits in 1..=7u8 {
        let rsv = bits << 4;
        let name = "reserved bits of a message";
        let id = format!("3.{bits}");
        table.refused(
            id,
            name,
            vec![frame(FIN | rsv | BINARY, payload)],
            VIOLATION,
        );
        table.refused_after(
            format!("3.{bits}.after"),
            "reserved bits after a message and before a ping",
            vec![
                message(BINARY, b"good"),
                frame(FIN | rsv | BINARY, payload),
                message(PING, b""),
            ],
            vec![Expect::Message(b"good".to_vec())],
            VIOLATION,
        );
        for (what, opcode) in [("ping", PING), ("pong", PONG), ("close", CLOSE)] {
            let id = format!("3.{bits}.{what}");
            let bytes = frame(FIN | rsv | opcode, b"");
            table.refused(
                id,
                "reserved bits of a control frame",
                vec![bytes],
                VIOLATION,
            );
        }
    }
    table.refused(
        "3.fragment",
        "reserved bit of a continuation",
        vec![frame(BINARY, b"a"), frame(FIN | 0x40, b"b")],
        VIOLATION,
    );
    table.refused(
        "3.bytewise",
        "reserved bits bytewise",
        bytewise(&frame(FIN | 0x50 | BINARY, payload)),
        VIOLATION,
    );
}

fn opcodes(table: &mut Table) {
    let data = (3..=7u8).map(|opcode| ("4.1", opcode));
    let control = (11..=15u8).map(|opcode| ("4.2", opcode));
    for (group, opcode) in data.chain(control) {
        let name = "reserved opcode";
        let bytes = message(opcode, b"");
        table.refused(format!("{group}.{opcode}"), name, vec![bytes], VIOLATION);
        let bytes = message(opcode, b"reserved payload");
        let id = format!("{group}.{opcode}.payload");
        table.refused(id, name, vec![bytes.clone()], VIOLATION);
        table.refused_after(
            format!("{group}.{opcode}.after"),
            name,
            vec![message(BINARY, b"good"), bytes, message(PING, b"")],
            vec![Expect::Message(b"good".to_vec())],
            VIOLATION,
        );
    }
}

fn fragmentation(table: &mut Table) {
    let whole = || Expect::Message(b"fragment1fragment2".to_vec());
    let first = || frame(BINARY, b"fragment1");
    let last = || frame(FIN, b"fragment2");
    let ping = |payload: &[u8]| message(PING, payload);
    for (id, opcode) in [("5.1", PING), ("5.2", PONG), ("5.2.close", CLOSE)] {
        let parts = vec![frame(opcode, b"fragment1"), last()];
        table.refused(id, "fragmented control frame", parts, VIOLATION);
    }
    table.answered("5.3", "two fragments", vec![first(), last()], vec![whole()]);
    let together = [first(), last()].concat();
    table.answered(
        "5.4",
        "two fragments in one write",
        vec![together.clone()],
        vec![whole()],
    );
    table.answered(
        "5.5",
        "two fragments bytewise",
        bytewise(&together),
        vec![whole()],
    );
    let with_ping = [first(), ping(b"pinged"), last()];
    let answers = vec![Expect::Pong(b"pinged".to_vec()), whole()];
    table.answered(
        "5.6",
        "ping between fragments",
        with_ping.to_vec(),
        answers.clone(),
    );
    let together = with_ping.concat();
    table.answered(
        "5.7",
        "the same in one write",
        vec![together.clone()],
        answers.clone(),
    );
    table.answered("5.8", "the same bytewise", bytewise(&together), answers);
    for (number, fin) in [(9, FIN), (12, 0)] {
        let stray = frame(fin | CONTINUATION, b"stray");
        let good = message(BINARY, b"good");
        let name = "continuation without a beginning";
        let together = vec![[stray.clone(), good.clone()].concat()];
        table.refused(
            format!("5.{number}"),
            name,
            vec![stray.clone(), good],
            VIOLATION,
        );
        table.refused(format!("5.{}", number + 1), name, together, VIOLATION);
        let id = format!("5.{}", number + 2);
        table.refused(id, name, bytewise(&stray), VIOLATION);
    }
    table.refused_after(
        "5.15",
        "continuation after a whole message",
        vec![
            first(),
            last(),
            frame(0, b"stray"),
            message(BINARY, b"good"),
        ],
        vec![whole()],
        VIOLATION,
    );
    for (number, fin) in [(16, 0), (17, FIN)] {
        let parts = vec![
            frame(fin | CONTINUATION, b"1"),
            frame(BINARY, b"2"),
            frame(FIN, b"3"),
        ];
        let name = "continuation before the beginning";
        table.refused(format!("5.{number}"), name, parts, VIOLATION);
    }
    let twice = vec![first(), message(BINARY, b"fragment2")];
    table.refused(
        "5.18",
        "a message inside a fragmented one",
        twice,
        VIOLATION,
    );
    let five: Vec<Vec<u8>> = vec![
        frame(BINARY, b"1"),
        frame(0, b"2"),
        ping(b"first"),
        frame(0, b"3"),
        frame(0, b"4"),
        ping(b"second"),
        frame(FIN, b"5"),
    ];
    let answers = vec![
        Expect::Pong(b"first".to_vec()),
        Expect::Pong(b"second".to_vec()),
        Expect::Message(b"12345".to_vec()),
    ];
    table.answered(
        "5.19",
        "five fragments and two pings",
        five.clone(),
        answers.clone(),
    );
    table.answered(
        "5.20",
        "the same in one write",
        vec![five.concat()],
        answers,
    );
    table.answered(
        "5.21",
        "empty fragments",
        vec![frame(BINARY, b""), frame(0, b""), frame(FIN, b"")],
        vec![Expect::Message(Vec::new())],
    );
    table.refused(
        "5.22",
        "a text inside a fragmented binary",
        vec![first(), message(TEXT, b"text")],
        VIOLATION,
    );
}

/// Byte sequences that are not UTF-8, by kind.
const MALFORMED: [(&str, &[u8]); 14] = [
    ("surrogate", TEXT_INVALID),
    ("lone-continuation", b"\x80"),
    ("last-continuation", b"\xbf"),
    ("truncated-2", b"\xc3"),
    ("truncated-3", b"\xe2\x82"),
    ("truncated-4", b"\xf0\x9f\x91"),
    ("overlong-2", b"\xc0\xaf"),
    ("overlong-3", b"\xe0\x80\xaf"),
    ("overlong-4", b"\xf0\x80\x80\xaf"),
    ("beyond-unicode", b"\xf4\x90\x80\x80"),
    ("five-bytes", b"\xf8\x88\x80\x80\x80"),
    ("fe", b"\xfe"),
    ("low-surrogate", b"\xed\xbf\xbf"),
    ("latin-1", b"caf\xe9 au lait"),
];

/// Ends of ranges that are UTF-8.
const WELL_FORMED: [(&str, &[u8]); 8] = [
    ("empty", b""),
    ("nul", b"\x00"),
    ("mixed", TEXT_VALID),
    ("2-bytes", b"\xc2\x80\xdf\xbf"),
    ("3-bytes", b"\xe0\xa0\x80\xef\xbf\xbf"),
    ("around-surrogates", b"\xed\x9f\xbf\xee\x80\x80"),
    ("4-bytes", b"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"),
    ("noncharacters", b"\xef\xb7\x90\xef\xbf\xbe"),
];

fn utf8(table: &mut Table) {
    for (kind, bytes) in WELL_FORMED {
        let whole = vec![message(TEXT, bytes)];
        table.refused(format!("6.text.{kind}"), "valid text", whole, UNSUPPORTED);
        let parts = fragments(TEXT, bytes, 1);
        let id = format!("6.fragmented.{kind}");
        table.refused(
            id,
            "valid text in fragments of one byte",
            parts,
            UNSUPPORTED,
        );
        let id = format!("6.reason.{kind}");
        let expect = vec![Expect::Close(Some(1000)), Expect::End];
        table.add(
            id,
            "reason of a close frame",
            vec![close(1000, bytes)],
            expect,
        );
    }
    for (kind, bytes) in MALFORMED {
        let whole = vec![message(TEXT, bytes)];
        table.refused(format!("6.text.{kind}"), "malformed text", whole, NOT_UTF8);
        let parts = fragments(TEXT, bytes, 1);
        let id = format!("6.fragmented.{kind}");
        table.refused(
            id,
            "malformed text in fragments of one byte",
            parts,
            NOT_UTF8,
        );
        let id = format!("6.reason.{kind}");
        let name = "malformed reason of a close frame";
        table.refused(id, name, vec![close(1000, bytes)], NOT_UTF8);
        table.answered(
            format!("6.binary.{kind}"),
            "the same in a binary message",
            vec![message(BINARY, bytes)],
            vec![Expect::Message(bytes.to_vec())],
        );
    }
}

fn closing(table: &mut Table) {
    let good = || message(BINARY, b"good");
    let echoed = || Expect::Message(b"good".to_vec());
    let normal = || close(1000, b"");
    let closed = || vec![Expect::Close(Some(1000)), Expect::End];
    table.answered("7.1.1", "message, then close", vec![good()], vec![echoed()]);
    table.add("7.1.2", "close twice", vec![normal(), normal()], closed());
    let after = vec![normal(), message(PING, b"late")];
    table.add("7.1.3", "ping after close", after, closed());
    table.add(
        "7.1.4",
        "message after close",
        vec![normal(), good()],
        closed(),
    );
    let inside = vec![frame(BINARY, b"half"), normal(), frame(FIN, b"half")];
    table.add(
        "7.1.5",
        "close inside a fragmented message",
        inside,
        closed(),
    );
    let large = pattern(MESSAGE_BYTES_MAX);
    let mut expect = vec![Expect::Message(large.clone()), echoed()];
    expect.extend(closed());
    table.add(
        "7.1.6",
        "a large message, a small one, close, ping",
        vec![
            message(BINARY, &large),
            good(),
            normal(),
            message(PING, b"late"),
        ],
        expect,
    );
    let empty = vec![message(CLOSE, b"")];
    table.add(
        "7.3.1",
        "empty close",
        empty,
        vec![Expect::Close(None), Expect::End],
    );
    table.refused(
        "7.3.2",
        "close of one byte",
        vec![message(CLOSE, &[3])],
        VIOLATION,
    );
    table.add("7.3.3", "close with a code", vec![normal()], closed());
    table.add(
        "7.3.4",
        "close with a reason",
        vec![close(1000, b"bye")],
        closed(),
    );
    table.add(
        "7.3.5",
        "longest reason",
        vec![close(1000, &[b'*'; 123])],
        closed(),
    );
    table.refused(
        "7.3.6",
        "reason too long",
        vec![close(1000, &[b'*'; 124])],
        VIOLATION,
    );
    table.refused(
        "7.5.1",
        "malformed reason",
        vec![close(1000, TEXT_INVALID)],
        NOT_UTF8,
    );
    table.add(
        "7.5.2",
        "close bytewise",
        bytewise(&close(1000, b"bye")),
        closed(),
    );
}

fn close_codes(table: &mut Table) {
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999,
    ] {
        let expect = vec![Expect::Close(Some(code)), Expect::End];
        table.add(
            format!("7.7.{code}"),
            "allowed code",
            vec![close(code, b"")],
            expect,
        );
    }
    for code in [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
    ] {
        let id = format!("7.9.{code}");
        table.refused(
            id,
            "code that may not be sent",
            vec![close(code, b"")],
            VIOLATION,
        );
    }
}

fn limits(table: &mut Table) {
    let longest = pattern(MESSAGE_BYTES_MAX);
    let echoed = || vec![Expect::Message(longest.clone())];
    let whole = message(BINARY, &longest);
    table.answered("9.2.1", "longest message", vec![whole.clone()], echoed());
    for size in [64, 256, 1024, 4096, 16384, 65536] {
        let id = format!("9.4.{size}");
        let parts = vec![fragments(BINARY, &longest, size).concat()];
        table.answered(id, "longest message in fragments", parts, echoed());
        let id = format!("9.6.{size}");
        table.answered(
            id,
            "longest message in chops",
            chopped(&whole, size),
            echoed(),
        );
    }
    let longer = pattern(MESSAGE_BYTES_MAX + 1);
    let bytes = vec![message(BINARY, &longer)];
    table.refused("9.9.1", "one byte more than allowed", bytes, TOO_BIG);
    let parts = vec![fragments(BINARY, &longer, 65536).concat()];
    table.refused("9.9.2", "one byte more, in fragments", parts, TOO_BIG);
    for (number, length) in [
        (3, MESSAGE_BYTES_MAX as u64 + 1),
        (4, 1 << 32),
        (5, (1 << 63) - 1),
        (6, u64::MAX),
    ] {
        let mut claim = header(FIN | BINARY, length, true);
        claim.extend([1, 2, 3, 4]);
        let name = "a claim of more than allowed, before any of it is sent";
        table.refused(format!("9.9.{number}"), name, vec![claim], TOO_BIG);
    }
    let text = vec![message(TEXT, &vec![b'*'; MESSAGE_BYTES_MAX + 1])];
    table.refused("9.9.7", "a text of more than allowed", text, TOO_BIG);
}

fn others(table: &mut Table) {
    let payload = pattern(65536);
    table.answered(
        "10.1.1",
        "fragments of 1,300 bytes",
        fragments(BINARY, &payload, 1300),
        vec![Expect::Message(payload)],
    );
    // DEFLATE of "Hello", as RFC 7692 prints it.
    let deflated = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let compressed = vec![frame(FIN | 0x40 | BINARY, &deflated)];
    table.refused("12.1.1", "a compressed message", compressed, VIOLATION);
    for (number, opcode) in [(1, BINARY), (2, PING), (3, CLOSE), (4, TEXT)] {
        let bytes = vec![unmasked(FIN | opcode, b"")];
        table.refused(
            format!("14.1.{number}"),
            "an unmasked frame",
            bytes,
            VIOLATION,
        );
    }
    let bytes = vec![message(BINARY, b"good"), unmasked(FIN | BINARY, b"bare")];
    let good = vec![Expect::Message(b"good".to_vec())];
    table.refused_after("14.2", "unmasked after masked", bytes, good, VIOLATION);
}
