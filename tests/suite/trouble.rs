//! The page "When something is wrong": each symptom is produced, and says what the page shows.

use crate::common::*;

/// The symptoms of the page, in its order.
fn symptoms() -> Vec<String> {
    let text = fs::read_to_string(source("src/guide/trouble.md")).unwrap();
    text.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once("` |")?.0.to_owned())).collect()
}

/// What a program says on stderr, and its exit code.
fn said(program: &str, arguments: &[&str]) -> String {
    let outcome = run(program, arguments, "");
    format!("exit code {:?}: {}", outcome.code, outcome.stderr)
}

fn room(more: &[&str]) -> ServerProgram {
    ServerProgram::start(&[ROOM, more].concat())
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
    let server = ServerProgram::start(&["-l", directory.join("closed.sock").to_str().unwrap()]);
    let (copy, address) = (directory.join("client"), server.address().to_string());
    let arguments = ["--reuid=65534", "--clear-groups", copy.to_str().unwrap(), "-c", &address, "--ping"];
    if is_possible(&["setpriv", arguments[0], arguments[1], "true"], "a user who is kept out of a socket") {
        // Everybody can run it here. Another process copies it: a program that another test starts inherits every file that
        // is open for writing here, and until it runs, such a file cannot be run itself.
        assert!(Command::new("install").args(["-m", "755", CLIENT]).arg(&copy).status().unwrap().success());
        fs::set_permissions(&directory.0, fs::Permissions::from_mode(0o755)).unwrap();
        return said("setpriv", &arguments);
    }
    fs::set_permissions(directory.join("closed.sock"), fs::Permissions::from_mode(0o000)).unwrap();
    said(CLIENT, &arguments[3..])
}

/// Produces a symptom of the page and returns what is seen of it; `None` for those of joined rooms, which their own tests
/// produce.
fn produce(symptom: &str, directory: &TempDir) -> Option<String> {
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let file = &*directory.file("file", "\n");
    let ping = |address: &str| said(CLIENT, &["-c", address, "--ping"]);
    Some(match symptom {
        "in use: another program listens there already" => {
            said(SERVER, &["-l", &ServerProgram::start(&[]).address().to_string()])
        }
        "in use: a live server listens there" => {
            said(SERVER, &["-l", &ServerProgram::start(&["-l", &path("live.sock")]).address().to_string()])
        }
        "which is left as it is" => said(SERVER, &["-l", file]),
        "can be reached from other machines" => said(SERVER, &["-l", "0.0.0.0:0"]),
        "the first line is empty" => said(SERVER, &["--token-file", file]),
        "nothing listens there; is the server running?" => ping(&where_nobody_listens().to_string()),
        "there is no such file; is the server running?" => ping(&path("none.sock")),
        "the socket file is stale, its server is gone" => {
            leave_stale(&directory.join("stale.sock"));
            ping(&path("stale.sock"))
        }
        "no permission" => kept_out(directory),
        "missing host" => ping("31000"),
        "error: server is full (1 clients)" => {
            let server = room(&["--max-clients", "1"]);
            let _first = Peer::named(server.address(), "ada");
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
                assert_eq!(ada.ask(&format!("msg:{text}")), format!("ada: {text}"));
            }
            server.program.logged("too slow").replace("too slow", symptom)
        }
        "error: idle for 1 seconds" => room(&["--idle-timeout", "1"]).connect().line().unwrap(),
        "error: lines since a.5 are not kept" => asked(&room(&[]), &["since:a.5"]),
        "lines may have been missed" => {
            let server = room(&["--history", "0", "--idle-timeout", "0.2"]);
            client(server.address(), &["--recv-only", "--reconnect", "--heartbeat", "0"]).logged(symptom)
        }
        "nobody here is called squarer" | "no answer in time" => {
            let server = room(&[]);
            let _ada = Peer::named(server.address(), "ada");
            let name = symptom.strip_prefix("nobody here is called ").unwrap_or("ada");
            run_client(server.address(), &["--ask", name, "--timeout", "0.1", "12"], "").stderr
        }
        "has left" | "question id 1 is still open" => {
            let server = room(&[]);
            let mut talk = Talk::new(server.address());
            talk.play("bob joins deaf  ada joins deaf  ada> ask:bob:1:x  bob< ada ?> 1: x");
            talk.play(if symptom == "has left" { "bob quits" } else { "ada> ask:bob:1:x" });
            talk.peer("ada").line().unwrap()
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
