//! A web service of several processes on one port, each of which shows what all of them counted.
//!
//! ```sh
//! cargo run -p axum_prefork -- --workers 4            # fork()s its workers
//! cargo run -p axum_prefork -- --workers 4 --spawn    # starts its own program again for each of them
//! ```
//!
//! The kernel hands each connection to one of the workers (`SO_REUSEPORT`). A worker that dies, however it dies, is
//! replaced; nothing that it counted is lost.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a program for a terminal"
)]

mod app;
mod socket;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use fork::Fork;
use forkmeter::{Config, Counter, Declare, Lazy, Sharing};

/// Counted by the supervisor, and shown by the workers like everything else.
static STARTS: Lazy<Counter> =
    Lazy::new(|| Counter::builder("workers_started", "Workers that were started.").declare());

/// Tells a spawned program that it is a worker, where to listen, and who its supervisor is.
const WORKER_VARIABLE: &str = "AXUM_PREFORK_WORKER";
const DIRECTORY_VARIABLE: &str = "PROMETHEUS_MULTIPROC_DIR";

struct Arguments {
    listen: SocketAddr,
    workers: usize,
    spawn: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    if let Ok(orders) = std::env::var(WORKER_VARIABLE) {
        // A spawned worker: the directory came with the environment.
        let (address, supervisor) = orders.split_once(' ').ok_or("a worker needs two orders")?;
        return Ok(work(address.parse()?, supervisor.parse()?)?);
    }
    let arguments = arguments()?;
    // Bound but not listening: it keeps the port while workers come and go, and takes no connections.
    let reserved = socket::bind(arguments.listen)?;
    let address = reserved
        .local_addr()?
        .as_socket()
        .ok_or("not an internet address")?;
    let directory = share()?;
    println!("listening on http://{address}/ and http://{address}/metrics");
    println!("sharing metrics in {}", directory.display());
    for _ in 0..arguments.workers {
        start(&arguments, address, &directory)?;
    }
    loop {
        let (pid, _status) = fork::wait_any()?;
        eprintln!("worker {pid} ended; starting another");
        // So that a worker that cannot start does not keep the machine busy.
        thread::sleep(Duration::from_millis(100));
        start(&arguments, address, &directory)?;
    }
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut arguments = Arguments {
        listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
        workers: 2,
        spawn: false,
    };
    let mut given = std::env::args().skip(1);
    while let Some(flag) = given.next() {
        let mut value = || given.next().ok_or_else(|| format!("{flag} needs a value"));
        match &*flag {
            "--listen" => arguments.listen = value()?.parse()?,
            "--workers" => arguments.workers = value()?.parse()?,
            "--spawn" => arguments.spawn = true,
            _ => {
                return Err(
                    "usage: axum_prefork [--listen ADDRESS] [--workers N] [--spawn]".into(),
                );
            }
        }
    }
    Ok(arguments)
}

/// Makes sure that there is a directory to share metrics in: the one in the environment, or a new one.
fn share() -> io::Result<PathBuf> {
    if let Some(directory) = forkmeter::directory() {
        return Ok(directory);
    }
    let directory = std::env::temp_dir().join(format!("axum_prefork-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let config = Config::new().sharing(Sharing::Directory(directory.clone()));
    forkmeter::configure(config).map_err(io::Error::other)?;
    Ok(directory)
}

fn start(arguments: &Arguments, address: SocketAddr, directory: &PathBuf) -> io::Result<()> {
    STARTS.inc();
    let supervisor = std::process::id();
    if arguments.spawn {
        Command::new(std::env::current_exe()?)
            .env(WORKER_VARIABLE, format!("{address} {supervisor}"))
            .env(DIRECTORY_VARIABLE, directory)
            .spawn()?;
        return Ok(());
    }
    // This process has one thread, so the child may do as it likes.
    if let Fork::Child = fork::fork()? {
        let outcome = work(address, supervisor);
        if let Err(error) = &outcome {
            eprintln!("worker {}: {error}", std::process::id());
        }
        #[expect(
            clippy::exit,
            reason = "a forked child must not return into the supervisor"
        )]
        std::process::exit(i32::from(outcome.is_err()));
    }
    Ok(())
}

/// Serves requests until the supervisor ends.
fn work(address: SocketAddr, supervisor: u32) -> io::Result<()> {
    socket::end_with(supervisor)?;
    let listener = socket::listen(address)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        axum::serve(listener, app::router()).await
    })
}
