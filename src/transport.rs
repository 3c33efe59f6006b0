//! Addresses, listeners and connections, the same over TCP and over Unix sockets.
//!
//! [`Address`] is the form that people write: `127.0.0.1:12345`, `unix:/run/hub.sock`, `unix:@name`. [`Listener`] and
//! [`Stream`] are enums over the two kinds of sockets. A stream is shared, not cloned: reading and writing work on
//! `&Stream`, so a client costs one descriptor.

// Knows no lines and no commands; nothing above this module asks which kind of socket it has. Its files, each of which
// imports only those above it:
//
//   look_up                   host names to addresses, within a time limit
//   address                   addresses as text and as values
//   error                     failures in words that say what to do
//   socket_path, file_system  which paths can be sockets, and where a refused connection proves something
//   connect                   one time limit for everything, never to oneself
//   stream                    one connection
//   closing                   ending it without losing what was sent last
//   socket_file               the file of a listening Unix socket
//   ports                     listening on all addresses of a host, and what else uses a port
//   listener                  sockets that listen already
//   acceptor                  accepting connections
//   own_address               the address that other machines see

mod acceptor;
mod address;
mod closing;
mod connect;
mod error;
mod file_system;
mod listener;
mod look_up;
mod own_address;
mod ports;
mod socket_file;
mod socket_path;
mod stream;

pub(crate) use acceptor::Acceptor;
pub use address::{Address, AddressError};
pub(crate) use closing::{read_until_closed, wait_until_taken};
pub use error::{BindError, ConnectError};
pub use listener::Listener;
pub use own_address::own_address;
pub use stream::Stream;
