//! The blocking client.
//!
//! A [`Client`] belongs to one thread, which receives and looks after the connection: it logs in, notices that the
//! connection is lost, and with [`ClientOptions::reconnect`] makes a new one. Other threads send with a [`Sender`].
//! Everything comes in as one stream, [`Client::next`]: lines, the ends of questions, and what happens to the connection.
//! Nothing here prints or logs.

// Its files, each of which imports only those above it:
//
//   error       what can go wrong
//   options     how a client behaves, and what comes in
//   heartbeat   when a ping is due
//   outgoing    lines to be sent, as bytes, and the pings under way
//   place       where the client is in the order of the room
//   login       the first exchange on a connection
//   inbox       what has come and was not given out yet
//   questions   the open questions of this client
//   wire        what a client and its senders share
//   connection  one connection as it is read
//   connecting  how connections are made
//   receiving   the one stream of what comes in, over one connection after the other
//   sender      sending from other threads
//   question    a question of another client
//   exchanges   commands that wait for their reply, and which line it is; questions that wait for their answer

mod connecting;
mod connection;
mod error;
mod exchanges;
mod heartbeat;
mod inbox;
mod login;
mod options;
mod outgoing;
mod place;
mod question;
mod questions;
mod receiving;
mod sender;
mod wire;

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use connection::{Connection, Desk};
pub use error::{AskError, ClientError};
pub use options::{ClientOptions, Ending, Incoming};
use outgoing::one_line;
pub use question::Question;
pub use sender::Sender;
use wire::Phase;

use crate::pauses::Pauses;
use crate::protocol::Event;
use crate::token::Token;
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
    /// `None` for a connection within the process, which cannot be made again.
    address: Option<Address>,
    options: ClientOptions,
    /// The token of the last login.
    token: Option<Token>,
    pauses: Pauses,
    desk: Desk,
    connection: Option<Connection>,
    /// Another thread connects.
    is_dialing: bool,
    /// Why the last connection ended, in the server's own words if there were any.
    loss: Option<ClientError>,
    /// There is no connection and there will be none.
    ended: Option<ClientError>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.desk.wire.change(|state| state.phase = Phase::Over);
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
        let address = address.try_into().map_err(Into::into)?;
        let mut client = Client::new(Some(address.clone()), options)?;
        client.connect_first(&address)?;
        Ok(client)
    }

    /// A client over a connection within the process. It cannot connect again.
    pub(crate) fn over(stream: Stream, options: ClientOptions) -> Result<Client, ClientError> {
        let mut client = Client::new(None, ClientOptions { reconnect: false, ..options })?;
        client.log_in_to_the_end(stream, deadline(Some(client.options.connect_timeout)))?;
        Ok(client)
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
        Sender { wire: Arc::clone(&self.desk.wire) }
    }

    /// Sends one line, given without its line end: a text, or a [`Command`](crate::protocol::Command). Waits while the
    /// server takes no more and, with `reconnect`, until there is a connection again. What comes meanwhile is kept.
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
        self.send_over(&one_line(line)?, None, None).map(drop)
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
        self.until(deadline(timeout), Client::try_next)
    }

    /// The same if it has been read from the connection already; `None` if [`Client::next`] would have to look for it,
    /// and perhaps to wait.
    pub fn try_next(&mut self) -> Option<Incoming> {
        self.desk.inbox.pop()
    }

    /// Receives one line, without its line end. Bytes that are not UTF-8, which the hub never sends, become replacement
    /// characters. See [`Event::parse`] for what a line can be.
    ///
    /// # Errors
    /// Those of [`Client::next`].
    pub fn receive(&mut self, timeout: Option<Duration>) -> Result<String, ClientError> {
        let deadline = deadline(timeout);
        loop {
            if let Incoming::Line { text, .. } = self.until(deadline, Client::try_next)? {
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
        let is_line = |incoming: &Incoming| matches!(incoming, Incoming::Line { text, .. } if fits(Event::parse(text)));
        let Incoming::Line { text, .. } = self.find(deadline(timeout), is_line)? else {
            return Err(ClientError::Closed);
        };
        Ok(text)
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

    /// Sends `quit` and waits until the server has ended the connection.
    ///
    /// # Errors
    /// Those of [`Client::send`] and [`Client::next`], but [`ClientError::Closed`].
    pub fn quit(mut self, timeout: Duration) -> Result<(), ClientError> {
        let deadline = deadline(Some(timeout));
        match self.send_over(b"quit\r\n", None, deadline) {
            // It was sent before.
            Ok(_) | Err(ClientError::Finished) => {}
            Err(error) => return Err(error),
        }
        match self.find(deadline, |_| false) {
            Err(ClientError::Closed) => Ok(()),
            result => result.map(drop),
        }
    }
}

fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}
