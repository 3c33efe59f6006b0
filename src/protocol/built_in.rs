//! The table of built-in commands. Whatever lists commands takes them from here.

/// A built-in command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuiltIn {
    /// The word before the first colon.
    pub name: &'static str,
    /// The whole line, with `<...>` for each argument: `to:<name>:<text>`.
    pub usage: &'static str,
    /// Whether echo mode refuses the command.
    pub room_only: bool,
}

impl BuiltIn {
    const fn everywhere(name: &'static str, usage: &'static str) -> BuiltIn {
        BuiltIn { name, usage, room_only: false }
    }

    const fn room(name: &'static str, usage: &'static str) -> BuiltIn {
        BuiltIn { name, usage, room_only: true }
    }
}

/// All built-in commands, in the order in which `help` lists them. `auth` exists only on a server with a token.
pub const BUILT_IN: [BuiltIn; 18] = [
    BuiltIn::everywhere("iam", "iam:<name>"),
    BuiltIn::everywhere("msg", "msg:<text>"),
    BuiltIn::room("to", "to:<name>:<text>"),
    BuiltIn::room("ask", "ask:<name>:<id>:<text>"),
    BuiltIn::room("answer", "answer:<asker>:<id>:<text>"),
    BuiltIn::room("part", "part:<asker>:<id>:<text>"),
    BuiltIn::room("refuse", "refuse:<asker>:<id>:<text>"),
    BuiltIn::room("serve", "serve:<name>"),
    BuiltIn::room("deaf", "deaf"),
    BuiltIn::room("mark", "mark"),
    BuiltIn::room("since", "since:<mark>"),
    BuiltIn::everywhere("who", "who"),
    BuiltIn::room("who", "who:<name>"),
    BuiltIn::everywhere("ping", "ping"),
    BuiltIn::everywhere("stats", "stats"),
    BuiltIn::everywhere("help", "help"),
    BuiltIn::everywhere("auth", "auth:<token>"),
    BuiltIn::everywhere("quit", "quit"),
];
