//! The examples of the manual pages do what they say, in the empty directory and the room that recipes have.

use crate::common::*;
use crate::recipes::{Kitchen, recipe};

impl Kitchen {
    /// An example of a manual page, with the files and addresses of this kitchen.
    fn own(&self, example: &str) -> String {
        let token = self.directory.join("hub.token");
        fs::write(&token, "token\n").unwrap();
        let example = example.replace("/etc/hub.token", &token.display().to_string());
        example.replace("unix:/run/hub.sock", &self.server.address().to_string()).replace(":12345", ":0")
    }
}

#[test]
fn examples_in_the_manual_of_the_server() {
    let kitchen = Kitchen::new();
    for (example, _) in options::examples(&options::server::PROGRAM) {
        // Joined rooms have tests of their own, which start an engine.
        if example.contains("--join") {
            continue;
        }
        let socket = kitchen.directory.join("example.sock").display().to_string();
        let example = kitchen.own(&example.replace("/run/hub.sock", &socket));
        let mut server = ServerProgram::from_command(kitchen.command("bash").args(["-c", &format!("exec {example}")]));
        server.connect().ping();
        server.stop();
    }
}

/// Each does its work and ends, or goes on without a complaint.
#[test]
fn examples_in_the_manual_of_the_client() {
    for (example, _) in options::examples(&options::client::PROGRAM) {
        let kitchen = Kitchen::new();
        for file in ["app.log", "log"] {
            fs::write(kitchen.directory.join(file), "a line\n").unwrap();
        }
        let mut ada = kitchen.listener();
        assert_eq!(ada.ask("deaf"), "deaf");
        let _answering = example.contains("--ask").then(|| {
            let answering = kitchen.start(&recipe("serve"));
            wait_for("the answerer", || ada.ask("who:squarer") != "who: ");
            answering
        });
        let before = ada.stat("accepted");
        let mut script = kitchen.start(&kitchen.own(example));
        wait_for("the example to connect", || ada.stat("accepted") > before);
        let goes_on = ["--answer", "--recv-only", "tail "].iter().any(|part| example.contains(part));
        if goes_on && !example.contains("--count") {
            assert_eq!(script.0.stderr(), "", "{example}");
        } else {
            let outcome = script.0.wait();
            assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{example}: {outcome:?}");
        }
    }
}

#[test]
fn examples_in_the_manual_of_the_bench() {
    let kitchen = Kitchen::new();
    let echo = ServerProgram::start(&[]);
    for (example, _) in options::examples(&options::bench::PROGRAM) {
        let server = if example.contains("--work") { &kitchen.server } else { &echo };
        kitchen.run(&format!("{} -c {} --messages 5000", kitchen.own(example), server.address())).ends(0);
    }
}
