//! localsocket
#[doc(hidden)]
pub mod cli;
pub mod limits;
pub mod line;
pub mod os;
pub mod protocol;
pub mod transport;
pub mod server;
pub use transport::{Address, AddressError, BindError, ConnectError, own_address};
pub use server::{Config, CustomCommand, Dialect, Mode, Request, Server, ServerError, ServerHandle, Token};
pub use limits::Limits;
