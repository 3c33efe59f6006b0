//! A small hub that lets the processes of a machine exchange lines of text in real time, over TCP or Unix sockets.
//!
//! This is the library behind the programs `localsocket-server` and `localsocket-client`. It needs `std` and `log`, sets
//! up no logger, prints nothing and keeps no global state. All calls block; there is no async runtime. It runs on Linux,
//! macOS and the BSDs. A program that embeds it turns off the default feature `programs`, and then depends on `log` alone:
//!
//! ```toml
//! localsocket = { version = "0.2", default-features = false }
//! ```
//!
//! - To put a hub into a program: [`Server`] and its [`Config`]. It gives each line back to its sender ([`Mode::Echo`]) or
//!   to everyone ([`Mode::Room`]), and can have commands of its own ([`CustomCommand`]).
//! - To talk to a hub: [`Client`] and its [`ClientOptions`]. What a received line means: [`protocol::Event`]. Lines to
//!   send, made from values: [`protocol::Command`].
//! - To write a client in another language: [`protocol`].
#![cfg_attr(
    doc,
    doc = "- Options of the programs, operating, deploying, performance, several machines: the [`guide`]."
)]
//!
//! Whole programs to start from are in `src/examples`: a program with a room of its own, a server with an added command,
//! a bot that answers, a job queue.
//!
//! # A hub inside a program, and a client
//!
//! In echo mode, the default, each client gets its own messages back. [`Client::request`] sends a command and returns its
//! reply.
//!
//! ```
//! use std::time::Duration;
//! use localsocket::{Client, Config, Server};
//!
//! let server = Server::bind(&["127.0.0.1:0".parse()?], Config::default())?.start()?;
//!
//! let mut client = Client::connect(&server.addresses()[0])?;
//! client.log_in("ada", Duration::from_secs(5))?;
//! assert_eq!(client.request("msg:hello", Duration::from_secs(5))?, "hello");
//!
//! server.stop()?; // so would dropping it
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A room
//!
//! In room mode everyone gets everyone's messages, and one client can ask another. [`ServerHandle::connect`] gives the
//! program itself a client in its room.
//!
//! ```
//! use std::time::Duration;
//! use localsocket::protocol::Event;
//! use localsocket::{Client, ClientOptions, Config, Mode, Server};
//!
//! let config = Config { mode: Mode::Room, ..Config::default() };
//! let server = Server::bind(&["127.0.0.1:0".parse()?], config)?.start()?;
//! let named = |name: &str| ClientOptions { name: Some(name.to_owned()), ..ClientOptions::default() };
//! let mut host = server.handle().connect(named("host"))?;
//! let mut ada = Client::connect_with(&server.addresses()[0], named("ada"))?;
//!
//! ada.send("msg:is anybody there?")?;
//! let patience = Some(Duration::from_secs(5));
//! let line = host.receive_where(patience, |event| matches!(event, Event::Message { .. }))?;
//! assert_eq!(Event::parse(&line), Event::Message { name: "ada", text: "is anybody there?" });
//! host.send("to:ada:I am")?;
//! let line = ada.receive_where(patience, |event| matches!(event, Event::Direct { .. }))?;
//! assert_eq!(line, "host > ada: I am");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A command of its own
//!
//! ```
//! # use std::time::Duration;
//! # use localsocket::Client;
//! use localsocket::{Config, CustomCommand, Server};
//!
//! let shout = CustomCommand::new("shout:<text>", |request| request.argument.to_uppercase())?;
//! let config = Config { commands: vec![shout], ..Config::default() };
//! let server = Server::bind(&["127.0.0.1:0".parse()?], config)?.start()?;
//! # let mut client = Client::connect(&server.addresses()[0])?;
//! assert_eq!(client.request("shout:hello", Duration::from_secs(5))?, "HELLO");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// The guide and the README: they exist in the documentation, and their examples run as its tests.
#[cfg(doc)]
pub mod guide;
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

// In layer order: each imports only what stands above it.
#[cfg_attr(not(feature = "programs"), allow(unreachable_pub))]
mod seconds;

pub mod protocol;

pub mod limits;
#[cfg_attr(not(feature = "programs"), allow(unreachable_pub))]
mod pauses;
#[cfg_attr(not(feature = "programs"), allow(unreachable_pub))]
mod token;

mod atomic;
#[cfg_attr(not(feature = "programs"), allow(unreachable_pub))]
mod counted;
#[cfg_attr(not(feature = "programs"), allow(unreachable_pub))]
mod threads;

// Much of these two is for the programs alone.
#[cfg_attr(not(feature = "programs"), allow(dead_code, unreachable_pub))]
mod line;
#[cfg_attr(not(feature = "programs"), allow(dead_code, unreachable_pub, unused_imports))]
mod os;
#[cfg(feature = "programs")]
mod service_manager;
#[cfg(feature = "programs")]
mod timestamp;
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
    pub use crate::counted::Counted;
    pub use crate::line::{Line, LineReader};
    pub use crate::os::{
        Signal, Signals, Wait, forget_children, kill_apart, permit_only, poll, raise_descriptor_limit, share_one_heap,
        spawn_apart, spawn_unblocked, survive_full_files, terminate_apart, wait_for_child,
    };
    pub use crate::pauses::random;
    pub use crate::seconds::Seconds;
    pub use crate::service_manager::{inherited_sockets, notify, stderr_is_journal};
    pub use crate::threads::{in_time, start_thread};
    pub use crate::timestamp::rfc_3339;
}

// With their descriptions on the first page of the documentation, rather than as mere names.
#[doc(inline)]
pub use client::{AskError, Client, ClientError, ClientOptions, Incoming};
#[doc(inline)]
pub use limits::Limits;
#[doc(inline)]
pub use server::{
    Config, CustomCommand, Dialect, InvalidUsage, Join, JoinUrl, JoinUrlError, Mode, Request, RunningServer, Server,
    ServerError, ServerHandle, Stats,
};
pub use token::Token;
#[doc(inline)]
pub use transport::{Address, AddressError, BindError, ConnectError, Listener, own_address};
