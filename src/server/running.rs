//! What a program holds of a running server: a handle for any thread, and the thread that it runs in.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::hub::Hub;
use super::stats::Stats;
use crate::client::{Client, ClientError, ClientOptions};
use crate::token::Token;
use crate::transport::{Address, Stream};

/// Looks at a server and stops it, from any thread.
#[derive(Debug, Clone)]
pub struct ServerHandle {
    pub(super) hub: Arc<Hub>,
}

impl ServerHandle {
    /// Stops the server: it accepts no more connections, answers what has arrived, and ends. Returns at once;
    /// [`Server::run`] returns when that is done.
    ///
    /// [`Server::run`]: super::Server::run
    pub fn stop(&self) {
        self.hub.stop();
    }

    /// Replaces the token that clients must send. Clients that have authenticated stay authenticated. A server that was
    /// started without a token goes on without one.
    pub fn set_token(&self, token: Token) {
        self.hub.set_token(token);
    }

    /// How many clients are connected.
    pub fn clients(&self) -> usize {
        self.hub.around.list.len()
    }

    /// The names of all clients that have logged in, sorted. In echo mode, a name of several clients appears once for
    /// each.
    pub fn names(&self) -> Vec<String> {
        self.hub.around.people.names().iter().map(|name| name.to_string()).collect()
    }

    /// The server's counters.
    pub fn stats(&self) -> Stats {
        self.hub.stats()
    }

    /// Waits until all clients are gone and their connections closed, for `timeout` at most. Returns whether they
    /// are.
    pub fn wait_until_empty(&self, timeout: Duration) -> bool {
        let now = Instant::now();
        self.hub.around.list.wait_until_empty(now.checked_add(timeout).unwrap_or(now + crate::limits::YEAR))
    }

    /// Connects a client from within the process, without any address: this is how an embedding program speaks and
    /// listens in its own room. The server treats it like any other client, token included. It cannot reconnect by
    /// itself, so `options.reconnect` has no effect.
    ///
    /// ```
    /// use std::time::Duration;
    /// use localsocket::{ClientOptions, Config, Mode, Server};
    ///
    /// let config = Config { mode: Mode::Room, ..Config::default() };
    /// let server = Server::bind(&["127.0.0.1:0".parse()?], config)?.start()?;
    /// let mut own = server.handle().connect(ClientOptions::default())?;
    /// own.log_in("host", Duration::from_secs(5))?;
    /// assert_eq!(server.handle().names(), ["host"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Client::connect_with`]; [`ClientError::Closed`] at once if the server has been stopped.
    pub fn connect(&self, options: ClientOptions) -> Result<Client, ClientError> {
        let (theirs, own) = Stream::pair().map_err(ClientError::Lost)?;
        if !self.hub.arrive(own) {
            return Err(ClientError::Closed);
        }
        Client::over(theirs, options)
    }
}

/// A server that runs in a thread of its own. When it is dropped, the server is stopped and waited for.
#[derive(Debug)]
#[must_use = "the server stops when this is dropped"]
pub struct RunningServer {
    pub(super) handle: ServerHandle,
    pub(super) addresses: Vec<Address>,
    pub(super) thread: Option<JoinHandle<io::Result<()>>>,
}

impl RunningServer {
    /// The addresses as clients take them, with the ports that were picked.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// A handle for other threads.
    pub fn handle(&self) -> &ServerHandle {
        &self.handle
    }

    /// Stops the server and waits until it has ended, which takes `limits.grace` at most.
    ///
    /// # Errors
    /// What [`Server::run`](super::Server::run) returned.
    pub fn stop(mut self) -> io::Result<()> {
        self.handle.stop();
        self.join()
    }

    /// Waits until the server has been stopped by a handle and has ended.
    ///
    /// # Errors
    /// What [`Server::run`](super::Server::run) returned.
    pub fn wait(mut self) -> io::Result<()> {
        self.join()
    }

    fn join(&mut self) -> io::Result<()> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(io::Error::other("the server's thread has panicked")),
            None => Ok(()),
        }
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.handle.stop();
        let _ = self.join();
    }
}
