//! The most memory that clients can make a server hold: one sum over its configuration. Pure.
//!
//! Each term is a bound that another module keeps, with what its buffers take beyond their content. Not in it: the
//! kernel's socket buffers, and what the commands of an embedding program hold.

use super::config::{Config, Mode};
use super::questions::FOREIGN_MAX;
use crate::limits::{CLOSING_MIN, ENTRY_MARGIN, OUTBOX_STEP, READ_BUFFER_MAX};
use crate::protocol::{NAME_MAX, OPEN_QUESTIONS_MAX, OWED_ANSWERS_MAX, SERVED_NAMES_MAX};

/// The program itself: its code, its libraries, threads of its own, and what waits for its log.
const PROCESS: u128 = 6 << 20;

/// What a session touches of its stack and holds in small things.
const SESSION: u128 = 32 * 1024;

/// The longest name in bytes: four for each character.
const NAME: u128 = 4 * NAME_MAX as u128;

/// What a line has around its text: two names, the id of a question, marks between them and the line end.
const AROUND: u128 = 2 * NAME + 64;

// What these take in the tables, with nodes of trees that are half full and what the allocator adds.
const OPEN_QUESTION: u128 = NAME + 416;
const WITHDRAWN_QUESTION: u128 = 72;
const PERSON: u128 = NAME + 344;
const SERVED_NAME: u128 = NAME + 168;

/// What a named client of another server takes while this one joins, beside its place in the tables: the engine's
/// answer and what is made of it. A list of all names takes less later.
const JOINING: u128 = 4 * NAME + 104;

/// In a joined room: how many named clients the other servers are reckoned to have, each serving one name.
pub(super) const OTHERS: usize = 65_536;

impl Config {
    /// The most memory in bytes that clients can make a server with this configuration hold at once. The kernel's
    /// socket buffers come on top. In a joined room it counts 65,536 named clients on the other servers.
    ///
    /// ```
    /// use localsocket::{Config, Limits};
    ///
    /// let config = Config { limits: Limits { max_clients: 50, ..Limits::default() }, ..Config::default() };
    /// assert!(config.worst_case_memory() < 64 << 20);
    /// ```
    pub fn worst_case_memory(&self) -> u64 {
        let is_room = self.mode == Mode::Room;
        let limits = &self.limits;
        // In 128 bits, since the largest limits overflow 64.
        let [clients, line, backlog, batch, queue, history] = [
            limits.max_clients,
            limits.max_line,
            limits.max_backlog,
            limits.batch(is_room),
            limits.room_queue(),
            limits.room_history(),
        ]
        .map(|limit| limit as u128);
        let line = line + AROUND;
        let who = clients * (NAME + 2) + AROUND;
        // A batch is passed on once it has reached its size, so one line comes on top, and doubles as it grows. A list of
        // names is a batch alone, made in one piece from pointers to the names.
        let batch = batch + line;
        let gathered = (2 * batch).max(who + 16 * clients);
        let batch = batch.max(who);
        // What comes out of the log of a joined room can be longer than a batch of this server.
        let entry = if self.join.is_some() { line + ENTRY_MARGIN as u128 } else { 0 };
        // The queue holds one batch more than its limit only if it is empty. All of it can be one entry for everyone.
        let chunk = queue.max(batch).max(entry);
        let waiting = if is_room {
            // One piece can come on top of half a backlog, then what was checked before that: a chunk for everyone.
            backlog.max(backlog / 2 + line.max(who).max(history)) + chunk
        } else {
            batch
        };
        // An outbox grows in steps, and up to a fifth of it was sent already.
        let outbox = OUTBOX_STEP as u128 + waiting + waiting / 4;
        // Buffers that double hold up to twice their content while they move.
        let client = SESSION + 2 * (READ_BUFFER_MAX as u128).max(line) + gathered + outbox;
        // A client holds its place until nearly everything but its last words has been sent.
        let closing = SESSION * clients.max(CLOSING_MIN as u128);
        let room = if is_room {
            // The queue and the chunk that is being delivered; what is kept of it is moved as it grows.
            let lines = 2 * 2 * chunk + 2 * history;
            // A client can owe answers to as many open questions only if clients of other servers put them.
            let open = if self.join.is_some() { OPEN_QUESTIONS_MAX + OWED_ANSWERS_MAX } else { OPEN_QUESTIONS_MAX };
            let questions = open as u128 * OPEN_QUESTION + OWED_ANSWERS_MAX as u128 * WITHDRAWN_QUESTION;
            clients * (questions + SERVED_NAMES_MAX as u128 * SERVED_NAME) + lines
        } else {
            0
        };
        let joined = if self.join.is_some() {
            // Pieces that wait for the engine, the one that is sent with its copies, and the entry that is read.
            let pieces = 2 * chunk + 3 * chunk + 4 * entry;
            let others = OTHERS as u128 * (PERSON + SERVED_NAME + JOINING);
            pieces + others + FOREIGN_MAX as u128 * OPEN_QUESTION
        } else {
            0
        };
        let total = PROCESS + clients * client + closing + room + joined;
        u64::try_from(total).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Limits, MAX_BACKLOG, MAX_CLIENTS, MAX_LINE};

    fn mebibytes(mode: Mode, is_joined: bool, limits: Limits) -> u64 {
        let join = is_joined.then(|| "redis://localhost".parse::<super::super::engine::JoinUrl>().unwrap().into());
        Config { mode, join, limits, ..Config::default() }.worst_case_memory().div_ceil(1 << 20)
    }

    /// In MiB. A change of a bound or of a buffer shows here.
    #[test]
    fn the_sum_for_some_limits() {
        let default = Limits::default;
        let small = || Limits { max_clients: 20, max_backlog: 65536, ..default() };
        let one = || Limits { max_clients: 1, max_line: 1, max_backlog: 1024, ..default() };
        let rows = [
            ("echo", Mode::Echo, false, default(), 861),
            ("room", Mode::Room, false, default(), 2606),
            ("joined", Mode::Room, true, default(), 5472),
            ("small echo", Mode::Echo, false, small(), 27),
            ("small room", Mode::Room, false, small(), 37),
            ("small joined", Mode::Room, true, small(), 268),
            ("least echo", Mode::Echo, false, one(), 15),
            ("least room", Mode::Room, false, one(), 15),
            ("no history", Mode::Room, false, Limits { history: 0, ..small() }, 37),
            ("long lines", Mode::Echo, false, Limits { max_line: 1 << 20, ..small() }, 125),
            ("many names", Mode::Echo, false, Limits { max_clients: 10_000, ..default() }, 59417),
        ];
        for (what, mode, is_joined, limits, wanted) in rows {
            assert_eq!(mebibytes(mode, is_joined, limits), wanted, "{what}");
        }
    }

    #[test]
    fn the_largest_limits_do_not_overflow() {
        let most = Limits {
            max_clients: *MAX_CLIENTS.end(),
            max_line: *MAX_LINE.end(),
            max_backlog: *MAX_BACKLOG.end(),
            ..Limits::default()
        };
        assert!(mebibytes(Mode::Room, true, most.clone()) > mebibytes(Mode::Echo, false, most));
    }
}
