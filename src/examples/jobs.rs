//! A queue of jobs on a room: any number of workers serve one name, each job is a question to that name, and the job of a
//! worker that dies is done by another.
//!
//! `cargo run --example jobs -- unix:/tmp/jobs.sock` starts a server with two workers, does the jobs that are typed, one a
//! line, and ends after the last one. More workers can come and go meanwhile, from any program:
//! `localsocket-client -c unix:/tmp/jobs.sock --serve upper --answer 'tr a-z A-Z'`.

use std::collections::BTreeMap;
use std::error::Error;
use std::thread;
use std::time::Duration;

use localsocket::{Address, AskError, Client, ClientError, ClientOptions, Config, Incoming, Mode, Server};

/// The name that all workers serve.
const SERVED: &str = "upper";

/// Jobs that are under way at the same time. More would only wait at the workers.
const UNDER_WAY: usize = 64;

/// Before a job is given away again, so that a room without workers is not asked without end.
const PAUSE: Duration = Duration::from_millis(100);

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let address: Address = address.as_deref().unwrap_or("unix:/tmp/jobs.sock").parse()?;
    let config = Config { mode: Mode::Room, ..Config::default() };
    let server = Server::bind(&[address], config)?.start()?;
    let address = server.addresses()[0].clone();
    for number in 1..=2 {
        let address = address.clone();
        thread::spawn(move || work(&address, number));
    }
    let queue = Client::connect_with(&address, options("queue"))?;
    do_all(queue, std::io::stdin().lines().map_while(Result::ok), |job, result| println!("{job}: {result}"))?;
    server.stop()?;
    Ok(())
}

fn options(name: &str) -> ClientOptions {
    ClientOptions { name: Some(name.to_owned()), deaf: true, reconnect: true, ..ClientOptions::default() }
}

/// A worker: it comes back, and serves the name again, when the server was restarted.
fn work(address: &Address, number: u32) -> Result<(), ClientError> {
    let options = ClientOptions { serve: vec![SERVED.to_owned()], ..options(&format!("worker {number}")) };
    Client::connect_with(address, options)?.answer(|question| Ok(question.text().to_uppercase()))
}

/// Has all jobs done, and tells the result of each as it comes. A job may be begun more than once, but it has one result.
fn do_all(
    mut queue: Client,
    jobs: impl IntoIterator<Item = String>,
    mut done: impl FnMut(&str, &str),
) -> Result<(), AskError> {
    let (mut jobs, sender) = (jobs.into_iter(), queue.sender());
    let mut under_way = BTreeMap::new();
    let mut again = Vec::new();
    loop {
        while under_way.len() < UNDER_WAY
            && let Some(job) = again.pop().or_else(|| jobs.next())
        {
            under_way.insert(sender.put_question(SERVED, &job)?, job);
        }
        if under_way.is_empty() {
            return Ok(());
        }
        let Incoming::Answer(number, answer) = queue.next(None)? else { continue };
        let Some(job) = under_way.remove(&number) else { continue };
        match answer {
            Ok(result) => done(&job, &result),
            Err(AskError::Refused { reason, .. }) => done(&job, &reason),
            Err(error) => {
                // Its worker has left, or the connection was lost; or nobody serves the name, so that it has to wait.
                if matches!(error, AskError::Failed(why) if why.starts_with("nobody here")) {
                    thread::sleep(PAUSE);
                }
                again.push(job);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use localsocket::protocol::Event;

    use super::*;

    #[test]
    fn the_job_of_a_worker_that_dies_is_done_by_another() {
        let config = Config { mode: Mode::Room, ..Config::default() };
        let server = Server::bind(&["127.0.0.1:0".parse().unwrap()], config).unwrap().start().unwrap();
        let address = server.addresses()[0].clone();
        let serve = vec![SERVED.to_owned()];
        let mut mortal = Client::connect_with(&address, ClientOptions { serve, ..options("mortal") }).unwrap();
        let queue = Client::connect_with(&address, options("queue")).unwrap();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let jobs = (0..20).map(|number| format!("job {number}"));
            do_all(queue, jobs, |job, result| tell.send((job.to_owned(), result.to_owned())).unwrap()).unwrap();
        });
        // It gets all of them, as nobody else is there, and dies with all.
        let minute = Duration::from_secs(60);
        mortal.receive_where(Some(minute), |event| matches!(event, Event::Question { text: "job 0", .. })).unwrap();
        drop(mortal);
        thread::spawn(move || work(&address, 1));
        let mut results: Vec<_> = (0..20).map(|_| told.recv_timeout(minute).unwrap()).collect();
        assert!(told.recv_timeout(minute).is_err(), "each has one result");
        results.sort();
        results.dedup();
        assert_eq!(results.len(), 20);
        assert!(results.iter().all(|(job, result)| *result == job.to_uppercase()), "{results:?}");
    }
}
