//! A redis-server of the test's own, and a proxy that cuts connections, whoever they are between.

use super::*;

/// A redis-server on a Unix socket in a directory of its own, which loses nothing when it is killed.
pub struct Engine {
    child: Child,
    pub directory: TempDir,
}

impl Engine {
    /// `None`, and one line that says so, where there is no redis-server.
    pub fn start() -> Option<Engine> {
        let directory = TempDir::new();
        match run(&directory) {
            Ok(child) => Some(Engine { child, directory }),
            Err(_) => {
                eprintln!("skipped: this test needs a redis-server, and there is none on this machine");
                None
            }
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.join("redis.sock")
    }

    pub fn url(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn start_again(&mut self) {
        self.child = run(&self.directory).unwrap();
    }

    /// The first line of the answer.
    pub fn command(&self, command: &str) -> String {
        Peer::connect(&Address::Unix(self.socket())).ask(command)
    }

    /// The first text or number of the answer to a command of these words, whatever is in them.
    pub fn call(&self, words: &[&str]) -> String {
        let mut peer = Peer::connect(&Address::Unix(self.socket()));
        let text: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
        peer.send(format!("*{}\r\n{text}", words.len()));
        let is_length = |line: &String| line.starts_with('$') || line.starts_with('*') && line != "*0";
        std::iter::from_fn(|| peer.line()).find(|line| !is_length(line)).unwrap()
    }

    pub fn signal(&self, signal: &str) {
        kill(signal, self.child.id());
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the program, again if it was killed, and waits until it answers.
fn run(directory: &TempDir) -> std::io::Result<Child> {
    let socket = directory.join("redis.sock");
    let _ = std::fs::remove_file(&socket);
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "always", "--unixsocket"]);
    command.arg(&socket).arg("--dir").arg(&directory.0);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let address = Address::Unix(socket);
    wait_for("redis-server answers", || {
        Stream::connect(&address, DEADLINE).is_ok() && Peer::connect(&address).ask("PING") == "+PONG"
    });
    Ok(child)
}

/// Small random numbers that repeat.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Passes bytes on, and cuts each connection when its time is over or enough bytes have passed.
pub struct Proxy {
    path: PathBuf,
    pub cuts: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Proxy {
    /// A random number of bytes, at most `most` and 500, go through one connection in one direction.
    pub fn start(target: &Path, seed: u64, most: u64) -> Proxy {
        let mut random = Random(seed);
        Proxy::with(target, move || ([500 + random.below(most), 500 + random.below(most)], None))
    }

    /// With the number of bytes to and from the target, and the time, of each connection.
    pub fn with(target: &Path, mut plan: impl FnMut() -> ([u64; 2], Option<Duration>) + Send + 'static) -> Proxy {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let path = target.with_extension(format!("proxy-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        let listener = UnixListener::bind(&path).unwrap();
        let proxy = Proxy { path, cuts: Arc::default(), over: Arc::default() };
        let (target, cuts, over) = (target.to_owned(), Arc::clone(&proxy.cuts), Arc::clone(&proxy.over));
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let ([up, down], time) = plan();
                let Ok(server) = UnixStream::connect(&target) else { continue };
                for (from, to, budget) in [(&client, &server, up), (&server, &client, down)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (cuts, end) = (Arc::clone(&cuts), time.map(|time| Instant::now() + time));
                    thread::spawn(move || pump(&from, &to, budget, end, &cuts));
                }
            }
        });
        proxy
    }

    pub fn url(&self) -> String {
        format!("unix:{}", self.path.display())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = UnixStream::connect(&self.path);
    }
}

fn pump(mut from: &UnixStream, mut to: &UnixStream, mut budget: u64, end: Option<Instant>, cuts: &AtomicUsize) {
    let mut buffer = [0; 16384];
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)));
        let Ok(count) = from.set_read_timeout(left).and_then(|()| from.read(&mut buffer)) else { break };
        if count == 0 {
            let _ = to.shutdown(Shutdown::Write);
            return;
        }
        let passed = (count as u64).min(budget) as usize;
        if to.write_all(&buffer[..passed]).is_err() {
            break;
        }
        budget -= passed as u64;
        if budget == 0 {
            cuts.fetch_add(1, Ordering::SeqCst);
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
