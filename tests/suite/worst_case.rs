//! The worst case of memory that the log states at the start, measured: clients fill a server by every means that the
//! protocol has, and half of them read nothing of what comes. Each means has its peak of resident memory printed.

use crate::common::*;

const CLIENTS: usize = 12;
const MAX_LINE: usize = 1024;

/// What the clients say at first, and what they say then again and again; behind a slash only those that read say it. `{n}`
/// is the longest name of a client, `{0}` that of one that does not read, `{1}` that of one that does, `{i}` a client's
/// number, `{x}` the number of the repetition, `{p}` a long text, and `{l}` a line that never ends. Where nothing is
/// repeated, more clients come than there are places.
const MEANS: [(&str, &str, &str); 21] = [
    ("messages", "iam:{n}", "/msg:{p}"),
    ("renames", "iam:{n}", "/iam:{n}a\niam:{n}b"),
    ("names that are refused", "deaf\niam:{n}", "iam:{1}"),
    ("logins", "", "/iam:{n}\nquit"),
    ("deaf clients", "", "deaf"),
    ("direct messages", "deaf\niam:{n}", "to:{0}:{p}"),
    ("direct messages to nobody", "deaf\niam:{n}", "to:{p}:"),
    ("open questions", "deaf\niam:{n}", "ask:{0}:xxxxxxxxxxxxxxxxxxxxxxxxxxxx{x}:{p}"),
    ("questions that end", "deaf\niam:{n}", "ask:nobody:{x}:"),
    ("answers", "deaf\niam:{n}", "ask:{n}:{x}:{p}\npart:{n}:{x}:{p}\nanswer:{n}:{x}:{p}"),
    ("withdrawn questions", "deaf\niam:{n}\nask:{0}:1:\nask:{0}:2:\nask:{0}:3:{p}", "/quit"),
    ("lists of names", "iam:{n}", "who\nwho:pool"),
    ("what was said before", "iam:{n}\nmsg:{p}\nmsg:{p}", "since:all\nmark"),
    ("served names", "iam:{n}", "serve:{i}-{x}\nserve:pool\nask:pool:{x}:{p}"),
    ("long replies", "", "help\nstats"),
    ("tiny entries", "iam:{i}", "to:x:\npart:x:1:\nanswer:x:1:\nto:{i}:"),
    ("tiny replies", "", "ping\n\nx"),
    ("tiny messages", "iam:{i}", "msg:"),
    ("long lines", "", "{l}"),
    ("lines without an end", "iam:{n}\nmsg:{p}\nmsg:{p}", ""),
    ("connections that are closing", "iam:{n}\nhelp\nquit", ""),
];

/// What a client says, so many times.
fn words(template: &str, number: usize, name: &str, times: usize) -> Vec<u8> {
    let (text, endless) = ("x".repeat(MAX_LINE - 300), "x".repeat(10 * MAX_LINE));
    let say = |repetition: usize| {
        let line = template.replace("{n}", &format!("{name}{number:03}"));
        let line = line.replace("{0}", &format!("{name}000")).replace("{1}", &format!("{name}001"));
        let line = line.replace("{i}", &number.to_string()).replace("{x}", &format!("{repetition:03}"));
        if template == "{l}" { endless.clone() } else { line.replace("{p}", &text) + "\n" }
    };
    (0..times).flat_map(|repetition| say(repetition).into_bytes()).collect()
}

struct Client {
    stream: Option<UnixStream>,
    words: Vec<u8>,
    /// Where what is said again and again begins, and what has been said.
    again: usize,
    said: usize,
}

