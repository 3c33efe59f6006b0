//! What each command does, and the commands of an embedding program.
//!
//! A handler lets the [`Speaker`] say something and returns; `Err` is the reason that ends the session. Handlers know
//! no sockets and no locks.

use std::sync::Arc;

use log::{Level, log_enabled, trace};

use super::ending::EndReason;
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
    speaker.checks += u64::from(matches!(command, Command::Ping | Command::Quit));
    match command {
        Command::Msg(text) => msg(speaker, text),
        Command::Iam(name) => match protocol::check_name(name) {
            Ok(name) => return speaker.log_in(name),
            Err(refusal) => speaker.refuse(refusal),
        },
        Command::Who => return speaker.list(|people| people.names()),
        Command::Ping => speaker.reply(Event::Other("pong")),
        Command::Stats => return stats(speaker),
        Command::Help => speaker.reply(Event::Other(&speaker.hub.help)),
        Command::Auth(token) => return auth(speaker, token),
        Command::Quit => return Err(EndReason::Quit),
        Command::Unknown(_) => custom(speaker, line),
        _ if speaker.hub.room.is_some() => return in_room(speaker, command),
        Command::WhoServes(_) => speaker.refuse(Refusal::UnknownCommand),
        _ => speaker.refuse(Refusal::RoomOnly(line.split(':').next().unwrap_or(line))),
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

/// The commands that only a room has.
#[inline(never)] // see `session`
fn in_room(speaker: &mut Speaker<'_>, command: Command<'_>) -> Outcome {
    let name = speaker.name.clone();
    // A client without a name owes no answer.
    let own = name.as_deref().unwrap_or_default();
    match (command, &name) {
        (Command::To { .. } | Command::Ask { .. } | Command::Serve(_), None) => speaker.refuse(Refusal::NoName),
        (Command::To { name: receiver, text }, Some(sender)) => match protocol::check_name(receiver) {
            Ok(name) => {
                let line = speaker.enter(Kind::Direct, &[name]);
                Event::Direct { sender, name, text }.write_to(line);
            }
            // Nobody can have such a name.
            Err(_) => speaker.refuse(Refusal::Nobody(receiver.trim())),
        },
        (Command::Ask { name, id, text }, Some(asker)) => ask(speaker, asker, name, id, text),
        (Command::Answer { asker, id, text }, _) => {
            return answer(speaker, Kind::Answer, asker, id, Event::Answer { name: own, id, text });
        }
        (Command::Refuse { asker, id, text }, _) => {
            return answer(speaker, Kind::Answer, asker, id, Event::Refused { name: own, id, text });
        }
        (Command::Part { asker, id, text }, _) => {
            return answer(speaker, Kind::Part, asker, id, Event::Part { name: own, id, text });
        }
        (Command::Serve(served), _) => {
            match protocol::check_name(served) {
                Ok(served) => drop(speaker.enter(Kind::Serve, &[served])),
                Err(refusal) => speaker.refuse(refusal),
            }
            // A `who` behind it tells of it.
            return speaker.settle();
        }
        (Command::WhoServes(name), _) => return speaker.list(|people| people.names_serving(name.trim())),
        (Command::Deaf, _) => speaker.become_deaf(),
        (Command::Mark | Command::Since(_), _) if speaker.hub.config.limits.room_history() == 0 => {
            speaker.refuse(Refusal::NoHistory)
        }
        (Command::Mark, _) => drop(speaker.enter(Kind::Mark, &[])),
        (Command::Since(_), _) if speaker.is_deaf => speaker.refuse(Refusal::DeafClient),
        (Command::Since(mark), _) => return speaker.repeat_since(mark),
        // Every other command is not of a room alone.
        _ => speaker.refuse(Refusal::UnknownCommand),
    }
    Ok(())
}

fn ask(speaker: &mut Speaker<'_>, asker: &str, name: &str, id: &str, text: &str) {
    if protocol::check_question_id(id).is_err() {
        return speaker.refuse(Refusal::InvalidQuestionId);
    }
    let member = Arc::clone(&speaker.member);
    match (member.open_question(id), protocol::check_name(name)) {
        (Err(refusal), _) => speaker.refuse(refusal),
        (Ok(number), Ok(name)) => {
            let line = speaker.enter(Kind::Ask, &[&number.to_string(), ":", id, " ", asker, ":", name]);
            Event::Question { asker, id, text }.write_to(line);
        }
        (Ok(number), Err(_)) => {
            member.close_question(id, number);
            speaker.refuse(Refusal::QuestionEnded { id, why: QuestionEnd::Nobody(name.trim()) });
        }
    }
}

fn answer(speaker: &mut Speaker<'_>, kind: Kind, asker: &str, id: &str, event: Event<'_>) -> Outcome {
    // A client without a name was never asked anything, and no question has such an id.
    let is_possible = speaker.name.is_some() && protocol::check_question_id(id).is_ok();
    match if is_possible { speaker.question(asker, id)? } else { None } {
        Some(key) => event.write_to(speaker.enter(kind, &[&key, ":", id, " ", asker])),
        None => speaker.refuse(Refusal::NoOpenQuestion { id, asker }),
    }
    Ok(())
}

#[inline(never)] // see `session`
fn stats(speaker: &mut Speaker<'_>) -> Outcome {
    speaker.count();
    speaker.flush()?;
    speaker.reply(Event::Other(&format!("stats: {}", speaker.hub.stats())));
    Ok(())
}

#[inline(never)] // see `session`
fn auth(speaker: &mut Speaker<'_>, token: &str) -> Outcome {
    match speaker.hub.is_token(token) {
        None => speaker.refuse(Refusal::UnknownCommand),
        Some(true) => {
            speaker.checks += 1;
            return speaker.authenticate();
        }
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
