//! The same members and scores in a sorted set of Redis.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pitturu_protocol::ids::UserId;

use super::{Failure, TIMED, score, shown};

/// A Redis of its own, which ends with the value.
struct Redis {
    process: Child,
    stream: BufReader<TcpStream>,
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Redis {
    fn start() -> Result<Self, Failure> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut process = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .stdout(Stdio::null())
            .spawn()?;
        for _ in 0..100 {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
                stream.set_nodelay(true)?;
                let stream = BufReader::new(stream);
                return Ok(Self { process, stream });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        process.kill()?;
        process.wait()?;
        Err("it does not listen".into())
    }

    fn send(&mut self, commands: &[Vec<String>]) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        for command in commands {
            write!(bytes, "*{}\r\n", command.len())?;
            for word in command {
                write!(bytes, "${}\r\n{word}\r\n", word.len())?;
            }
        }
        self.stream.get_mut().write_all(&bytes)?;
        Ok(())
    }

    /// The next answer: a number, or a text.
    fn answer(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let line = line.trim_end();
        match line.strip_prefix('$') {
            Some(length) => {
                let mut text = vec![0; length.parse::<usize>()? + 2];
                self.stream.read_exact(&mut text)?;
                Ok(String::from_utf8(text)?)
            }
            None if line.starts_with('-') => Err(line.into()),
            None => Ok(line.to_owned()),
        }
    }

    fn call(&mut self, words: &[&str]) -> Result<String, Failure> {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        self.send(&[words])?;
        self.answer()
    }

    fn memory(&mut self) -> Result<u64, Failure> {
        let info = self.call(&["INFO", "memory"])?;
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:"));
        Ok(line.ok_or("no used_memory")?.trim().parse()?)
    }
}

pub(super) fn measure(players: &[UserId], random: &mut fastrand::Rng) -> Result<(), Failure> {
    let mut redis = Redis::start()?;
    let before = redis.memory()?;
    for some in players.chunks(1_000) {
        let add = |player: &UserId| {
            let score = score(random).to_string();
            let words = ["ZADD", "board", &score, &player.to_string()];
            words.map(str::to_owned).to_vec()
        };
        let commands: Vec<_> = some.iter().map(add).collect();
        redis.send(&commands)?;
        for _ in some {
            redis.answer()?;
        }
    }
    println!("Redis: memory {} MB", (redis.memory()? - before) >> 20);
    let (mut ranks, mut adds) = (Vec::new(), Vec::new());
    for _ in 0..TIMED {
        let player = players[random.usize(..players.len())].to_string();
        let began = Instant::now();
        redis.call(&["ZREVRANK", "board", &player])?;
        ranks.push(began.elapsed());
        let score = score(random).to_string();
        let began = Instant::now();
        redis.call(&["ZADD", "board", &score, &player])?;
        adds.push(began.elapsed());
    }
    shown("Redis: ZREVRANK over loopback", ranks);
    shown("Redis: ZADD over loopback, not durable", adds);
    Ok(())
}
