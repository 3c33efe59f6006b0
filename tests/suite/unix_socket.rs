//! The file of a Unix socket: its permissions, whose it is, and what is never touched.

use crate::common::*;
use std::os::unix::fs::{chown, symlink};

const NOBODY: u32 = 65534;

fn unix(path: &Path) -> String {
    format!("unix:{}", path.display())
}

fn start(path: &Path) -> ServerProgram {
    ServerProgram::start(&["--listen", &unix(path)])
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn permissions_are_final_from_the_first_moment() {
    let cases = [("000", "", 0o600), ("077", "--unix-mode 666", 0o666), ("022", "--unix-mode 660", 0o660)];
    side_by_side(cases.into_iter().chain([("000", "--unix-mode 0", 0)]).map(|case| (case.0, case)), |case| {
        let (umask, option, wanted) = case;
        let directory = TempDir::new();
        let path = directory.join("hub.sock");
        let script = format!("umask {umask}; exec \"$0\" --listen \"$1\" {option}");
        for _ in 0..10 {
            let mut command = Command::new("sh");
            let mut program = Program::spawn(command.args(["-c", &script, SERVER, &unix(&path)]));
            let began = Instant::now();
            while !program.stdout().ends_with('\n') && began.elapsed() < DEADLINE {
                // Looked at all the time until it listens.
                if let Ok(found) = fs::symlink_metadata(&path) {
                    assert_eq!(found.permissions().mode() & 0o7777, wanted, "under umask {umask}");
                }
            }
            assert_eq!(mode(&path), wanted, "umask {umask}");
            program.ends_at("TERM");
            assert!(!path.exists());
        }
    });
}

#[test]
fn a_stale_file_is_replaced_and_a_live_server_never_robbed() {
    let directory = TempDir::new();
    let path = directory.join("hub.sock");
    let wanted = format!("localsocket-server: cannot listen on {}: in use: a live server listens there\n", unix(&path));
    for _ in 0..3 {
        let mut server = start(&path);
        server.connect().ping();
        run(SERVER, &["--listen", &unix(&path)], "").says(1, "", &wanted);
        server.connect().ping();
        server.program.kill();
        assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    }
}

#[test]
fn of_two_servers_at_one_stale_file_exactly_one_lives() {
    // A hundred by hand: RACE_ROUNDS=100.
    let rounds = std::env::var("RACE_ROUNDS").map_or(20, |rounds| rounds.parse().unwrap());
    // At four places: where a full backlog refuses like a dead server, each round takes a second.
    side_by_side(["one", "two", "three", "four"].map(|place| (place, ())), |()| {
        let directory = TempDir::new();
        let path = directory.join("hub.sock");
        for round in 0..rounds / 4 {
            leave_stale(&path);
            let mut programs = [(); 2].map(|()| Program::spawn(Command::new(SERVER).args(["--listen", &unix(&path)])));
            wait_for("one to listen and one to give up", || {
                let listen = programs.iter().filter(|program| program.stdout().contains("listening on")).count();
                let refused = programs.iter().filter(|program| program.stderr().contains("in use")).count();
                assert!(listen <= 1, "round {round}: both listen");
                (listen, refused) == (1, 1)
            });
            Peer::connect(&Address::Unix(path.clone())).ping();
            for program in &mut programs {
                if program.stderr().contains("in use") {
                    program.wait().ends(1)
                } else {
                    program.ends_at("TERM")
                };
            }
            assert!(!path.exists());
        }
    });
}

#[test]
fn what_is_no_stale_socket_is_never_touched() {
    let directory = TempDir::new();
    let file = PathBuf::from(directory.file("file", "precious"));
    let folder = directory.join("folder");
    fs::create_dir(&folder).unwrap();
    let stale = directory.join("stale");
    leave_stale(&stale);
    let link = directory.join("link");
    symlink(&stale, &link).unwrap();
    let datagram = directory.join("datagram");
    let _datagram = UnixDatagram::bind(&datagram).unwrap();
    let pipe = directory.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let below_a_pipe = format!("{} is not a directory", pipe.display());
    for (path, what) in [
        (&pipe, "in use: a file that is not a socket is there, which is left as it is"),
        (&directory.join("pipe/hub"), &*below_a_pipe),
        (&file, "in use: a regular file is there, which is left as it is"),
        (&folder, "in use: a directory is there, which is left as it is"),
        (&link, "in use: a symbolic link is there, which is left as it is"),
        (&datagram, "in use: a socket is there, and it is unclear whether a server still uses it"),
        (&directory.join("no/where"), "there is no directory"),
        (&directory.join(&"x".repeat(120)), "the path is too long: "),
    ] {
        let found = || fs::symlink_metadata(path).ok().map(|found| (found.ino(), found.mode(), found.size()));
        let before = found();
        let outcome = run(SERVER, &["--listen", &unix(path)], "").gives(1, "");
        let wanted = format!("localsocket-server: cannot listen on {}: {what}", unix(path));
        assert!(outcome.stderr.starts_with(&wanted) && outcome.stderr.lines().count() == 1, "{outcome:?}");
        assert_eq!(before, found());
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
}

/// Calls that a file system may refuse, played by strace: each failure is told as what it is.
#[test]
fn what_a_file_system_refuses_is_told_as_it_is() {
    if !is_possible(&["strace", "-V"], "what a file system refuses") {
        return;
    }
    let directory = TempDir::new();
    let path = directory.join("hub.sock");
    let inject = |fault: &str| {
        let mut command = Command::new("strace");
        // With -D, the server is this process's child, and strace a grandchild.
        command.args(["-D", "-f", "-o", "/dev/null", "-e"]).arg(format!("inject={fault}"));
        command.args([SERVER, "--listen", &unix(&path)]);
        command
    };
    for (fault, why) in [
        ("bind:error=EINVAL", "the file system refuses a socket there: Invalid argument"),
        ("bind:error=EPERM", "the file system refuses a socket there: Operation not permitted"),
        ("bind:error=EOPNOTSUPP", "the file system refuses a socket there: "), // the words differ between C libraries
        ("bind:error=EROFS", "the file system refuses a socket there: Read-only file system"),
        ("bind:error=EACCES", "no permission to make a file there"),
        ("bind:error=EADDRINUSE", "in use: another program has just put a socket there"),
    ] {
        let outcome = Program::spawn(&mut inject(fault)).wait().ends(1);
        let wanted = format!("localsocket-server: cannot listen on {}: {why}", unix(&path));
        assert!(outcome.stderr.starts_with(&wanted), "{fault}: {outcome:?}");
        assert!(!path.exists());
    }
    // Without the lock it starts all the same.
    for error in ["ENOLCK", "EOPNOTSUPP", "ENOSYS", "EINVAL", "EBADF"] {
        let mut server = ServerProgram::from_command(&mut inject(&format!("flock:error={error}")));
        server.connect().ping();
        server.stop();
        wait_for("the server to end", || !path.exists());
    }
}

#[test]
fn a_directory_that_cannot_be_read_is_no_obstacle() {
    let directory = TempDir::new();
    let path = directory.join("hub.sock");
    leave_stale(&path);
    fs::set_permissions(&directory.0, fs::Permissions::from_mode(0o333)).unwrap();
    let as_user = || {
        let mut command = Command::new(SERVER);
        // Root could read everything.
        if fs::metadata(&directory.0).unwrap().uid() == 0 {
            chown(&path, Some(NOBODY), None).unwrap();
            command.uid(NOBODY);
        }
        command
    };
    if as_user().arg("--version").output().is_err() {
        eprintln!("SKIPPED: the program cannot be run by another user here");
        return;
    }
    let mut command = as_user();
    let server = ServerProgram::from_command(command.args(["--listen", &unix(&path), "--unix-mode", "666"]));
    server.connect().ping();
}

#[test]
fn the_longest_path_a_socket_can_have_works() {
    let directory = TempDir::new();
    let longest = if cfg!(any(not(target_os = "linux"), localsocket_portable)) { 103 } else { 107 };
    let path = directory.join(&"x".repeat(longest - directory.0.as_os_str().len() - 1));
    start(&path).connect().ping();
}

#[test]
fn at_exit_a_server_removes_its_own_file_only() {
    let directory = TempDir::new();
    let path = directory.join("hub.sock");
    let mut loser = start(&path);
    fs::remove_file(&path).unwrap();
    let winner = start(&path);
    loser.stop();
    winner.connect().ping();
}

#[test]
fn several_listeners_share_one_list() {
    let directory = TempDir::new();
    let path = directory.join("hub.sock");
    // A plain path with a slash in it is a Unix socket's.
    let listen = ["--listen", "127.0.0.1:0", "--listen", path.to_str().unwrap(), "--listen", "[::1]:0"];
    let server = ServerProgram::start(&listen);
    assert_eq!(server.addresses[1].to_string(), unix(&path));
    let mut peers: Vec<Peer> =
        server.addresses.iter().zip(["a", "b", "c"]).map(|(address, name)| Peer::named(address, name)).collect();
    assert_eq!(peers[0].ask("who"), "who: a, b, c");
}

#[test]
fn a_relative_path_is_relative_to_where_the_server_was_started() {
    let directory = TempDir::new();
    let mut command = Command::new(SERVER);
    let mut server = ServerProgram::from_command(command.args(["--listen", "unix:hub.sock"]).current_dir(&directory.0));
    assert_eq!(server.addresses[0].to_string(), "unix:hub.sock");
    Peer::connect(&Address::Unix(directory.join("hub.sock"))).ping();
    server.stop();
    assert!(!directory.join("hub.sock").exists());
}

#[test]
fn one_address_that_fails_fails_all_and_leaves_no_file() {
    let directory = TempDir::new();
    let path = directory.join("hub.sock");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let why = "in use: another program listens there already";
    run(SERVER, &["--listen", &unix(&path), "--listen", &address], "").says(
        1,
        "",
        format!("localsocket-server: cannot listen on {address}: {why}\n"),
    );
    assert!(!path.exists());
}
