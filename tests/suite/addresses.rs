//! Addresses of all kinds, from the option to the socket: host names with several addresses, abstract names, sockets
//! from a service manager, connections that end where they began.

use crate::common::*;

/// A name that no other test has.
fn abstract_name(what: &str) -> String {
    format!("localsocket-{what}-{}", std::process::id())
}

/// Runs a shell script in network and mount namespaces of its own, with `$1` the client and `$2` the server, and checks
/// what it gives, where that is permitted.
fn in_namespace(script: &str, check: impl FnOnce(Outcome)) {
    const OWN: [&str; 2] = ["unshare", "-rmn"];
    if is_possible(&[&OWN[..], &["ip", "link", "set", "lo", "up"]].concat(), "namespaces of one's own") {
        let script = format!("set -e; ip link set lo up\n{script}");
        check(run(OWN[0], &[OWN[1], "sh", "-c", &script, "sh", CLIENT, SERVER], ""));
    }
}

#[cfg_attr(any(not(target_os = "linux"), localsocket_portable), ignore = "needs abstract names")]
#[test]
fn an_abstract_name_works_like_a_path_on_both_sides() {
    let text = format!("unix:@{}", abstract_name("abstract"));
    let mut server = ServerProgram::start(&["--listen", &text]);
    assert_eq!(server.addresses[0].to_string(), text);
    server.connect().ping();
    run(CLIENT, &["--connect", &text, "--ping"], b"").gives(0, "pong\n");
    let wanted = format!("localsocket-server: cannot listen on {text}: in use: another program has this name\n");
    run(SERVER, &["--listen", &text], "").says(1, "", wanted);
    server.stop();
    run(CLIENT, &["--connect", &text, "--ping"], b"").tells("nothing listens there");
}

#[cfg(all(target_os = "linux", not(localsocket_portable)))] // only there are abstract names
#[test]
fn an_abstract_name_from_a_service_manager_is_announced_as_clients_take_it() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    let name = abstract_name("handed-over");
    let socket = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let mut server = hand_over(Some(socket.into()), "1").spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ping = run(CLIENT, &["--ping", "--connect", &format!("unix:@{name}")], "");
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(line, format!("listening on unix:@{name}\n"));
    ping.ends(0);
}

#[test]
fn odd_numbers_of_inherited_sockets_are_told() {
    let socket = || Some(OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap()));
    for (socket, count, why) in [
        (None, "-1", "LISTEN_FDS is '-1': not a valid number"),
        (None, "2147483647", "LISTEN_FDS is 2147483647: too many"),
        (None, "1", "inherited descriptor 3 is not a socket: "),
        (socket(), "2", "inherited descriptor 4 cannot be taken: "),
    ] {
        let output = hand_over(socket, count).output().unwrap();
        assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]), "{output:?}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.starts_with(&format!("localsocket-server: {why}")), "{stderr}");
    }
}

#[test]
fn sockets_that_are_for_another_process_are_told() {
    let server = ServerProgram::from_command(server(&[]).env("LISTEN_PID", "1").env("LISTEN_FDS", "1"));
    let line = server.program.logged("LISTEN_PID says that they are for process 1");
    assert!(line.contains("WARN"), "{line}");
    server.connect().ping();
}

#[test]
fn an_address_that_is_named_twice_is_not_blamed_on_another_program() {
    let directory = TempDir::new();
    let path = directory.join("hub");
    let unix = format!("unix:{}", path.display());
    let same = format!("unix:{}/./hub", directory.0.display());
    let tcp = where_nobody_listens().to_string();
    let localhost = tcp.replace("127.0.0.1", "localhost");
    let name = format!("unix:@{}", abstract_name("twice"));
    let pairs = [[&tcp, &tcp], [&tcp, &localhost], [&localhost, &tcp], [&unix, &same], [&name, &name]];
    let possible = pairs.len() - usize::from(cfg!(any(not(target_os = "linux"), localsocket_portable)));
    for [first, second] in &pairs[..possible] {
        let outcome = run(SERVER, &["--listen", first, "--listen", second], b"").gives(1, "");
        let twice = ": in use by this server itself: --listen names it twice\n";
        assert!(outcome.stderr.contains(&format!("cannot listen on {second}")), "{outcome:?}");
        assert!(outcome.stderr.ends_with(twice), "{outcome:?}");
    }
    assert!(!path.exists());
}

#[cfg_attr(localsocket_portable, ignore = "needs IPv6 listeners that leave IPv4 alone")]
#[test]
fn both_wildcards_share_a_port_and_ipv4_clients_are_logged_in_their_plain_form() {
    let script = r#"
        client=$1 server=$2 directory=$(mktemp -d)
        try() {
            "$server" --allow-remote "$@" >"$directory/out" 2>"$directory/log" & pid=$!
            for host in 127.0.0.1 "[::1]"; do
                "$client" --wait 10 -c "$host:34567" --name ada hello >"$directory/out"
            done
            kill $pid; wait $pid; cat "$directory/log"
        }
        try -l 0.0.0.0:34567 -l "[::]:34567"
        try -l "[::]:34567" -l 127.0.0.1:34567
        try -l "[::]:34567"
        rm -r "$directory""#;
    in_namespace(script, |outcome| {
        for (text, times) in [("(127.0.0.1:", 3), ("([::1]:", 3), ("::ffff:", 0)] {
            let found = outcome.stdout.lines().filter(|line| line.contains("has joined as") && line.contains(text));
            assert_eq!((outcome.code, found.count()), (Some(0), times), "{text}: {outcome:?}");
        }
    });
}

