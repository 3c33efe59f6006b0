//! Every recipe of the README and the guide does what it says: each block marked `sh NAME` is run by a test below, as it
//! stands, by bash in an empty directory, with the programs in its PATH and a room in its environment. The examples of
//! the manual pages are run by `manual_examples`.

use crate::common::*;

/// The documents with recipes, and the marks of theirs that the tests below run.
const RECIPES: [(&str, &[&str]); 5] = [
    ("README.md", &["demo", "listen", "send", "follow", "serve", "ask"]),
    (SCRIPTS, &["direct", "each", "wait", "late", "race", "resume", "workers", "many", "everybody"]),
    ("src/guide/operating.md", &["start", "reload", "metrics"]),
    ("src/guide/performance.md", &["bench-echo", "bench-room"]),
    ("src/guide/machines.md", &["engine"]),
];

pub const SCRIPTS: &str = "src/guide/scripts.md";

/// The text of a document's only block with this mark.
#[track_caller]
pub fn block(document: &str, mark: &str) -> String {
    let blocks = fenced_blocks(&source(document), mark);
    assert_eq!(blocks.len(), 1, "blocks marked {mark} in {document}");
    blocks[0].join("\n")
}

pub fn recipe(mark: &str) -> String {
    let (document, _) = RECIPES.iter().find(|(_, marks)| marks.contains(&mark)).expect("a mark of RECIPES");
    block(document, &format!("sh {mark}"))
}

#[test]
fn every_recipe_is_run() {
    for (document, marks) in RECIPES {
        let text = fs::read_to_string(source(document)).unwrap();
        let found: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("```sh ")).collect();
        assert_eq!(found, marks, "{document}");
    }
}

/// A shell script that runs, with everything that it started; all of it ends with the test.
pub struct Script(pub Program);

impl Drop for Script {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.0.id())]).output();
    }
}

/// An empty directory, and a room.
pub struct Kitchen {
    pub server: ServerProgram,
    pub directory: TempDir,
}

impl Kitchen {
    pub fn new() -> Kitchen {
        let directory = TempDir::new();
        let address = format!("unix:{}", directory.join("kitchen.sock").display());
        Kitchen { server: ServerProgram::start(&["--mode", "room", "--listen", &address]), directory }
    }

    pub fn command(&self, program: &str) -> Command {
        let path = format!("{}:{}", programs().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(program);
        command.current_dir(&self.directory.0).env("PATH", path).process_group(0);
        command.env("LOCALSOCKET_CONNECT", self.server.address().to_string());
        command
    }

    /// Starts a script. It ends when all that it started has ended.
    pub fn start(&self, script: &str) -> Script {
        Script(Program::spawn(self.command("bash").args(["-c", &format!("{script}\nstatus=$?; wait; exit $status")])))
    }

    pub fn run(&self, script: &str) -> Outcome {
        self.start(script).0.wait()
    }

    /// A client without a name, which listens from now on.
    pub fn listener(&self) -> Peer {
        let mut peer = self.server.connect();
        peer.ping();
        peer
    }

    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.directory.join(file)).unwrap_or_default()
    }
}

#[test]
fn what_is_said_and_heard() {
    let demo = recipe("demo");
    // The room is there already, at an address of its own.
    let demo = demo.strip_prefix("localsocket-server --mode room &\n").unwrap();
    let race = recipe("race");
    // However early the line is said.
    let early = race.replace("(sleep 0.1; ", "(").replace(") &", ")");
    let done = "build: build finished\n";
    // A script, what another client says then, what the script prints and how it ends, and whether the other one hears that.
    for (script, says, prints, code, is_heard) in [
        (&*recipe("send"), "", "build has joined\nbuild: build finished\n", Some(0), true),
        (&recipe("direct"), "", "build has joined\nbuild > ada: your build has failed\n", Some(0), true),
        (&race, "", done, Some(0), false),
        (&early, "", done, Some(0), false),
        (&recipe("wait"), "msg:1\nmsg:2\nmsg:3\nmsg:4\n", "ada: 1\nada: 2\nada: 3\n", Some(0), false),
        (&recipe("wait").replace("60", "0.1"), "", "", Some(4), false),
        (&recipe("each"), "iam:build\nmsg:build started\nmsg:build finished\n", "deploying\n", None, false),
        (demo, "", "144\n", None, false),
    ] {
        let kitchen = Kitchen::new();
        let mut ada = Peer::named(kitchen.server.address(), "ada");
        let mut script = kitchen.start(script);
        wait_for("the script", || says.is_empty() || ada.stat("clients") == 2);
        ada.send(says);
        let heard = prints.lines().chain(["build has left"]).filter(|_| is_heard);
        heard.for_each(|line| ada.expect(line));
        match code {
            Some(code) => drop(script.0.wait().gives(code, prints)),
            None => wait_for(prints, || script.0.stdout() == prints),
        }
    }
}

