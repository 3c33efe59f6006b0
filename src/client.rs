//! The blocking client.
//!
//! A [`Client`] is a [`Sender`] and a [`Receiver`] that share a connection; [`Client::split`] gives them to two
//! threads. The receiver logs in and notices that the connection is lost, and with [`ClientOptions::reconnect`] it
//! makes a new one; senders wait meanwhile. Nothing here prints, logs or starts a thread.
//!
//! - To wait for a line: [`Client::receive`], [`Client::receive_where`], [`Client::lines`].
//! - To put questions to other clients of a room: [`Client::ask`]; several at a time: [`Client::put_question`].
//! - To answer the questions of others: [`Client::answer`].

// Its files, each of which imports only those above it:
//
//   error      what can go wrong
//   options    how a client behaves and what it reports
//   lock       taking locks
//   pauses     between two attempts to connect
//   heartbeat  when a ping is due
//   outgoing   lines to be sent, as bytes
//   ledger     which lines were sent and which were answered
//   login      the first exchange on a connection
//   questions  the open questions of this client
//   link       the connection and its phase, shared by both halves
//   reading    one connection as it is read
//   writing    writing lines over a connection
//   answering  a question of another client
//   sender     the half that sends
//   receiver   the half that receives
//   lines      received lines as an iterator
//   first      the first connection
//   unsplit    sending for a client that is not split

mod answering;
mod error;
mod first;
mod heartbeat;
mod ledger;
mod lines;
mod link;
mod lock;
mod login;
mod options;
mod outgoing;
mod pauses;
mod questions;
mod reading;
mod receiver;
mod sender;
mod unsplit;
mod writing;

use std::fmt::Display;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use answering::Question;
pub use error::{AskError, ClientError};
pub use lines::Lines;
use link::{Kind, Link, time_left};
use login::Answer;
pub use options::{Change, ClientOptions, Ending, OnChange};
use outgoing::one_line;
pub use questions::OpenQuestion;
pub use receiver::Receiver;
pub use sender::Sender;

