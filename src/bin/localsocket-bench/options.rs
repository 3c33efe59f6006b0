//! The option table of `localsocket-bench`: its command line, help text, manual page and completions. Holds data only, so
//! that a test can include it.

use localsocket::programs::cli::{Opt, Program};

pub(crate) const PROGRAM: Program = Program {
    name: "localsocket-bench",
    summary: "measure a localsocket-server",
    about: "Measures how fast a running localsocket-server is, and checks that every reply comes and is right.",
    options: &[
        Opt::with_value("connect", "ADDRESS", "the server", "127.0.0.1:12345").or_letter('c'),
        Opt::with_value("work", "echo|room", "room: the server has to run with --mode room", "echo"),
        Opt::with_value("clients", "N", "connections, each with a thread of its own", "16"),
        Opt::with_value("senders", "N", "room work: how many of the clients send; all receive", "1"),
        Opt::with_value("messages", "N", "messages sent in all", "100000"),
        Opt::with_value("size", "BYTES", "length of a message's text", "32"),
        Opt::with_value("depth", "N", "messages under way on one connection", "1"),
        Opt::with_value("timeout", "SECONDS", "how long the server may be silent", "10"),
        Opt::with_value("token-file", "PATH", "authenticate first, with this file's first line", "none"),
        Opt::flag("json", "print one JSON object instead of text", ""),
    ],
    notes: "ADDRESS is HOST:PORT, [IPV6]:PORT or unix:PATH. Latency runs from the write of a message, or of the\n\
            batch that it goes with, to its arrival; in a room each client's arrival counts. So a greater depth\n\
            brings throughput and costs latency. A client writes again when half of its depth is free; all it\n\
            has under way fits into 64 KiB. MB/s are texts received, 10^6 bytes. Clients and server share the\n\
            machine: give both their own cores, or compare like with like.",
    exit_codes: &[
        ("0", "all replies came and were right"),
        ("1", "a reply was wrong or missing, or there was no connection"),
        ("2", "wrong usage"),
    ],
    examples: &[
        (
            "localsocket-bench --clients 4 --depth 64 --messages 1000000",
            "the throughput of a server in echo mode on the default address",
        ),
        (
            "localsocket-bench --work room --clients 11 --senders 1 -c unix:/run/hub.sock",
            "a room in which one client talks and 11 listen",
        ),
    ],
    see_also: &["localsocket-server(1)", "localsocket-client(1)"],
    ..Program::EMPTY
};
