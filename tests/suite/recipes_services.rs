//! The recipes around a room: what starts servers and scripts for good, tokens, figures, and the engine of joined rooms.

use crate::common::*;
use crate::recipes::{Kitchen, SCRIPTS, block, recipe};

#[test]
fn from_cron() {
    let kitchen = Kitchen::new();
    let mut listener = kitchen.listener();
    let line = block(SCRIPTS, "cron");
    let (_, line) = line.split_once("* * * * ").unwrap();
    assert!(!line.contains('%'), "cron takes that for a line end");
    let line = line.replace("/usr/local/bin/localsocket-client", CLIENT);
    let line = line.replace("unix:/tmp/kitchen.sock", &kitchen.server.address().to_string());
    let mut cron = kitchen.command("sh");
    cron.env_clear().env("PATH", "/usr/bin:/bin").args(["-c", &format!("({line}) </dev/null")]);
    // Cron mails what is printed.
    Program::spawn(&mut cron).wait().says(0, "", "");
    assert!(listener.line().unwrap().starts_with("disk: "));
}

#[test]
fn from_systemd() {
    let kitchen = Kitchen::new();
    let unit = block("README.md", "ini");
    // Otherwise systemd ends a command that is running, too.
    assert!(unit.contains("KillMode=mixed\n"), "{unit}");
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let _script = kitchen.start(command);
    let mut listener = kitchen.listener();
    wait_for("the answerer", || listener.ask("who") == "who: date");
    let outcome = kitchen.run("localsocket-client --ask date now");
    assert!(outcome.code == Some(0) && outcome.stdout.contains("UTC"), "{outcome:?}");

    // The unit itself, with the program where it is now.
    let unit = unit.replace("ExecStart=", &format!("ExecStart={}/", programs().display()));
    verify(&kitchen, &[("date.service", unit)]);
}

#[test]
fn counters_for_prometheus() {
    let kitchen = Kitchen::new();
    assert_eq!(kitchen.run(&recipe("metrics")).code, Some(0));
    let metrics = kitchen.read("kitchen.prom");
    let names: Vec<&str> = metrics.lines().map(|line| line.split('{').next().unwrap()).collect();
    assert_eq!((names[0], names[5]), ("localsocket_uptime", "localsocket_lines_in"), "{metrics}");
    assert!(metrics.contains("\nlocalsocket_clients{room=\"kitchen\"} 1\n"), "{metrics}");

    // The units, with a program that is there.
    let unit = |mark: &str| block("src/guide/operating.md", mark).replace("/usr/local/bin/localsocket-metrics", CLIENT);
    verify(&kitchen, &[("metrics.service", unit("ini service")), ("metrics.timer", unit("ini timer"))]);
}

/// Expects systemd to find nothing wrong with these units.
#[track_caller]
fn verify(kitchen: &Kitchen, units: &[(&str, String)]) {
    for (name, unit) in units {
        fs::write(kitchen.directory.join(name), unit).unwrap();
    }
    let files = units.iter().map(|(name, _)| format!("./{name}"));
    match kitchen.command("systemd-analyze").args(["verify", "--man=no"]).args(files).output() {
        Ok(verified) => {
            let found = String::from_utf8_lossy(&verified.stderr).into_owned();
            assert!(!units.iter().any(|(name, _)| found.contains(name)), "{found}");
        }
        Err(_) => eprintln!("SKIPPED: there is no systemd-analyze"),
    }
}

/// The first lines of the README's chapter, and of the chapter about operating: a server, and where it is.
#[test]
fn the_server_of_the_recipes_and_waiting_for_it() {
    let kitchen = Kitchen::new();
    let path = kitchen.directory.join("other.sock");
    let start = block("README.md", "sh").replace("/tmp/kitchen.sock", &path.display().to_string());
    for (script, prints) in [
        (format!("{start}\nlocalsocket-client --wait 20 --ping; kill %1"), "pong\n"),
        (recipe("start"), "pong\npong\n"),
    ] {
        let script = kitchen.start(&script);
        wait_for(prints, || script.0.stdout().ends_with(prints));
    }
}

#[test]
fn a_new_token() {
    let kitchen = Kitchen::new();
    let token = kitchen.directory.join("hub.token");
    fs::write(&token, "old\n").unwrap();
    // At a terminal SIGHUP would end it.
    let Some(server) = start_as_service(&["--token-file", &token.display().to_string()], &[]) else { return };
    let script = format!("server={} new_token=new\n{}", server.program.id(), recipe("reload"));
    assert_eq!(kitchen.run(&script).code, Some(0));
    wait_for("the new token", || server.connect().ask("auth:new") == "authenticated");
    assert_eq!(server.connect().ask("auth:old"), "error: wrong token");
}

#[test]
fn measuring() {
    let kitchen = Kitchen::new();
    let echo = ServerProgram::start(&[]);
    for (mark, address) in [("bench-room", kitchen.server.address()), ("bench-echo", echo.address())] {
        let script = recipe(mark).replace("1000000", "1000");
        kitchen.run(&format!("export LOCALSOCKET_CONNECT={address}\n{script} --messages 1000")).ends(0);
    }
}

/// The engine of the guide lets servers do all that a shared room needs, with the URL of the systemd drop-in.
#[cfg_attr(not(target_os = "linux"), ignore = "needs 127.0.0.2")]
#[test]
fn one_room_on_two_servers_through_the_engine_as_configured() {
    if Command::new("redis-server").arg("--version").output().is_err() {
        return eprintln!("SKIPPED: there is no redis-server");
    }
    let kitchen = Kitchen::new();
    // Another address of loopback stands for that of the machine.
    let port = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap().port();
    let engine = recipe("engine")
        .replace("10.0.0.5", "127.0.0.2")
        .replace("src/deploy", &source("src/deploy").display().to_string())
        .replace("redis-server rooms/redis.conf", &format!("redis-server rooms/redis.conf --port {port}"));
    let _engine = kitchen.start(&engine);
    wait_for("the engine", || kitchen.directory.join("rooms/appendonlydir").exists());
    let password = kitchen.directory.join("rooms/join-password");
    let directory = fs::metadata(password.parent().unwrap()).unwrap();
    assert_eq!(directory.permissions().mode() & 0o777, 0o700, "only its owner reads the password");

    let drop_in = fs::read_to_string(source("src/deploy/systemd/join.conf")).unwrap();
    let (_, start) = drop_in.split_once("ExecStart=localsocket-server").unwrap();
    let url = start.split_whitespace().skip_while(|word| *word != "--join").nth(1).unwrap();
    let url = url.replace("127.0.0.1:6379", &format!("127.0.0.2:{port}")).replace("%i", "kitchen");
    let password = password.display().to_string();
    let options = ["--mode", "room", "--join", &url, "--join-password-file", &password];
    let start = || {
        let server = ServerProgram::start(&options);
        let mut peer = server.connect();
        wait_for("the server to join", || peer.ask("stats").ends_with(" joined=yes"));
        server
    };
    let (one, other) = (start(), start());
    // Bob is there from the start, so that all that he hears is in one order.
    Talk::on(&[one.address(), other.address()]).play(
        "bob@1 pings  ada joins  bob< ada has joined  bob> iam:bob  ada,bob< bob has joined  bob> msg:hello
         ada,bob< bob: hello  ada> who  ada< who: ada, bob  bob quits  ada< bob has left",
    );
}
