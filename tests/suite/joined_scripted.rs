//! One server and an engine whose answers are wrong, late, in pieces, or missing: a proxy before a real engine does that.

use crate::common::*;
use crate::joined::start_joined;

/// What becomes of a command instead of what should.
enum Twist {
    /// The engine does not see it, and this is the answer.
    Reply(String),
    /// The bytes of the right answer come one by one with pauses.
    Slowly(Duration),
    /// The engine does not see it, and the connection stays open.
    Silence,
    /// The engine does what it should, and the connection is closed instead of saying so.
    Lose,
}

fn error(words: &str) -> Option<Twist> {
    Some(Twist::Reply(format!("-{words}\r\n")))
}

#[derive(Default)]
struct State {
    /// What is to be done with the next commands of which the text begins so: an operation of the script, or a command.
    twists: VecDeque<(&'static str, Twist)>,
    /// All that was called.
    called: Vec<String>,
}

struct Twisted {
    engine: Engine,
    state: Arc<Mutex<State>>,
    path: PathBuf,
}

impl Twisted {
    fn start() -> Option<Twisted> {
        let engine = Engine::start()?;
        let path = engine.directory.join("twisted.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let twisted = Twisted { state: Arc::default(), path, engine };
        let (state, socket) = (Arc::clone(&twisted.state), twisted.engine.socket());
        // The thread waits for ever, and ends with the program.
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, state) = (client.unwrap(), Arc::clone(&state));
                let Ok(server) = UnixStream::connect(&socket) else { return };
                thread::spawn(move || pass_on(&client, &server, &state));
            }
        });
        Some(twisted)
    }

    fn config(&self) -> Config {
        let url: JoinUrl = format!("unix:{}", self.path.display()).parse().unwrap();
        Config { join: Some(Join::from(url)), ..room() }
    }

    fn twist(&self, what: &'static str, twists: impl IntoIterator<Item = Twist>) {
        self.state.lock().unwrap().twists.extend(twists.into_iter().map(|twist| (what, twist)));
    }

    fn calls(&self, what: &str) -> usize {
        self.state.lock().unwrap().called.iter().filter(|called| called.starts_with(what)).count()
    }
}

fn pass_on(client: &UnixStream, server: &UnixStream, state: &Mutex<State>) {
    // What is to be done with the answer that is passed on now.
    let present = Mutex::new(None);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = [0; 65536];
            while let Ok(count @ 1..) = { server }.read(&mut buffer) {
                let pause = match &*present.lock().unwrap() {
                    Some(Twist::Lose) => break,
                    Some(Twist::Slowly(pause)) => *pause,
                    _ => Duration::ZERO,
                };
                let pieces = buffer[..count].chunks(if pause.is_zero() { count } else { 1 });
                for piece in pieces {
                    thread::sleep(pause);
                    let _ = { client }.write_all(piece);
                }
            }
            let _ = client.shutdown(Shutdown::Both);
        });
        let mut reader = BufReader::new(client);
        while let Some((what, bytes)) = read_command(&mut reader) {
            let mut state = state.lock().unwrap();
            let index = state.twists.iter().position(|(begins, _)| what.starts_with(begins));
            let twist = index.and_then(|index| state.twists.remove(index)).map(|(_, twist)| twist);
            state.called.push(what);
            drop(state);
            let _ = match twist {
                Some(Twist::Silence) => Ok(()),
                Some(Twist::Reply(reply)) => { client }.write_all(reply.as_bytes()),
                other => {
                    *present.lock().unwrap() = other;
                    { server }.write_all(&bytes)
                }
            };
        }
        let _ = server.shutdown(Shutdown::Both);
    });
}

/// The operation of the script, or the command, and all its bytes.
fn read_command(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let (mut bytes, mut words) = (Vec::new(), Vec::new());
    let mut line = |bytes: &mut Vec<u8>| {
        let start = bytes.len();
        reader.read_until(b'\n', bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[start..]).trim_end().to_owned()).filter(|line| !line.is_empty())
    };
    let count = line(&mut bytes)?.get(1..)?.parse().ok()?;
    while words.len() < count {
        let length: usize = line(&mut bytes)?.get(1..)?.parse().ok()?;
        let mut word = Vec::new();
        while word.len() < length + 2 {
            line(&mut word);
        }
        words.push(String::from_utf8_lossy(&word[..length]).into_owned());
        bytes.extend(word);
    }
    Some((words.swap_remove(if words[0] == "EVALSHA" { 5 } else { 0 }), bytes))
}

