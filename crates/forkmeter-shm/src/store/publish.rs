//! What only this process can compute, published for those who collect elsewhere.

use std::io;

use forkmeter_core::{MetricFamily, MultiprocessMode, fork};

use super::ShmStore;
use crate::published::{self, DeadFiles, Found, Published};
use crate::reader::Names;

impl ShmStore {
    /// Publishes families that only this process can compute, in place of those it published before; tells whether
    /// there is a directory to publish them in. Values that are kept in memory are published with them, where there
    /// is room by now.
    ///
    /// Meant to be called about once a second, with families that were collected without any lock. A directory that
    /// does not exist, or not any more, is left as it is: only counting makes one.
    ///
    /// # Errors
    ///
    /// When they cannot be written; what was published before then stays.
    pub fn publish(&self, families: Vec<(MetricFamily, MultiprocessMode)>) -> io::Result<bool> {
        let _section = fork::enter();
        let worker = {
            let mut state = self.shared.lock();
            state.worker_to_publish(&self.shared.options)
        };
        let Some((path, tag, record)) = worker else {
            return Ok(false);
        };
        let time_seconds = (self.shared.options.clock)();
        let published = Published {
            record,
            time_seconds,
            families,
        };
        published::write(&path, &tag, &published).map(|()| true)
    }

    /// Returns what the live workers of the directory published; of this one `own`, as it is now.
    pub fn published(&self, own: Vec<(MetricFamily, MultiprocessMode)>) -> Found {
        self.published_for(own, None)
    }

    /// As [`ShmStore::published`], for samples of some names: of workers that published no family with such a name
    /// there is nothing.
    pub fn published_for(
        &self,
        own: Vec<(MetricFamily, MultiprocessMode)>,
        names: Option<&Names>,
    ) -> Found {
        let _section = fork::enter();
        let (path, worker) = {
            let mut state = self.shared.lock();
            state.follow(&self.shared.options);
            (state.directory_path(), state.worker())
        };
        let tag = worker.as_ref().map(|(tag, _)| tag.as_str());
        let mut found = path.map_or_else(Found::default, |path| {
            published::find_named(&path, tag, DeadFiles::Remove, names)
        });
        let own = Published {
            record: worker.as_ref().map_or(0, |(_, record)| *record),
            time_seconds: (self.shared.options.clock)(),
            families: own,
        };
        let tag = worker.map_or_else(|| std::process::id().to_string(), |(tag, _)| tag);
        let place = found
            .workers
            .partition_point(|(_, other)| other.record < own.record);
        found.workers.insert(place, (tag, own));
        found
    }
}
