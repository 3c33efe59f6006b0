//! One server against an engine of the test's own, which answers wrongly, late, in pieces, or not at all.

use crate::common::*;
use std::sync::Condvar;

const CUT_OFF: &str = "error: cut off from the other servers";

/// What the engine does with a command instead of what it should.
enum Twist {
    Reply(Vec<u8>),
    /// The bytes of the right reply, one by one with pauses.
    Slowly(Duration),
    /// Nothing is sent, and the connection stays open.
    Silence,
    /// Does what it should, and closes the connection instead of saying so.
    Lose,
}

fn error(words: &str) -> Option<Twist> {
    Some(Twist::Reply(format!("-{words}\r\n").into_bytes()))
}

#[derive(Default)]
struct State {
    /// What is to be done with the next commands of which the text begins so: an operation of the script, or a command.
    twists: VecDeque<(&'static str, Twist)>,
    /// The number of the last piece, and how many bytes there have been.
    last: u64,
    end: u64,
    /// Position, header and data.
    log: Vec<(u64, String, String)>,
    /// All that was called.
    called: Vec<String>,
}

/// Enough of an engine for one server.
struct Scripted {
    state: Arc<(Mutex<State>, Condvar)>,
    url: String,
}

impl Scripted {
    fn start() -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let state = Arc::<(Mutex<State>, Condvar)>::default();
        let shared = Arc::clone(&state);
        // The thread waits for ever, and ends with the program.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, shared) = (stream.unwrap(), Arc::clone(&shared));
                thread::spawn(move || serve(&stream, &shared));
            }
        });
        Scripted { state, url }
    }

    fn config(&self) -> Config {
        let url: localsocket::JoinUrl = self.url.parse().unwrap();
        Config { mode: Mode::Room, join: Some(Join::from(url)), ..Config::default() }
    }

    fn joined(&self) -> TestServer {
        let server = TestServer::start(self.config());
        is_joined(&server);
        server
    }

    fn state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.0.lock().unwrap());
        self.state.1.notify_all();
        result
    }

    fn twist(&self, what: &'static str, twist: impl IntoIterator<Item = Twist>) {
        self.state(|state| state.twists.extend(twist.into_iter().map(|twist| (what, twist))));
    }

    fn calls(&self, what: &str) -> usize {
        self.state(|state| state.called.iter().filter(|called| called.starts_with(what)).count())
    }
}

