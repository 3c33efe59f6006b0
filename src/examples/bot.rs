//! A bot in a room: it answers questions with the square of the number asked for, and comes back when the server was
//! restarted.
//!
//! `localsocket-server --mode room --listen unix:/tmp/hub.sock`, then `cargo run --example bot -- unix:/tmp/hub.sock`, and
//! `localsocket-client -c unix:/tmp/hub.sock --ask squarer 12` prints 144.

use std::time::Duration;

use localsocket::{Client, ClientError, ClientOptions};

fn main() -> Result<(), ClientError> {
    let address = std::env::args().nth(1);
    run(address.as_deref().unwrap_or("unix:/tmp/hub.sock"))
}

fn run(address: &str) -> Result<(), ClientError> {
    let options = ClientOptions {
        name: Some("squarer".to_owned()),
        deaf: true,
        wait: Duration::from_secs(10),
        reconnect: true,
        heartbeat: Some(Duration::from_secs(30)),
        ..ClientOptions::default()
    };
    let mut client = Client::connect_with(address, options)?;
    client.answer(|question| square(question.text()).map(|square| square.to_string()))
}

fn square(text: &str) -> Result<i64, String> {
    let number: i64 = text.trim().parse().map_err(|error| format!("{error}"))?;
    number.checked_mul(number).ok_or_else(|| "the number is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Instant;

    use localsocket::client::AskError;
    use localsocket::{Config, Mode, Server};

    use super::*;

    #[test]
    fn it_answers_and_refuses() {
        let config = Config { mode: Mode::Room, ..Config::default() };
        let server = Server::bind(&["127.0.0.1:0".parse().unwrap()], config).unwrap().start().unwrap();
        let address = server.addresses()[0].to_string();
        thread::spawn(move || run(&address));
        let mut ada = Client::connect(&server.addresses()[0]).unwrap();
        let minute = Duration::from_secs(60);
        ada.log_in("ada", minute).unwrap();
        while !server.handle().names().contains(&"squarer".to_owned()) {
            ada.ping(minute).unwrap();
        }
        let began = Instant::now();
        assert_eq!(ada.ask("squarer", "12", minute).unwrap(), "144");
        assert!(matches!(ada.ask("squarer", "a dozen", minute), Err(AskError::Refused { .. })));
        assert!(began.elapsed() < minute, "an answer is seen when it comes, not when the time is over");
    }
}
