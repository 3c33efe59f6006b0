//! The blocking client.
//!
//! A [`Client`] belongs to one thread, which receives and looks after the connection: it logs in, notices that the
//! connection is lost, and with [`ClientOptions::reconnect`] makes a new one. Other threads send with a [`Sender`].
//! Everything comes in as one stream, [`Client::next`]: lines, the ends of questions, and what happens to the connection.
//! Nothing here prints, logs or starts a thread.

// Its files, each of which imports only those above it:
//
//   error       what can go wrong
//   mark        a place in the order of a room
//   options     how a client behaves, and what comes in
//   pauses      between two attempts to connect
//   heartbeat   when a ping is due
//   outgoing    lines to be sent, as bytes
//   ledger      which lines were sent and which were answered
//   login       the first exchange on a connection
//   questions   the open questions of this client
//   wire        what a client and its senders share
//   connection  one connection as it is read
//   sender      sending from other threads
//   question    a question of another client

mod connection;
mod error;
mod heartbeat;
mod ledger;
mod login;
mod mark;
mod options;
mod outgoing;
mod pauses;
mod question;
mod questions;
mod sender;
mod wire;

use std::collections::VecDeque;
use std::fmt::Display;
use std::net::Shutdown;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use connection::{Connection, time_left};
pub use error::{AskError, ClientError};
pub use mark::Mark;
pub use options::{ClientOptions, Ending, Incoming};
use outgoing::one_line;
use pauses::Pauses;
pub use question::Question;
pub use sender::Sender;
use wire::{Kind, Need, Wire};

use crate::protocol::{Command, Event};
use crate::transport::{Address, Stream};

/// A server that comes up soon should not be noticed late.
const LONGEST_FIRST_PAUSE: Duration = Duration::from_secs(1);

/// A connection to a server.
///
/// ```
/// # use std::{thread, time::Duration};
/// # use localsocket::{Config, Server};
/// # let server = Server::bind(&["127.0.0.1:0".parse()?], Config::default())?;
/// # let (address, handle) = (server.addresses()[0].clone(), server.handle());
/// # let running = thread::spawn(move || server.run());
/// use localsocket::Client;
///
/// let mut client = Client::connect(&address)?;
/// client.log_in("ada", Duration::from_secs(1))?;
/// let reply = client.request("msg:hello: world", Duration::from_secs(1))?;
/// assert_eq!(reply, "hello: world");
/// client.quit(Duration::from_secs(1))?;
/// # handle.stop();
/// # running.join().expect("a server does not panic")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Client {
    /// `None` for a connection within the process, which cannot be made again.
    address: Option<Address>,
    options: ClientOptions,
    wire: Arc<Wire>,
    connection: Option<Connection>,
    /// What has come and was not given out yet.
    queue: VecDeque<Incoming>,
    pauses: Pauses,
    next_try: Option<Instant>,
    last_words: Option<String>,
    /// There is no connection and there will be none.
    ended: Option<ClientError>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.wire.end();
    }
}

impl Client {
    /// Connects within 5 seconds. `address` is an [`Address`], a text such as `"127.0.0.1:12345"` or
    /// `"unix:/run/hub.sock"`, a path or a socket address.
    ///
    /// # Errors
    /// [`ClientError::Address`], [`ClientError::Connect`].
    pub fn connect(address: impl TryInto<Address, Error: Into<ClientError>>) -> Result<Client, ClientError> {
        Client::connect_with(address, ClientOptions::default())
    }

    /// Connects and logs in, as the options say. Waits until the server has accepted the token and the name if there
    /// are any. With `reconnect`, a name that is taken is no error: it is asked for again while the client receives,
    /// and what is sent waits for it.
    ///
    /// # Errors
    /// [`ClientError::Address`], [`ClientError::Connect`]; [`ClientError::Refused`] if the server does not accept
    /// the token or the name; [`ClientError::Closed`] or [`ClientError::Lost`] if the connection ends before it has;
    /// [`ClientError::NotOneLine`] for a token or a name with a line end in it.
    pub fn connect_with(
        address: impl TryInto<Address, Error: Into<ClientError>>,
        options: ClientOptions,
    ) -> Result<Client, ClientError> {
        let mut client = Client::new(Some(address.try_into().map_err(Into::into)?), options)?;
        client.start()?;
        Ok(client)
    }