fn is_joined(server: &TestServer) {
    wait_for("the server has joined", || server.handle.stats().shared == Some((1, true)));
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn serve(stream: &TcpStream, (state, changed): &(Mutex<State>, Condvar)) {
    let mut reader = BufReader::new(stream);
    while let Some(words) = read_command(&mut reader) {
        let what = if words[0] == "EVALSHA" { &words[5] } else { &words[0] };
        let mut state = state.lock().unwrap();
        state.called.push(what.clone());
        let index = state.twists.iter().position(|(begins, _)| what.starts_with(begins));
        let twist = index.and_then(|index| state.twists.remove(index)).map(|(_, twist)| twist);
        if let Some(Twist::Silence) = twist {
            continue;
        }
        if let Some(Twist::Reply(reply)) = twist {
            drop(state);
            let _ = { stream }.write_all(&reply);
            continue;
        }
        let reply = match &**what {
            "XREAD" => {
                let after: u64 = words.last().unwrap().split_once('-').unwrap().1.parse().unwrap();
                if !state.log.iter().any(|(end, ..)| *end > after) && words.iter().any(|word| word == "BLOCK") {
                    state = changed.wait_timeout(state, Duration::from_millis(500)).unwrap().0;
                }
                let entries: Vec<String> = state.log.iter().filter(|(end, ..)| *end > after).map(entry).collect();
                if entries.is_empty() {
                    "*-1\r\n".to_owned()
                } else {
                    format!("*1\r\n*2\r\n{}*{}\r\n{}", bulk("log"), entries.len(), entries.concat())
                }
            }
            operation => state.operate(operation, &words),
        };
        changed.notify_all();
        drop(state);
        let result = match twist {
            Some(Twist::Lose) => return,
            Some(Twist::Slowly(pause)) => reply.as_bytes().iter().try_for_each(|byte| {
                thread::sleep(pause);
                { stream }.write_all(&[*byte])
            }),
            _ => { stream }.write_all(reply.as_bytes()),
        };
        if result.is_err() {
            return;
        }
    }
}

fn entry((end, header, data): &(u64, String, String)) -> String {
    let fields = ["h", header, "d", data].map(bulk).concat();
    format!("*2\r\n{}*4\r\n{fields}", bulk(&format!("1-{end}")))
}

fn read_command(reader: &mut impl BufRead) -> Option<Vec<String>> {
    let number = |reader: &mut dyn BufRead| {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        line.trim_end().get(1..)?.parse::<usize>().ok()
    };
    let count = number(reader)?;
    (0..count)
        .map(|_| {
            let mut word = vec![0; number(reader)? + 2];
            reader.read_exact(&mut word).ok()?;
            Some(String::from_utf8(word).unwrap().trim_end_matches("\r\n").to_owned())
        })
        .collect()
}

impl State {
    fn operate(&mut self, operation: &str, words: &[String]) -> String {
        match operation {
            "join" => {
                self.last = 0;
                let head = [format!("0-{}", self.end), "5000".to_owned(), (4 << 20).to_string(), (1 << 20).to_string()];
                let state = ["servers", "7"].map(bulk).concat();
                format!("*5\r\n{}*2\r\n{state}", head.map(|word| bulk(&word)).concat())
            }
            "say" => {
                let number = words[9].parse().unwrap();
                if number == self.last + 1 {
                    self.last = number;
                    self.append(&format!("s {} {number}", words[6]), &words[10]);
                }
                bulk("OK 0")
            }
            "back" => bulk(&format!("OK {}", self.last)),
            "beat" => bulk("OK 0 1"),
            "leave" => bulk("OK 0"),
            "SCRIPT" => bulk("digest"),
            _ => bulk(""),
        }
    }

    fn append(&mut self, header: &str, data: &str) {
        self.end += data.len() as u64 + 128;
        self.log.push((self.end, header.to_owned(), data.to_owned()));
    }
}

#[test]
fn some_words_of_the_engine_end_the_start_and_some_are_waited_out() {
    for (words, said) in [
        ("MOVED 1234 10.0.0.1:6379", "cluster"),
        ("NOPERM this user has no permissions to run the 'evalsha' command", "redis.conf"),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", "choose another room name"),
        ("ERR unknown command `EVALSHA`", "6.2"),
        ("ERR DB index is out of range", "DB index"),
    ] {
        let engine = Scripted::start();
        engine.twist("join", error(words));
        let server = Server::bind(&["127.0.0.1:0".parse().unwrap()], engine.config()).unwrap();
        let outcome = server.run().unwrap_err().to_string();
        assert!(outcome.contains(said), "{words}: {outcome}");
    }
    let engine = Scripted::start();
    for words in ["LOADING Redis is loading the dataset in memory", "NOSCRIPT No matching script", "READONLY no"] {
        engine.twist("join", error(words));
    }
    engine.twist(
        "join",
        ["$5\r\nab", "$99999999999\r\n", "*5\r\n$1\r\n0\r\n", ":7\r\n"].map(|text| Twist::Reply(text.into())),
    );
    engine.twist("join", [Twist::Lose]);
    let server = engine.joined();
    assert_eq!(Peer::connect(&server.tcp).ask("iam:ada"), "ada has joined");
    assert!(engine.calls("join") > 8);
}

#[test]
fn lines_are_said_once_whatever_becomes_of_the_answers() {
    let engine = Scripted::start();
    let server = engine.joined();
    let mut ada = Peer::named(&server.tcp, "ada");
    let mut say = |text: &str, twists: Vec<Twist>| {
        engine.twist("say", twists);
        ada.send(format!("msg:{text}\n"));
        ada.expect(&format!("ada: {text}"));
    };
    say("lost answer", vec![Twist::Lose]);
    for words in ["LOADING", "MISCONF no", "NOPERM no", "WRONGTYPE", "MOVED 1 x", "OOM no", "NOSCRIPT gone"] {
        say(words, error(words).into_iter().collect());
    }
    for reply in ["$4\r\nFULL\r\n", "$4\r\nnonsense", "$9999999999\r\n", "*1\r\n", "+OK\r", "HTTP/1.1 400\r\n"] {
        say(&format!("after {}", reply.escape_debug()), vec![Twist::Reply(reply.into())]);
    }
    say("an answer in pieces", vec![Twist::Slowly(Duration::from_millis(30))]);
}

#[test]
fn a_confirmed_piece_that_the_engine_has_lost_is_said_again() {
    let engine = Scripted::start();
    let server = engine.joined();
    let mut ada = Peer::named(&server.tcp, "ada");
    let before = engine.state(|state| state.last);
    // It is confirmed, and gone before it could be read.
    engine.twist("say", [Twist::Reply(bulk("OK 0").into())]);
    ada.send("msg:hello\n");
    wait_for("it is confirmed", || engine.calls("say") == 2);
    engine.twist("beat", [Twist::Lose]);
    ada.expect("ada: hello");
    assert_eq!(engine.state(|state| state.last), before + 1);
}

#[test]
fn a_gap_in_the_log_or_what_no_server_says_cuts_off() {
    let append = |change: fn(&mut State)| {
        let engine = Scripted::start();
        let server = engine.joined();
        let mut ada = Peer::named(&server.tcp, "ada");
        engine.state(change);
        ada.expect(CUT_OFF);
        ada.expect_end();
        // It joins behind that.
        engine.state(|state| state.log.clear());
        wait_for("a client stays", || Peer::connect(&server.tcp).ask("iam:eve") == "eve has joined");
    };
    append(|state| {
        state.end += 1;
        state.append("s 5 1", "m 1 1 0 3\nx\r\n");
    });
    append(|state| state.append("s 5 1", "nonsense"));
    append(|state| state.append("z 5 1", ""));
    append(|state| state.append("s 5", ""));
    append(|state| {
        // A piece of its own that it has not said.
        let header = state.log[0].1.clone();
        state.append(&header, "");
    });
}

#[test]
fn an_entry_that_takes_long_is_read_and_silence_is_noticed() {
    let engine = Scripted::start();
    let server = engine.joined();
    let mut ada = Peer::named(&server.tcp, "ada");
    // Longer in all than the engine may be silent.
    engine.twist("XREAD", [Twist::Slowly(Duration::from_millis(25))]);
    ada.send("msg:slowly\n");
    ada.expect("ada: slowly");
    engine.twist("say", [Twist::Silence]);
    let began = Instant::now();
    ada.send("msg:after silence\n");
    ada.expect("ada: after silence");
    let took = began.elapsed();
    assert!(took > Duration::from_secs(1) && took < DEADLINE, "{took:?}");
}
