//! The other side: a blocking client.
//!
//! [`Client`] is a [`Sender`] and a [`Receiver`] that share a connection; [`Client::split`] gives them to
//! two threads. The receiver is the one that notices that the connection is lost, and with
//! [`ClientOptions::reconnect`] the one that makes a new one; a sender waits for it meanwhile. Nothing here
//! prints, logs or starts a thread. Lock order: `writing`, then `state`; nobody waits for the network
//! while holding `state`.

mod link;
mod pauses;
mod receiver;
mod sender;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use link::{Link, time_left};
pub use receiver::Receiver;
pub use sender::Sender;

use crate::protocol::Event;
use crate::transport::{Address, ConnectError};

/// How a client behaves. `ClientOptions::default()` connects once, within 5 seconds.
#[derive(Clone)]
pub struct ClientOptions {
    /// How long connecting to one address may take. Default 5 s.
    pub connect_timeout: Duration,
    /// How long to keep trying until the server is up. Default 0: one try.
    pub wait: Duration,
    /// Sent as `auth:<token>` on every connection, first of all. The answer `authenticated` is not received.
    pub token: Option<String>,
    /// Sent as `iam:<name>` on every connection. The answer is received like any line.
    pub name: Option<String>,
    /// Connect again when the connection is lost, after pauses that grow from 0.1 s to 10 s.
    pub reconnect: bool,
    /// Send `ping` when nothing has come for so long; if nothing comes for as long again, the connection
    /// is lost. Works while somebody receives. Default: never.
    pub heartbeat: Option<Duration>,
    /// Told what happens to the connection. Called from the thread that receives.
    pub on_change: Option<OnChange>,
}

/// A function that is told what happens to the connection.
pub type OnChange = Arc<dyn Fn(Change<'_>) + Send + Sync>;

/// What happens to a connection.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// There is one, or one again.
    Connected,
    /// It has ended.
    Disconnected {
        /// Why, unless it was asked to: after the end of the input, or `quit`.
        error: Option<&'a ClientError>,
        /// How many lines had been sent to which no answer has come. They are not sent again. Exact in echo
        /// mode, where every line but `quit` has one answer.
        unanswered: u64,
    },
    /// The next try comes after a pause.
    Retrying {
        /// So long.
        pause: Duration,
    },
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            connect_timeout: Duration::from_secs(5),
            wait: Duration::ZERO,
            token: None,
            name: None,
            reconnect: false,
            heartbeat: None,
            on_change: None,
        }
    }
}

