//! The integration tests, one module for each subject. They are one program, so that tests that wait run beside tests
//! that work, whichever module they are in, and so that there is one program to link.
//!
//! All of them share one process. A test that needs an environment, a limit, a umask, a signal or a current directory
//! of its own gives it to a program that it starts.

// `unreachable_pub`: nothing here is reachable from outside, so `pub` says enough.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod common;

mod access;
mod addresses;
mod ask_answer;
mod bench;
mod bench_cheats;
mod client;
mod client_connections;
mod client_faults;
mod client_library;
mod client_logins;
mod client_questions;
mod deploy;
mod documents;
mod echo;
mod endings;
mod faults;
mod history;
mod joined;
mod joined_faults;
mod joined_script;
mod joined_scripted;
mod joined_serving;
mod listening;
mod log;
mod lost_connections;
mod manual_examples;
mod model;
mod one_rule;
mod portability;
mod process;
mod protocol_document;
mod questions;
mod recipes;
mod recipes_services;
mod resuming;
mod room;
mod serving;
mod slow_readers;
mod soak;
mod stops;
mod trouble;
mod unix_socket;
mod worst_case;

#[test]
fn every_file_beside_this_one_is_a_module_of_it() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite");
    let declared = std::fs::read_to_string(directory.join("main.rs")).unwrap();
    for entry in std::fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        assert!(module == "main" || declared.contains(&format!("\nmod {module};\n")), "{name} is not a module");
    }
}
