//! The exporter in a thread of its own, beside whatever else the process does.

use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::scrape::Scraper;
use super::{Config, Running, listen, runtime, stop};
use crate::error::Error;
use crate::log::Logger;

/// An exporter that serves until this is dropped; dropping waits for answers that are under way, for a few
/// seconds at most.
///
/// It handles no signals. Its threads have the signal mask of the thread that starts it.
#[derive(Debug)]
pub(crate) struct Beside {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Beside {
    /// Starts serving; it listens when this returns.
    ///
    /// # Errors
    ///
    /// Fails when an address cannot be listened on, or there is no thread to be had.
    pub(crate) fn start(config: &Config) -> Result<Self, Error> {
        let log = Logger::new(config.log_format);
        let runtime = runtime()?;
        let running = runtime.block_on(async {
            let listeners = listen(&config.listen_addresses)?;
            let scraper = Scraper::new(config.targets.clone(), log);
            Ok(Running::start(config, scraper, listeners, log))
        })?;
        let (sender, asked) = oneshot::channel();
        let work = move || {
            runtime.block_on(async {
                // A sender that is gone asks for the same.
                let _ = asked.await;
                running.stop().await;
            });
            stop(runtime);
        };
        let thread = std::thread::Builder::new()
            .name("exporter".to_owned())
            .spawn(work)
            .map_err(|source| Error::System {
                what: "start the server",
                source,
            })?;
        Ok(Self {
            stop: Some(sender),
            thread: Some(thread),
        })
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has been reported, and nothing depends on the thread.
            let _ = thread.join();
        }
    }
}
