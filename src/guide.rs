//! The guide: chapters too long for the README. Not part of the library; exists in the documentation only.
//!
//! - [`scripts`]: recipes, exit codes
//! - [`options`]: all options of the programs, addresses
//! - [`operating`]: log, signals, health, limits
//! - [`trouble`]: when something is wrong
//! - [`deploying`]: files, systemd, containers, several rooms
//! - [`performance`]: figures beside other servers, many clients
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

#[doc = include_str!("guide/scripts.md")]
pub mod scripts {}

/// [scripts]: scripts
#[doc = include_str!("guide/options.md")]
pub mod options {}

#[doc = include_str!("guide/operating.md")]
pub mod operating {}

/// [operating]: operating
#[doc = include_str!("guide/trouble.md")]
pub mod trouble {}

#[doc = include_str!("guide/deploying.md")]
pub mod deploying {}

/// [more than one machine]: machines
#[doc = include_str!("guide/performance.md")]
pub mod performance {}

#[doc = include_str!("guide/machines.md")]
pub mod machines {}

/// [operating]: operating
#[doc = include_str!("guide/how.md")]
pub mod how {}
