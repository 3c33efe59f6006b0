//! A tiny, dependable way to let processes on one machine talk to each other in real time.
//!
//! This is the library behind `localsocket-server` and `localsocket-client`: a hub that takes lines of text
//! over TCP or a Unix socket and gives each back to its sender (echo mode) or to everyone (room mode), and a
//! blocking client. It starts one thread for each client, needs `std` and `log` alone, sets up no logger,
//! prints nothing and keeps no global state. It runs on Linux.
//!
//! - To embed a hub: [`Server`], [`Config`] and [`ServerHandle`]. Commands of your own: [`CustomCommand`].
//! - To talk to one: [`Client`]. What a received line means: [`protocol::Event`].
//! - To write a client in another language: [`protocol`], the document of the wire.
//!
//! # A hub inside a program
//!
//! ```
//! use std::thread;
//! use std::time::Duration;
//! use localsocket::{Client, Config, Server};
//!
//! let server = Server::bind(&["127.0.0.1:0".parse()?], Config::default())?;
//! let address = server.addresses()[0].clone();
//! let handle = server.handle();
//! let running = thread::spawn(move || server.run());
//!
//! let mut client = Client::connect(&address)?;
//! client.log_in("ada", Duration::from_secs(5))?;
//! assert_eq!(client.request("msg:hello", Duration::from_secs(5))?, "hello");
//! assert_eq!(client.request("who", Duration::from_secs(5))?, "who: ada");
//!
//! handle.stop();
//! running.join().expect("a server does not panic")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A command of its own
//!
//! ```
//! use std::thread;
//! use std::time::{Duration, SystemTime, UNIX_EPOCH};
//! use localsocket::{Client, Config, CustomCommand, Server};
//!
//! let time = CustomCommand::new("time", |_| match SystemTime::now().duration_since(UNIX_EPOCH) {
//!     Ok(since) => format!("time: {}", since.as_secs()),
//!     Err(_) => "error: the clock is before 1970".to_owned(),
//! })?;
//! let config = Config { commands: vec![time], ..Config::default() };
//! let server = Server::bind(&["127.0.0.1:0".parse()?], config)?;
//! let address = server.addresses()[0].clone();
//! let handle = server.handle();
//! let running = thread::spawn(move || server.run());
//!
//! let mut client = Client::connect(&address)?;
//! assert!(client.request("time", Duration::from_secs(5))?.starts_with("time: "));
//! assert!(client.request("help", Duration::from_secs(5))?.contains("time"));
//!
//! handle.stop();
//! running.join().expect("a server does not panic")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Two programs over a Unix socket: a bot in a room, and one who asks it
//!
//! The bot answers when it is spoken to. Here both run in one program, so that the example can be tested;
//! `answer` and `ask` could as well be the `main` functions of two, with a
//! `localsocket-server --mode room --listen unix:PATH` between them.
//!
//! ```
//! use std::thread;
//! use std::time::Duration;
//! use localsocket::protocol::Event;
//! use localsocket::{Address, Client, ClientError, Config, Mode, Server};
//!
//! fn log_in(address: &Address, name: &str) -> Result<Client, ClientError> {
//!     let mut client = Client::connect(address)?;
//!     client.log_in(name, Duration::from_secs(5))?;
//!     Ok(client)
//! }
//!
//! fn answer(mut bot: Client) -> Result<(), ClientError> {
//!     loop {
//!         let line = match bot.receive(None) {
//!             Err(ClientError::Closed) => return Ok(()),
//!             line => line?,
//!         };
//!         if let Event::Direct { sender, text: "are you there?", .. } = Event::parse(&line) {
//!             bot.send(&format!("to:{sender}:always"))?;
//!         }
//!     }
//! }
//!
//! fn ask(mut client: Client) -> Result<String, ClientError> {
//!     client.send("to:bot:are you there?")?;
//!     loop {
//!         let line = client.receive(Some(Duration::from_secs(5)))?;
//!         if let Event::Direct { sender: "bot", text, .. } = Event::parse(&line) {
//!             return Ok(text.to_owned());
//!         }
//!     }
//! }
//!
//! # let path = std::env::temp_dir().join(format!("localsocket-doc-{}.sock", std::process::id()));
//! let config = Config { mode: Mode::Room, ..Config::default() };
//! let server = Server::bind(&[Address::Unix(path)], config)?;
//! let address = server.addresses()[0].clone();
//! let handle = server.handle();
//! let running = thread::spawn(move || server.run());
//!
//! let bot = log_in(&address, "bot")?;
//! let bot = thread::spawn(|| answer(bot));
//! assert_eq!(ask(log_in(&address, "ada")?)?, "always");
//!
//! handle.stop();
//! bot.join().expect("the bot does not panic")?;
//! running.join().expect("a server does not panic")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// The guide and the README: they exist in the documentation, and their examples run as its tests.
#[cfg(doc)]
pub mod guide;
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

// In layer order: each imports only what stands above it.
pub mod protocol;

pub mod limits;

pub mod line;
// Much of these two is for the programs alone.
#[cfg_attr(not(feature = "programs"), allow(dead_code, unreachable_pub, unused_imports))]
mod os;
#[cfg_attr(not(feature = "programs"), allow(dead_code, unreachable_pub))]
mod service_manager;
pub mod transport;

pub mod client;
pub mod server;

#[cfg(feature = "programs")]
mod cli;

/// What the programs of this crate need beyond the library: command lines, and what concerns a whole process. Not
/// part of the public interface; it changes as the programs need it.
#[cfg(feature = "programs")]
#[doc(hidden)]
pub mod programs {
    /// Command lines.
    pub mod cli {
        pub use crate::cli::*;
    }
    pub use crate::os::{
        Signal, Signals, Wait, clear_umask, monotonic_time, poll, raise_descriptor_limit, reap_children, share_one_heap,
    };
    pub use crate::service_manager::{InheritedSocket, inherited_sockets, notify, stderr_is_journal};
}

pub use client::{Change, Client, ClientError, ClientOptions};
pub use limits::Limits;
pub use server::{
    Config, CustomCommand, Dialect, InvalidUsage, Mode, Request, RunningServer, Server, ServerError, ServerHandle,
    Stats, Token, UnknownWord,
};
pub use transport::{Address, AddressError, BindError, ConnectError, own_address};
