//! Real sockets over the link.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::panic::AssertUnwindSafe;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pitturu_lossy_link::{CLIENT, Conditions, LossyLink, Pass, SERVER, Way, open_or_leave_out};

const PATIENCE: Duration = Duration::from_secs(20);

/// What has not come within this will not come.
const SILENCE: Duration = Duration::from_millis(500);

fn udp(namespace: &pitturu_lossy_link::Namespace, address: Ipv4Addr) -> UdpSocket {
    let socket = namespace.run(|| UdpSocket::bind((address, 0))).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A UDP socket on each side, connected to each other.
fn sockets(link: &LossyLink) -> (UdpSocket, UdpSocket) {
    let client = udp(link.client(), CLIENT);
    let server = udp(link.server(), SERVER);
    client.connect(server.local_addr().unwrap()).unwrap();
    server.connect(client.local_addr().unwrap()).unwrap();
    (client, server)
}

/// The shortest of several round trips, which no pause of this machine has made longer.
fn round_trip(link: &LossyLink) -> Duration {
    let (client, server) = sockets(link);
    let trips = (0..20).map(|_| {
        let began = Instant::now();
        client.send(b"there").unwrap();
        server.recv(&mut [0; 10]).unwrap();
        server.send(b"back").unwrap();
        client.recv(&mut [0; 10]).unwrap();
        began.elapsed()
    });
    trips.min().unwrap()
}

#[test]
fn packets_take_the_delay_of_each_way() {
    let Some(link) = open_or_leave_out(Conditions::default()) else {
        return;
    };
    let undelayed = round_trip(&link);
    let ms = Duration::from_millis;
    for (there, back) in [(50, 0), (0, 50), (30, 40)] {
        link.change(Way::ToServer, |conditions| conditions.delay = ms(there));
        link.change(Way::ToClient, |conditions| conditions.delay = ms(back));
        let took = round_trip(&link);
        println!("{there} + {back} ms: {took:?}, without them {undelayed:?}");
        assert!(took >= ms(there + back));
        // Whatever else this machine does, one of twenty trips is not held up for long.
        assert!(took < undelayed + 3 * ms(there + back));
    }
}

/// Sends 10,000 numbered packets to the server's side and returns which of them came, in the order in which they did.
fn arrived(conditions: Conditions) -> Option<(LossyLink, Vec<u32>)> {
    let link = open_or_leave_out(conditions)?;
    let (client, server) = sockets(&link);
    server.set_nonblocking(true).unwrap();
    let mut came = Vec::new();
    let mut buffer = [0; 4];
    for number in 0..10_000_u32 {
        client.send(&number.to_be_bytes()).unwrap();
        if number % 50 < 49 {
            continue;
        }
        // All have met their fate before there are more, so that no socket's queue loses any.
        let began = Instant::now();
        loop {
            while server.recv(&mut buffer).is_ok() {
                came.push(u32::from_be_bytes(buffer));
            }
            let counts = link.counts(Way::ToServer);
            let ends = counts.taken - counts.lost + counts.duplicated;
            if counts.taken == u64::from(number) + 1 && came.len() as u64 == ends {
                break;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{} came, {counts:?}",
                came.len()
            );
            thread::sleep(Duration::from_micros(100));
        }
    }
    Some((link, came))
}

#[test]
fn a_seed_loses_the_same_packets_each_time() {
    let conditions = |seed| Conditions {
        loss: 0.05,
        seed,
        ..Conditions::default()
    };
    let Some((link, came)) = arrived(conditions(7)) else {
        return;
    };
    let counts = link.counts(Way::ToServer);
    println!("{counts:?}");
    assert_eq!((counts.taken, counts.overflowed), (10_000, 0));
    // Four standard deviations of a binomial distribution are 87.
    assert!((413..=587).contains(&counts.lost), "{}", counts.lost);
    assert_eq!(came.len() as u64, 10_000 - counts.lost);
    let (_link, again) = arrived(conditions(7)).unwrap();
    assert!(came == again, "the same seed loses others");
    let (_link, other) = arrived(conditions(8)).unwrap();
    assert!(came != other, "another seed loses the same");
}

#[test]
fn without_conditions_everything_arrives_once_and_in_order() {
    let Some(link) = open_or_leave_out(Conditions::default()) else {
        return;
    };
    let (client, server) = sockets(&link);
    server.set_read_timeout(Some(SILENCE)).unwrap();
    for number in 0..200_u8 {
        client.send(&[number]).unwrap();
    }
    let mut came = Vec::new();
    let mut buffer = [0];
    while server.recv(&mut buffer).is_ok() {
        came.extend(buffer);
    }
    assert!(came.iter().copied().eq(0..200));
    assert_eq!(link.counts(Way::ToServer).taken, 200);
    assert_eq!(link.counts(Way::ToClient).taken, 0);
}

#[test]
fn packets_overtake_each_other_and_come_twice() {
    let Some((link, came)) = arrived(Conditions {
        duplicate: 0.1,
        reorder: 0.1,
        seed: 3,
        ..Conditions::default()
    }) else {
        return;
    };
    let counts = link.counts(Way::ToServer);
    println!("{counts:?}");
    assert_eq!(came.len() as u64, 10_000 + counts.duplicated);
    // Four standard deviations of a binomial distribution are 120.
    assert!((880..=1_120).contains(&counts.duplicated));
    assert!((880..=1_120).contains(&counts.set_back));
    let overtaken = came.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!(overtaken > 100, "{overtaken}");
    assert_eq!(came.into_iter().collect::<BTreeSet<_>>().len(), 10_000);
}

#[test]
fn a_rate_limits_what_gets_through() {
    let Some(link) = open_or_leave_out(Conditions {
        rate: Some(1_000_000),
        queue: 1_000_000,
        ..Conditions::default()
    }) else {
        return;
    };
    let (client, server) = sockets(&link);
    // 100 packets of 1,000 bytes with their headers: 0.8 s at 1 Mbit/s.
    let began = Instant::now();
    for _ in 0..100 {
        client.send(&[0; 972]).unwrap();
    }
    for _ in 0..100 {
        assert_eq!(server.recv(&mut [0; 1_000]).unwrap(), 972);
    }
    let took = began.elapsed();
    println!("{took:?}");
    assert!(took >= Duration::from_millis(790) && took < Duration::from_secs(8));
    link.change(Way::ToServer, |conditions| conditions.queue = 10_000);
    for _ in 0..100 {
        client.send(&[0; 972]).unwrap();
    }
    server.set_read_timeout(Some(SILENCE)).unwrap();
    while server.recv(&mut [0; 1_000]).is_ok() {}
    let counts = link.counts(Way::ToServer);
    assert_eq!(counts.taken, 200);
    assert_eq!(counts.delivered + counts.overflowed, 200);
    assert!(counts.overflowed > 50, "{counts:?}");
}

#[test]
fn udp_is_refused_dropped_and_let_through_again() {
    let Some(link) = open_or_leave_out(Conditions::default()) else {
        return;
    };
    let (client, server) = sockets(&link);
    link.change(Way::ToServer, |conditions| {
        conditions.pass = Pass::RefusedUdp
    });
    client.send(b"refused").unwrap();
    let error = client.recv(&mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);

    link.change(Way::ToServer, |conditions| conditions.pass = Pass::NoUdp);
    client.set_read_timeout(Some(SILENCE)).unwrap();
    client.send(b"dropped").unwrap();
    let error = client.recv(&mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    // TCP does not mind.
    let mut stream = connect(&link, listen(&link, |mut stream| stream.write_all(b"tcp"))).unwrap();
    let mut read = String::new();
    stream.read_to_string(&mut read).unwrap();
    assert_eq!(read, "tcp");

    link.change(Way::ToServer, |conditions| {
        conditions.pass = Pass::Everything
    });
    client.send(b"passes").unwrap();
    let mut buffer = [0; 10];
    let length = server.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"passes");
    let counts = link.counts(Way::ToServer);
    assert_eq!((counts.refused, counts.blocked), (1, 1));
}

/// Answers with what comes, four bytes at a time.
fn repeat(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4];
    while stream.read_exact(&mut buffer).is_ok() {
        stream.write_all(&buffer)?;
    }
    Ok(())
}

