//! The option table of `localsocket-client`: its command line, help text, manual page and completions. Holds data
//! only, so that a test can include it.

use localsocket::programs::cli::{Opt, Program, Section};

pub(crate) const PROGRAM: Program = Program {
    name: "localsocket-client",
    summary: "talk to a localsocket-server",
    operands: "[LINE]...",
    about: "Sends lines to a localsocket-server and prints what comes back. Lines come from the arguments, or\n\
            from stdin if there are none. A line that is a command of the protocol (iam:NAME, msg:TEXT,\n\
            to:NAME:TEXT, who, ping, stats, help, quit and so on) is sent as it is, any other text as msg:TEXT.",
    options: &[
        Opt::with_value("connect", "ADDRESS", "the address of the server", "127.0.0.1:12345").or_letter('c'),
        Opt::with_value("name", "NAME", "log in under this name first", "none").or_letter('n'),
        Opt::with_value("token-file", "PATH", "authenticate first with the first line of this file", "none"),
        Opt::flag("text", "send every line as text, even if it looks like a command", "off").or_letter('t'),
        Opt::with_value("to", "NAME", "send every line as text to NAME only", "everyone"),
        Opt::flag("verbatim", "send the input unchanged, byte for byte", "off"),
        Opt::flag("recv-only", "read no input; print lines until the connection ends", "off"),
        Opt::flag("deaf", "room mode: receive only lines addressed to this client", "off"),
        Opt::with_value("ask", "NAME", "send every line to NAME as a question and print the answers", "off"),
        Opt::with_value("answer", "COMMAND", "answer questions: run COMMAND with sh for each one", "off"),
        Opt::with_value("jobs", "N", "with --answer: how many commands may run at a time", "1"),
        Opt::with_value("count", "N", "exit after N printed lines, with --answer after N questions", "never"),
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
    exit_codes: &[
        ("0", "done; with --recv-only or --answer also: the server ended the connection"),
        ("1", "the connection could not be made, was lost, or ended before all input was sent"),
        ("2", "the command line is wrong"),
        ("3", "an error line came or a question failed, and the input was not a terminal; or --name was refused"),
        ("4", "--timeout ran out before the answer, or before the lines of --count, came"),
    ],
    environment: &[
        ("LOCALSOCKET_CONNECT", "the address, if there is no --connect"),
        ("LOCALSOCKET_TOKEN_FILE", "the token file, if there is no --token-file"),
        ("LOCALSOCKET_ASKER", "set for COMMAND of --answer: the name of the client that asks"),
        ("NO_COLOR", "if set and not empty, errors are not shown in red on a terminal"),
    ],
    sections: &[
        Section {
            title: "INPUT",
            text: "At the end of the input the client closes its sending half, prints everything that still comes, and\n\
                   exits. When the server ends the connection, the client exits at once, even while it waits for input.\n\
                   Empty lines are not sent. With --text and --to no line is a command, so a program can pass on text\n\
                   from anywhere. A LINE, --name, --to or --ask with a line end in it is an error.",
            terms: &[],
        },
        Section {
            title: "OUTPUT",
            text: "If stdout is a terminal, control characters and invisible characters are shown escaped, and errors\n\
                   in red. If the connection ends in the middle of a line, the piece is printed without a line end and\n\
                   stderr says so. A reader of stdout that has gone, such as head, ends the client without an error.",
            terms: &[],
        },
        Section {
            title: "QUESTIONS",
            text: "--ask sends each line of the input to one client as a question and prints the answers, in the order\n\
                   of the questions. Up to 64 questions are open at a time; --timeout includes the time that a question\n\
                   waits behind others. A question that is refused, fails or is not answered in time is reported on\n\
                   stderr and in the exit code. --wait waits for the server, not for the client that answers. Without\n\
                   --name the client uses a name that no other client has.\n\n\
                   --answer runs 'sh -c COMMAND' for each question to --name. The text of the question and a line end\n\
                   are on its stdin, the name of the asker is in LOCALSOCKET_ASKER; neither is ever part of a command\n\
                   line. The output of COMMAND is the answer. If its exit status is not 0, the question is refused, and\n\
                   the last line of its stderr is the reason. At SIGTERM, SIGINT and the end of the connection no more\n\
                   commands are started, and running ones get 5 seconds to finish.",
            terms: &[],
        },
        Section {
            title: "CONNECTION",
            text: "With --reconnect the client connects and logs in again when the connection is lost, after pauses\n\
                   that grow from 0.1 to 10 seconds, and continues with its input. Lines that were sent and not answered\n\
                   are counted on stderr and not sent again. The first connection has to succeed, unless --wait\n\
                   gives it time. If the ping of --heartbeat is not answered within another SECONDS, the connection\n\
                   counts as lost. --ping waits up to --connect-timeout for its answer; a server that answers that it\n\
                   is full counts as alive. Without --reconnect, --recv-only and --answer exit with 0 when the server\n\
                   ends the connection, also after 'error: server is shutting down'; the exit code is 3 if the server\n\
                   disconnected this client for a reason of its own (idle, too slow, full, wrong token).",
            terms: &[],
        },
    ],
    examples: &[
        ("localsocket-client --recv-only --timestamps >room.log", "writes everything that the room receives to a file"),
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
    see_also: &["localsocket-server(1)", "localsocket-bench(1)"],
};
