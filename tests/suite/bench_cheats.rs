//! The bench program against servers that cheat, which it has to find out.

use crate::bench::{assert_failure, assert_success, bench};
use crate::common::*;

/// One client of a server that cheats.
struct Client {
    stream: TcpStream,
    input: BufReader<TcpStream>,
    name: String,
}

impl Client {
    /// Accepts one and lets it log in.
    fn accept(listener: &TcpListener) -> Client {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut client = Client { input: BufReader::new(stream.try_clone().unwrap()), stream, name: String::new() };
        client.name = client.line().strip_prefix("iam:").unwrap().to_owned();
        client.say(&format!("{} has joined", client.name));
        client
    }

    /// The next line, empty at the end of the stream.
    fn line(&mut self) -> String {
        let mut line = String::new();
        // The bench may be gone already: that is what it is to do.
        let _ = self.input.read_line(&mut line);
        line.trim_end().to_owned()
    }

    fn say(&self, line: &str) {
        let _ = (&self.stream).write_all(format!("{line}\r\n").as_bytes());
    }
}

/// Where a server listens that lets in `clients`, and then does what it is told to.
fn cheat(clients: usize, script: impl FnOnce(Vec<Client>) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || script((0..clients).map(|_| Client::accept(&listener)).collect()));
    address
}

/// How long a cheating server may be silent: long where that is not what is tested, since the machine may be busy.
const LONG: &str = "30";
const SHORT: &str = "1";

/// Ten messages at once to a server that takes all and answers what `spoil` makes of them.
#[track_caller]
fn spoiled_echo(timeout: &str, spoil: impl FnOnce(&mut Vec<String>) + Send + 'static) -> Outcome {
    let address = cheat(1, |mut clients| {
        let mut client = clients.remove(0);
        let mut texts: Vec<String> = (0..10).map(|_| client.line().strip_prefix("msg:").unwrap().to_owned()).collect();
        spoil(&mut texts);
        texts.iter().for_each(|text| client.say(text));
        // Until it leaves, or gives up.
        while !["", "quit"].contains(&client.line().as_str()) {}
    });
    bench(&address, &["--clients", "1", "--messages", "10", "--depth", "10", "--timeout", timeout])
}

#[test]
fn a_cheating_echo_is_found_out() {
    assert_success(&spoiled_echo(LONG, |_| {}), "work=echo ");
    assert_failure(&spoiled_echo(LONG, |texts| texts.swap(4, 5)), "wrong reply: got '000000005");
    assert_failure(&spoiled_echo(LONG, |texts| drop(texts.remove(4))), "wrong reply: got '000000005");
    assert_failure(&spoiled_echo(LONG, |texts| texts.insert(4, texts[4].clone())), "wrong reply: got '000000004");
    assert_failure(&spoiled_echo(LONG, |texts| texts[4].truncate(31)), "wrong reply: got '000000004");
    assert_failure(&spoiled_echo(LONG, |texts| texts[4] = "error: no".to_owned()), "the server answered 'error: no'");
    assert_failure(&spoiled_echo(SHORT, |texts| drop(texts.pop())), "the server has not answered for 1 s");
    assert_failure(&spoiled_echo(LONG, |texts| texts.push(texts[9].clone())), "wanted no more replies");
    assert_failure(&spoiled_echo(LONG, |texts| texts.push("more".to_owned())), "wrong reply: got 'more'");
}

#[test]
fn a_rest_without_a_line_end_is_found_out() {
    let address = cheat(1, |mut clients| {
        let client = &mut clients[0];
        let text = client.line().replace("msg:", "");
        client.say(&text);
        assert_eq!(client.line(), "quit");
        client.stream.write_all(b"rest").unwrap();
    });
    assert_failure(&bench(&address, &["--clients", "1", "--messages", "1"]), "got 'rest', wanted no more replies");
}

#[test]
fn a_server_that_ends_the_connection_is_told() {
    let address = cheat(1, drop);
    bench(&address, &["--clients", "1"]).gives(1, "");
}

#[test]
fn a_server_that_never_answers_is_an_error_and_no_hang() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    assert_failure(&bench(&address, &["--clients", "3", "--timeout", "0.2"]), "has not answered for 0.2 s");
}

/// Two of three clients say one line each in a room; what each client then gets is up to `spoil`, which has
/// the two lines and the number of the client.
#[track_caller]
fn spoiled_room(timeout: &str, spoil: fn(usize, &mut Vec<String>)) -> Outcome {
    let address = cheat(3, move |clients| {
        // The bench numbers its clients from 0, and they come in any order.
        let mut clients: BTreeMap<String, Client> =
            clients.into_iter().map(|client| (client.name.clone(), client)).collect();
        let mut hear = |client: &mut Client| {
            let text = client.line().replace("msg:", "");
            format!("{}: {text}", client.name)
        };
        let lines: Vec<String> = clients.values_mut().take(2).map(&mut hear).collect();
        for (number, client) in clients.values().enumerate() {
            let mut lines = lines.clone();
            spoil(number, &mut lines);
            lines.iter().for_each(|line| client.say(line));
        }
        for client in clients.values_mut() {
            while !["", "quit"].contains(&client.line().as_str()) {}
            // The bench may be gone already.
            let _ = client.stream.shutdown(std::net::Shutdown::Both);
        }
    });
    let work = ["--work", "room", "--clients", "3", "--senders", "2", "--messages", "2", "--timeout", timeout];
    bench(&address, &work)
}

#[test]
fn a_cheating_room_is_found_out() {
    assert_success(&spoiled_room(LONG, |_, _| {}), "work=room ");
    assert_failure(
        &spoiled_room(LONG, |number, lines| {
            if number == 2 {
                lines.swap(0, 1)
            }
        }),
        "client 2: saw the room's lines in another order than client 0",
    );
    assert_failure(
        &spoiled_room(SHORT, |number, lines| {
            if number == 2 {
                drop(lines.pop())
            }
        }),
        "client 2: the server has not answered",
    );
    assert_failure(
        &spoiled_room(LONG, |number, lines| {
            if number == 1 {
                lines[1] = lines[0].clone()
            }
        }),
        "client 1: wrong reply",
    );
    assert_failure(
        &spoiled_room(LONG, |_, lines| lines.insert(0, "ada: hello".to_owned())),
        "wrong reply: got 'ada: hello', wanted the next line of a sender",
    );
}
