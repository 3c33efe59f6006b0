//! A client that talks, asks and answers all the time, goes in every way that there is, comes back whenever its connection
//! has ended, with what it missed, and writes down what it got on each connection.

use super::life::{Due, Life, WAYS, Way, Who, name};
use crate::common::*;
use std::sync::MutexGuard;

/// How far a run has come: nobody goes any more, nothing new is said, and nobody listens.
pub const CALM: usize = 1;
pub const OVER: usize = 2;
pub const CLOSED: usize = 3;

/// Longer than the room waits for a reader.
const STALL: Duration = Duration::from_millis(2500);

pub struct Client {
    number: u8,
    server: usize,
    path: PathBuf,
    pub lives: Mutex<Vec<Life>>,
    /// How many lines it has got in all.
    pub seen: AtomicUsize,
    /// Its present life, and how often it was renamed in that.
    current: Mutex<(Who, u32)>,
    /// It says something each so many microseconds at most.
    pace: u64,
}

impl Client {
    pub fn new(number: u8, server: usize, path: PathBuf, pace: u64) -> Client {
        let current = ((number, 0), 0).into();
        Client { number, server, path, lives: Mutex::default(), seen: AtomicUsize::new(0), current, pace }
    }

    /// What it has got on its last connection.
    pub fn with_last<T>(&self, read: impl FnOnce(&Life) -> T) -> Option<T> {
        self.lives.lock().unwrap().last().map(read)
    }

    /// Connects again and again until it is told to end, and then stays connected until [`CLOSED`].
    pub fn run(&self, all: &[Client], phase: &AtomicUsize) {
        while phase.load(Ordering::SeqCst) < OVER {
            let Ok(stream) = UnixStream::connect(&self.path) else {
                thread::sleep(Duration::from_millis(20));
                continue;
            };
            let life = {
                let mut lives = self.lives.lock().unwrap();
                let mut life = Life::new((self.number, lives.len() as u32), self.server);
                life.missed = lives.last().and_then(|last| match (last.events.last(), &last.mark) {
                    (Some(event), Some((room, number))) => Some((*event, format!("{room}.{number}"))),
                    _ => last.missed.clone(),
                });
                let who = life.who;
                lives.push(life);
                who
            };
            thread::scope(|scope| {
                scope.spawn(|| self.talk(life, &stream, all, phase));
                self.listen(&stream, phase);
            });
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn last(&self) -> LastLife<'_> {
        LastLife(self.lives.lock().unwrap())
    }

    fn listen(&self, stream: &UnixStream, phase: &AtomicUsize) {
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let (mut reader, mut line, mut has_stalled) = (BufReader::new(stream), Vec::new(), false);
        let is_slow = self.last().who.1 % 4 == 1;
        while phase.load(Ordering::SeqCst) < CLOSED {
            let way = self.last().way;
            match way {
                // Closed with lines unread, as soon as nobody holds the stream any more.
                Some(Way::Reset) => {
                    self.last().is_live = false;
                    return;
                }
                Some(Way::Stall) if !std::mem::replace(&mut has_stalled, true) => thread::sleep(STALL),
                _ if is_slow => thread::sleep(Duration::from_micros(100)),
                _ => {}
            }
            match reader.read_until(b'\n', &mut line) {
                // A piece without a line end is no line.
                Ok(_) if !line.ends_with(b"\r\n") => break,
                // From now on others leave.
                Ok(_) if phase.load(Ordering::SeqCst) == CLOSED => break,
                Ok(_) => {
                    let text = std::str::from_utf8(&line[..line.len() - 2]).unwrap();
                    self.last().take(text);
                    self.seen.fetch_add(1, Ordering::SeqCst);
                    line.clear();
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
        let mut life = self.last();
        life.is_live = phase.load(Ordering::SeqCst) == CLOSED;
        if matches!(life.way, Some(Way::Quit | Way::HalfClose)) && !life.too_slow {
            life.unanswered = life.due.len();
        }
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }

    /// Only this writes, so that a server that takes nothing does not keep the client from reading.
    fn talk(&self, who: Who, mut stream: &UnixStream, all: &[Client], phase: &AtomicUsize) {
        if stream.write_all(format!("iam:{}\n", name(who, 0)).as_bytes()).is_err() {
            return;
        }
        let began = Instant::now();
        while !self.last().has_joined {
            let (is_live, was_refused) = self.with_last(|life| (life.is_live, life.was_refused)).unwrap();
            // It comes again, with another name: this one may be held by a server that is dead.
            if !is_live || was_refused || began.elapsed() > DEADLINE {
                let _ = stream.shutdown(std::net::Shutdown::Both);
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        let first = {
            let mut life = self.last();
            let since = life.missed.as_ref().map(|(_, mark)| format!("since:{mark}\n"));
            life.due.push_back(if since.is_some() { Due::Since } else { Due::Mark });
            since.unwrap_or_else(|| "mark\n".to_owned())
        };
        let mut random = Random(u64::from(self.number) << 32 | u64::from(who.1));
        let mut words = first;
        while phase.load(Ordering::SeqCst) < CLOSED {
            // A client that has enough under way has nothing to write that could fail.
            if !self.last().is_live || stream.write_all(words.as_bytes()).is_err() {
                return;
            }
            thread::sleep(Duration::from_micros(random.below(self.pace)));
            words.clear();
            let mut life = self.last();
            *self.current.lock().unwrap() = (who, life.version);
            let others: Vec<(Who, u32)> = all.iter().map(|client| *client.current.lock().unwrap()).collect();
            for _ in 0..=random.below(6) {
                if life.due.len() < 300 && phase.load(Ordering::SeqCst) < OVER {
                    words.push_str(&life.make(&mut random, &others));
                }
            }
            words.push_str(&life.answer(&mut random));
            let is_calm = phase.load(Ordering::SeqCst) >= CALM;
            let way = match life.way {
                None if !is_calm && random.below(100) == 0 => WAYS[random.below(4) as usize],
                Some(Way::Stall) if is_calm => Way::Quit,
                _ => continue,
            };
            life.way = Some(way);
            drop(life);
            if way != Way::Stall {
                words.push_str(if way == Way::Quit { "quit\nmsg:never\n" } else { "" });
                let _ = stream.write_all(words.as_bytes());
                let _ = (way == Way::HalfClose).then(|| stream.shutdown(std::net::Shutdown::Write));
                return;
            }
        }
    }
}

struct LastLife<'l>(MutexGuard<'l, Vec<Life>>);

impl std::ops::Deref for LastLife<'_> {
    type Target = Life;

    fn deref(&self) -> &Life {
        self.0.last().unwrap()
    }
}

impl std::ops::DerefMut for LastLife<'_> {
    fn deref_mut(&mut self) -> &mut Life {
        self.0.last_mut().unwrap()
    }
}
