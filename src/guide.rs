//! The guide: chapters too long for the README. Not part of the library; exists in the documentation only.
//!
//! - [`options`]: all options of the programs, addresses, exit codes
//! - [`operating`]: log, signals, health, limits
//! - [`deploying`]: files, systemd, containers, several rooms
//! - [`scale`]: how many clients, and which limits of the system to raise
//! - [`performance`]: figures beside other servers
//! - [`machines`]: one room on several machines
//! - [`how`]: how it works
//! - [`protocol`](crate::protocol): writing a client
//!
//! How it works:
//!
#![doc = include_str!("guide/how.svg")]
//!
//! How fast it is:
//!
#![doc = include_str!("guide/chart.svg")]

// The files link to each other by name, for those who read them as files. A definition that comes first wins, so the
// ones here make the same links work in this documentation.

#[doc = include_str!("guide/options.md")]
pub mod options {}

#[doc = include_str!("guide/operating.md")]
pub mod operating {}

#[doc = include_str!("guide/deploying.md")]
pub mod deploying {}

/// [more than one machine]: machines
#[doc = include_str!("guide/scale.md")]
pub mod scale {}

#[doc = include_str!("guide/performance.md")]
pub mod performance {}

#[doc = include_str!("guide/machines.md")]
pub mod machines {}

/// [operating]: operating
#[doc = include_str!("guide/how.md")]
pub mod how {}
