//! One client's life, from its first byte to the reason it ended: lines, last words, close.
//!
//! A session answers all lines that have arrived before it waits for more. The [`Speaker`] handles what its client
//! says; `input` waits for bytes, `lines` and `classic` cut them into commands.

mod classic;
mod input;
mod lines;

use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use log::{Level, debug, error, log};

use super::client_list::Place;
use super::config::Dialect;
use super::counters::Traffic;
use super::ending::EndReason;
use super::hub::Hub;
use super::room::Room;
use super::speaker::Speaker;
use crate::counted::Counted;
use crate::limits::LINGER;
use crate::seconds::Seconds;
use crate::transport;

/// Serves one client until it ends.
pub(super) fn run(hub: &Hub, place: &Place) {
    let mut speaker = Speaker::new(hub, std::sync::Arc::clone(&place.member));
    debug!("client {} has connected from {}", place.member.id, place.member.peer);
    let refused = place.member.end_reason();
    // Counted before the first reply, so that a client that has read a reply finds itself counted.
    if refused.is_none() { &hub.around.counters.accepted } else { &hub.around.counters.refused }.add(1);
    let reason = match refused {
        Some(reason) => reason,
        None => {
            let reason = converse(&mut speaker);
            if reason == EndReason::ShuttingDown && hub.room.is_some() {
                // The lines that other clients still have to say come before the last words.
                speaker.finish();
                hub.around.list.hush(&place.member);
                hub.around.list.wait_for_silence(Instant::now() + hub.around.stop.time_to_talk());
            }
            // A client with a broken or too slow connection does not wait for the others.
            let waits = !matches!(reason, EndReason::NetworkError | EndReason::TooSlow | EndReason::CutOff);
            speaker.leave(waits);
            // One that goes by itself gets no last words, unless a cut-off has taken what it has said.
            let goes = matches!(reason, EndReason::Quit | EndReason::PeerClosed);
            let is_cut_off = goes && place.member.is_cut_off();
            let reason = if is_cut_off { EndReason::CutOff } else { reason };
            hub.around.list.hush(&place.member);
            log_end(&speaker, reason);
            reason
        }
    };
    if !say_last_words(&speaker, place, reason) {
        // A socket that is closed with bytes unread resets the connection, and the peer could lose the last words.
        transport::read_until_closed(place.member.outbox.stream(), hub.around.stop.patience(LINGER));
    }
}

/// The conversation, up to the reason that ends it. A defect in a handler ends this client only.
fn converse(speaker: &mut Speaker<'_>) -> EndReason {
    let talk = AssertUnwindSafe(|| match speaker.hub.config.dialect {
        Dialect::Line => lines::serve(speaker),
        Dialect::Classic => classic::serve(speaker),
    });
    let end = catch_unwind(talk).unwrap_or_else(|_| {
        error!("client {}: its session panicked, see above", speaker.member.id);
        Err(EndReason::Panicked)
    });
    // The peer gets the replies to what came before the end, for whatever reason the session ends.
    speaker.count();
    let flushed = speaker.flush();
    let broken = speaker.member.outbox.is_broken();
    let closed = if broken { EndReason::NetworkError } else { EndReason::PeerClosed };
    end.and(flushed).err().unwrap_or(closed)
}

// One-time work stays out of the long-lived stack frame of a session.
#[inline(never)]
fn log_end(speaker: &Speaker<'_>, reason: EndReason) {
    let Speaker { member, heard, .. } = speaker;
    let Traffic { lines, bytes } = member.outbox.taken();
    // Nobody but a probe goes by itself without a byte, or having sent nothing but what a health check sends.
    let went = matches!(reason, EndReason::PeerClosed | EndReason::NetworkError | EndReason::Quit);
    let is_probe =
        went && speaker.name.is_none() && heard.lines == speaker.checks && (heard.bytes == 0 || heard.lines > 0);
    let level = if is_probe { Level::Debug } else { Level::Info };
    log!(
        level,
        "client {} ({}, {}) has left after {:.1} s: {}; {} ({}) in, {} ({}) out",
        member.id,
        speaker.name_for_log(),
        member.peer,
        Seconds(speaker.started.elapsed()),
        reason.told(&speaker.hub.config.limits).0,
        Counted(heard.lines, "line"),
        Counted(heard.bytes, "byte"),
        Counted(lines, "line"),
        Counted(bytes, "byte"),
    );
}

/// Sends what still waits and the last words, and closes the server's half of the connection. Returns whether the
/// whole of it can be closed at once.
#[inline(never)] // see above
fn say_last_words(speaker: &Speaker<'_>, place: &Place, reason: EndReason) -> bool {
    let Speaker { hub, member, .. } = speaker;
    let outbox = &member.outbox;
    if reason == EndReason::NetworkError {
        return true;
    }
    if matches!(reason, EndReason::TooSlow | EndReason::NotAuthenticated | EndReason::ServerFull) {
        outbox.discard();
    }
    if outbox.is_small() {
        place.free();
    }
    let words = reason.told(&hub.config.limits).1.filter(|_| hub.config.dialect == Dialect::Line);
    if let Some(words) = words {
        let mut line = Vec::new();
        words.write_to(&mut line);
        outbox.push(&line, 1);
    }
    let orderly = matches!(reason, EndReason::Quit | EndReason::PeerClosed);
    let patience = if orderly { hub.config.limits.write_timeout } else { LINGER };
    let drained = outbox.drain(|| hub.around.stop.patience(patience));
    if !drained {
        // No thread is to try any more.
        member.end(reason);
        outbox.abandon();
        hub.room.iter().for_each(Room::wake);
    }
    place.free();
    let mut taken = false;
    if matches!(reason, EndReason::TooSlow | EndReason::ShuttingDown | EndReason::CutOff) {
        let patience = if drained { hub.around.stop.patience(LINGER) } else { Duration::ZERO };
        taken = transport::wait_until_taken(outbox.stream(), patience);
    }
    outbox.stream().shutdown(Shutdown::Write);
    // The end of the peer's input was seen, or cannot be seen because reading was shut down.
    taken || reason == EndReason::PeerClosed || member.is_woken()
}
