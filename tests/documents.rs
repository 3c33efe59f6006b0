//! The documents tell the truth: transcripts are played, option tables compared with the programs.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::{Peer, ServerProgram, fenced_blocks, on_each_transport, run};
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

/// The options that a manual page lists, in the same form.
fn options_in_manual(page: &str) -> Vec<[String; 3]> {
    let page = std::fs::read_to_string(source(page)).unwrap();
    let (_, options) = page.split_once("\n.SH OPTIONS\n").unwrap();
    let (options, _) = options.split_once("\n.SH ").unwrap();
    let plain = options.replace(r"\-", "-").replace(r"\fB", "").replace(r"\fI", "").replace(r"\fR", "");
    let mut entries: Vec<[String; 3]> = Vec::new();
    for entry in plain.split(".TP\n").filter(|entry| !entry.is_empty()) {
        let (flags, meaning) = entry.trim_end().split_once('\n').unwrap();
        let (meaning, default) = meaning.split_once(" [default: ").unwrap_or((meaning, ""));
        entries.push([flags, meaning, default.trim_end_matches(']')].map(str::to_owned));
    }
    entries
}

#[test]
fn the_manual_pages_list_the_options_of_the_programs() {
    let pages = [
        ("src/deploy/localsocket-server.1", env!("CARGO_BIN_EXE_localsocket-server")),
        ("src/deploy/localsocket-client.1", env!("CARGO_BIN_EXE_localsocket-client")),
        ("src/deploy/localsocket-bench.1", env!("CARGO_BIN_EXE_localsocket-bench")),
    ];
    for (page, program) in pages {
        assert_eq!(options_in_manual(page), options_of(program), "{page}");
    }
}

/// The lines of the README's only block with this mark.
fn shown(mark: &str) -> Vec<String> {
    let mut blocks = fenced_blocks(&source("README.md"), mark);
    assert_eq!(blocks.len(), 1, "blocks marked {mark}");
    blocks.remove(0)
}

/// Makes lines comparable: times and ports differ each time, so every number becomes 0. What a terminal
/// alone is told goes.
fn normal(line: &str) -> String {
    let line = line.replace("; help lists the commands, quit or Ctrl-D leaves", "");
    let mut normal = String::new();
    for c in line.chars() {
        match c {
            '0'..='9' if normal.ends_with('0') => {}
            '0'..='9' => normal.push('0'),
            c => normal.push(c),
        }
    }
    normal
}

fn normal_all<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    lines.into_iter().map(normal).collect()
}

#[test]
fn the_session_in_the_readme_is_true() {
    let mut server = ServerProgram::start(&[]);
    let typed = ["hello", "who", "iam:a:b", "quit"];
    let client = shown("client");
    let mut input = typed.iter().peekable();
    // The first line that is one of the typed ones, in their order, was typed; the others are answers.
    let answers: Vec<&str> =
        client.iter().map(String::as_str).filter(|line| input.next_if(|typed| *typed == line).is_none()).collect();
    assert_eq!(input.next(), None, "the README shows all that was typed");
    let (status, received): (Vec<&str>, Vec<&str>) =
        answers.into_iter().partition(|line| line.starts_with("localsocket-client: "));

    let address = server.address().to_string();
    let arguments = ["--connect", &address, "--name", "ada"];
    let outcome = run(env!("CARGO_BIN_EXE_localsocket-client"), &arguments, (typed.join("\n") + "\n").as_bytes());
    assert_eq!(outcome.stdout.lines().collect::<Vec<_>>(), received);
    assert_eq!(normal_all(outcome.stderr.lines()), normal_all(status));

    let nc = shown("nc");
    let mut peer = server.connect();
    peer.send("iam:ada\r\nmsg:hello: world\nquit\n");
    assert!(nc[0].contains(r"'iam:ada\r\nmsg:hello: world\nquit\n'"), "{}", nc[0]);
    nc[1..].iter().for_each(|line| peer.expect(line));
    peer.expect_end();

    server.program.logged("client 2 (ada");
    server.program.signal("TERM");
    let outcome = server.program.wait();
    let log: Vec<&str> = outcome.stdout.lines().chain(outcome.stderr.lines()).collect();
    let shown = shown("server");
    assert_eq!(normal_all(log[..shown.len()].iter().copied()), normal_all(shown.iter().map(String::as_str)));
}