    /// A client over a connection within the process. It cannot connect again.
    pub(crate) fn over(stream: Stream, options: ClientOptions) -> Result<Client, ClientError> {
        let mut client = Client::new(None, ClientOptions { reconnect: false, ..options })?;
        let deadline = client.attempt_deadline(None);
        client.log_in_over(stream, deadline)?;
        Ok(client)
    }

    fn new(address: Option<Address>, options: ClientOptions) -> Result<Client, ClientError> {
        login::Login::new(&options, options.name.as_deref())?;
        let wire = Arc::new(Wire::new(options.reconnect, options.parts));
        let (queue, pauses) = (VecDeque::new(), Pauses::new());
        let (connection, next_try, last_words, ended) = (None, None, None, None);
        Ok(Client { address, options, wire, connection, queue, pauses, next_try, last_words, ended })
    }

    /// A handle by which other threads send over this client's connection, as long as the client is there.
    ///
    /// ```no_run
    /// use std::thread;
    /// use localsocket::Client;
    ///
    /// let mut client = Client::connect("unix:/run/hub.sock")?;
    /// let sender = client.sender();
    /// let listening = thread::spawn(move || {
    ///     for line in client.lines().map_while(Result::ok) {
    ///         println!("{line}");
    ///     }
    /// });
    /// sender.send("msg:hello")?;
    /// sender.finish();
    /// listening.join().expect("the listener does not panic");
    /// # Ok::<(), localsocket::ClientError>(())
    /// ```
    pub fn sender(&self) -> Sender {
        Sender { wire: Arc::clone(&self.wire) }
    }

    /// Logs in and waits until the server has accepted the name. Other lines that come before can be received
    /// afterwards. With `reconnect`, this name is used from now on.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with what the server says, and those of [`Client::request`].
    pub fn log_in(&mut self, name: &str, timeout: Duration) -> Result<(), ClientError> {
        let deadline = Instant::now().checked_add(timeout);
        let line = one_line(Command::Iam(name))?;
        // Answers to what was sent before come before that.
        self.fence(b"", deadline)?;
        let before = self.queue.len();
        self.fence(&line, deadline)?;
        let mut accepted = None;
        for index in before..self.queue.len() {
            let Some(Incoming::Line { text: line, .. }) = self.queue.get(index) else { continue };
            match Event::parse(line) {
                Event::Joined(new) | Event::Renamed { new, .. } if new == name.trim() => accepted = Some(index),
                Event::Error(text) => {
                    let refused = ClientError::Refused(text.to_owned());
                    self.queue.remove(index);
                    return Err(refused);
                }
                _ => {}
            }
        }
        accepted.map(|index| self.queue.remove(index));
        self.options.name = Some(name.to_owned());
        Ok(())
    }

    /// Sends `ping` and waits for the answer. Other lines that come before it can be received afterwards.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the reason if the server ends the connection instead, and those of
    /// [`Client::request`].
    pub fn ping(&mut self, timeout: Duration) -> Result<(), ClientError> {
        self.fence(b"", Instant::now().checked_add(timeout))
    }

    /// Sends one line, given without its line end: a text, or a [`Command`]. Waits while the server takes no more and,
    /// with `reconnect`, until there is a connection again. What comes meanwhile is kept.
    ///
    /// ```no_run
    /// use localsocket::{Client, protocol::Command};
    ///
    /// let mut client = Client::connect("unix:/run/hub.sock")?;
    /// client.send("iam:ada")?;
    /// client.send(Command::To { name: "bob", text: "lunch?" })?;
    /// # Ok::<(), localsocket::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Sender::send`].
    pub fn send(&mut self, line: impl Display) -> Result<(), ClientError> {
        self.send_by(&one_line(line)?, Kind::Counted, None)
    }

