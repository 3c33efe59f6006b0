//! The option table of `localsocket-client`: its command line, help text, manual page and completions. Holds data only, so
//! that a test can include it.

use localsocket::programs::cli::{Opt, Program};

pub(crate) const PROGRAM: Program = Program {
    name: "localsocket-client",
    summary: "talk to a localsocket-server",
    operands: "[LINE]...",
    about: "Sends lines to a localsocket-server and prints what comes back. Lines come from the arguments,\n\
            else from stdin. A command (iam:NAME, msg:TEXT, to:NAME:TEXT, who, ping, stats, help,\n\
            auth:TOKEN, quit) is sent as it is, any other text as msg:TEXT.",
    options: &[
        Opt::with_value("connect", "ADDRESS", "the server", "127.0.0.1:12345").or_letter('c'),
        Opt::with_value("name", "NAME", "log in first", "none").or_letter('n'),
        Opt::with_value("token-file", "PATH", "authenticate first, with this file's first line", "none"),
        Opt::flag("verbatim", "send lines as they are", "off"),
        Opt::with_value("wait", "SECONDS", "keep trying until the server is up, so long at most", "0"),
        Opt::with_value("connect-timeout", "SECONDS", "how long one try may take", "5"),
        Opt::flag("reconnect", "connect again when the connection is lost", "off"),
        Opt::with_value("heartbeat", "SECONDS", "ping after so long without traffic; 0 is never", "30"),
        Opt::flag("ping", "health check: connect, ping, exit 0 on pong", ""),
    ],
    notes: "ADDRESS is HOST:PORT, [IPV6]:PORT or unix:PATH. Lines from the server go to stdout, all else to\n\
            stderr.",
    exit_codes: &[
        ("0", "done"),
        ("1", "no connection, or it ended before the input did"),
        ("2", "wrong usage"),
        ("3", "an error line was received, and the input was not a terminal, however it ended"),
    ],
    environment: &[("NO_COLOR", "no colours, if it is set and not empty")],
    examples: &[
        ("echo hello | localsocket-client -c unix:/run/hub.sock -n ada", "says hello under the name ada"),
        ("localsocket-client --ping -c unix:/run/hub.sock", "exits with 0 if the server answers"),
        ("tail -f log | localsocket-client --reconnect -n logger", "goes on when the server is restarted"),
    ],
    see_also: &["localsocket-server(1)", "localsocket-bench(1)"],
    ..Program::EMPTY
};
