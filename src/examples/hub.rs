//! A hub inside a program: it serves a room at an address, speaks in it, and prints what the others say.
//!
//! `cargo run --example hub -- unix:/tmp/hub.sock`, and in another terminal
//! `localsocket-client -c unix:/tmp/hub.sock -n ada`. It ends when somebody says `stop`.

use std::error::Error;

use localsocket::protocol::Event;
use localsocket::{Address, ClientOptions, Config, Mode, RunningServer, Server};

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let server = serve(address.as_deref().unwrap_or("unix:/tmp/hub.sock").parse()?)?;
    println!("listening on {}", server.addresses()[0]);
    host(server)
}

fn serve(address: Address) -> Result<RunningServer, Box<dyn Error>> {
    let config = Config { mode: Mode::Room, ..Config::default() };
    Ok(Server::bind(&[address], config)?.start()?)
}

/// Takes part in the program's own room, without any address. When it returns, the server is stopped.
fn host(server: RunningServer) -> Result<(), Box<dyn Error>> {
    let name = Some("host".to_owned());
    let mut client = server.handle().connect(ClientOptions { name, ..ClientOptions::default() })?;
    loop {
        let line = client.receive(None)?;
        match Event::parse(&line) {
            Event::Joined(name) if name != "host" => client.send(format!("msg:welcome, {name}"))?,
            Event::Message { text: "stop", .. } => break,
            Event::Message { name, text } => println!("{name} says {text}"),
            _ => {}
        }
    }
    server.stop()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use localsocket::Client;

    use super::*;

    #[test]
    fn newcomers_are_welcomed_until_somebody_says_stop() {
        let server = serve("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut ada = Client::connect(&server.addresses()[0]).unwrap();
        let handle = server.handle().clone();
        let host = thread::spawn(|| host(server).map_err(|error| error.to_string()));
        let minute = Duration::from_secs(60);
        while handle.names() != ["host"] {
            ada.ping(minute).unwrap();
        }
        ada.log_in("ada", minute).unwrap();
        while ada.receive(Some(minute)).unwrap() != "host: welcome, ada" {}
        ada.send("msg:stop").unwrap();
        host.join().unwrap().unwrap();
    }
}
