//! The page "When something is wrong": each symptom is produced, and says what the page shows.

use crate::common::*;

/// The symptoms of the page, in its order.
fn symptoms() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guide/trouble.md");
    let text = fs::read_to_string(path).unwrap();
    text.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once("` |")?.0.to_owned())).collect()
}

/// What a program says on stderr, and its exit code.
fn said(program: &str, arguments: &[&str]) -> String {
    let outcome = run(program, arguments, b"");
    format!("exit code {:?}: {}", outcome.code, outcome.stderr)
}

fn room(more: &[&str]) -> ServerProgram {
    ServerProgram::start(&[&["--mode", "room"], more].concat())
}

fn asked(server: &ServerProgram, lines: &[&str]) -> String {
    let mut peer = server.connect();
    let mut reply = String::new();
    for line in lines {
        peer.send(format!("{line}\n"));
        reply = peer.line().unwrap_or_default();
    }
    reply
}

/// The message to a user whom the socket's file does not let in.
fn kept_out(directory: &TempDir) -> String {
    let path = directory.join("closed.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let address = format!("unix:{}", path.display());
    // Permissions do not keep out root.
    let wrapped = ["--reuid=65534", "--clear-groups", CLIENT, "-c", &address, "--ping"];
    if Command::new("setpriv")
        .args(["--reuid=65534", "--clear-groups", "true"])
        .output()
        .is_ok_and(|o| o.status.success())
    {
        fs::set_permissions(&directory.0, fs::Permissions::from_mode(0o755)).unwrap();
        return said("setpriv", &wrapped);
    }
    said(CLIENT, &wrapped[2..])
}

fn silent(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// Produces a symptom of the page and returns what is seen of it; `None` for those of joined rooms, which their own tests
/// produce.
fn produce(symptom: &str, directory: &TempDir) -> Option<String> {
    let path = |name: &str| -> PathBuf { directory.join(name) };
    let file = path("file");
    fs::write(&file, "\n").unwrap();
    let file = file.to_str().unwrap();
    Some(match symptom {
        "in use: another program listens there already" => {
            let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            said(SERVER, &["-l", &other.local_addr().unwrap().to_string()])
        }
        "in use: a live server listens there" => {
            let server = ServerProgram::start(&["-l", &silent(&path("live.sock"))]);
            said(SERVER, &["-l", &server.address().to_string()])
        }
        "which is left as it is" => said(SERVER, &["-l", file]),
        "can be reached from other machines" => said(SERVER, &["-l", "0.0.0.0:0"]),
        "the first line is empty" => said(SERVER, &["--token-file", file]),
        "nothing listens there; is the server running?" => {
            said(CLIENT, &["-c", &where_nobody_listens().to_string(), "--ping"])
        }
        "there is no such file; is the server running?" => said(CLIENT, &["-c", &silent(&path("none.sock")), "--ping"]),
        "the socket file is stale, its server is gone" => {
            leave_stale(&path("stale.sock"));
            said(CLIENT, &["-c", &silent(&path("stale.sock")), "--ping"])
        }
        "no permission" => kept_out(directory),
        "missing host" => said(CLIENT, &["-c", "31000", "--ping"]),
        "error: server is full (1 clients)" => {
            let server = room(&["--max-clients", "1"]);
            let mut first = server.connect();
            first.ping();
            server.connect().line().unwrap()
        }
        "error: name ada is taken" => {
            let server = room(&[]);
            let _ada = Peer::named(server.address(), "ada");
            asked(&server, &["iam:ada"])
        }
        "error: name jobs is taken" => asked(&room(&[]), &["iam:ada", "serve:jobs", "iam:jobs"]),
        "error: say who you are first: iam:<name>" => asked(&room(&[]), &["msg:hello"]),
        "error: to is a room mode command" => asked(&ServerProgram::start(&[]), &["to:ada:hello"]),
        "error: unknown command; send help for the list" => asked(&room(&[]), &["hello"]),
        "error: authenticate first: auth:<token>" | "error: wrong token" => {
            fs::write(file, "secret\n").unwrap();
            let line = if symptom.contains("wrong") { "auth:other" } else { "msg:hello" };
            asked(&room(&["--token-file", file]), &[line])
        }
        "error: line too long (limit 65536 bytes)" => asked(&room(&[]), &["ping", &"x".repeat(65537)]),
        "error: this is not an HTTP server" => asked(&room(&[]), &["GET / HTTP/1.1"]),
        "error: this is not a TLS server" => asked(&room(&[]), &["\u{16}\u{3}"]),
        "error: too slow" => {
            let server = room(&["--max-backlog", "1024", "--stall-timeout", "0.1"]);
            let mut slow = server.connect();
            slow.ping();
            let mut ada = Peer::named(server.address(), "ada");
            let text = "x".repeat(60_000);
            while ada.stat("evicted") == 0 {
                ada.send(format!("msg:{text}\n"));
                assert!(ada.line().unwrap().starts_with("ada: "));
            }
            return Some(server.program.logged("too slow").replace("too slow", symptom));
        }
        "error: idle for 1 seconds" => {
            let server = room(&["--idle-timeout", "1"]);
            server.connect().line().unwrap()
        }
        "error: lines since a.5 are not kept" => asked(&room(&[]), &["since:a.5"]),
        "nobody here is called squarer" => {
            said(CLIENT, &["-c", &room(&[]).address().to_string(), "--ask", "squarer", "12"])
        }
        "no answer in time" => {
            let server = room(&[]);
            let _ada = Peer::named(server.address(), "ada");
            said(CLIENT, &["-c", &server.address().to_string(), "--ask", "ada", "--timeout", "0.1", "12"])
        }
        "has left" => {
            let server = room(&[]);
            let mut asker = Peer::named(server.address(), "asker");
            let mut ada = Peer::named(server.address(), "ada");
            asker.expect("ada has joined");
            asker.send("ask:ada:1:x\n");
            wait_for("the question", || ada.line().unwrap().contains(" ?> "));
            drop(ada);
            asker.line().unwrap()
        }
        "question id 1 is still open" => {
            let server = room(&[]);
            let _bob = Peer::named(server.address(), "bob");
            asked(&server, &["iam:ada", "ask:bob:1:x\nask:bob:1:x"])
        }
        "error: not joined yet" | "error: cut off from the other servers" => return None,
        other => panic!("no test produces {other}"),
    })
}

#[test]
fn every_symptom_of_the_page_is_produced_as_it_says() {
    let directory = TempDir::new();
    let symptoms = symptoms();
    assert!(symptoms.len() > 25, "{symptoms:?}");
    for symptom in symptoms {
        if let Some(seen) = produce(&symptom, &directory) {
            assert!(seen.contains(&symptom), "{symptom}: {seen}");
        }
    }
}