#[test]
fn listening_in_the_background_into_a_file() {
    let kitchen = Kitchen::new();
    // A listener that is started again goes on with the file.
    fs::write(kitchen.directory.join("room.log"), "earlier\n").unwrap();
    let _script = kitchen.start(&recipe("listen"));
    let mut ada = kitchen.listener();
    wait_for("the listener", || ada.stat("clients") == 2);
    ada.send("iam:ada\nmsg:hello\n");
    wait_for("a line in room.log", || kitchen.read("room.log").contains("Z ada: hello\n"));
    let log = kitchen.read("room.log");
    let time = log.strip_prefix("earlier\n").unwrap().split(' ').next().unwrap();
    assert_eq!(time.replace(|c: char| c.is_ascii_digit(), "0"), "0000-00-00T00:00:00.000Z");
}

#[test]
fn following_a_log_file() {
    let kitchen = Kitchen::new();
    fs::write(kitchen.directory.join("app.log"), "old\n").unwrap();
    let mut listener = kitchen.listener();
    let _script = kitchen.start(&recipe("follow"));
    listener.expect("app has joined");
    // `tail` may only now be looking at the end of the file, so lines go on coming until one arrives.
    let log = kitchen.directory.join("app.log");
    let mut append = Command::new("sh");
    append.args(["-c", "while echo quit && sleep 0.1; do :; done >>\"$0\""]).arg(&log).process_group(0);
    let _appending = Script(Program::spawn(&mut append));
    listener.expect("app: quit");
}

#[test]
fn serving_and_asking() {
    let kitchen = Kitchen::new();
    let mut asking = kitchen.start(&recipe("ask"));
    let mut listener = kitchen.listener();
    // The question is put again until somebody serves the name.
    wait_for("the asker", || listener.stat("clients") == 2);
    let _serving = kitchen.start(&recipe("serve"));
    asking.0.wait().gives(0, "144\n");
}

#[test]
fn what_was_said_before() {
    let kitchen = Kitchen::new();
    let mut ada = Peer::named(kitchen.server.address(), "ada");
    assert_eq!(ada.ask("msg:before"), "ada: before");
    let script = kitchen.start(&recipe("late"));
    wait_for("two lines", || script.0.stdout() == "ada has joined\nada: before\n");
    ada.send("msg:now\n");
    wait_for("the third", || script.0.stdout().ends_with("\nada: now\n"));
}

#[test]
fn a_script_that_goes_on_where_it_was() {
    let mut kitchen = Kitchen::new();
    let mut ada = Peer::named(kitchen.server.address(), "ada");
    for round in 1..=3 {
        let all: String = (1..=2 * round).map(|number| format!("ada: C:\\new {number}  \n")).collect();
        for number in [2 * round - 1, 2 * round] {
            let text = format!("C:\\new {number}  ");
            assert_eq!(ada.ask(&format!("msg:{text}")), format!("ada: {text}"));
        }
        let mut script = kitchen.start(&recipe("resume"));
        let mark = ada.ask("mark");
        wait_for("all lines", || {
            kitchen.read("done.log") == all && format!("at {}", kitchen.read("last-mark").trim()) == mark
        });
        if round == 3 {
            // The last words of the server have no mark.
            kitchen.server.stop().ends(0);
            script.0.wait();
            assert!(mark.ends_with(kitchen.read("last-mark").trim()) && kitchen.read("done.log") == all);
        }
    }
}

/// One of the three is killed while it works, and its question is answered all the same.
#[test]
fn three_workers_and_one_that_dies() {
    let kitchen = Kitchen::new();
    let busy = "if mkdir busy 2>/dev/null; then echo $PPID >worker.pid; exec sleep 60; fi; awk";
    let _script = kitchen.start(&recipe("workers").replace("'awk", &format!("'{busy}")));
    let mut listener = kitchen.listener();
    wait_for("the workers", || listener.ask("who:squarer").split(", ").count() == 3);
    let mut asking = kitchen.start(&recipe("ask").replace("--retry", "--retry --timeout 60"));
    wait_for("the first to be asked", || kitchen.read("worker.pid").ends_with('\n'));
    assert_eq!(kitchen.run("kill -KILL $(cat worker.pid)").code, Some(0));
    asking.0.wait().gives(0, "144\n");

    assert_eq!(kitchen.run(&recipe("many")).code, Some(0));
    let mut squares: Vec<u32> = kitchen.read("squares").lines().map(|line| line.parse().unwrap()).collect();
    squares.sort_unstable();
    assert_eq!(squares, (1..=100).map(|number| number * number).collect::<Vec<_>>());

    kitchen.run(&recipe("everybody")).gives(0, "144\n144\n2 answered\n");
}

/// Blocks marked `console`: commands after `$ `, and between them what they print.
#[test]
fn consoles_print_what_is_shown() {
    let mut played = 0;
    for (document, _) in RECIPES {
        for console in fenced_blocks(&source(document), "console") {
            let commands = console.iter().filter_map(|line| line.strip_prefix("$ ")).collect::<Vec<_>>().join("\n");
            let shown: Vec<&String> = console.iter().filter(|line| !line.starts_with("$ ")).collect();
            let outcome = Kitchen::new().run(&commands);
            assert_eq!(outcome.stdout.lines().collect::<Vec<_>>(), shown, "{outcome:?}");
            played += 1;
        }
    }
    assert!(played > 0);
}
