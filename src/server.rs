//! The server: bind, run, stop.
//!
//! [`Server`] owns the listeners; [`ServerHandle`] stops it from another thread. One thread accepts
//! (`accept`), each client has one of its own (`session`) that answers through its place in the client
//! list, and in room mode one more empties the outboxes of slow readers (`room`). A server keeps no global
//! state, prints nothing, and logs through `log` only.

mod accept;
mod classic;
mod client_list;
mod config;
mod ending;
mod handlers;
mod hub;
mod outbox;
mod room;
mod session;
mod workers;

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use log::{info, warn};

pub use config::{Config, CustomCommand, Dialect, Mode, Request, ServerError, Token};
use hub::Hub;

use crate::limits::{STACK_SIZE, STOP_PATIENCE, Seconds};
use crate::service_manager::InheritedSocket;
use crate::transport::{self, Address, Listener};

/// Locks, also after a thread has panicked while it held the lock: each change under a lock is complete
/// in itself, and the others must go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server that is bound and not yet running. Connections wait until [`Server::run`].
///
/// ```
/// use std::thread;
/// use localsocket::{Config, Server};
///
/// let server = Server::bind(&["127.0.0.1:0".parse()?], Config::default())?;
/// println!("listening on {}", server.addresses()[0]);
/// let handle = server.handle();
/// let running = thread::spawn(move || server.run());
/// // Clients come and go.
/// handle.stop();
/// running.join().expect("a server does not panic")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server {
    hub: Arc<Hub>,
    listeners: Vec<Listener>,
    addresses: Vec<Address>,
    /// Readable once the server is to stop.
    wake: UnixStream,
}

impl Server {
    /// Listens on all `addresses`; port 0 picks a free one.
    ///
    /// # Errors
    /// [`ServerError`] if the configuration makes no sense or an address cannot be listened on.
    pub fn bind(addresses: &[Address], config: Config) -> Result<Server, ServerError> {
        config.check(addresses)?;
        let bind = |address| Listener::bind(address, config.unix_mode).map_err(ServerError::Bind);
        let listeners = addresses.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        Server::new(listeners, config)
    }

    /// Takes sockets that a service manager listens on.
    ///
    /// # Errors
    /// [`ServerError`] if the configuration makes no sense, or the system refuses something.
    pub fn from_inherited(sockets: Vec<InheritedSocket>, config: Config) -> Result<Server, ServerError> {
        let listeners = sockets.into_iter().map(|socket| Listener::from_inherited(socket).map_err(ServerError::System));
        let listeners = listeners.collect::<Result<Vec<_>, _>>()?;
        Server::new(listeners, config)
    }

    fn new(listeners: Vec<Listener>, config: Config) -> Result<Server, ServerError> {
        let addresses: Vec<Address> = listeners.iter().map(|listener| listener.address().clone()).collect();
        // What was bound counts: a host name may have come to stand for something else meanwhile.
        config.check(&addresses)?;
        let (waker, wake) = UnixStream::pair().map_err(ServerError::System)?;
        let hub = Hub::new(config, waker).map_err(ServerError::System)?;
        Ok(Server { hub: Arc::new(hub), listeners, addresses, wake })
    }

    /// The addresses as clients take them, with the ports that were picked.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// What stops the server from another thread.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { hub: Arc::clone(&self.hub) }
    }

    /// Serves until it is stopped. Returns when all clients are gone, or have been cut off because the
    /// grace was over.
    ///
    /// # Errors
    /// The system has no thread for the room's writer.
    pub fn run(self) -> io::Result<()> {
        let Server { hub, listeners, addresses, wake } = self;
        log_start(&hub, &addresses);
        let writer = match hub.room {
            Some(_) => Some(start_room_writer(&hub)?),
            None => None,
        };
        accept::run(&hub, &listeners, &wake);
        drop(listeners);
        hub.list.close();
        hub.workers.stop();
        let grace = hub.config.limits.grace;
        if !hub.list.wait_until_empty(Instant::now() + grace) {
            warn!("cutting off {} clients that did not end within {} seconds", hub.list.len(), Seconds(grace));
            hub.cut_all();
            hub.list.wait_until_empty(Instant::now() + *STOP_PATIENCE.start());
        }
        if let (Some(room), Some(writer)) = (&hub.room, writer) {
            room.close();
            let _ = writer.join();
        }
        info!("stopped after {:.1} s; {}", hub.started.elapsed().as_secs_f64(), hub.stats());
        Ok(())
    }
}

fn start_room_writer(hub: &Arc<Hub>) -> io::Result<JoinHandle<()>> {
    let hub = Arc::clone(hub);
    thread::Builder::new().name("room-writer".to_owned()).stack_size(STACK_SIZE).spawn(move || {
        if let Some(room) = &hub.room {
            room.write_what_waits(|| hub.stall_timeout());
        }
    })
}

fn log_start(hub: &Hub, addresses: &[Address]) {
    let Config { mode, limits, .. } = &hub.config;
    let seconds = |time| Seconds(time).to_string();
    let wait = match mode {
        Mode::Echo => format!("write timeout {} s", seconds(limits.write_timeout)),
        Mode::Room => {
            format!("backlog {} bytes, stall timeout {} s", limits.max_backlog, seconds(limits.stall_timeout))
        }
    };
    info!(
        "localsocket {} in {mode} mode: {} clients, lines of {} bytes, {wait}, idle timeout {}, grace {} s, {}; \
         at the very most {} MiB of memory",
        env!("CARGO_PKG_VERSION"),
        limits.max_clients,
        limits.max_line,
        limits.idle_timeout.map_or("never".to_owned(), |idle| format!("{} s", Seconds(idle))),
        seconds(limits.grace),
        if hub.wants_token() { "with a token" } else { "no token" },
        limits.worst_case_memory(*mode == Mode::Room).div_ceil(1 << 20),
    );
    for address in addresses {
        match transport::own_address().filter(|_| address.is_unspecified()) {
            Some(own) => info!("listening on {address}; this machine is {own}"),
            None => info!("listening on {address}"),
        }
    }
}

/// Stops a server, from any thread, and sees how many clients it has.
#[derive(Debug, Clone)]
pub struct ServerHandle {
    hub: Arc<Hub>,
}

impl ServerHandle {
    /// Lets the server accept no more, answer what has arrived, and end. Returns at once; [`Server::run`]
    /// returns when it is done.
    pub fn stop(&self) {
        self.hub.stop();
    }

    /// Replaces the token that clients have to show. Clients that have authenticated stay so. A server that was
    /// started without a token goes on without one.
    pub fn set_token(&self, token: Token) {
        self.hub.set_token(token);
    }

    /// How many clients are connected.
    pub fn clients(&self) -> usize {
        self.hub.list.len()
    }
}
