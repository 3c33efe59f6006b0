//! This server's clients, as a shared room sees them.
//!
//! What comes out of the log goes through the room's queue like everything else, so readers are judged by one rule.

use std::sync::Weak;

use super::ending::EndReason;
use super::hub::Hub;
use super::joined::{Delivery, JoinError, Local};
use super::room::{Batch, Kind};

/// Access to the clients of a server. Does not keep the server alive.
pub(super) struct Home(pub(super) Weak<Hub>);

impl Local for Home {
    fn deliver(&self, deliveries: &[Delivery<'_>]) {
        let Some(hub) = self.0.upgrade() else { return };
        let Some(room) = &hub.room else { return };
        let mut batch = Batch::default();
        for delivery in deliveries {
            match delivery {
                Delivery::Everyone { lines, text } => batch.lines_for_everyone(text, *lines),
                Delivery::One { client, text } => {
                    if let Some(member) = hub.list.get(*client) {
                        batch.lines(Kind::Own, &member, text, 1);
                    }
                }
                Delivery::Question { client, text } => {
                    if let Some(member) = hub.list.get(*client) {
                        hub.counters.asked.add(1);
                        batch.lines(Kind::Own, &member, text, 1);
                    }
                }
                Delivery::Own(words) => {
                    if let Some(member) = hub.list.get(words.client) {
                        let kind = if words.deaf { Kind::Deaf } else { Kind::Own };
                        batch.lines(kind, &member, &words.text, words.lines);
                    }
                }
                Delivery::Named { client, name } => {
                    if let Some(member) = hub.list.get(*client) {
                        batch.headed(Kind::Named, &member, name);
                    }
                }
            }
        }
        if !batch.is_empty() {
            room.submit_elsewhere(&mut batch);
        }
    }

    fn cut_off_all(&self) {
        let Some(hub) = self.0.upgrade() else { return };
        hub.list.end_all(EndReason::CutOff);
        if let Some(room) = &hub.room {
            room.wake();
        }
    }

    fn refused(&self, error: JoinError) {
        let Some(hub) = self.0.upgrade() else { return };
        hub.refuse_to_run(error);
    }
}