#[test]
fn a_host_name_is_all_of_its_addresses_with_one_port() {
    let server = ServerProgram::start(&["--listen", "localhost:0"]);
    let first = server.addresses[0].to_string();
    let port = first.rsplit_once(':').unwrap().1;
    for address in &server.addresses {
        assert!(address.to_string().ends_with(&format!(":{port}")), "{address}, {first}");
        Peer::connect(address).ping();
    }
    let name = format!("localhost:{port}");
    Peer::connect(&name.parse().unwrap()).ping();
    let again = run(SERVER, &["--listen", &name], b"").gives(1, "");
    let (start, end) = (format!("cannot listen on {name}"), "in use: another program listens there already\n");
    assert!(again.stderr.contains(&start) && again.stderr.ends_with(end), "{again:?}");
}

#[test]
fn one_address_of_a_name_that_is_taken_is_an_error() {
    in_namespace(
        "hosts=$(mktemp); printf '127.0.0.1 twice\\n127.0.0.2 twice\\n::1 twice\\n' >$hosts
        mount --bind $hosts /etc/hosts; rm $hosts
        $2 --listen 127.0.0.2:4000 >/dev/null 2>&1 & first=$!
        until $1 --ping --connect 127.0.0.2:4000 >/dev/null 2>&1; do :; done
        $2 --listen twice:4000 || echo \"exit $?\"
        $1 --ping --connect 127.0.0.1:4000 2>&1 || echo \"nothing stays bound\"
        kill $first; wait $first
        $2 --listen twice:4000 2>/dev/null & second=$!
        until $1 --ping --connect 127.0.0.2:4000 >/dev/null 2>&1; do :; done
        for host in 127.0.0.1 '[::1]' twice; do $1 --ping --connect $host:4000; done
        kill $second; wait $second",
        |outcome| {
            let error = "cannot listen on twice:4000 at 127.0.0.2: in use: another program listens there already";
            assert!(outcome.stderr.contains(error), "{outcome:?}");
            for wanted in ["exit 1\n", "nothing stays bound\n", "pong\npong\npong\n", "listening on 127.0.0.1:4000\n"] {
                assert!(outcome.stdout.contains(wanted), "{outcome:?}");
            }
            assert_eq!(outcome.stdout.matches("listening on ").count(), 3, "{outcome:?}");
        },
    );
}

#[test]
fn a_machine_without_ipv6_listens_on_what_it_has() {
    in_namespace(
        "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
        hosts=$(mktemp); printf '127.0.0.1 both\\n::1 both six\\n' >$hosts
        mount --bind $hosts /etc/hosts; rm $hosts
        $2 --listen both:4000 2>/dev/null & server=$!
        until $1 --ping --connect both:4000 2>/dev/null; do :; done
        kill $server; wait $server
        $2 --listen six:4000 || true",
        |outcome| {
            assert_eq!(outcome.stdout, "listening on 127.0.0.1:4000\npong\n", "{outcome:?}");
            assert!(outcome.stderr.contains("cannot listen on six:4000 at ::1: "), "{outcome:?}");
        },
    );
}

#[test]
fn a_client_never_meets_itself_and_leaves_the_port_free() {
    // With two ports in all, a client that tries one of them is given that one itself every other time.
    in_namespace(
        "echo '32100 32101' >/proc/sys/net/ipv4/ip_local_port_range
        for try in 1 2 3 4 5 6 7 8; do $1 --ping --connect 127.0.0.1:32100 || true; done
        $1 --wait 1 --connect 127.0.0.1:32100 hello || echo \"exit $?\"
        out=$(mktemp); $2 --listen 127.0.0.1:32100 >$out 2>/dev/null & server=$!
        until [ -s $out ]; do kill -0 $server; done
        cat $out; rm $out
        $1 --ping --connect 127.0.0.1:32100; kill $server",
        |outcome| {
            assert_eq!(outcome.stdout, "exit 1\nlistening on 127.0.0.1:32100\npong\n", "{outcome:?}");
            assert!(outcome.stderr.lines().all(|line| line.contains("nothing listens there")), "{outcome:?}");
            assert!(!outcome.stderr.contains("connected"), "{outcome:?}");
        },
    );
}

#[test]
fn a_silent_name_service_is_not_waited_for_beyond_the_time_for_connecting() {
    let start = Instant::now();
    // What goes to a dummy device never comes back.
    in_namespace(
        "ip link add silent type dummy; ip address add 192.0.2.1/24 dev silent; ip link set silent up
        resolv=$(mktemp); echo 'nameserver 192.0.2.2' >$resolv; mount --bind $resolv /etc/resolv.conf; rm $resolv
        nss=$(mktemp); echo 'hosts: files dns' >$nss; mount --bind $nss /etc/nsswitch.conf; rm $nss
        $1 --ping --connect-timeout 0.5 --connect hub.example:1 || echo \"exit $?\"
        $1 --wait 0.5 --connect-timeout 0.5 --connect hub.example:1 </dev/null || echo \"exit $?\"",
        |outcome| {
            if !outcome.stdout.contains("exit") {
                eprintln!("SKIPPED: no dummy network device here: {}", outcome.stderr);
                return;
            }
            assert_eq!(outcome.stdout, "exit 1\nexit 1\n", "{outcome:?}");
            assert!(
                outcome.stderr.contains("cannot connect to hub.example:1: the name service did not answer in time")
            );
            assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        },
    );
}

#[cfg_attr(any(not(target_os = "linux"), localsocket_portable), ignore = "needs SO_PEERCRED")]
#[test]
fn clients_of_a_unix_socket_are_logged_with_process_and_user() {
    let directory = TempDir::new();
    let address = format!("unix:{}", directory.join("hub.sock").display());
    let server = ServerProgram::start(&["--listen", &address]);
    Peer::named(&server.addresses[0], "ada");
    server.program.logged(&format!("unix, pid {}, uid ", std::process::id()));
}
