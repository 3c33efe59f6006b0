//! The server: bind, run, stop.
//!
//! [`Server::bind`] listens, [`Server::start`] serves in a thread of its own, and dropping the [`RunningServer`] stops it.
//! [`Config`] says how it behaves. A [`ServerHandle`] looks at a running server, stops it, or connects a client from
//! within the process. A server keeps no global state, prints nothing, and logs through `log` only.
//!
//! A `std::net::TcpListener` (or a Unix one) accepts, in one thread, and each client gets a thread of its own. That reads
//! lines without their CRLF, dispatches them to command handlers, and writes the echoes. A client list behind a `Mutex`
//! knows everybody who is connected, so that in room mode a line goes to all of them. There, one more thread writes to
//! slow readers, and in a shared room ([`Join`]) two more talk to the engine.

// The listener is in `accept`, the threads are in `workers`, the lines in `session`, the commands in `handlers`, the list
// in `client_list`, and what is written to one client in `outbox`. Its files, each of which imports only those above it:
//
//   ending           why a connection ended
//   lock             taking a lock, also one that a panic has poisoned
//   clock            counts only time in which the process ran
//   stop             when the stop began, and every timeout that follows from it
//   counters         what the server has done
//   throttle         log lines that may be due often
//   yielder          when to let other threads run first
//   waker            wakes the sessions that wait for input, when the server stops
//   engine           calls to the engine of a room on several servers
//   command, config  what a program sets before the server starts
//   stats            the counters as values, and as the reply to `stats`
//   worst_case       the most memory that clients can make it hold
//   outbox           the bytes that wait to be written to one client
//   member           one connected client, as the threads of the others see it
//   client_list      which clients have a place
//   people           which client has and serves which name, on all servers of a room
//   questions        the answers that are owed, by debtor
//   room             one order of lines for everybody, at the pace of the slowest healthy reader
//   hub              what all sessions share
//   speaker          what one client says
//   handlers         what each command does
//   session          one client's life, from its first byte to the reason it ended
//   workers          a pool of threads for jobs
//   accept           takes connections and hands each to a thread
//   link             joins a room on several servers, says, follows, comes back
//   running          what a program holds of a running server

mod accept;
mod client_list;
mod clock;
mod command;
mod config;
mod counters;
mod ending;
mod engine;
mod handlers;
mod hub;
mod link;
mod lock;
mod member;
mod outbox;
mod people;
mod questions;
mod room;
mod running;
mod session;
mod speaker;
mod stats;
mod stop;
mod throttle;
mod waker;
mod workers;
mod worst_case;
mod yielder;

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use log::{info, warn};

pub use command::{CustomCommand, InvalidUsage, Request};
pub use config::{Config, Dialect, Mode, ServerError};
pub use engine::{Join, JoinUrl, JoinUrlError};
use hub::Hub;
use lock::lock;
use room::Room;
pub use running::{RunningServer, ServerHandle};
pub use stats::Stats;
use workers::Workers;

use crate::counted::Counted;
use crate::limits::STOP_PATIENCE;
use crate::seconds::Seconds;
use crate::threads::{in_time, start_thread};
use crate::transport::{self, Acceptor, Address, Listener};

/// A server that is bound and not yet running. Connections wait until it runs.
///
/// ```
/// use localsocket::{Config, Server};
///
/// let server = Server::bind(&["127.0.0.1:0".parse()?], Config::default())?.start()?;
/// println!("listening on {}", server.addresses()[0]);
/// // Clients come and go.
/// server.stop()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a server serves nobody until it runs"]
pub struct Server {
    hub: Arc<Hub>,
    acceptors: Vec<Acceptor>,
    addresses: Vec<Address>,
    /// Readable when the accept loop is to look at more than its listeners.
    wake: UnixStream,
    open: Open,
}

/// Until it is dropped, clients can connect from within the process.
#[derive(Debug)]
struct Open(Arc<Hub>);

impl Drop for Open {
    fn drop(&mut self) {
        drop(self.0.arrivals(true));
    }
}

impl Server {
    /// Listens on all `addresses`; port 0 picks a free one.
    ///
    /// # Errors
    /// [`ServerError`] if the configuration makes no sense or an address cannot be listened on.
    pub fn bind(addresses: &[Address], config: Config) -> Result<Server, ServerError> {
        config.check(addresses)?;
        let acceptors = Acceptor::bind(addresses, config.unix_mode).map_err(ServerError::Bind)?;
        Server::new(acceptors, config)
    }

    /// Takes sockets that listen already: std's listeners, or [`Listener`] where there are both kinds.
    ///
    /// ```
    /// use std::net::TcpListener;
    /// use std::os::unix::net::UnixListener;
    /// use localsocket::{Config, Listener, Server};
    ///
    /// let tcp = TcpListener::bind("127.0.0.1:0")?;
    /// let server = Server::from_listeners([tcp], Config::default())?.start()?;
    /// # drop(server);
    /// # let path = std::env::temp_dir().join(format!("localsocket-from-listeners-{}", std::process::id()));
    ///
    /// let tcp = TcpListener::bind("127.0.0.1:0")?;
    /// let unix = UnixListener::bind(&path)?;
    /// let server = Server::from_listeners([Listener::from(tcp), unix.into()], Config::default())?.start()?;
    /// assert_eq!(server.addresses().len(), 2);
    /// # drop(server);
    /// # std::fs::remove_file(&path)?; // it is this program's own
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// The sockets become non-blocking. The file of a Unix socket stays when the server has ended.
    ///
    /// # Errors
    /// [`ServerError`] if the configuration makes no sense, or the system refuses something.
    pub fn from_listeners(
        listeners: impl IntoIterator<Item = impl Into<Listener>>,
        config: Config,
    ) -> Result<Server, ServerError> {
        let accept = |listener: Listener| Acceptor::over(listener).map_err(ServerError::System);
        let listeners = listeners.into_iter().map(Into::into);
        Server::new(listeners.map(accept).collect::<Result<_, _>>()?, config)
    }

