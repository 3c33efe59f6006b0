//! What std lacks of Linux: signals, waiting for several descriptors, sends that never block, the lengths of socket
//! queues; and two searches that std does slowly. The only module with unsafe code.
//!
//! Every function is a thin, safe wrapper around one or two calls of the C library and keeps no state. Knows nothing
//! of lines, clients or servers.
//!
//! - `c`: declarations and constants, grouped by C header
//! - `result`: errors as the C library reports them
//! - `bytes`: the first occurrence of a byte, and the check for UTF-8
//! - `poll`: waiting for descriptors
//! - `socket`: sending, receiving, queues, options, descriptors that were inherited
//! - `unix`: Unix sockets with permissions and time limits, and the kind of file system under them
//! - `child`: starting and ending other programs
//! - `process`: signals, zombies, umask, descriptor limit, heap, address space

#![allow(unsafe_code)]

mod bytes;
mod c;
mod child;
mod poll;
mod process;
mod result;
mod socket;
mod unix;

pub(crate) use bytes::{find, text};
pub use child::{kill_apart, spawn_apart};
pub(crate) use poll::has_ended;
pub use poll::{Wait, poll};
pub(crate) use process::has_address_space;
pub use process::{Signal, Signals, forget_children, permit_only, raise_descriptor_limit, share_one_heap};
pub(crate) use socket::{
    SocketKind, is_unknown_family, peer_process, receive_now, reset_on_close, send_now, set_backlog, set_keepalive,
    socket_kind, take_inherited, unread, untaken,
};
pub(crate) use unix::file_system;