/// All clients say it for a while, as fast as it is taken.
fn fill(path: &Path, token: &str, (first, then): (&str, &str), time: Duration) {
    let name = "\u{1f600}".repeat(60);
    let mut clients: Vec<Client> = (0..if then.is_empty() { 300 } else { CLIENTS })
        .map(|number| {
            let first = [token.as_bytes(), &words(first, number, &name, 1)].concat();
            let is_silent = then.is_empty() || then.starts_with('/') && number % 2 == 0;
            let again = words(then.trim_start_matches('/'), number, &name, if is_silent { 0 } else { 256 });
            Client { stream: None, again: first.len(), words: [first, again].concat(), said: 0 }
        })
        .collect();
    let (began, mut buffer) = (Instant::now(), vec![0; 1 << 16]);
    while began.elapsed() < time {
        let mut is_idle = true;
        for (number, client) in clients.iter_mut().enumerate() {
            if client.stream.is_none() {
                client.stream = UnixStream::connect(path).ok();
                client.said = 0;
            }
            let Some(mut open) = client.stream.as_ref() else { continue };
            open.set_nonblocking(true).unwrap();
            if client.said == client.words.len() && client.said > client.again {
                client.said = client.again;
            }
            let result = open.write(&client.words[client.said..]);
            let is_over = number % 2 == 1 && matches!(open.read(&mut buffer), Ok(0));
            match result {
                Ok(count) => (client.said, is_idle) = (client.said + count, is_idle && count == 0),
                Err(error) if error.kind() == ErrorKind::WouldBlock && !is_over => {}
                Err(_) => client.stream = None,
            }
        }
        if is_idle {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Fills a server by all means, one after the other, and compares each peak with what its log says.
fn measure(mode: &str, time: Duration) {
    let directory = TempDir::new();
    let mut arguments = vec!["--max-clients=12", "--max-line=1024", "--stall-timeout=0.3"];
    let engine = if mode == "joined room" { Engine::start() } else { None };
    let url = engine.as_ref().map(Engine::url).unwrap_or_default();
    let file = directory.file("token", "secret\n");
    if mode != "echo" {
        arguments.extend(["--mode=room", "--max-backlog=32768"]);
    }
    let token = if mode == "room with a token" { "help\n" } else { "" };
    match mode {
        "joined room" if engine.is_none() => return,
        "joined room" => arguments.extend(["--join", &url]),
        "room with a token" => arguments.extend(["--token-file", &file]),
        _ => {}
    }
    let path = directory.join("hub.sock");
    let listen = format!("--listen=unix:{}", path.display());
    // Clients of another server have names, too.
    let other = engine.as_ref().map(|_| ServerProgram::start(&["--mode=room", "--join", &url]));
    let server = ServerProgram::start(&[&arguments[..], &[&listen]].concat());
    let named = |number: usize, other: &ServerProgram| {
        let mut peer = other.connect();
        peer.send(format!("deaf\niam:{}{number:03}\n", "\u{1f600}".repeat(61)));
        peer
    };
    let named: Vec<Peer> = other.iter().flat_map(|other| (0..200).map(|number| named(number, other))).collect();
    let mut report = String::new();
    for (means, first, then) in MEANS {
        let reset = format!("/proc/{}/clear_refs", server.program.id());
        let _ = fs::write(reset, "5");
        // Many clients take longer.
        fill(&path, token, (first, then), if then.is_empty() { 4 * time } else { time });
        let (peak, bound) = server.memory();
        report += &format!("{mode}: {means}: {peak} of {bound} MiB{}\n", if peak > bound { " (!)" } else { "" });
    }
    print!("{report}");
    assert!(!report.contains("(!)"), "{report}{}", server.program.stderr());
    // Whatever was done to it, it goes on.
    wait_for("an answer", || {
        let mut peer = Peer::connect(&Address::Unix(path.clone()));
        peer.send("ping\n");
        peer.line().as_deref() == Some("pong")
    });
    drop(named);
}

/// In a room for longer, since that is where most can wait.
#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "needs /proc")]
fn no_means_takes_more_memory_than_the_log_says() {
    // Minutes of it by hand: WORST_CASE=100.
    let times = std::env::var("WORST_CASE").map_or(1, |times| times.parse().unwrap());
    let modes = [("echo", 15), ("room with a token", 15), ("joined room", 15), ("room", 40)];
    side_by_side(modes.map(|mode| (mode.0, mode)), |(mode, milliseconds)| {
        measure(mode, Duration::from_millis(milliseconds) * times);
    });
}