use crate::protocol::{Command, Event};
use crate::transport::{Address, Stream};

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
    sender: Sender,
    receiver: Receiver,
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
        let link = Arc::new(Link::new(Some(address.try_into().map_err(Into::into)?), options)?);
        let receiver = Receiver::start(Arc::clone(&link))?;
        Ok(Client { sender: Sender::new(link), receiver })
    }

    /// A client over a connection within the process. It cannot connect again.
    pub(crate) fn over(stream: Stream, options: ClientOptions) -> Result<Client, ClientError> {
        let link = Arc::new(Link::new(None, options)?);
        let receiver = Receiver::start_over(Arc::clone(&link), stream)?;
        Ok(Client { sender: Sender::new(link), receiver })
    }

    /// Logs in and waits until the server has accepted the name. Other lines that come before can be received
    /// afterwards. With `reconnect`, this name is used from now on.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with what the server says, and those of [`Client::request`].
    pub fn log_in(&mut self, name: &str, timeout: Duration) -> Result<(), ClientError> {
        let deadline = Instant::now().checked_add(timeout);
        let line = one_line(Command::Iam(name))?;
        let mut answer = None;
        let mut refused = None;
        self.receiver.exchange(&line, deadline, |aside, text| {
            match login::answer_to_iam(text, name, line.len() - 2) {
                Answer::Accepted => answer = Some(aside),
                Answer::Refused => {
                    refused = text.strip_prefix("error: ").map(str::to_owned);
                    answer = Some(aside);
                }
                Answer::Other => {}
            }
        })?;
        if let Some(answer) = answer {
            self.receiver.aside.remove(answer);
        }
        match refused {
            Some(text) => Err(ClientError::Refused(text)),
            None => {
                self.receiver.link.remember_name(name);
                Ok(())
            }
        }
    }

    /// Sends `ping` and waits for the answer. Other lines that come before it can be received afterwards.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the reason if the server ends the connection instead, and those of
    /// [`Client::request`].
    pub fn ping(&mut self, timeout: Duration) -> Result<(), ClientError> {
        self.receiver.exchange(b"", Instant::now().checked_add(timeout), |_, _| {})
    }

    /// Sends one line, given without its line end: a text, or a [`Command`]. Waits while
    /// the server takes no more and, with `reconnect`, until there is a connection again. Lines that come meanwhile
    /// are kept.
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
    /// [`ClientError::NotOneLine`] if it contains an LF; [`ClientError::Closed`] if there is no connection and will
    /// be none; [`ClientError::Finished`] after `quit`.
    pub fn send(&mut self, line: impl Display) -> Result<(), ClientError> {
        self.receiver.send_by(&one_line(line)?, Kind::Counted, None)
    }

    /// Receives one line, without its line end. `None` as timeout waits for ever. See
    /// [`Event::parse`] for what a line can be.
    ///
    /// # Errors
    /// Those of [`Receiver::receive`].
    pub fn receive(&mut self, timeout: Option<Duration>) -> Result<String, ClientError> {
        self.receiver.receive(timeout)
    }

    /// Receives the next line that fits. The lines before it are kept, and can be received afterwards.
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
    /// Those of [`Receiver::receive`].
    pub fn receive_where(
        &mut self,
        timeout: Option<Duration>,
        fits: impl FnMut(Event<'_>) -> bool,
    ) -> Result<String, ClientError> {
        self.receiver.receive_where(timeout, fits)
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
    pub fn lines(&mut self) -> Lines<'_> {
        self.receiver.lines()
    }

    /// Sends one command and receives the next line: its reply, in echo mode. `timeout` is for both together.
    ///
    /// # Errors
    /// Those of [`Client::send`] and [`Client::receive`]. A server that takes only a part of the line in time loses
    /// the connection.
    pub fn request(&mut self, command: impl Display, timeout: Duration) -> Result<String, ClientError> {
        let deadline = Instant::now().checked_add(timeout);
        self.receiver.send_by(&one_line(command)?, Kind::Counted, deadline)?;
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
    ///         Ok(number) => question.answer(&(number * number).to_string()),
    ///         Err(error) => question.refuse(&error.to_string()),
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
        let question = self.put_question(name, text, timeout)?;
        self.wait_for_answer(question)
    }

    /// Puts a question and does not wait for its answer, so that several can be open at a time. The time for the
    /// answer begins now.
    ///
    /// # Errors
    /// Those of [`Sender::put_question`].
    pub fn put_question(&mut self, name: &str, text: &str, timeout: Duration) -> Result<OpenQuestion, AskError> {
        self.receiver.put_question(name, text, timeout)
    }

    /// Waits for the answer to an open question of this client. Answers to others, and other lines, are kept.
    ///
    /// # Errors
    /// Every [`AskError`].
    pub fn wait_for_answer(&mut self, question: OpenQuestion) -> Result<String, AskError> {
        self.receiver.wait_for_answer(question)
    }

    /// Answers the questions of others, until the server has ended the connection cleanly. `function` is given each
    /// question when it comes. It can answer at once, or pass the question on to other threads, from which questions
    /// are answered in any order. Other lines are thrown away.
    ///
    /// ```no_run
    /// use std::{sync::mpsc, thread, time::Duration};
    /// use localsocket::{Client, ClientOptions, client::Question};
    ///
    /// let options = ClientOptions { name: Some("builder".into()), deaf: true, reconnect: true, ..Default::default() };
    /// let mut client = Client::connect_with("unix:/run/hub.sock", options)?;
    /// let (jobs, questions) = mpsc::channel::<Question>();
    /// thread::spawn(move || {
    ///     for question in questions {
    ///         let answer = format!("{} is built", question.text());
    ///         // The asker, or the connection, may be gone by now.
    ///         let _ = question.answer(&answer);
    ///     }
    /// });
    /// client.answer(|question| {
    ///     let _ = jobs.send(question);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), localsocket::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Receiver::receive`] but [`ClientError::Closed`], and what `function` returns; only
    /// [`ClientError::Closed`] from it is ignored, which says that a question has ended with its connection.
    pub fn answer(&mut self, function: impl FnMut(Question) -> Result<(), ClientError>) -> Result<(), ClientError> {
        self.receiver.answer(function)
    }

    /// The question that a received line puts to this client, to be answered. `None` if the line is something else. For
    /// programs that do more than answer; see [`Client::answer`].
    pub fn question(&self, line: &str) -> Option<Question> {
        self.receiver.question(line)
    }

    /// Sends `quit` and waits until the server has ended the connection.
    ///
    /// # Errors
    /// Those of [`Client::send`] and [`Client::receive`], but [`ClientError::Closed`].
    pub fn quit(mut self, timeout: Duration) -> Result<(), ClientError> {
        let deadline = Instant::now().checked_add(timeout);
        match self.receiver.send_by(b"quit\r\n", Kind::Counted, deadline) {
            // It was sent before.
            Ok(()) | Err(ClientError::Finished) => {}
            Err(error) => return Err(error),
        }
        loop {
            match self.receiver.advance(deadline) {
                Err(ClientError::Closed) => return Ok(()),
                Err(error) => return Err(error),
                Ok(_) if time_left(deadline) == Some(Duration::ZERO) => return Err(ClientError::TimedOut),
                Ok(_) => {}
            }
        }
    }

    /// How the last connection ended. `None` if none has.
    pub fn ending(&self) -> Option<&Ending> {
        self.receiver.ending()
    }

    /// Takes the two halves apart, for one thread that receives and others that send.
    ///
    /// ```no_run
    /// use std::thread;
    /// use localsocket::Client;
    ///
    /// let (sender, mut receiver) = Client::connect("unix:/run/hub.sock")?.split();
    /// let listening = thread::spawn(move || {
    ///     for line in receiver.lines().map_while(Result::ok) {
    ///         println!("{line}");
    ///     }
    /// });
    /// sender.send("msg:hello")?;
    /// sender.finish();
    /// listening.join().expect("the listener does not panic");
    /// # Ok::<(), localsocket::ClientError>(())
    /// ```
    #[must_use = "a receiver that is dropped ends everything that waits for it"]
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }
}

impl AsFd for Client {
    /// See the same of [`Receiver`].
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receiver.as_fd()
    }
}
