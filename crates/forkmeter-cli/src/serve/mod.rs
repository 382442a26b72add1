//! The exporter: listens, serves and stops.

mod address;
mod beside;
mod directory;
mod folding;
mod http;
mod page;
mod scrape;
mod self_metrics;
mod union;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use forkmeter_core::LabelSet;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tower_service::Service as _;

pub(crate) use address::ListenAddress;
pub(crate) use beside::Beside;

use self::scrape::Scraper;
use crate::error::Error;
use crate::log::{self, Logger};

/// The connections that are served at once where nobody says otherwise.
pub(crate) const MAX_CONNECTIONS: u16 = 256;
/// How long a client may be silent where nobody says otherwise.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
/// Where the metrics are where nobody says otherwise.
pub(crate) const TELEMETRY_PATH: &str = "/metrics";

/// Holds what the command line asks for.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) targets: Vec<Target>,
    pub(crate) listen_addresses: Vec<ListenAddress>,
    pub(crate) telemetry_path: String,
    pub(crate) max_connections: usize,
    /// How long a client may be silent.
    pub(crate) timeout: Duration,
    /// How often to fold left-over files; never where it is not given.
    pub(crate) gc_interval: Option<Duration>,
    /// For how long they must not have been written to.
    pub(crate) gc_min_age: Duration,
    pub(crate) log_format: log::Format,
}

/// Names one directory and the labels that its series get.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    pub(crate) path: PathBuf,
    pub(crate) labels: LabelSet,
}

/// How long a stop waits for answers that are under way.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait after a connection could not be accepted, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// The most bytes of a request's head; a Prometheus server sends a few hundred.
const HEAD_BYTES: usize = 16 * 1024;
/// Threads that read directories, encode and compress.
const WORK_THREADS: usize = 4;

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
///
/// Fails when an address cannot be listened on, or a path is there and is no directory.
pub(crate) fn run(config: Config) -> Result<(), Error> {
    let log = Logger::new(config.log_format);
    for target in &config.targets {
        if target.path.exists() && !target.path.is_dir() {
            let source = std::io::ErrorKind::NotADirectory.into();
            return Err(Error::Directory {
                path: target.path.clone(),
                source,
            });
        }
    }
    let runtime = runtime()?;
    let result = runtime.block_on(serve(config, log));
    stop(runtime);
    result
}

async fn serve(config: Config, log: Logger) -> Result<(), Error> {
    let mut signals = Signals::new()?;
    let listeners = listen(&config.listen_addresses)?;
    log_start(&config, log);
    let scraper = Scraper::new(config.targets.clone(), log);
    folding::start(&config, &scraper, log)?;
    let running = Running::start(&config, scraper, listeners, log);
    let name = signals.next().await;
    log.info("stopping", &[("signal", &name)]);
    tokio::select! {
        finished = running.stop() => if finished {
            log.info("stopped", &[]);
        },
        name = signals.next() => log.warn("stopped at once", &[("signal", &name)]),
    }
    Ok(())
}

fn runtime() -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(WORK_THREADS)
        .build()
        .map_err(|source| Error::System {
            what: "start the server",
            source,
        })
}

/// Ends without waiting for a read that may hang, for example on a network file system.
fn stop(runtime: Runtime) {
    runtime.shutdown_background();
}

/// Listens on all addresses; called within a runtime.
fn listen(addresses: &[ListenAddress]) -> Result<Vec<(SocketAddr, TcpListener)>, Error> {
    let listener = |address: &ListenAddress| {
        let failed = |source| Error::Listen {
            address: address.to_string(),
            source,
        };
        let listener = TcpListener::from_std(address.bind()?).map_err(failed)?;
        Ok((listener.local_addr().map_err(failed)?, listener))
    };
    addresses.iter().map(listener).collect()
}

/// Accepts connections in tasks of its own until it is stopped.
struct Running {
    server: Arc<Server>,
    accepting: JoinSet<()>,
}

impl Running {
    /// Starts accepting; called within a runtime.
    fn start(
        config: &Config,
        scraper: Scraper,
        listeners: Vec<(SocketAddr, TcpListener)>,
        log: Logger,
    ) -> Self {
        let router = http::router(scraper, &config.telemetry_path, log);
        let server = Arc::new(Server {
            router,
            connections: Arc::new(Semaphore::new(config.max_connections)),
            timeout: config.timeout,
            graceful: GracefulShutdown::new(),
            log,
        });
        let mut accepting = JoinSet::new();
        for (address, listener) in listeners {
            accepting.spawn(Arc::clone(&server).accept(listener));
            log.info("listening", &[("url", &format_args!("http://{address}/"))]);
        }
        Self { server, accepting }
    }

    /// Takes no more connections and finishes the answers that are under way; tells whether all came to their
    /// end in time, after a line in the log where they did not.
    async fn stop(mut self) -> bool {
        // Closes the listeners, and drops every other owner of the server.
        self.accepting.shutdown().await;
        let server =
            Arc::into_inner(self.server).expect("invariant: only accepting tasks share the server");
        let open = server.graceful.count();
        let finished = tokio::time::timeout(STOP_TIMEOUT, server.graceful.shutdown()).await;
        if finished.is_err() {
            server
                .log
                .warn("stopped with answers under way", &[("connections", &open)]);
        }
        finished.is_ok()
    }
}

fn log_start(config: &Config, log: Logger) {
    for (index, target) in config.targets.iter().enumerate() {
        let labels: Vec<_> = target
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let path = target.path.display();
        log.info(
            "serving directory",
            &[("directory", &path), ("labels", &labels.join(","))],
        );
        let same = |other: &&Target| !union::told_apart(&other.labels, &target.labels);
        if let Some(other) = config.targets[..index].iter().find(same) {
            log.warn(
                "labels do not tell two directories apart: of a series that both have, only the first one's \
                 is exposed (give each DIR a --label)",
                &[("first", &other.path.display()), ("second", &path)],
            );
        }
    }
}

/// Waits for the signals that stop the server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Error> {
        let listen = |kind| {
            signal(kind).map_err(|source| Error::System {
                what: "handle signals",
                source,
            })
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

struct Server {
    router: axum::Router,
    connections: Arc<Semaphore>,
    timeout: Duration,
    graceful: GracefulShutdown,
    log: Logger,
}

impl Server {
    /// Accepts connections as long as there is room for them; the others wait in the kernel's queue.
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut failing = false;
        loop {
            let permit = Arc::clone(&self.connections).acquire_owned().await;
            let permit = permit.expect("invariant: the semaphore is never closed");
            match listener.accept().await {
                Ok((stream, _)) => {
                    failing = false;
                    self.connect(stream, permit);
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        self.log
                            .warn("a connection cannot be accepted", &[("cause", &error)]);
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Serves one connection in a task of its own.
    fn connect(&self, stream: TcpStream, permit: OwnedSemaphorePermit) {
        // Answers go out whole, so waiting for more to send only costs time. Failing costs only that.
        let _ = stream.set_nodelay(true);
        let mut stream = Box::pin(TimeoutStream::new(stream));
        stream.as_mut().set_write_timeout_pinned(Some(self.timeout));
        let router = self.router.clone();
        let service = hyper::service::service_fn(move |request| router.clone().call(request));
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.timeout)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let connection = self.graceful.watch(connection);
        tokio::spawn(async move {
            // Clients that go away, are too slow or speak no HTTP concern nobody else.
            let _ = connection.await;
            drop(permit);
        });
    }
}
