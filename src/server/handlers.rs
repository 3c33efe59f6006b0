//! What each command does: one function for each, and the commands of an embedding program.
//!
//! A handler lets the [`Speaker`] say something and returns; `Err` is the reason that ends the session. Handlers know
//! no sockets and no locks.

use log::{Level, log_enabled, trace};

use super::ending::EndReason;
use super::room::{Kind, Room};
use super::speaker::{Outcome, Speaker};
use crate::protocol::{self, Command, Event, OPEN_QUESTIONS_MAX, QuestionEnd, Refusal};

/// Does what a line asks for.
pub(super) fn run(speaker: &mut Speaker<'_>, line: &str) -> Outcome {
    // Not before a client has authenticated: the line may be a mistyped `auth:` with the token.
    if log_enabled!(Level::Trace) && speaker.authenticated && !line.starts_with("auth:") {
        trace!("client {}: {}", speaker.member.id, line.escape_debug());
    }
    let command = Command::parse(line);
    if !speaker.authenticated && !matches!(command, Command::Ping | Command::Help | Command::Quit | Command::Auth(_)) {
        speaker.refuse(Refusal::AuthenticateFirst);
        return Ok(());
    }
    // A client that was cut off is told that alone, also when it has more commands under way.
    if speaker.hub.room.as_ref().is_some_and(Room::is_joining)
        && speaker.member.end_reason().is_none()
        && !matches!(command, Command::Ping | Command::Stats | Command::Help | Command::Quit | Command::Auth(_))
    {
        speaker.refuse(Refusal::NotJoined);
        return Ok(());
    }
    match command {
        Command::Msg(text) => msg(speaker, text),
        Command::Iam(name) => return iam(speaker, name),
        Command::To { name, text } => to(speaker, name, text),
        Command::Ask { name, id, text } => ask(speaker, name, id, text),
        Command::Answer { asker, id, text } => {
            answer(speaker, "answer", [asker, id, text], |name, id, text| Event::Answer { name, id, text });
        }
        Command::Refuse { asker, id, text } => {
            answer(speaker, "refuse", [asker, id, text], |name, id, text| Event::Refused { name, id, text });
        }
        Command::Part { asker, id, text } => {
            answer(speaker, "part", [asker, id, text], |name, id, text| Event::Part { name, id, text });
        }
        Command::Serve(_) if speaker.hub.room.is_none() => speaker.refuse(Refusal::RoomOnly("serve")),
        Command::Mark if speaker.hub.room.is_none() => speaker.refuse(Refusal::RoomOnly("mark")),
        Command::Since(_) if speaker.hub.room.is_none() => speaker.refuse(Refusal::RoomOnly("since")),
        Command::Deaf => return deaf(speaker),
        Command::Who => return who(speaker),
        Command::Ping => speaker.reply(Event::Other("pong")),
        Command::Stats => return stats(speaker),
        Command::Help => speaker.reply(Event::Other(&speaker.hub.help)),
        Command::Auth(token) => return auth(speaker, token, line),
        Command::Quit => return Err(EndReason::Quit),
        _ => custom(speaker, line),
    }
    Ok(())
}

#[inline]
fn msg(speaker: &mut Speaker<'_>, text: &str) {
    if speaker.hub.room.is_none() {
        return speaker.reply(Event::Other(text));
    }
    match speaker.name.clone() {
        Some(name) => speaker.say(Event::Message { name: &name, text }),
        None => speaker.refuse(Refusal::NoName),
    }
}

fn iam(speaker: &mut Speaker<'_>, name: &str) -> Outcome {
    match protocol::check_name(name) {
        Ok(name) => speaker.log_in(name),
        Err(refusal) => {
            speaker.refuse(refusal);
            Ok(())
        }
    }
}

