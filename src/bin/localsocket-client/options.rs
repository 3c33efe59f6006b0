//! The option table of `localsocket-client`: its command line, help text, and the options of its manual page. Holds data
//! only, so that a test can include it.

use localsocket::programs::cli::{Opt, Program};

pub(crate) const PROGRAM: Program = Program {
    name: "localsocket-client",
    operands: "[LINE]...",
    about: "Sends lines to a localsocket-server and prints what comes back. Lines come from the arguments, or\n\
            from stdin if there are none. A line that is a command of the protocol (iam:NAME, msg:TEXT,\n\
            to:NAME:TEXT, who, ping, stats, help, quit and so on) is sent as it is, any other text as msg:TEXT.",
    options: &[
        Opt::with_value("connect", "ADDRESS", "the address of the server", "127.0.0.1:12345")
            .or_letter('c')
            .or_variable("LOCALSOCKET_CONNECT"),
        Opt::with_value("name", "NAME", "log in under this name first", "none").or_letter('n'),
        Opt::with_value("token-file", "PATH", "authenticate first with the first line of this file", "none")
            .or_variable("LOCALSOCKET_TOKEN_FILE"),
        Opt::flag("text", "send every line as text, even if it looks like a command", "off").or_letter('t'),
        Opt::with_value("to", "NAME", "send every line as text to NAME only", "everyone"),
        Opt::flag("verbatim", "send the input unchanged, byte for byte", "off"),
        Opt::flag("recv-only", "read no input; print lines until the connection ends", "off"),
        Opt::flag("deaf", "room mode: receive only lines addressed to this client", "off"),
        Opt::with_value("ask", "NAME", "send every line to NAME as a question and print the answers", "off"),
        Opt::flag("retry", "with --ask: repeat a question while nobody can answer it", "off"),
        Opt::with_value("answer", "COMMAND", "answer questions: run COMMAND with sh for each one", "off"),
        Opt::with_value("serve", "NAME", "with --answer: also answer to NAME, as others may; repeatable", "none"),
        Opt::with_value("jobs", "N", "with --answer: how many commands may run at a time", "1"),
        Opt::with_value("since", "MARK", "first print what was said after MARK; all: everything kept", "now"),
        Opt::flag("marks", "print the mark of each room line before it", "off"),
        Opt::with_value("count", "N", "exit after N lines of others; --answer: after N questions", "never"),
        Opt::with_value("timeout", "SECONDS", "exit after this time; --ask: limit for each answer", "never; --ask: 5"),
        Opt::flag("no-notices", "do not print when clients join, leave or change their names", "off"),
        Opt::flag("timestamps", "print the time of arrival before each line", "off"),
        Opt::with_value("wait", "SECONDS", "retry until the server is up and the name is free", "0"),
        Opt::with_value("connect-timeout", "SECONDS", "total time limit for connecting", "5"),
        Opt::flag("reconnect", "connect again when the connection is lost", "off"),
        Opt::with_value("heartbeat", "SECONDS", "send ping after this time without traffic; 0: never", "30"),
        Opt::flag("ping", "health check: connect, send ping, exit with 0 on pong", ""),
    ],
    notes: "ADDRESS is HOST:PORT, [IPV6]:PORT, unix:PATH or unix:@NAME. Lines from the server go to stdout,\n\
            everything else goes to stderr. Times are in seconds and may have decimals.",
    sections: &[
        (
            "Exit status",
            &[
                ("0", "done; with --recv-only or --answer also: the server ended the connection"),
                ("1", "the connection could not be made, was lost, or ended before all input was sent"),
                ("2", "the command line is wrong"),
                (
                    "3",
                    "an error line came or a question failed, and the input was not a terminal; or --name was refused",
                ),
                ("4", "the answer did not come within --timeout, or the lines of --count did not come"),
            ],
        ),
        (
            "Environment",
            &[
                ("LOCALSOCKET_CONNECT", "the address, if there is no --connect"),
                ("LOCALSOCKET_TOKEN_FILE", "the token file, if there is no --token-file"),
                ("LOCALSOCKET_ASKER", "set for COMMAND of --answer: the name of the client that asks"),
            ],
        ),
        (
            "Examples",
            &[
                (
                    "localsocket-client --recv-only --timestamps >>room.log",
                    "writes everything that the room receives to a file",
                ),
                (
                    "tail -n 0 -F app.log | localsocket-client --text -n app --reconnect",
                    "sends each new line of a log file to the room",
                ),
                (
                    "localsocket-client -n squarer --answer 'awk \"{ print \\$1 * \\$1 }\"'",
                    "answers each question with a square",
                ),
                ("localsocket-client --ask squarer 12", "prints 144"),
            ],
        ),
    ],
};