impl fmt::Debug for ClientOptions {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions")
            .field("connect_timeout", &self.connect_timeout)
            .field("wait", &self.wait)
            .field("name", &self.name)
            .field("reconnect", &self.reconnect)
            .field("heartbeat", &self.heartbeat)
            .finish_non_exhaustive()
    }
}

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
    pub(crate) fn over(_: crate::transport::Stream, _: ClientOptions) -> Result<Client, ClientError> {
        Err(ClientError::Closed)
    }

    /// Connects, within 5 seconds.
    ///
    /// # Errors
    /// [`ClientError::Connect`].
    pub fn connect(address: &Address) -> Result<Client, ClientError> {
        Client::connect_with(address, ClientOptions::default())
    }

    /// Connects, and sends the token and the name if there are any. Does not wait for the answers.
    ///
    /// # Errors
    /// [`ClientError::Connect`], or [`ClientError::NotOneLine`] for a token or name with a line end in it.
    pub fn connect_with(address: &Address, options: ClientOptions) -> Result<Client, ClientError> {
        let link = Arc::new(Link::new(address.clone(), options)?);
        let receiver = Receiver::start(Arc::clone(&link))?;
        Ok(Client { sender: Sender::new(link), receiver })
    }

    /// Logs in and waits for the answer. Other lines that come before it can be received afterwards. With
    /// `reconnect`, this name is used from now on.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with what the server says, and those of [`Client::request`].
    pub fn log_in(&mut self, name: &str, timeout: Duration) -> Result<(), ClientError> {
        self.ask(&format!("iam:{name}"), timeout, |line| link::accepts(line, name))?;
        self.receiver.link.remember_name(name);
        Ok(())
    }

    /// Asks whether the server is there, and waits for its answer. Other lines that come before it can be
    /// received afterwards.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if an error comes, and those of [`Client::request`].
    pub fn ping(&mut self, timeout: Duration) -> Result<(), ClientError> {
        self.ask("ping", timeout, |line| line == "pong")
    }

    fn ask(&mut self, command: &str, timeout: Duration, fits: impl Fn(&str) -> bool) -> Result<(), ClientError> {
        let deadline = Instant::now().checked_add(timeout);
        self.send_by(command, deadline)?;
        let answer =
            self.receiver.find(deadline, |line| fits(line) || matches!(Event::parse(line), Event::Error(_)))?;
        match Event::parse(&answer) {
            Event::Error(text) => Err(ClientError::Refused(text.to_owned())),
            _ => Ok(()),
        }
    }

    /// Sends one line, given without its line end. Waits while the server takes no more and, with
    /// `reconnect`, until there is a connection again.
    ///
    /// # Errors
    /// [`ClientError::NotOneLine`] if it holds an LF; [`ClientError::Closed`] if there is no connection
    /// and will be none.
    pub fn send(&mut self, line: &str) -> Result<(), ClientError> {
        self.send_by(line, None)
    }

    fn send_by(&mut self, line: &str, deadline: Option<Instant>) -> Result<(), ClientError> {
        let bytes = one_line(line)?;
        let mut rest = &bytes[..];
        loop {
            self.receiver.be_ready_to_send(deadline)?;
            let Err(sent) = self.sender.link.write(rest) else { return Ok(()) };
            rest = &rest[sent..];
            self.receiver.lose();
        }
    }

    /// Receives one line, without its line end. `None` as timeout waits for ever. See
    /// [`Event::parse`] for what a line can be.
    ///
    /// # Errors
    /// [`ClientError::TimedOut`], after which nothing is lost: half a line is kept for the next call.
    /// [`ClientError::Closed`] when the server has ended the connection, [`ClientError::Lost`] when it
    /// broke; with `reconnect` neither of the two, but after [`Client::quit`].
    pub fn receive(&mut self, timeout: Option<Duration>) -> Result<String, ClientError> {
        self.receiver.receive(timeout)
    }

    /// Sends one command and receives the next line: its reply, in echo mode. `timeout` is for both, but
    /// for the time in which a connected server takes no more bytes.
    ///
    /// # Errors
    /// Those of [`Client::send`] and [`Client::receive`].
    pub fn request(&mut self, command: &str, timeout: Duration) -> Result<String, ClientError> {
        let deadline = Instant::now().checked_add(timeout);
        self.send_by(command, deadline)?;
        self.receive(time_left(deadline))
    }

    /// Sends `quit` and waits until the server has ended the connection.
    ///
    /// # Errors
    /// Those of [`Client::send`], and [`ClientError::TimedOut`].
    pub fn quit(mut self, timeout: Duration) -> Result<(), ClientError> {
        let deadline = Instant::now().checked_add(timeout);
        self.send_by("quit", deadline)?;
        match self.receiver.find(deadline, |_| false) {
            Err(ClientError::Closed) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Ok(()),
        }
    }

    /// Takes the two halves apart, for one thread that sends and one that receives.
    ///
    /// ```no_run
    /// use std::thread;
    /// use localsocket::Client;
    ///
    /// let (sender, mut receiver) = Client::connect(&"unix:/run/hub.sock".parse()?)?.split();
    /// let listening = thread::spawn(move || {
    ///     while let Ok(line) = receiver.receive(None) {
    ///         println!("{line}");
    ///     }
    /// });
    /// sender.send("msg:hello")?;
    /// sender.finish();
    /// listening.join().expect("the listener does not panic");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }
}

/// A line with its end. CRLF, so that a CR at the end of the line itself stays part of it.
fn one_line(line: &str) -> Result<Vec<u8>, ClientError> {
    if line.contains('\n') {
        return Err(ClientError::NotOneLine);
    }
    Ok([line.as_bytes(), b"\r\n"].concat())
}

/// What can go wrong for a client.
#[derive(Debug)]
pub enum ClientError {
    /// There is no connection.
    Connect(ConnectError),
    /// The server has ended the connection.
    Closed,
    /// The connection broke, or the server does not answer any more.
    Lost(io::Error),
    /// Nothing came in time.
    TimedOut,
    /// The server refused to do what was asked, with these words.
    Refused(String),
    /// A line to be sent holds a line end.
    NotOneLine,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Connect(error) => error.fmt(f),
            ClientError::Closed => f.write_str("the server has ended the connection"),
            ClientError::Lost(error) => write!(f, "the connection is lost: {error}"),
            ClientError::TimedOut => f.write_str("nothing came in time"),
            ClientError::Refused(text) => f.write_str(text),
            ClientError::NotOneLine => f.write_str("a line to be sent holds a line end"),
        }
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ClientError::Connect(error) => Some(error),
            ClientError::Lost(error) => Some(error),
            _ => None,
        }
    }
}
