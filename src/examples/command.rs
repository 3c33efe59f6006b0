//! A command of its own beside the built-in ones: `time` answers with the seconds since 1970.
//!
//! `cargo run --example command`, and in another terminal `localsocket-client --verbatim time`.

use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use localsocket::{Address, Config, CustomCommand, InvalidUsage, Server};

fn time() -> Result<CustomCommand, InvalidUsage> {
    CustomCommand::new("time", |_| match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => format!("time: {}", since.as_secs()),
        Err(_) => "error: the clock is before 1970".to_owned(),
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let config = Config { commands: vec![time()?], ..Config::default() };
    let server = Server::bind(&[Address::default()], config)?;
    println!("listening on {}", server.addresses()[0]);
    server.run()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use localsocket::Client;

    use super::*;

    #[test]
    fn the_time_is_told() {
        let config = Config { commands: vec![time().unwrap()], ..Config::default() };
        let server = Server::bind(&["127.0.0.1:0".parse().unwrap()], config).unwrap().start().unwrap();
        let mut client = Client::connect(&server.addresses()[0]).unwrap();
        let reply = client.request("time", Duration::from_secs(5)).unwrap();
        assert!(reply.strip_prefix("time: ").unwrap().parse::<u64>().unwrap() > 0);
        assert!(client.request("help", Duration::from_secs(5)).unwrap().contains("time"));
    }
}
