//! A job queue on a room: clients queue jobs with a command of the program's own, `job:<text>`, workers take them in
//! order, and everybody in the room hears the results. At the end of its input the program stops cleanly: it takes no
//! new jobs, finishes those that it took, then stops the server.
//!
//! `cargo run --example jobs -- unix:/tmp/jobs.sock`, and in another terminal
//! `localsocket-client -c unix:/tmp/jobs.sock --verbatim` to type `job:hello`. Ctrl-D ends the program.

use std::error::Error;
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use localsocket::{Address, Client, ClientError, ClientOptions, Config, CustomCommand, Mode, RunningServer, Server};

/// Jobs that may wait. What is more is refused, so memory stays bounded.
const WAITING: usize = 100;

struct Job {
    /// The client that wants it done.
    by: String,
    text: String,
}

/// Where jobs go in. `None` once the queue is closed.
type Entrance = Arc<Mutex<Option<SyncSender<Job>>>>;

struct JobServer {
    server: RunningServer,
    entrance: Entrance,
    workers: Vec<JoinHandle<Result<(), ClientError>>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let jobs = JobServer::start(address.as_deref().unwrap_or("unix:/tmp/jobs.sock").parse()?, 4)?;
    println!("listening on {}", jobs.server.addresses()[0]);
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    jobs.stop()
}

impl JobServer {
    fn start(address: Address, workers: usize) -> Result<JobServer, Box<dyn Error>> {
        let (sender, jobs) = mpsc::sync_channel(WAITING);
        let entrance: Entrance = Arc::new(Mutex::new(Some(sender)));
        let command = queue_jobs(Arc::clone(&entrance))?;
        let config = Config { mode: Mode::Room, commands: vec![command], ..Config::default() };
        let server = Server::bind(&[address], config)?.start()?;
        let jobs = Arc::new(Mutex::new(jobs));
        let start = |number| {
            let name = Some(format!("worker {number}"));
            let client = server.handle().connect(ClientOptions { name, ..ClientOptions::default() })?;
            let jobs = Arc::clone(&jobs);
            Ok(thread::Builder::new().spawn(move || work(client, &jobs))?)
        };
        let workers = (1..=workers).map(start).collect::<Result<Vec<_>, Box<dyn Error>>>()?;
        Ok(JobServer { server, entrance, workers })
    }

    fn stop(self) -> Result<(), Box<dyn Error>> {
        // Without an entrance, the workers end when the queue is empty.
        drop(self.entrance.lock().unwrap_or_else(PoisonError::into_inner).take());
        for worker in self.workers {
            worker.join().map_err(|_| "a worker has panicked")??;
        }
        self.server.stop()?;
        Ok(())
    }
}

/// The command runs on the thread of the client that sent it, so it must not wait: a full queue is an error.
fn queue_jobs(entrance: Entrance) -> Result<CustomCommand, Box<dyn Error>> {
    let queue = move |request: &localsocket::Request<'_>| {
        let Some(by) = request.name else { return "error: say who you are first: iam:<name>".to_owned() };
        let job = Job { by: by.to_owned(), text: request.argument.to_owned() };
        match &*entrance.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(sender) => match sender.try_send(job) {
                Ok(()) => "queued".to_owned(),
                Err(TrySendError::Full(_)) => format!("error: {WAITING} jobs are waiting"),
                Err(TrySendError::Disconnected(_)) => "error: no worker is left".to_owned(),
            },
            None => "error: stopping".to_owned(),
        }
    };
    Ok(CustomCommand::new("job:<text>", queue)?)
}

/// Does jobs until there are no more, and tells the room.
fn work(mut client: Client, jobs: &Mutex<Receiver<Job>>) -> Result<(), ClientError> {
    // Its own messages come back to it, and must not pile up.
    client.send("deaf")?;
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { by, text }) = next else { return Ok(()) };
        let result = text.to_uppercase(); // the work
        client.send(format!("msg:for {by}: {result}"))?;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_job_that_was_queued_is_done_before_the_server_stops() {
        let jobs = JobServer::start("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let mut ada = Client::connect(&jobs.server.addresses()[0]).unwrap();
        let minute = Some(Duration::from_secs(60));
        ada.log_in("ada", Duration::from_secs(60)).unwrap();
        for number in 0..20 {
            ada.send(format!("job:number {number}")).unwrap();
        }
        let mut queued = 0;
        let mut done = Vec::new();
        while queued < 20 {
            match ada.receive(minute).unwrap() {
                line if line == "queued" => queued += 1,
                line => done.push(line),
            }
        }
        jobs.stop().unwrap();
        while let Ok(line) = ada.receive(minute) {
            done.push(line);
        }
        assert_eq!(done.iter().filter(|line| line.contains(": for ada: NUMBER ")).count(), 20, "{done:#?}");
    }
}