#[test]
fn some_words_of_the_engine_end_the_start_and_some_are_waited_out() {
    let Some(engine) = Twisted::start() else { return };
    for (words, said) in [
        ("MOVED 1234 10.0.0.1:6379", "cluster"),
        ("NOPERM this user has no permissions to run the 'evalsha' command", "redis.conf"),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", "choose another room name"),
        ("ERR unknown command `EVALSHA`", "6.2"),
        ("ERR DB index is out of range", "DB index"),
    ] {
        engine.twist("join", error(words));
        let server = Server::bind(&["127.0.0.1:0".parse().unwrap()], engine.config()).unwrap();
        let outcome = server.run().unwrap_err().to_string();
        assert!(outcome.contains(said), "{words}: {outcome}");
    }
    let before = engine.calls("join");
    for words in ["LOADING Redis is loading the dataset in memory", "NOSCRIPT No matching script", "READONLY no"] {
        engine.twist("join", error(words));
    }
    let replies = ["$5\r\nab", "$99999999999\r\n", "*5\r\n$1\r\n0\r\n", ":7\r\n"];
    engine.twist("join", replies.map(|reply| Twist::Reply(reply.to_owned())));
    engine.twist("join", [Twist::Lose]);
    let server = start_joined(engine.config());
    assert_eq!(Peer::connect(&server.tcp).ask("iam:ada"), "ada has joined");
    assert!(engine.calls("join") - before > 8);
}

#[test]
fn lines_are_said_once_whatever_becomes_of_the_answers() {
    let Some(engine) = Twisted::start() else { return };
    let server = start_joined(engine.config());
    let mut ada = Peer::named(&server.tcp, "ada");
    let mut say = |text: &str, twist: Option<Twist>| {
        engine.twist("say", twist);
        assert_eq!(ada.ask(&format!("msg:{text}")), format!("ada: {text}"));
    };
    say("lost answer", Some(Twist::Lose));
    for words in ["LOADING", "MISCONF no", "NOPERM no", "WRONGTYPE", "MOVED 1 x", "OOM no", "NOSCRIPT gone"] {
        say(words, error(words));
    }
    for reply in ["$4\r\nFULL\r\n", "$4\r\nnonsense", "$9999999999\r\n", "*1\r\n", "+OK\r", "HTTP/1.1 400\r\n"] {
        say(&format!("after {}", reply.escape_debug()), Some(Twist::Reply(reply.to_owned())));
    }
    say("an answer in pieces", Some(Twist::Slowly(Duration::from_millis(30))));
}

#[test]
fn a_confirmed_piece_that_the_engine_has_lost_is_said_again() {
    let Some(engine) = Twisted::start() else { return };
    let server = start_joined(engine.config());
    let mut ada = Peer::named(&server.tcp, "ada");
    let said = || engine.engine.command("XLEN localsocket:{main}:log");
    let before = engine.calls("say");
    // It is confirmed, and gone before it could be read.
    engine.twist("say", [Twist::Reply("$4\r\nOK 0\r\n".to_owned())]);
    ada.send("msg:hello\n");
    wait_for("it is confirmed", || engine.calls("say") > before);
    assert_eq!(said(), ":1");
    engine.twist("beat", [Twist::Lose]);
    ada.expect("ada: hello");
    assert_eq!(said(), ":2");
}

#[test]
fn an_entry_that_takes_long_is_read_and_silence_is_noticed() {
    let Some(engine) = Twisted::start() else { return };
    let server = start_joined(engine.config());
    let mut ada = Peer::named(&server.tcp, "ada");
    // Longer in all than the engine may be silent.
    engine.twist("XREAD", [Twist::Slowly(Duration::from_millis(25))]);
    assert_eq!(ada.ask("msg:slowly"), "ada: slowly");
    engine.twist("say", [Twist::Silence]);
    let began = Instant::now();
    assert_eq!(ada.ask("msg:after silence"), "ada: after silence");
    let took = began.elapsed();
    assert!(took > Duration::from_secs(1) && took < DEADLINE, "{took:?}");
}

#[test]
fn a_client_that_goes_is_told_if_its_last_lines_are_lost() {
    for words in ["msg:lost\nquit\n", "msg:lost\n"] {
        let Some(engine) = Twisted::start() else { return };
        let server = start_joined(engine.config());
        let mut ada = Peer::named(&server.tcp, "ada");
        engine.twist("say", [Twist::Reply("$4\r\nGONE\r\n".to_owned())]);
        ada.send(words);
        ada.end_input();
        ada.expect("error: cut off from the other servers");
        ada.expect_end();
    }
}
