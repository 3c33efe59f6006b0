//! The documents tell the truth: transcripts are played, option tables compared with the programs.

use crate::common::*;
use std::fmt::Write as _;

#[test]
fn the_transcripts_of_the_protocol_are_true() {
    for (mark, mode) in [("echo", Mode::Echo), ("room", Mode::Room)] {
        let transcripts = fenced_blocks(&source("src/protocol.md"), mark);
        assert!(!transcripts.is_empty(), "no transcript of {mark} mode");
        for transcript in transcripts {
            on_each_transport(&Config { mode, ..Config::default() }, |_, address| {
                let mut talk = Talk::new(address);
                // All are there from the start, so that each hears all.
                transcript.iter().for_each(|line| talk.peer(&line[..1]).ping());
                for line in &transcript {
                    let peer = talk.peer(&line[..1]);
                    match line[1..].split_at(1) {
                        (">", text) => peer.send(format!("{}\n", &text[1..])),
                        ("<", text) => peer.expect(&text[1..]),
                        (".", "") => peer.expect_end(),
                        _ => panic!("not a line of a transcript: {line}"),
                    }
                }
            });
        }
    }
}

#[test]
fn generated_tables_of_options_are_those_of_the_programs() {
    for program in [SERVER, CLIENT, env!("CARGO_BIN_EXE_localsocket-bench")] {
        // What the help text lists: flags, meaning, default.
        let help = run(program, &["--help"], "").stdout;
        let (_, options) = help.split_once("\nOptions:\n").unwrap();
        let mut table = "| option | meaning | default |\n|---|---|---|\n".to_owned();
        for line in options.lines().take_while(|line| !line.is_empty()) {
            let (flags, meaning) = line.trim_start().split_once("  ").unwrap();
            let (meaning, default) = meaning.trim().split_once(" [default: ").unwrap_or((meaning.trim(), ""));
            let cells = [&flags.replace(", ", "`, `"), meaning, default.trim_end_matches(']')];
            let [flags, meaning, default] = cells.map(|cell| cell.replace('|', r"\|").replace('<', r"\<"));
            writeln!(table, "| `{flags}` | {meaning} | {default} |").unwrap();
        }
        let begin = format!("<!-- {} -->\n", Path::new(program).file_name().unwrap().display());
        is_generated(&source("src/guide/options.md"), &begin, "<!-- end -->", &table, str::to_owned);
    }
}

/// The README and the chapters of the guide, with their text.
fn documents() -> Vec<(PathBuf, String)> {
    let chapters = fs::read_dir(source("src/guide")).unwrap().map(|entry| entry.unwrap().path());
    let chapters = chapters.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let all = chapters.chain([source("README.md"), source("CHANGELOG.md"), source("src/protocol.md")]);
    all.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// Text from elsewhere may begin with a dash.
#[test]
fn recipes_keep_text_apart_from_options() {
    for (path, text) in documents() {
        let mut lines = text.lines().filter(|line| line.contains("localsocket-client "));
        let bare = lines.find(|line| ["--text '", "--text \""].iter().any(|bare| line.contains(bare)));
        assert_eq!(bare, None, "{}", path.display());
    }
}

#[test]
fn links_lead_to_files_that_are_there() {
    let mut found = 0;
    for (path, text) in documents() {
        let inline = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
        let defined =
            text.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: ")).map(|(_, target)| target);
        for target in inline.chain(defined).filter(|target| !target.contains("://") && !target.starts_with('#')) {
            let file = path.parent().unwrap().join(target.split('#').next().unwrap());
            assert!(file.exists(), "{}: no file {target}", path.display());
            found += 1;
        }
    }
    assert!(found > 10, "{found} links");
}

#[test]
fn the_readme_is_short() {
    let words = fs::read_to_string(source("README.md")).unwrap().split_whitespace().count();
    assert!(words <= 900, "{words} words");
}

/// The chart is drawn from the table that it illustrates, and the session of the README is played with the real programs.
#[test]
fn what_is_drawn_shows_the_table_and_what_the_programs_do() {
    for (script, programs) in [("src/guide/chart.py", None), ("src/guide/recording.py", Some(programs()))] {
        let Ok(drawn) = Command::new("python3").arg(source(script)).args(programs).arg("--check").output() else {
            return println!("skipped: no python3");
        };
        assert!(drawn.status.success(), "{script}: {}", String::from_utf8_lossy(&drawn.stderr));
    }
}

/// The lines of a document's only block with this mark.
fn shown(document: &str, mark: &str) -> Vec<String> {
    let mut blocks = fenced_blocks(&source(document), mark);
    assert_eq!(blocks.len(), 1, "blocks marked {mark}");
    blocks.remove(0)
}

/// Makes lines comparable: times and ports differ each time, so every number becomes 0.
fn normal(line: &str) -> String {
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

/// Two people type and hear what the README shows: each block as far as it goes, until all of it has happened.
#[test]
fn the_two_people_in_the_readme_talk_as_it_says() {
    let server = ServerProgram::start(ROOM);
    let people = [("ada", &["hello bob"][..]), ("bob", &["to:ada:only for you", "who", "quit"])];
    // What is still to come, what is typed of it, and the program with the number of lines that it has printed.
    let mut people = people.map(|(name, typed)| {
        let mut lines = shown("README.md", name);
        assert_eq!(lines.remove(0), format!("$ make run-client ARGS='--name {name}'"));
        // That is for a person at a terminal.
        lines.retain(|line| !line.starts_with("localsocket-client: "));
        assert!(typed.iter().all(|typed| lines.iter().any(|line| line == typed)), "{lines:#?}");
        let program = client(server.address(), &["--name", name]);
        // Bob comes when Ada is there.
        wait_for(name, || program.stdout().starts_with(&format!("{name} has joined\n")));
        (VecDeque::from(lines), typed, program, 0)
    });
    wait_for("the two to say all", || {
        for (lines, typed, program, printed) in &mut people {
            let stdout = program.stdout();
            let mut heard = stdout.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).skip(*printed);
            while let Some(line) = lines.front() {
                if typed.contains(&&**line) {
                    writeln!(program.stdin.as_mut().unwrap(), "{line}").unwrap();
                } else {
                    let Some(heard) = heard.next() else { break };
                    assert_eq!(heard, line);
                    *printed += 1;
                }
                lines.pop_front();
            }
        }
        people.iter().all(|(lines, ..)| lines.is_empty())
    });
    people[1].2.wait().ends(0);
}

#[test]
fn the_session_with_nc_is_true() {
    let server = ServerProgram::start(ROOM);
    let nc = shown("README.md", "nc");
    let mut peer = server.connect();
    peer.send("iam:eve\nmsg:hello\nquit\n");
    assert!(nc[0].contains(r"'iam:eve\nmsg:hello\nquit\n'"), "{}", nc[0]);
    peer.hears_last(&nc[1..].join("|"));
}

/// The log of a short life, from start to stop. `make manuals` writes it anew.
#[test]
fn generated_log_of_the_guide_is_true() {
    let mut server = ServerProgram::start(ROOM);
    let mut peer = server.connect();
    peer.send("iam:ada\nmsg:hello\nquit\n");
    peer.hears_last("ada has joined|ada: hello");
    server.program.logged("has left");
    let log = server.stop().stderr;

    is_generated(&source("src/guide/operating.md"), "```log\n", "```\n", &log, normal);
}
