#![doc = include_str!("protocol.md")]
// Parses and formats what goes over the wire. Pure: no I/O, no sockets, no state, and no allocation except
// where a caller asks for a `String`. The server parses `Command` and writes `Event` and `Refusal`; a client
// does the reverse.
//
//   built_in   the table of commands: help, reserved names, manual pages and completions come from it
//   command    what a client sends
//   event      what a server sends
//   refusal    what a server sends after `error: `
//   mark       a place in the order of a room
//   name       which names and question ids are valid
//   guard      how HTTP and TLS clients are recognised

mod built_in;
mod command;
mod event;
mod guard;
mod mark;
mod name;
mod question_end;
mod refusal;

#[cfg(test)]
mod generated;

/// The version of the protocol that this crate speaks, `protocol=` in the reply to `stats`. What it promises is in the
/// chapter "Versions".
pub const VERSION: u32 = 2;

pub use built_in::{BUILT_IN, BuiltIn};
pub use command::Command;
pub use event::Event;
pub(crate) use guard::{is_http_request, is_tls_hello};
pub use mark::Mark;
pub use name::{
    NAME_MAX, OPEN_QUESTIONS_MAX, OWED_ANSWERS_MAX, QUESTION_ID_MAX, SERVED_NAMES_MAX, check_name, check_question_id,
    is_invisible,
};
pub use question_end::QuestionEnd;
pub use refusal::Refusal;
