//! The option table of `localsocket-server`: its command line, help text, and the options of its manual page. Holds data only, so
//! that a test can include it.

use localsocket::programs::cli::{Opt, Program};

pub(crate) const PROGRAM: Program = Program {
    name: "localsocket-server",
    operands: "",
    about: "Lets processes on one machine talk to each other, line by line. In echo mode each client gets its\n\
            own messages back; in room mode everybody gets everybody's.",
    options: &[
        Opt::with_value("listen", "ADDRESS", "where to listen; may be repeated", "127.0.0.1:12345").or_letter('l'),
        Opt::with_value("mode", "echo|room", "who receives a message: its sender, or everybody", "echo").or_letter('m'),
        Opt::with_value("dialect", "line|classic", "classic: for clients that send no line ends", "line"),
        Opt::with_value("join", "URL", "room mode: share the room with other servers through Redis or Valkey", "none"),
        Opt::with_value("join-password-file", "PATH", "the first line of this file is the password for --join", "none"),
        Opt::with_value("max-clients", "N", "maximum number of connections", "1024"),
        Opt::with_value("max-line", "BYTES", "maximum length of a line, not counting its line end", "65536"),
        Opt::with_value(
            "max-backlog",
            "BYTES",
            "room mode: maximum number of bytes that wait for one reader",
            "1048576",
        ),
        Opt::with_value(
            "history",
            "BYTES",
            "room mode: bytes of past lines kept for since:, at most half of --max-backlog",
            "262144",
        ),
        Opt::with_value(
            "stall-timeout",
            "SECONDS",
            "room mode: how long a reader whose backlog is full may hold up the room",
            "1",
        ),
        Opt::with_value(
            "write-timeout",
            "SECONDS",
            "echo mode: disconnect a client that reads none of its replies for this long",
            "30",
        ),
        Opt::with_value("idle-timeout", "SECONDS", "disconnect a client that has sent nothing for this long", "never"),
        Opt::with_value(
            "token-file",
            "PATH",
            "clients must first send auth:<token> with the first line of this file",
            "none",
        ),
        Opt::with_value("unix-mode", "OCTAL", "permissions of the Unix socket file", "600"),
        Opt::flag("allow-remote", "listen on addresses beyond loopback without a token", "off"),
        Opt::with_value("grace", "SECONDS", "maximum time for a shutdown", "5"),
    ],
    notes: "ADDRESS is HOST:PORT, [IPV6]:PORT, unix:PATH or unix:@NAME; port 0 picks a free one. The addresses\n\
            are printed on stdout, one line each, once all are bound. The log goes to stderr; RUST_LOG=debug logs more.\n\
            SIGINT and SIGTERM shut the server down cleanly; a second one ends it at once. SIGHUP stops a server\n\
            that was started at a terminal; any other server reads its token file again.\n\
            URL is redis://[USER@]HOST[:PORT][/DATABASE][?room=NAME] or unix:PATH[?room=NAME]. Servers with\n\
            the same engine, database and room name share one room.",
    sections: &[
        (
            "Exit status",
            &[
                ("0", "stopped by a signal"),
                ("1", "cannot listen, cannot join the room, or a second signal came"),
                ("2", "wrong usage"),
            ],
        ),
        (
            "Environment",
            &[
                ("RUST_LOG", "what is logged: off, error, warn, info (the default), debug or trace"),
                ("LISTEN_FDS, LISTEN_PID", "sockets from a service manager, which are used instead of --listen"),
                ("NOTIFY_SOCKET", "where READY=1 and STOPPING=1 are reported"),
                ("JOURNAL_STREAM", "if it names stderr, log lines have a priority for journald and no time"),
            ],
        ),
        (
            "Examples",
            &[
                (
                    "localsocket-server --mode room --listen unix:/run/hub.sock --unix-mode 660",
                    "a room for the members of a group",
                ),
                (
                    "localsocket-server --listen 0.0.0.0:12345 --token-file /etc/hub.token",
                    "for other machines too, if they have the token",
                ),
            ],
        ),
    ],
};
