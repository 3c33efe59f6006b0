//! The option table of `localsocket-bench`: its command line, help text, and the options of its manual page. Holds data only, so
//! that a test can include it.

use localsocket::programs::cli::{Opt, Program};

pub(crate) const PROGRAM: Program = Program {
    name: "localsocket-bench",
    operands: "",
    about: "Measures how fast a running localsocket-server is, and checks that every reply comes and is right.",
    options: &[
        Opt::with_value("connect", "ADDRESS", "the address of the server", "127.0.0.1:12345").or_letter('c'),
        Opt::with_value("work", "echo|room", "what to measure; room needs --mode room", "echo"),
        Opt::with_value("clients", "N", "number of connections, each with its own thread", "16"),
        Opt::with_value("senders", "N", "room work: how many of the clients send", "1"),
        Opt::with_value("messages", "N", "messages in total", "100000"),
        Opt::with_value("size", "BYTES", "length of the text of a message", "32"),
        Opt::with_value("depth", "N", "messages under way on one connection", "1"),
        Opt::with_value("timeout", "SECONDS", "fail if the server does not respond for SECONDS", "10"),
        Opt::with_value("token-file", "PATH", "authenticate with the first line of this file", "none"),
    ],
    notes: "ADDRESS is HOST:PORT, [IPV6]:PORT, unix:PATH or unix:@NAME. In echo work every client sends messages\n\
            and gets them back. In room work all clients receive what the senders send.\n\
            \n\
            The result is one line of key=value pairs. Latency (p50 to max, in microseconds) is the time from\n\
            writing a message, or the batch that contains it, to its arrival: back at its sender, or at each client\n\
            of a room. A client writes again when half of its depth is free, so a greater depth increases both\n\
            throughput and latency. At most 64 KiB are under way on a connection.\n\
            Clients and server share the machine: compare only runs of the same kind.",
    sections: &[
        (
            "Exit status",
            &[
                ("0", "all replies came and were correct"),
                ("1", "a reply was wrong or missing, or there was no connection"),
                ("2", "wrong usage"),
            ],
        ),
        (
            "Examples",
            &[
                (
                    "localsocket-bench --clients 4 --depth 64 --messages 1000000",
                    "the throughput of a server in echo mode on the default address",
                ),
                (
                    "localsocket-bench --work room --clients 11 --senders 1 -c unix:/run/hub.sock",
                    "a room in which one client sends and 11 receive",
                ),
            ],
        ),
    ],
};
