//! What each command does: one function for each, and the commands of an embedding program.
//!
//! A handler lets the [`Speaker`] say something and returns; `Err` is the reason that ends the session. Handlers know
//! no sockets and no locks.

use std::sync::Arc;

use log::{Level, log_enabled, trace};

use super::ending::EndReason;
use super::questions::Key;
use super::room::{Kind, Room};
use super::speaker::{Outcome, Speaker};
use crate::protocol::{self, Command, Event, QuestionEnd, Refusal};

/// Does what a line asks for.
pub(super) fn run(speaker: &mut Speaker<'_>, line: &str) -> Outcome {
    // Not before a client has authenticated: the line may be a mistyped `auth:` with the token.
    if log_enabled!(Level::Trace) && speaker.member.is_authenticated() && !line.starts_with("auth:") {
        trace!("client {}: {}", speaker.member.id, line.escape_debug());
    }
    let command = Command::parse(line);
    if !speaker.member.is_authenticated()
        && !matches!(command, Command::Ping | Command::Help | Command::Quit | Command::Auth(_))
    {
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
            return answer(speaker, "answer", [asker, id, text], |name, id, text| Event::Answer { name, id, text });
        }
        Command::Refuse { asker, id, text } => {
            return answer(speaker, "refuse", [asker, id, text], |name, id, text| Event::Refused { name, id, text });
        }
        Command::Part { asker, id, text } => {
            return answer(speaker, "part", [asker, id, text], |name, id, text| Event::Part { name, id, text });
        }
        Command::Serve(name) => return serve(speaker, name),
        Command::Deaf => deaf(speaker),
        Command::Mark => mark(speaker),
        Command::Since(mark) => return since(speaker, mark),
        Command::Who => return speaker.list(|people| people.names()),
        Command::WhoServes(name) if speaker.hub.room.is_some() => {
            return speaker.list(|people| people.names_serving(name.trim()));
        }
        Command::Ping => {
            speaker.checks += 1;
            speaker.reply(Event::Other("pong"));
        }
        Command::Stats => return stats(speaker),
        Command::Help => speaker.reply(Event::Other(&speaker.hub.help)),
        Command::Auth(token) => return auth(speaker, token, line),
        Command::Quit => {
            speaker.checks += 1;
            return Err(EndReason::Quit);
        }
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
    let Some(sender) = speaker.name.clone() else { return speaker.refuse(Refusal::NoName) };
    match protocol::check_name(name) {
        Ok(name) => {
            let line = speaker.enter(Kind::Direct, format_args!("{name}"));
            Event::Direct { sender: &sender, name, text }.write_to(line);
        }
        // Nobody can have such a name.
        Err(_) => speaker.refuse(Refusal::Nobody(name.trim())),
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
    let member = Arc::clone(&speaker.member);
    match (member.open_question(id), protocol::check_name(name)) {
        (Err(refusal), _) => speaker.refuse(refusal),
        (Ok(number), Ok(name)) => {
            let line = speaker.enter(Kind::Ask, format_args!("{number} {id} {asker}:{name}"));
            Event::Question { asker: &asker, id, text }.write_to(line);
        }
        (Ok(number), Err(_)) => {
            member.close_question(id, number);
            speaker.refuse(Refusal::QuestionEnded { id, why: QuestionEnd::Nobody(name.trim()) });
        }
    }
}

fn answer(
    speaker: &mut Speaker<'_>,
    command: &'static str,
    [asker, id, text]: [&str; 3],
    event: for<'a> fn(&'a str, &'a str, &'a str) -> Event<'a>,
) -> Outcome {
    if speaker.hub.room.is_none() {
        speaker.refuse(Refusal::RoomOnly(command));
        return Ok(());
    }
    // A client without a name was never asked anything, and no question has such a name or id.
    let is_valid = protocol::check_question_id(id).is_ok() && protocol::check_name(asker).is_ok();
    let name = speaker.name.clone().filter(|_| is_valid);
    let question = if name.is_some() { speaker.question(asker, id)? } else { None };
    match (name, question) {
        (Some(name), Some(Key { asker: who, number })) => {
            let kind = if command == "part" { Kind::Part } else { Kind::Answer };
            event(&name, id, text).write_to(speaker.enter(kind, format_args!("{who} {number} {id} {asker}")));
        }
        _ => speaker.refuse(Refusal::NoOpenQuestion { id, asker }),
    }
    Ok(())
}

fn serve(speaker: &mut Speaker<'_>, name: &str) -> Outcome {
    if speaker.hub.room.is_none() {
        speaker.refuse(Refusal::RoomOnly("serve"));
    } else if speaker.name.is_none() {
        speaker.refuse(Refusal::NoName);
    } else {
        match protocol::check_name(name) {
            Ok(name) => drop(speaker.enter(Kind::Serve, format_args!("{name}"))),
            Err(refusal) => speaker.refuse(refusal),
        }
        // A `who` behind it tells of it.
        speaker.settle()?;
    }
    Ok(())
}

fn deaf(speaker: &mut Speaker<'_>) {
    match speaker.hub.room {
        None => speaker.refuse(Refusal::RoomOnly("deaf")),
        Some(_) => speaker.become_deaf(),
    }
}

fn mark(speaker: &mut Speaker<'_>) {
    match speaker.hub.room {
        None => speaker.refuse(Refusal::RoomOnly("mark")),
        Some(_) if speaker.hub.keeps_history() => drop(speaker.enter(Kind::Mark, format_args!(""))),
        Some(_) => speaker.refuse(Refusal::NoHistory),
    }
}

fn since(speaker: &mut Speaker<'_>, mark: &str) -> Outcome {
    match speaker.hub.room {
        None => speaker.refuse(Refusal::RoomOnly("since")),
        Some(_) if !speaker.hub.keeps_history() => speaker.refuse(Refusal::NoHistory),
        Some(_) if speaker.is_deaf => speaker.refuse(Refusal::DeafClient),
        Some(_) => return speaker.repeat_since(mark),
    }
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