#[test]
fn tcp_vanishes_comes_back_and_udp_does_not_mind() {
    let Some(link) = open_or_leave_out(Conditions::default()) else {
        return;
    };
    let (client, server) = sockets(&link);
    let mut stream = connect(&link, listen(&link, repeat)).unwrap();
    link.change_both(|conditions| conditions.pass = Pass::NoTcp);
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    stream.write_all(b"lost").unwrap();
    let mut buffer = [0; 4];
    let error = stream.read(&mut buffer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    client.send(b"udp!").unwrap();
    assert_eq!(server.recv(&mut buffer).unwrap(), 4);
    assert_eq!(&buffer, b"udp!");
    link.change_both(|conditions| conditions.pass = Pass::Everything);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"lost");
}

#[test]
fn a_cut_says_no_goodbye() {
    let Some(link) = open_or_leave_out(Conditions::default()) else {
        return;
    };
    let mut stream = connect(&link, listen(&link, repeat)).unwrap();
    let mut buffer = [0; 4];
    stream.write_all(b"ping").unwrap();
    stream.read_exact(&mut buffer).unwrap();
    link.change_both(|conditions| conditions.pass = Pass::Nothing);
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    stream.write_all(b"lost").unwrap();
    let error = stream.read(&mut buffer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert!(link.counts(Way::ToServer).blocked > 0);
    // The cable is back, and TCP sends again what was lost.
    link.change_both(|conditions| conditions.pass = Pass::Everything);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"lost");
}

