//! A hub inside a program: the program serves a room on a Unix socket, or on the address that is its argument.
//!
//! `cargo run --example hub -- unix:/tmp/hub.sock`, then `localsocket-client -c unix:/tmp/hub.sock -n ada`.

use std::error::Error;

use localsocket::{Address, Config, Mode, Server};

fn main() -> Result<(), Box<dyn Error>> {
    let address: Address = std::env::args().nth(1).as_deref().unwrap_or("unix:/tmp/hub.sock").parse()?;
    let server = Server::bind(&[address], Config { mode: Mode::Room, ..Config::default() })?;
    for address in server.addresses() {
        println!("listening on {address}");
    }
    // Serves until a handle stops it: this program has none, and runs until it is ended.
    server.run()?;
    Ok(())
}