    /// What comes in next: a line, the end of a question, or what has happened to the connection. `None` as timeout
    /// waits for ever.
    ///
    /// # Errors
    /// [`ClientError::TimedOut`], after which nothing is lost: half a line is kept for the next call. All others say that
    /// there is no connection and will be none: [`ClientError::Closed`] when the server has ended it,
    /// [`ClientError::Lost`] when it broke, [`ClientError::Refused`] when the server refuses the login for good. With
    /// `reconnect`, the first two come only after [`Sender::finish`] or `quit`.
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Incoming, ClientError> {
        self.next_by(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// The same if it has been read from the connection already; `None` if [`Client::next`] would have to look for it,
    /// and perhaps to wait.
    pub fn try_next(&mut self) -> Option<Incoming> {
        self.queue.pop_front()
    }

    /// Receives one line, without its line end. Bytes that are not UTF-8, which the hub never sends, become replacement
    /// characters. See [`Event::parse`] for what a line can be.
    ///
    /// # Errors
    /// Those of [`Client::next`].
    pub fn receive(&mut self, timeout: Option<Duration>) -> Result<String, ClientError> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            if let Incoming::Line { text, .. } = self.next_by(deadline)? {
                return Ok(text);
            }
        }
    }

    /// Receives the next line that fits. What comes before it is kept, and can be received afterwards.
    ///
    /// ```no_run
    /// use localsocket::{Client, protocol::Event};
    ///
    /// let mut client = Client::connect("unix:/run/hub.sock")?;
    /// let line = client.receive_where(None, |event| matches!(event, Event::Direct { sender: "bob", .. }))?;
    /// # Ok::<(), localsocket::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Client::next`].
    pub fn receive_where(
        &mut self,
        timeout: Option<Duration>,
        mut fits: impl FnMut(Event<'_>) -> bool,
    ) -> Result<String, ClientError> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let found = self.find(deadline, |incoming| match incoming {
            Incoming::Line { text, .. } => fits(Event::parse(text)),
            _ => false,
        })?;
        match found {
            Incoming::Line { text, .. } => Ok(text),
            _ => Err(ClientError::Closed),
        }
    }