    fn new(acceptors: Vec<Acceptor>, config: Config) -> Result<Server, ServerError> {
        let addresses: Vec<Address> = acceptors.iter().map(|acceptor| acceptor.address().clone()).collect();
        // The bound addresses count: a host name may stand for something else by now.
        config.check(&addresses)?;
        for acceptor in &acceptors {
            if let Err(error) = acceptor.end_vanished(config.limits.vanished_after()) {
                let address = acceptor.address();
                warn!("{address}: clients whose machine has vanished may stay, the system lacks an option: {error}");
            }
        }
        let (waker, wake) = UnixStream::pair().map_err(ServerError::System)?;
        wake.set_nonblocking(true).map_err(ServerError::System)?;
        let hub = Arc::new(Hub::new(config, waker).map_err(ServerError::System)?);
        Ok(Server { open: Open(Arc::clone(&hub)), hub, acceptors, addresses, wake })
    }

    /// The addresses as clients take them, with the ports that were picked.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// A handle that looks at the server and stops it from another thread.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { hub: Arc::clone(&self.hub) }
    }

    /// Serves in a thread of its own.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(self) -> io::Result<RunningServer> {
        let (handle, addresses) = (self.handle(), self.addresses.clone());
        let thread = thread::Builder::new().name("server".to_owned()).spawn(|| self.run())?;
        Ok(RunningServer { handle, addresses, thread: Some(thread) })
    }

    /// Serves until it is stopped. Returns when all clients are gone, or have been cut off because the grace
    /// period was over.
    ///
    /// # Errors
    /// The system has no thread for the room, or a room that is shared with other servers cannot be joined and
    /// trying again cannot help.
    pub fn run(self) -> io::Result<()> {
        let Server { hub, acceptors, addresses, wake, open: _open } = self;
        log_start(&hub, &addresses);
        let writer = hub.room.is_some().then(|| start_room_writer(&hub)).transpose()?;
        let link = hub.config.join.clone().map(|join| link::start(&hub, join)).transpose().inspect_err(|_| {
            // The writer does not stay behind.
            hub.room.iter().for_each(Room::close);
        })?;
        let sessions = Arc::clone(&hub);
        let workers = Workers::new(move |place| session::run(&sessions, &place));
        accept::run(&hub, &workers, &acceptors, &wake);
        drop(acceptors);
        hub.around.list.close();
        drop(workers);
        if !hub.around.list.wait_until_empty(hub.around.stop.deadline()) {
            let grace = Seconds(hub.config.limits.grace);
            warn!("cutting off {}, not ended within {grace} s", Counted(hub.around.list.len(), "client"));
            hub.cut_all();
            hub.around.list.wait_until_empty(Instant::now() + *STOP_PATIENCE.start());
        }
        let mut refused = None;
        if let (Some(room), Some(link)) = (&hub.room, link) {
            room.leave();
            // Within the timeouts of its calls it ends by itself. One that has not joined, but looks up a name, say, has nothing
            // to leave.
            let until = if room.is_joining() { Instant::now() } else { hub.around.stop.deadline() };
            let left = until.saturating_duration_since(Instant::now());
            refused = in_time(left.max(*STOP_PATIENCE.start()), || Ok(link.join().ok().flatten())).ok().flatten();
        }
        if let (Some(room), Some(writer)) = (&hub.room, writer) {
            room.close();
            let _ = writer.join();
        }
        info!("stopped after {:.1} s; {}", Seconds(hub.started.elapsed()), hub.stats());
        refused.map_or(Ok(()), |why| Err(io::Error::other(why)))
    }
}

fn start_room_writer(hub: &Arc<Hub>) -> io::Result<JoinHandle<()>> {
    let hub = Arc::clone(hub);
    start_thread("room-writer", move || hub.room.iter().for_each(Room::write_what_waits))
}

fn log_start(hub: &Hub, addresses: &[Address]) {
    let Config { mode, limits, .. } = &hub.config;
    let wait = match mode {
        Mode::Echo => format!("write timeout {} s", Seconds(limits.write_timeout)),
        Mode::Room => {
            let [backlog, history] = [limits.max_backlog, limits.room_history()].map(|size| Counted(size, "byte"));
            format!("backlog {backlog}, history {history}, stall timeout {} s", Seconds(limits.stall_timeout))
        }
    };
    let others = match hub.config.join {
        Some(_) => format!(" with up to {} named clients on the other servers", worst_case::OTHERS),
        None => String::new(),
    };
    info!(
        "localsocket {} in {mode} mode: {}, lines of {}, {wait}, idle timeout {}, grace {} s, {}; \
         memory at most {} MiB{others}",
        env!("CARGO_PKG_VERSION"),
        Counted(limits.max_clients, "client"),
        Counted(limits.max_line, "byte"),
        limits.idle_timeout.map_or("never".to_owned(), |idle| format!("{} s", Seconds(idle))),
        Seconds(limits.grace),
        if hub.wants_token() { "with a token" } else { "no token" },
        hub.config.worst_case_memory().div_ceil(1 << 20),
    );
    for address in addresses {
        match transport::own_address().filter(|_| address.is_unspecified()) {
            Some(own) => info!("listening on {address}; this machine is {own}"),
            None => info!("listening on {address}"),
        }
    }
}