fn to(speaker: &mut Speaker<'_>, name: &str, text: &str) {
    if speaker.hub.room.is_none() {
        return speaker.refuse(Refusal::RoomOnly("to"));
    }
    match (speaker.name.clone(), protocol::check_name(name)) {
        (None, _) => speaker.refuse(Refusal::NoName),
        (Some(sender), Ok(name)) => {
            speaker.say_to(Kind::Direct, &[name], Event::Direct { sender: &sender, name, text });
        }
        (_, Err(_)) => speaker.refuse(Refusal::Nobody(name.trim())),
    }
}

fn ask(speaker: &mut Speaker<'_>, name: &str, id: &str, text: &str) {
    if speaker.hub.room.is_none() {
        return speaker.refuse(Refusal::RoomOnly("ask"));
    }
    let Some(asker) = speaker.name.clone() else { return speaker.refuse(Refusal::NoName) };
    if protocol::check_question_id(id).is_err() {
        return speaker.refuse(Refusal::InvalidQuestionId);
    }
    let (name, may_exist) = (name.trim(), protocol::check_name(name).is_ok());
    match speaker.member.open_question(id, OPEN_QUESTIONS_MAX) {
        None => speaker.refuse(Refusal::QuestionOpen(id)),
        Some(OPEN_QUESTIONS_MAX..) => {
            let why = QuestionEnd::TooMany(OPEN_QUESTIONS_MAX);
            speaker.refuse(Refusal::QuestionEnded { id, why });
        }
        Some(_) if !may_exist => {
            speaker.member.close_question(id);
            speaker.refuse(Refusal::QuestionEnded { id, why: QuestionEnd::Nobody(name) });
        }
        Some(_) => speaker.say_to(Kind::Ask, &[id, " ", name], Event::Question { asker: &asker, id, text }),
    }
}

fn answer(
    speaker: &mut Speaker<'_>,
    command: &'static str,
    [asker, id, text]: [&str; 3],
    event: for<'a> fn(&'a str, &'a str, &'a str) -> Event<'a>,
) {
    if speaker.hub.room.is_none() {
        return speaker.refuse(Refusal::RoomOnly(command));
    }
    // A client without a name was never asked anything, and no open question has an invalid id or asker. What is nobody's
    // name goes no further: a head is never longer than names and ids are.
    let can_be_open = protocol::check_question_id(id).is_ok() && protocol::check_name(asker) == Ok(asker);
    match speaker.name.clone() {
        Some(name) if can_be_open => {
            let kind = if command == "part" { Kind::Part } else { Kind::Answer };
            speaker.say_to(kind, &[id, " ", asker], event(&name, id, text));
        }
        _ => speaker.refuse(Refusal::NoOpenQuestion { id, asker }),
    }
}

fn deaf(speaker: &mut Speaker<'_>) -> Outcome {
    if speaker.hub.room.is_none() {
        speaker.refuse(Refusal::RoomOnly("deaf"));
        return Ok(());
    }
    speaker.become_deaf()
}

fn who(speaker: &mut Speaker<'_>) -> Outcome {
    // The reply can be long: it is gathered by itself.
    speaker.flush()?;
    let hub = speaker.hub;
    let out = speaker.own_line();
    out.extend_from_slice(b"who: ");
    hub.write_names(out);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn stats(speaker: &mut Speaker<'_>) -> Outcome {
    speaker.count();
    speaker.flush()?;
    speaker.reply(Event::Other(&format!("stats: {}", speaker.hub.stats())));
    Ok(())
}

fn auth(speaker: &mut Speaker<'_>, token: &str, line: &str) -> Outcome {
    match speaker.hub.is_token(token) {
        None => custom(speaker, line),
        Some(true) => return speaker.authenticate(),
        Some(false) => return Err(EndReason::WrongToken),
    }
    Ok(())
}

fn custom(speaker: &mut Speaker<'_>, line: &str) {
    let hub = speaker.hub;
    let reply = hub.config.commands.iter().find_map(|command| command.run(line, speaker.name.as_deref()));
    match reply {
        // A line end within the reply would make it several lines.
        Some(reply) => speaker.reply(Event::Other(&reply.replace(['\r', '\n'], " "))),
        None => speaker.refuse(Refusal::UnknownCommand),
    }
}
