//! What std lacks of Unix: signals, waiting for several descriptors, sends that never block, the lengths of socket
//! queues; and two searches that std does slowly. The only module with unsafe code.
//!
//! Every function is a thin, safe wrapper around one or two calls of the C library and keeps no state. Knows nothing
//! of lines, clients or servers.
//!
//! - `c`: declarations and constants, grouped by C header
//! - `result`: errors as the C library reports them
//! - `bytes`: the first occurrence of a byte, and the check for UTF-8
//! - `poll`: waiting for descriptors
//! - `socket`: sending, receiving, queues, options, permissions of files, descriptors that were inherited
//! - `child`: starting and ending other programs
//! - `process`: signals, zombies, umask, descriptor limit, address space
//! - `linux`: what Linux has beyond that; `portable`: what stands in for it on other systems

#![allow(unsafe_code)]

mod bytes;
mod c;
mod child;
mod poll;
mod process;
mod result;
mod socket;
#[cfg_attr(all(target_os = "linux", not(localsocket_portable)), path = "os/linux.rs")]
#[cfg_attr(not(all(target_os = "linux", not(localsocket_portable))), path = "os/portable.rs")]
mod system;

pub(crate) use bytes::{find, text};
pub use child::{kill_apart, spawn_apart, spawn_unblocked, terminate_apart};
pub use poll::{Wait, poll};
pub(crate) use process::has_address_space;
pub use process::{
    Signal, Signals, forget_children, permit_only, raise_descriptor_limit, survive_full_files, wait_for_child,
};
pub(crate) use socket::{
    is_unknown_family, receive_now, reset_on_close, send_now, set_backlog, set_mode, streams_and_listens,
    take_inherited, unread,
};
pub use system::share_one_heap;
pub(crate) use system::{
    LONGEST_PATH, STREAMS_BLOCK, abstract_address, abstract_name, connect_unix, end_vanished, file_system, has_ended,
    listen_on_v6_only, peer_process, prepare_tcp, prepare_unix, trim_heap, untaken,
};
