//! A server inside the test.

use super::*;
use localsocket::ServerHandle;

/// A server in a thread of the test, on a TCP port and on a Unix socket.
pub struct TestServer {
    pub tcp: Address,
    pub unix: Address,
    pub handle: ServerHandle,
    running: Option<JoinHandle<()>>,
    _directory: TempDir,
}

impl TestServer {
    pub fn start(config: Config) -> TestServer {
        let directory = TempDir::new();
        let unix = Address::Unix(directory.join("hub.sock"));
        let server = Server::bind(&["127.0.0.1:0".parse().unwrap(), unix], config).unwrap();
        let [tcp, unix] = server.addresses() else { panic!("two addresses") };
        let (tcp, unix, handle) = (tcp.clone(), unix.clone(), server.handle());
        let running = Some(thread::spawn(move || server.run().unwrap()));
        TestServer { tcp, unix, handle, running, _directory: directory }
    }

    /// Stops it and waits until it has.
    pub fn stop(&mut self) {
        self.handle.stop();
        if let Some(running) = self.running.take() {
            let result = running.join();
            assert!(thread::panicking() || result.is_ok(), "the server panicked");
        }
    }

    #[track_caller]
    pub fn wait_until_empty(&self) {
        wait_for("an empty client list", || self.handle.clients() == 0);
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs a test against a server over TCP and, side by side, against another over a Unix socket.
#[track_caller]
pub fn on_each_transport(config: &Config, test: impl Fn(&TestServer, &Address) + Sync) {
    side_by_side([("TCP", false), ("Unix", true)], |unix| {
        let server = TestServer::start(config.clone());
        test(&server, if unix { &server.unix } else { &server.tcp });
    });
}
