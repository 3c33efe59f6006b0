//! A client that talks, asks and answers all the time, goes in every way that there is, comes back whenever its connection
//! has ended, with what it missed, and writes down what it got on each connection.

use super::life::{Life, NOT_JOINED, TOO_SLOW, WAYS, Way, Who, name};
use crate::common::*;

/// How far a run has come: nobody goes any more, nothing new is said, and nobody listens.
pub const CALM: usize = 1;
pub const OVER: usize = 2;
pub const CLOSED: usize = 3;

/// Longer than the room waits for a reader.
const STALL: Duration = Duration::from_millis(2500);

pub struct Client {
    pub number: u8,
    pub server: usize,
    /// It never goes of its own accord. There is one such on each server, so that somebody hears every line.
    pub stays: bool,
    pub path: PathBuf,
    /// It says something each so many microseconds at most.
    pub pace: u64,
    pub lives: Mutex<Vec<Life>>,
    /// How many lines it has got in all.
    pub seen: AtomicUsize,
    /// Its present life, and how often it was renamed in that.
    pub current: Mutex<(Who, u32)>,
}

impl Client {
    /// Its last connection, if there was one.
    pub fn last<T>(&self, with: impl FnOnce(&mut Life) -> T) -> Option<T> {
        self.lives.lock().unwrap().last_mut().map(with)
    }

    /// Connects again and again until it is told to end, and then stays connected until [`CLOSED`].
    pub fn run(&self, all: &[Client], phase: &AtomicUsize) {
        while phase.load(Ordering::SeqCst) < OVER {
            let Ok(stream) = UnixStream::connect(&self.path) else {
                thread::sleep(Duration::from_millis(20));
                continue;
            };
            let who = {
                let mut lives = self.lives.lock().unwrap();
                let who = (self.number, lives.len() as u32);
                let missed = lives.last().and_then(|last| match (last.heard.last(), &last.mark) {
                    (Some(told), Some((room, number))) => Some((*told, format!("{room}.{number}"))),
                    _ => last.missed.clone(),
                });
                lives.push(Life { who, server: self.server, is_live: true, missed, ..Life::default() });
                who
            };
            thread::scope(|scope| {
                scope.spawn(|| self.talk(who, &stream, all, phase));
                self.listen(&stream, phase);
            });
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn listen(&self, stream: &UnixStream, phase: &AtomicUsize) {
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let (mut reader, mut line, mut has_stalled) = (BufReader::new(stream), Vec::new(), false);
        while phase.load(Ordering::SeqCst) < CLOSED {
            let (way, who) = self.last(|life| (life.way, life.who)).unwrap();
            match way {
                // Closed with lines unread, as soon as nobody holds the stream any more.
                Some(Way::Reset) => return self.last(|life| life.is_live = false).unwrap(),
                Some(Way::Stall) if !std::mem::replace(&mut has_stalled, true) => thread::sleep(STALL),
                // Some are slow.
                _ if who.1 % 4 == 1 => thread::sleep(Duration::from_micros(100)),
                _ => {}
            }
            match reader.read_until(b'\n', &mut line) {
                // A piece without a line end is no line, and from the end of the run on others leave.
                Ok(_) if !line.ends_with(b"\r\n") || phase.load(Ordering::SeqCst) == CLOSED => break,
                Ok(_) => {
                    let text = std::str::from_utf8(&line[..line.len() - 2]).unwrap();
                    self.last(|life| life.take(text));
                    self.seen.fetch_add(1, Ordering::SeqCst);
                    line.clear();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
        self.last(|life| {
            life.is_live = phase.load(Ordering::SeqCst) == CLOSED;
            // One that has stalled may have been dropped, and its socket have had no room for the words that say so.
            let goes = matches!(life.way, Some(Way::Quit | Way::HalfClose)) && !has_stalled;
            if goes && life.words != TOO_SLOW {
                life.unanswered = life.due.len();
            }
        });
        let _ = stream.shutdown(Shutdown::Both);
    }

    /// Only this writes, so that a server that takes nothing does not keep the client from reading.
    fn talk(&self, who: Who, mut stream: &UnixStream, all: &[Client], phase: &AtomicUsize) {
        if stream.write_all(format!("iam:{}\n", name(who, 0)).as_bytes()).is_err() {
            return;
        }
        let began = Instant::now();
        while !self.last(|life| life.has_joined).unwrap() {
            // It comes again, with another name: this one may be held by a server that is dead.
            if self.last(|life| !life.is_live || life.words == NOT_JOINED).unwrap() || began.elapsed() > DEADLINE {
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        let mut random = Random(u64::from(self.number) << 32 | u64::from(who.1));
        let mut words = self.last(Life::begin).unwrap();
        while phase.load(Ordering::SeqCst) < CLOSED {
            // A client that has enough under way has nothing to write that could fail.
            if !self.last(|life| life.is_live).unwrap() || stream.write_all(words.as_bytes()).is_err() {
                return;
            }
            thread::sleep(Duration::from_micros(random.below(self.pace)));
            words.clear();
            let now = phase.load(Ordering::SeqCst);
            let others: Vec<(Who, u32)> = all.iter().map(|client| *client.current.lock().unwrap()).collect();
            let way = self.last(|life| {
                *self.current.lock().unwrap() = (who, life.version);
                for _ in 0..=random.below(6) {
                    if life.due.len() < 300 && now < OVER {
                        words += &life.make(&mut random, &others);
                    }
                }
                words += &life.answer(&mut random);
                match life.way {
                    None if now < CALM && !self.stays && random.below(100) == 0 => {
                        life.way = Some(WAYS[random.below(4) as usize])
                    }
                    Some(Way::Stall) if now >= CALM => life.way = Some(Way::Quit),
                    _ => return None,
                }
                life.way
            });
            if let Some(way @ (Way::Quit | Way::HalfClose | Way::Reset)) = way.flatten() {
                words += if way == Way::Quit { "quit\nmsg:never\n" } else { "" };
                let _ = stream.write_all(words.as_bytes());
                let _ = (way == Way::HalfClose).then(|| stream.shutdown(Shutdown::Write));
                return;
            }
        }
    }
}
