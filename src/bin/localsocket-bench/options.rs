//! The option table of `localsocket-bench`: its command line, help text, manual page and completions. Holds data only, so
//! that a test can include it.

use localsocket::programs::cli::{Opt, Program};

pub(crate) const PROGRAM: Program = Program {
    name: "localsocket-bench",
    summary: "measure a localsocket-server",
    about: "Measures how fast a running localsocket-server is, and checks that every reply comes and is right.",
    options: &[
        Opt::with_value("connect", "ADDRESS", "the address of the server", "127.0.0.1:12345").or_letter('c'),
        Opt::with_value(
            "work",
            "echo|room|ask",
            "what to measure; room and ask need a server with --mode room",
            "echo",
        ),
        Opt::with_value("clients", "N", "number of connections, each with its own thread", "16"),
        Opt::with_value(
            "senders",
            "N",
            "how many of the clients send (room work) or ask (ask work)",
            "room: 1, ask: half",
        ),
        Opt::with_value("messages", "N", "messages or questions in total", "100000"),
        Opt::with_value("size", "BYTES", "length of the text of a message or question", "32"),
        Opt::with_value("depth", "N", "messages or questions under way on one connection", "1"),
        Opt::with_value("timeout", "SECONDS", "fail if the server does not respond for SECONDS", "10"),
        Opt::with_value("token-file", "PATH", "authenticate with the first line of this file", "none"),
        Opt::flag("json", "print one JSON object instead of text", ""),
    ],
    notes: "ADDRESS is HOST:PORT, [IPV6]:PORT, unix:PATH or unix:@NAME. In echo work every client sends messages\n\
            and gets them back. In room work all clients receive what the senders send. In ask work the senders\n\
            ask the other clients, which answer with the text of the question.\n\
            \n\
            Latency is the time from writing a message, or the batch that contains it, to its arrival: back at\n\
            its sender, at each client of a room, or as an answer. A client writes again when half of its depth\n\
            is free, so a greater depth increases both throughput and latency. At most 64 KiB and 256 questions\n\
            are under way on a connection. MB/s are received texts, 10^6 bytes. Clients and server share the\n\
            machine: give each side its own cores, or compare only runs of the same kind.",
    exit_codes: &[
        ("0", "all replies came and were correct"),
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
            "a room in which one client sends and 11 receive",
        ),
        (
            "localsocket-bench --work ask --clients 16 --depth 128 --messages 1000000",
            "a million questions from 8 clients to 8 others",
        ),
    ],
    see_also: &["localsocket-server(1)", "localsocket-client(1)"],
    ..Program::EMPTY
};