#[test]
fn tcp_arrives_whole_through_losses() {
    let Some(link) = open_or_leave_out(Conditions {
        delay: Duration::from_millis(2),
        loss: 0.05,
        reorder: 0.02,
        duplicate: 0.02,
        seed: 11,
        ..Conditions::default()
    }) else {
        return;
    };
    const BYTES: usize = 1_000_000;
    let sent: Vec<u8> = (0..=250).cycle().take(BYTES).collect();
    let address = listen(&link, {
        let sent = sent.clone();
        move |mut stream| stream.write_all(&sent)
    });
    let mut stream = connect(&link, address).unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert!(received == sent);
    let counts = link.counts(Way::ToClient);
    println!("{counts:?}");
    assert!(counts.lost > 10 && counts.set_back > 0 && counts.duplicated > 0);
    assert!(counts.delivered_bytes > BYTES as u64);
}

/// Has the server's side do this with the first connection.
fn listen(
    link: &LossyLink,
    serve: impl FnOnce(TcpStream) -> io::Result<()> + Send + 'static,
) -> SocketAddr {
    let listener = link
        .server()
        .run(|| TcpListener::bind((SERVER, 0)))
        .unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (stream, _) = listener.accept()?;
        serve(stream)
    });
    address
}

fn connect(link: &LossyLink, address: SocketAddr) -> io::Result<TcpStream> {
    let stream = link
        .client()
        .run(|| TcpStream::connect_timeout(&address, PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

#[test]
fn two_links_and_the_machine_do_not_see_each_other() {
    let (Some(one), Some(other)) = (
        open_or_leave_out(Conditions::default()),
        open_or_leave_out(Conditions::default()),
    ) else {
        return;
    };
    let address = listen(&one, |_| Ok(()));
    assert_eq!(
        connect(&other, address).unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
    let here = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = here.local_addr().unwrap();
    // There is a loopback device, and nobody at it.
    assert_eq!(
        connect(&one, address).unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
}

#[test]
fn a_thread_comes_back_from_a_namespace() {
    let Some(link) = open_or_leave_out(Conditions::default()) else {
        return;
    };
    let here = || std::fs::read_link("/proc/thread-self/ns/net");
    let before = here().unwrap();
    let there = link.client().run(here).unwrap();
    assert_ne!(before, there);
    assert_eq!(before, here().unwrap());
    let failed = link.server().run(|| Err::<(), _>(ErrorKind::Other.into()));
    assert!(failed.is_err());
    let panics = || {
        link.server()
            .run(|| -> io::Result<()> { panic!("on purpose") })
    };
    let panicked = std::panic::catch_unwind(AssertUnwindSafe(panics));
    assert!(panicked.is_err());
    assert_eq!(before, here().unwrap());
    let client = link.client().clone();
    let entered = thread::spawn(move || {
        client.enter().unwrap();
        here().unwrap()
    });
    assert_eq!(entered.join().unwrap(), there);
}

#[test]
fn programs_run_on_either_side() {
    let Some(link) = open_or_leave_out(Conditions::default()) else {
        return;
    };
    let mut shown = Vec::new();
    for namespace in [link.client(), link.server()] {
        let mut command = Command::new("ip");
        command.args(["-o", "-4", "addr"]).stdout(Stdio::piped());
        let child = namespace.spawn(&mut command).unwrap();
        let output = child.wait_with_output().unwrap();
        shown.push(String::from_utf8(output.stdout).unwrap());
    }
    assert!(shown[0].contains("10.77.0.2/30") && shown[1].contains("10.77.0.1/30"));
    let entered = Command::new("nsenter")
        .arg(format!("--net={}", link.client().path().display()))
        .args(["ip", "-o", "-4", "addr"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(entered.stdout).unwrap(), shown[0]);
}

#[test]
fn a_link_that_is_dropped_leaves_nobody_waiting() {
    let Some(link) = open_or_leave_out(Conditions::default()) else {
        return;
    };
    let (client, _server) = sockets(&link);
    drop(link);
    // The devices go with it, and the way to the other side with them: at once, or when the program has begun that another test is starting
    // and that has copies of all files until then.
    let dropped = Instant::now();
    while client.send(b"nobody").is_ok() {
        assert!(dropped.elapsed() < PATIENCE, "the device is still there");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Exit code and words of the program, started by another one or by itself.
fn program(by: &[&str], arguments: &[&str]) -> (Option<i32>, String, String) {
    let own = env!("CARGO_BIN_EXE_pitturu-lossy-link");
    let line = [by, &[own], arguments].concat();
    let output = Command::new(line[0]).args(&line[1..]).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn a_command_runs_over_the_link() {
    if open_or_leave_out(Conditions::default()).is_none() {
        return;
    }
    let server = "ip -o -4 addr; exec sleep 60";
    let command = ["--delay", "5ms", "--server", server, "--"];
    let command = [&command[..], &["sh", "-c", "ip -o -4 addr; exit 7"]].concat();
    let began = Instant::now();
    let (code, out, error) = program(&[], &command);
    assert_eq!(code, Some(7), "{error}");
    assert!(out.contains("10.77.0.2/30"), "{out}");
    assert!(error.contains("ToServer: Counts"), "{error}");
    assert!(began.elapsed() < PATIENCE, "the server was waited for");
    let (code, _, error) = program(&[], &["--loss", "5", "--", "true"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("from 0 to 100%"), "{error}");
}

#[test]
fn without_a_server_the_other_side_is_where_the_program_was_started() {
    if open_or_leave_out(Conditions::default()).is_none() {
        return;
    }
    // Nobody listens at this port: who says so is at the other side.
    let connect = ["bash", "-c", "exec 3<>/dev/tcp/10.77.0.1/9"];
    let command = [&["--delay", "1ms", "--"], &connect[..]].concat();
    // In a namespace of its own, so that the machine's is left alone.
    let (code, _, error) = program(&["unshare", "--net"], &command);
    assert!(error.contains("Connection refused"), "{error}");
    assert_eq!(code, Some(1), "{error}");
}
