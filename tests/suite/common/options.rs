//! The programs' tables of options, from the source of the programs.

#[path = "../../../src/bin/localsocket-bench/options.rs"]
pub mod bench;
#[path = "../../../src/bin/localsocket-client/options.rs"]
pub mod client;
#[path = "../../../src/bin/localsocket-server/options.rs"]
pub mod server;

/// The examples of a manual page, with what they do.
pub fn examples(program: &localsocket::programs::cli::Program) -> &'static [(&'static str, &'static str)] {
    program.sections.iter().find(|(title, _)| *title == "Examples").unwrap().1
}
