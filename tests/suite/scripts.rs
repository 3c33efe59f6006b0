//! The recipes of the README's chapter "Scripts" do what it says: each block is run as it stands, by a shell.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::{DEADLINE, Outcome, Peer, Program, ServerProgram, TempDir, fenced_blocks, wait_for};

/// A room, and a folder to work in.
struct Room {
    server: ServerProgram,
    directory: TempDir,
}

impl Room {
    fn open() -> Room {
        let directory = TempDir::new();
        let listen = format!("unix:{}", directory.join("kitchen.sock").display());
        Room { server: ServerProgram::start(&["--mode", "room", "--listen", &listen]), directory }
    }

    /// A shell that finds the programs, and the room by the environment.
    fn shell(&self, script: &str) -> Command {
        let programs = Path::new(env!("CARGO_BIN_EXE_localsocket-client")).parent().unwrap();
        let inherited = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([programs.to_owned()].into_iter().chain(env::split_paths(&inherited))).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).current_dir(&self.directory.0).env("PATH", path);
        shell.env("LOCALSOCKET_CONNECT", self.server.address().to_string());
        shell
    }

    fn start(&self, script: &str) -> Program {
        Program::spawn(&mut self.shell(script))
    }

    fn run(&self, script: &str) -> Outcome {
        self.start(script).wait()
    }

    /// A recipe that goes on in the background; it is ended along with the value.
    fn start_in_background(&self, recipe: &str) -> Background {
        // `exec` cannot be put before it, but a shell that ends at the end of its input can be put around it.
        let script = format!("{recipe}\nread -r _\nkill $!\nwait $!");
        Background(self.start(&script))
    }

    fn wait_for_clients(&self, count: u64) {
        let mut peer = self.server.connect();
        wait_for("clients", || peer.stat("clients") == count + 1);
    }
}

struct Background(Program);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.stdin = None;
        self.0.wait();
    }
}

/// The README's only block with this mark.
fn recipe(mark: &str) -> String {
    let mut blocks = fenced_blocks(&Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"), &format!("sh {mark}"));
    assert_eq!(blocks.len(), 1, "blocks marked sh {mark}");
    blocks.remove(0).join("\n")
}

#[test]
fn listen_in_the_background() {
    let room = Room::open();
    let listening = room.start_in_background(&recipe("listen"));
    room.wait_for_clients(1);
    let outcome = room.run(&recipe("send"));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let log = room.directory.join("room.log");
    let wanted = ["build has joined", "build: build finished", "build has left"];
    wait_for("three lines", || fs::read_to_string(&log).unwrap().matches('\n').count() == wanted.len());
    drop(listening);
    for (line, wanted) in fs::read_to_string(&log).unwrap().lines().zip(wanted) {
        let (time, text) = line.split_once(' ').unwrap();
        assert_eq!(text, wanted);
        let pattern: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(pattern, "0000-00-00T00:00:00.000Z", "{line}");
    }
}

#[test]
fn send_one_line() {
    let room = Room::open();
    let outcome = room.run(&recipe("send"));
    assert_eq!((outcome.code, &*outcome.stderr), (Some(0), ""), "{outcome:?}");
    assert_eq!(outcome.stdout, "build has joined\nbuild: build finished\n");
}

#[test]
fn follow_a_log_file() {
    let room = Room::open();
    let log = room.directory.join("app.log");
    File::create(&log).unwrap();
    let mut listener = Peer::connect(room.server.address());
    // The shell's process group, so that nothing of the pipeline is left.
    let mut following = room.shell(&recipe("follow"));
    let following = Program::spawn(following.process_group(0));
    listener.expect("app has joined");
    let mut file = OpenOptions::new().append(true).open(&log).unwrap();
    // tail begins at the end of the file that it finds, and does not say when it has.
    let seen = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = file.try_clone().unwrap();
            while !seen.load(Ordering::SeqCst) {
                writeln!(file, "start").unwrap();
                thread::sleep(Duration::from_millis(20));
            }
        });
        let line = listener.line();
        seen.store(true, Ordering::SeqCst);
        assert_eq!(line.as_deref(), Some("app: start"));
    });
    // Neither of them is a command.
    write!(file, "quit\niam:root\n").unwrap();
    let rest: Vec<String> =
        std::iter::from_fn(|| listener.line()).filter(|line| line != "app: start").take(2).collect();
    assert_eq!(rest, ["app: quit", "app: iam:root"]);
    Command::new("sh").args(["-c", &format!("kill -9 -{}", following.id())]).status().unwrap();
}

#[test]
fn ask_and_answer() {
    let room = Room::open();
    let _answering = room.start_in_background(&recipe("answer"));
    room.wait_for_clients(1);
    let outcome = room.run(&recipe("ask"));
    assert_eq!((outcome.code, &*outcome.stdout, &*outcome.stderr), (Some(0), "144\n", ""));
    let outcome = room.run("localsocket-client --ask nobody 12");
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
}

#[test]
fn run_something_for_each_message() {
    let room = Room::open();
    let mut running = room.start(&recipe("each"));
    room.wait_for_clients(1);
    room.run("localsocket-client --name other --text 'build finished'");
    room.run(&recipe("send"));
    wait_for("the command", || running.stdout() == "deploying\n");
    room.server.program.signal("TERM");
    assert_eq!(running.wait().stdout, "deploying\n");
}

#[test]
fn wait_for_three_lines() {
    let room = Room::open();
    let mut waiting = room.start(&recipe("wait"));
    room.wait_for_clients(1);
    for text in ["one", "two", "three", "four"] {
        room.run(&format!("localsocket-client --name build --text {text}"));
    }
    let outcome = waiting.wait();
    assert_eq!((outcome.code, &*outcome.stdout), (Some(0), "build: one\nbuild: two\nbuild: three\n"), "{outcome:?}");
    let outcome = room.run(&recipe("wait").replace("60", "0.1"));
    assert_eq!((outcome.code, &*outcome.stdout), (Some(4), ""), "{outcome:?}");
    assert!(DEADLINE.as_secs() < 60, "the recipe waits longer than the tests");
}

#[test]
fn from_cron_there_is_neither_path_nor_terminal_nor_home() {
    let room = Room::open();
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let line = readme.lines().find(|line| line.starts_with("*/5 * * * * ")).unwrap().trim_start_matches("*/5 * * * * ");
    assert!(!line.contains('%'), "cron takes a percent sign for a line end");
    let program = env!("CARGO_BIN_EXE_localsocket-client");
    let line = line.replace("/usr/local/bin/localsocket-client", program);
    let line = line.replace("unix:/tmp/kitchen.sock", &room.server.address().to_string());
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &line]).env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
    let outcome = Program::spawn(&mut shell).wait();
    assert_eq!((outcome.code, &*outcome.stdout, &*outcome.stderr), (Some(0), "", ""), "{outcome:?}");
}