    /// The lines that come, one after another. Ends when the server has ended the connection cleanly; a connection
    /// that broke is the last item, as an error.
    ///
    /// ```no_run
    /// use localsocket::{Client, protocol::Event};
    ///
    /// let mut client = Client::connect("127.0.0.1:12345")?;
    /// for line in client.lines() {
    ///     if let Event::Message { name, text } = Event::parse(&line?) {
    ///         println!("{name} says {text}");
    ///     }
    /// }
    /// # Ok::<(), localsocket::ClientError>(())
    /// ```
    pub fn lines(&mut self) -> impl Iterator<Item = Result<String, ClientError>> + '_ {
        let mut over = false;
        std::iter::from_fn(move || match self.receive(None) {
            Err(ClientError::Closed) => None,
            result => (!std::mem::replace(&mut over, result.is_err())).then_some(result),
        })
    }

    /// Sends one command and receives the next line: its reply, in echo mode. `timeout` is for both together.
    ///
    /// # Errors
    /// Those of [`Client::send`] and [`Client::receive`]. A server that takes only a part of the line in time loses
    /// the connection.
    pub fn request(&mut self, command: impl Display, timeout: Duration) -> Result<String, ClientError> {
        let deadline = Instant::now().checked_add(timeout);
        self.send_by(&one_line(command)?, Kind::Counted, deadline)?;
        self.receive(time_left(deadline))
    }

    /// Puts a question to the client of that name in the room, and waits for the answer. The lines of a longer
    /// answer have an LF in between. Other lines that come meanwhile can be received afterwards; a client that only
    /// asks is best [`deaf`](ClientOptions::deaf).
    ///
    /// ```
    /// # use std::{thread, time::Duration};
    /// # use localsocket::{Config, Mode, Server};
    /// # let config = Config { mode: Mode::Room, ..Config::default() };
    /// # let server = Server::bind(&["127.0.0.1:0".parse()?], config)?.start()?;
    /// # let address = server.addresses()[0].clone();
    /// use localsocket::{Client, ClientOptions};
    ///
    /// let options = |name: &str| ClientOptions { name: Some(name.to_owned()), deaf: true, ..Default::default() };
    /// let mut squarer = Client::connect_with(&address, options("squarer"))?;
    /// thread::spawn(move || {
    ///     squarer.answer(|question| match question.text().parse::<i64>() {
    ///         Ok(number) => Ok((number * number).to_string()),
    ///         Err(error) => Err(error.to_string()),
    ///     })
    /// });
    /// let mut client = Client::connect_with(&address, options("ada"))?;
    /// assert_eq!(client.ask("squarer", "12", Duration::from_secs(5))?, "144");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`AskError`] has one variant for each way in which a question can end without an answer.
    pub fn ask(&mut self, name: &str, text: &str, timeout: Duration) -> Result<String, AskError> {
        let deadline = Instant::now().checked_add(timeout);
        let wire = Arc::clone(&self.wire);
        let asked = sender::put_question(&wire, name, text, false, |need| self.wait(&need, deadline))?;
        let found = self.find(deadline, |incoming| matches!(incoming, Incoming::Answer(number, _) if *number == asked));
        match found {
            Ok(Incoming::Answer(_, answer)) => answer,
            Ok(_) => Err(AskError::TimedOut),
            Err(error) => {
                wire.questions().forget(asked);
                Err(error.into())
            }
        }
    }

    /// Answers the questions of others, until the server has ended the connection cleanly: with what `function` returns,
    /// or refuses with its error. Other lines are thrown away. For answers that take longer, see [`Client::question`].
    ///
    /// # Errors
    /// Those of [`Client::next`] but [`ClientError::Closed`].
    pub fn answer(&mut self, mut function: impl FnMut(&Question) -> Result<String, String>) -> Result<(), ClientError> {
        loop {
            let line = match self.receive(None) {
                Ok(line) => line,
                Err(ClientError::Closed) => return Ok(()),
                Err(error) => return Err(error),
            };
            let Some(mut question) = self.question(&line) else { continue };
            let answer = function(&question);
            let lines = question.end(answer.as_deref().map_err(String::as_str))?;
            // It reads on while the server takes nothing, which might be waiting for that. If the connection has ended,
            // so has the question; receiving tells whether there is another.
            let wire = Arc::clone(&self.wire);
            let _ = wire.send(&lines, Kind::Uncounted, Some(question.connection), |need| self.wait(&need, None));
        }
    }

    /// The question that a received line puts to this client, to be answered by any thread at any time. `None` if the
    /// line is something else.
    ///
    /// ```no_run
    /// use std::{sync::mpsc, thread};
    /// use localsocket::{Client, client::Question};
    ///
    /// let mut client = Client::connect("unix:/run/hub.sock")?;
    /// client.send("iam:builder")?;
    /// let (jobs, questions) = mpsc::channel::<Question>();
    /// thread::spawn(move || {
    ///     for question in questions {
    ///         let answer = format!("{} is built", question.text());
    ///         // The asker, or the connection, may be gone by now.
    ///         let _ = question.answer(&answer);
    ///     }
    /// });
    /// while let Ok(line) = client.receive(None) {
    ///     if let Some(question) = client.question(&line) {
    ///         let _ = jobs.send(question);
    ///     }
    /// }
    /// # Ok::<(), localsocket::ClientError>(())
    /// ```
    pub fn question(&self, line: &str) -> Option<Question> {
        let Event::Question { asker, id, text } = Event::parse(line) else { return None };
        let (asker, id, text) = (asker.to_owned(), id.to_owned(), text.to_owned());
        let connection = self.wire.state().connection;
        Some(Question { sender: self.sender(), connection, asker, id, text, ended: false })
    }

    /// Sends `quit` and waits until the server has ended the connection.
    ///
    /// # Errors
    /// Those of [`Client::send`] and [`Client::next`], but [`ClientError::Closed`].
    pub fn quit(mut self, timeout: Duration) -> Result<(), ClientError> {
        let deadline = Instant::now().checked_add(timeout);
        match self.send_by(b"quit\r\n", Kind::Counted, deadline) {
            // It was sent before.
            Ok(()) | Err(ClientError::Finished) => {}
            Err(error) => return Err(error),
        }
        match self.find(deadline, |_| false) {
            Err(ClientError::Closed) => Ok(()),
            result => result.map(drop),
        }
    }

    fn next_by(&mut self, deadline: Option<Instant>) -> Result<Incoming, ClientError> {
        loop {
            match self.queue.pop_front() {
                Some(incoming) => return Ok(incoming),
                None => self.step(deadline)?,
            }
        }
    }

    /// Takes what fits out of the queue, which grows until it has come.
    fn find(
        &mut self,
        deadline: Option<Instant>,
        mut fits: impl FnMut(&Incoming) -> bool,
    ) -> Result<Incoming, ClientError> {
        let mut seen = 0;
        loop {
            while let Some(incoming) = self.queue.get(seen) {
                if fits(incoming) {
                    return self.queue.remove(seen).ok_or(ClientError::Closed);
                }
                seen += 1;
            }
            self.step(deadline)?;
            // What comes all the time must not make it last for ever.
            if self.queue.len() > seen && time_left(deadline) == Some(Duration::ZERO) {
                return Err(ClientError::TimedOut);
            }
        }
    }

    /// Sends lines and a ping after them, and waits for its answer. If the connection is lost meanwhile and made again,
    /// everything is sent again; if it is not made again, the server's last words are its answer.
    fn fence(&mut self, lines: &[u8], deadline: Option<Instant>) -> Result<(), ClientError> {
        match self.try_fence(lines, deadline) {
            Err(error @ (ClientError::Closed | ClientError::Lost(_))) => {
                Err(self.last_words.clone().map_or(error, ClientError::Refused))
            }
            result => result,
        }
    }

    fn try_fence(&mut self, lines: &[u8], deadline: Option<Instant>) -> Result<(), ClientError> {
        loop {
            self.send_by(lines, Kind::Counted, deadline)?;
            let connection = self.wire.state().connection;
            self.send_by(b"ping\r\n", Kind::Ping, deadline)?;
            let fence = self.wire.state().ledger.own;
            while self.connection.is_some() && self.wire.state().connection == connection {
                if self.wire.state().ledger.own_answered >= fence {
                    return Ok(());
                }
                // Lines that come all the time must not make it last for ever.
                if time_left(deadline) == Some(Duration::ZERO) {
                    return Err(ClientError::TimedOut);
                }
                self.step(deadline)?;
            }
        }
    }

    fn send_by(&mut self, lines: &[u8], kind: Kind, deadline: Option<Instant>) -> Result<(), ClientError> {
        let wire = Arc::clone(&self.wire);
        wire.send(lines, kind, None, |need| self.wait(&need, deadline))
    }

    /// Waits for what a write needs. It reads on meanwhile: a server that waits for its lines to be read does not read
    /// either.
    fn wait(&mut self, need: &Need<'_>, deadline: Option<Instant>) -> Result<(), ClientError> {
        match (need, &mut self.connection) {
            (Need::Space(_), Some(connection)) => connection.read(&self.wire, deadline, true, &mut self.queue),
            (Need::Space(_), None) => Err(ClientError::Closed),
            (Need::Connection, _) => self.step(deadline),
        }
    }

    /// One step: reads, waits or connects, and adds what has come to the queue.
    fn step(&mut self, deadline: Option<Instant>) -> Result<(), ClientError> {
        if let Some(ended) = &self.ended {
            return Err(ended.again());
        }
        match &mut self.connection {
            Some(connection) => match connection.read(&self.wire, deadline, false, &mut self.queue) {
                Err(ClientError::TimedOut) => Err(ClientError::TimedOut),
                Err(error) => {
                    self.lose(error);
                    Ok(())
                }
                Ok(()) => Ok(()),
            },
            None => self.connect_again(deadline),
        }
    }

    /// The connection has ended.
    fn lose(&mut self, error: ClientError) {
        let Some(mut connection) = self.connection.take() else { return };
        if !connection.is_logging_in() {
            self.pauses = Pauses::new();
        }
        let (cut, last_words) = (connection.cut(), connection.last_words);
        let unanswered = self.wire.lose(&connection.stream, last_words.is_some());
        for number in self.wire.questions().end_all() {
            self.queue.push_back(Incoming::Answer(number, Err(AskError::Client(ClientError::Closed))));
        }
        self.last_words.clone_from(&last_words);
        let was_asked_for = matches!(error, ClientError::Closed) && self.wire.state().finished && cut.is_none();
        let told = (!was_asked_for).then(|| error.again());
        self.queue.push_back(Incoming::Disconnected(Box::new(Ending { error: told, last_words, cut, unanswered })));
        let is_final = matches!(&error, ClientError::Refused(text) if !login::may_pass(text));
        if is_final || !self.goes_on() {
            self.end(error);
        }
    }

    fn end(&mut self, error: ClientError) {
        self.wire.end();
        self.ended = Some(error);
    }

    fn goes_on(&self) -> bool {
        self.options.reconnect && !self.wire.state().finished
    }

    /// Makes a new connection. A pause that is longer than the caller's deadline goes on with the next call.
    fn connect_again(&mut self, deadline: Option<Instant>) -> Result<(), ClientError> {
        if !self.goes_on() {
            self.end(ClientError::Closed);
            return Ok(());
        }
        let now = Instant::now();
        let Some(next_try) = self.next_try else {
            let pause = self.pauses.next();
            self.queue.push_back(Incoming::Retrying(pause));
            self.next_try = Some(now + pause);
            return Ok(());
        };
        if now < next_try {
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Err(ClientError::TimedOut);
            }
            self.wire.wait(Some(deadline.map_or(next_try, |deadline| deadline.min(next_try))));
            return Ok(());
        }
        self.next_try = None;
        let deadline = self.attempt_deadline(deadline);
        // Why it could not be made is told by the pauses.
        self.connection = self.dial(deadline).and_then(|stream| self.log_in_on(stream, deadline)).ok();
        Ok(())
    }

    /// Until when one attempt to connect and log in may last.
    fn attempt_deadline(&self, limit: Option<Instant>) -> Option<Instant> {
        [Instant::now().checked_add(self.options.connect_timeout), limit].into_iter().flatten().min()
    }

    fn dial(&self, deadline: Option<Instant>) -> Result<Stream, ClientError> {
        let address = self.address.as_ref().ok_or(ClientError::Closed)?;
        Stream::connect(address, time_left(deadline).unwrap_or(Duration::MAX)).map_err(ClientError::Connect)
    }

    fn log_in_on(&mut self, stream: Stream, deadline: Option<Instant>) -> Result<Connection, ClientError> {
        Connection::new(&self.wire, stream, &self.options, self.options.name.as_deref(), deadline, &mut self.queue)
    }

    /// Waits until the first login is done. What comes meanwhile can be received afterwards.
    fn log_in_over(&mut self, stream: Stream, deadline: Option<Instant>) -> Result<(), ClientError> {
        let mut connection = self.log_in_on(stream, deadline)?;
        while connection.is_logging_in() {
            if let Err(error) = connection.read(&self.wire, None, false, &mut self.queue) {
                connection.stream.shutdown(Shutdown::Both);
                self.queue.clear();
                return Err(error);
            }
        }
        self.connection = Some(connection);
        Ok(())
    }

    /// Connects for the first time, for as long as the options allow, and logs in.
    fn start(&mut self) -> Result<(), ClientError> {
        let wait = self.options.wait;
        let give_up = Instant::now().checked_add(wait);
        let mut before = None;
        loop {
            let deadline = self.attempt_deadline(give_up.filter(|_| !wait.is_zero()));
            let attempt = self.dial(deadline).and_then(|stream| self.log_in_over(stream, deadline));
            let Err(error) = attempt else { return Ok(()) };
            let is_final = matches!(&error, ClientError::Refused(text) if !login::may_pass(text));
            let left = time_left(give_up).unwrap_or(Duration::MAX);
            if !is_final && !left.is_zero() {
                before = Some(error);
                thread::sleep(self.pauses.next().min(left).min(LONGEST_FIRST_PAUSE));
                continue;
            }
            // An attempt that the end of the wait cut short tells nothing; the one before it does.
            let error = match before {
                Some(before) if error.is_timeout() => before,
                _ => error,
            };
            // There is a server, so receiving can go on trying.
            if self.options.reconnect && !is_final && !matches!(error, ClientError::Connect(_)) {
                let ending = Ending { error: Some(error), last_words: None, cut: None, unanswered: 0 };
                self.queue.push_back(Incoming::Disconnected(Box::new(ending)));
                return Ok(());
            }
            return Err(error);
        }
    }
}
