//! localsocket
#[doc(hidden)]
pub mod cli;
pub mod client;
pub mod limits;
pub mod line;
pub mod os;
pub mod protocol;
pub mod server;
pub mod transport;
pub use client::{Change, Client, ClientError, ClientOptions};
pub use limits::Limits;
pub use server::{Config, CustomCommand, Dialect, Mode, Request, Server, ServerError, ServerHandle, Token};
pub use transport::{Address, AddressError, BindError, ConnectError, own_address};
