//! What each command does: one function for each, and the commands of an embedding program.
//!
//! A handler says its replies into the session and returns; `Err` is how the session ends. Handlers know
//! no sockets and no locks; who hears what is the session's matter.

use std::sync::Arc;

use log::{Level, log_enabled, trace};

use super::config::{Config, CustomCommand};
use super::ending::EndReason;
use super::session::{Outcome, Session};
use crate::protocol::{self, BUILT_IN, BuiltIn, Command, Event, Refusal};

pub(super) fn help_text(config: &Config) -> String {
    let exists = |command: &BuiltIn| command.name != "auth" || config.token.is_some();
    let built_in = BUILT_IN.iter().filter(|command| exists(command)).map(|command| command.usage);
    let all: Vec<&str> = built_in.chain(config.commands.iter().map(CustomCommand::usage)).collect();
    format!("help: {}", all.join(", "))
}

/// Does what a line asks for.
pub(super) fn run(session: &mut Session<'_>, line: &str) -> Outcome {
    // Who owes the token may have mistyped the command for it.
    if log_enabled!(Level::Trace) && session.authenticated && !line.starts_with("auth:") {
        trace!("client {}: {}", session.client.id, line.escape_debug());
    }
    let command = Command::parse(line);
    if !session.authenticated && !matches!(command, Command::Ping | Command::Help | Command::Quit | Command::Auth(_)) {
        return session.refuse(Refusal::AuthenticateFirst);
    }
    match command {
        Command::Msg(text) => msg(session, text),
        Command::Iam(name) => iam(session, name),
        Command::To { name, text } => to(session, name, text),
        Command::Ask { .. } => room_only(session, "ask"),
        Command::Answer { .. } => room_only(session, "answer"),
        Command::Part { .. } => room_only(session, "part"),
        Command::Refuse { .. } => room_only(session, "refuse"),
        Command::Deaf => room_only(session, "deaf"),
        Command::Who => who(session),
        Command::Ping => session.reply(Event::Other("pong")),
        Command::Stats => stats(session),
        Command::Help => session.reply(Event::Other(&session.hub.help)),
        Command::Auth(token) => auth(session, token, line),
        Command::Quit => Err(EndReason::Quit),
        Command::Unknown(line) => custom(session, line),
    }
}

#[inline]
fn msg(session: &mut Session<'_>, text: &str) -> Outcome {
    if session.hub.room.is_none() {
        return session.reply(Event::Other(text));
    }
    session.say(text)
}

fn iam(session: &mut Session<'_>, name: &str) -> Outcome {
    match protocol::check_name(name) {
        Ok(name) => session.log_in(Arc::from(name)),
        Err(refusal) => session.refuse(refusal),
    }
}

fn to(session: &mut Session<'_>, name: &str, text: &str) -> Outcome {
    let name = name.trim();
    if session.hub.room.is_none() {
        return session.refuse(Refusal::RoomOnly("to"));
    }
    let Some(sender) = session.name.clone() else { return session.refuse(Refusal::NoName) };
    match session.hub.list.find(name) {
        Some(receiver) => session.say_to(&receiver, Event::Direct { sender: &sender, name, text }),
        None => session.refuse(Refusal::Nobody(name)),
    }
}

/// Stands for what rooms do not do yet.
fn room_only(session: &mut Session<'_>, command: &str) -> Outcome {
    let in_room = session.hub.room.is_some();
    session.refuse(if in_room { Refusal::UnknownCommand } else { Refusal::RoomOnly(command) })
}

fn who(session: &mut Session<'_>) -> Outcome {
    let hub = session.hub;
    let out = session.gather_for(false)?;
    out.extend_from_slice(b"who: ");
    hub.list.write_names(out);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn stats(session: &mut Session<'_>) -> Outcome {
    session.count();
    session.flush()?;
    session.reply(Event::Other(&session.hub.stats()))
}

fn auth(session: &mut Session<'_>, token: &str, line: &str) -> Outcome {
    match session.hub.is_token(token) {
        None => custom(session, line),
        Some(true) => session.authenticate(),
        Some(false) => Err(EndReason::WrongToken),
    }
}

fn custom(session: &mut Session<'_>, line: &str) -> Outcome {
    let hub = session.hub;
    let reply = hub.config.commands.iter().find_map(|command| command.run(line, session.name.as_deref()));
    match reply {
        // A line end within the reply would make it several.
        Some(reply) => session.reply(Event::Other(&reply.replace(['\r', '\n'], " "))),
        None => session.refuse(Refusal::UnknownCommand),
    }
}
