//! The documents tell the truth: transcripts are played, option tables compared with the programs.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::{Peer, fenced_blocks, on_each_transport, run};
use localsocket::{Config, Mode};

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn play(mark: &str, mode: Mode) {
    let transcripts = fenced_blocks(&source("src/protocol.md"), mark);
    assert!(!transcripts.is_empty(), "no transcript of {mark} mode");
    for transcript in transcripts {
        on_each_transport(&Config { mode, ..Config::default() }, |_, address| {
            // All are there from the start, so that each hears all.
            let mut peers: BTreeMap<char, Peer> = BTreeMap::new();
            for line in &transcript {
                peers.entry(line.chars().next().unwrap()).or_insert_with(|| Peer::connect(address)).ping();
            }
            for line in &transcript {
                let peer = peers.get_mut(&line.chars().next().unwrap()).unwrap();
                match line.split_at(2) {
                    (who, text) if who.ends_with('>') => peer.send(format!("{}\n", &text[1..])),
                    (who, text) if who.ends_with('<') => peer.expect(&text[1..]),
                    (who, "") if who.ends_with('.') => peer.expect_end(),
                    _ => panic!("not a line of a transcript: {line}"),
                }
            }
        });
    }
}

#[test]
fn the_echo_transcript_is_true() {
    play("echo", Mode::Echo);
}

#[test]
fn the_room_transcript_is_true() {
    play("room", Mode::Room);
}

/// The options that a program's help text lists: flags, meaning, default.
fn options_of(program: &str) -> Vec<[String; 3]> {
    let help = run(program, &["--help"], b"").stdout;
    let (_, options) = help.split_once("\nOptions:\n").unwrap();
    let lines = options.lines().take_while(|line| !line.is_empty());
    let option = |line: &str| {
        let (flags, meaning) = line.trim_start().split_once("  ").unwrap();
        let (meaning, default) = meaning.trim().split_once(" [default: ").unwrap_or((meaning.trim(), ""));
        [flags, meaning, default.trim_end_matches(']')].map(str::to_owned)
    };
    lines.map(option).collect()
}

/// The rows of the README's option tables, in the same form.
fn options_in_readme() -> Vec<[String; 3]> {
    let readme = std::fs::read_to_string(source("README.md")).unwrap();
    let rows = readme.lines().filter(|line| line.starts_with("| `-"));
    let row = |line: &str| {
        let cells: Vec<String> =
            line.replace(r"\|", "\0").split('|').map(|cell| cell.replace('\0', "|").replace('`', "")).collect();
        [1, 2, 3].map(|column| cells[column].trim().to_owned())
    };
    rows.map(row).collect()
}

#[test]
fn the_tables_of_options_are_those_of_the_programs() {
    let mut programs = options_of(env!("CARGO_BIN_EXE_localsocket-server"));
    programs.extend(options_of(env!("CARGO_BIN_EXE_localsocket-client")));
    assert_eq!(options_in_readme(), programs);
}
