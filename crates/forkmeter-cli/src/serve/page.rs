//! The landing page: one HTML page without scripts and without anything to load.

use std::fmt::Write;
use std::time::SystemTime;

use forkmeter_core::LabelSet;

use super::directory::DirectoryRead;
use super::http::LastScrape;
use super::scrape::Scrape;
use crate::escape::Html;
use crate::overview::{Family, File, Overview, Totals};
use crate::units;

const STYLE: &str = include_str!("page.css");
/// How many rows of each table are shown.
const MOST_FAMILIES: usize = 25;
const MOST_WORKERS: usize = 100;
const MOST_FILES: usize = 50;

/// Writes the page.
pub(crate) fn landing(scrape: &Scrape, telemetry_path: &str, last: Option<LastScrape>) -> String {
    let mut page = Page {
        html: String::with_capacity(16 * 1024),
        now: scrape.time,
    };
    let overviews: Vec<Overview> = scrape
        .directories
        .iter()
        .map(|read| Overview::new(read.name.clone(), &read.snapshot, read.took))
        .collect();
    page.head(telemetry_path);
    page.trouble(scrape, &overviews);
    page.totals(scrape, &overviews, last);
    page.families(&Family::biggest_first(
        &scrape.families[..scrape.merged_families],
    ));
    for (read, overview) in scrape.directories.iter().zip(&overviews) {
        page.directory(read, overview, overviews.len() == 1);
    }
    page.foot(scrape);
    page.html
}

struct Page {
    html: String,
    now: SystemTime,
}

/// Appends formatted text; writing to a string cannot fail.
macro_rules! put {
    ($page:expr, $($format:tt)*) => {{ let _ = write!($page.html, $($format)*); }};
}

impl Page {
    fn head(&mut self, telemetry_path: &str) {
        let version = env!("CARGO_PKG_VERSION");
        let path = Html(telemetry_path);
        put!(
            self,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>forkmeter</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n{STYLE}</style>\n</head>\n\
             <body>\n<header>\n<h1>forkmeter <small>{version}</small></h1>\n\
             <nav><a href=\"{path}\">Metrics</a> <a href=\"/-/healthy\">Health</a> \
             <a href=\"/-/ready\">Readiness</a></nav>\n</header>\n<main>\n"
        );
    }

    fn foot(&mut self, scrape: &Scrape) {
        let time = humantime::format_rfc3339_seconds(self.now);
        let took = units::duration(scrape.took);
        put!(
            self,
            "</main>\n<footer>Read at {time} in {took}. Reload to read again.</footer>\n</body>\n</html>\n"
        );
    }

    /// Says first what needs somebody's attention.
    fn trouble(&mut self, scrape: &Scrape, overviews: &[Overview]) {
        let mut lines: Vec<String> = Vec::new();
        for (read, overview) in scrape.directories.iter().zip(overviews) {
            let name = Html(&read.name);
            if let Some(cause) = &read.trouble {
                lines.push(format!(
                    "<code>{name}</code> cannot be read: {}",
                    Html(cause)
                ));
            }
            let totals = &overview.totals;
            if totals.kept_series > 0 {
                let kept = units::count(totals.kept_series);
                lines.push(format!(
                    "Workers of <code>{name}</code> keep {kept} series in memory that they cannot write. \
                     Is the disk full?"
                ));
            }
            if totals.lost_series > 0 {
                let lost = units::count(totals.lost_series);
                lines.push(format!(
                    "{lost} series of <code>{name}</code> were lost with workers that died."
                ));
            }
        }
        for conflict in scrape.conflicts.iter().take(MOST_FILES) {
            lines.push(format!(
                "{} samples of the family <code>{}</code> in <code>{}</code> are left out: {}",
                units::count(conflict.samples as u64),
                Html(&conflict.family),
                Html(&scrape.directories[conflict.source].name),
                conflict.reason.as_str().replace('_', " "),
            ));
        }
        if !lines.is_empty() {
            let items = lines.join(
                "</li>
<li>",
            );
            put!(
                self,
                "<section class=\"trouble\">\n<h2>Needs attention</h2>\n<ul>\n<li>{items}</li>\n</ul>\n</section>\n"
            );
        }
    }

    fn totals(&mut self, scrape: &Scrape, overviews: &[Overview], last: Option<LastScrape>) {
        let mut totals = Totals::default();
        for overview in overviews {
            totals.add(&overview.totals);
        }
        put!(self, "<section>\n<h2>Overview</h2>\n<dl>\n");
        self.fact("Families", &units::count(scrape.merged_families as u64), "");
        self.facts(&totals);
        match last {
            Some(last) => {
                let time = last
                    .time
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .unwrap_or_default();
                let age = units::age(time.as_secs_f64(), self.now);
                let note = format!("{}, {age}", units::bytes(last.size_bytes));
                self.fact("Last scrape", &units::duration(last.took), &note);
            }
            None => self.fact("Last scrape", "none yet", ""),
        }
        put!(self, "</dl>\n</section>\n");
    }

    fn facts(&mut self, totals: &Totals) {
        self.fact("Series", &units::count(totals.series as u64), "");
        let live = units::count(totals.live_workers as u64);
        let mut others = format!("{} dead", units::count(totals.dead_workers as u64));
        if totals.official_processes > 0 {
            let official = units::count(totals.official_processes as u64);
            let _ = write!(others, ", {official} unknown");
        }
        self.fact("Live workers", &live, &others);
        let files = units::count(totals.files as u64);
        self.fact("Files", &files, &totals.files_by_state_text());
        self.fact("On disk", &units::bytes(totals.size_bytes), "");
    }

    fn fact(&mut self, name: &str, value: &str, note: &str) {
        let note = if note.is_empty() {
            String::new()
        } else {
            format!(" <small>{}</small>", Html(note))
        };
        put!(
            self,
            "<div><dt>{}</dt><dd>{}{note}</dd></div>\n",
            Html(name),
            Html(value)
        );
    }

    fn families(&mut self, families: &[Family]) {
        put!(self, "<section>\n<h2>Biggest families</h2>\n");
        let Some(biggest) = families.first() else {
            put!(
                self,
                "<p class=\"soft\">No metrics yet: no worker has counted anything.</p>\n</section>\n"
            );
            return;
        };
        let most = biggest.series.max(1);
        put!(
            self,
            "<div class=\"scroll\"><table>\n<thead><tr><th>Family</th><th>Type</th>\
             <th class=\"number\">Series</th><th class=\"share\"></th>\
             <th class=\"number wide\">Samples</th></tr></thead>\n<tbody>\n"
        );
        for family in families.iter().take(MOST_FAMILIES) {
            put!(
                self,
                "<tr><td class=\"name\"><span class=\"mono\">{}</span><small>{}</small></td>\
                 <td class=\"plain\">{}</td><td class=\"number\">{}</td>\
                 <td class=\"share\"><div class=\"bar\" style=\"width:{}%\"></div></td>\
                 <td class=\"number wide\">{}</td></tr>\n",
                breakable(&family.name),
                Html(&family.help),
                family.kind,
                units::count(family.series as u64),
                family.series * 100 / most,
                units::count(family.samples as u64),
            );
        }
        put!(self, "</tbody>\n</table></div>\n");
        self.left_out(families.len(), MOST_FAMILIES);
        put!(self, "</section>\n");
    }

    fn directory(&mut self, read: &DirectoryRead, overview: &Overview, is_only: bool) {
        let name = Html(&overview.directory);
        let labels = labels(&read.labels);
        put!(
            self,
            "<section>\n<h2><span class=\"mono\">{name}</span> {labels}</h2>\n"
        );
        // The facts of the only directory stand in the overview.
        if !is_only {
            put!(self, "<dl>\n");
            self.facts(&overview.totals);
            self.fact("Read in", &units::duration(read.took), "");
            put!(self, "</dl>\n");
        }
        self.bad_files(&overview.files);
        self.workers(overview);
        put!(self, "</section>\n");
    }

    fn bad_files(&mut self, files: &[File]) {
        let bad: Vec<&File> = files.iter().filter(|file| file.state != "ok").collect();
        if bad.is_empty() {
            return;
        }
        put!(
            self,
            "<h3>Files that were not read in full</h3>\n<div class=\"scroll\"><table>\n\
             <thead><tr><th>File</th><th>State</th><th class=\"number wide\">Size</th>\
             <th class=\"number\">Entries read</th></tr></thead>\n<tbody>\n"
        );
        for file in bad.iter().take(MOST_FILES) {
            put!(
                self,
                "<tr><td class=\"name\"><span class=\"mono\">{}</span><small>{}</small></td>\
                 <td class=\"plain bad\">{}</td><td class=\"number wide\">{}</td><td class=\"number\">{}</td></tr>\n",
                breakable(&file.name),
                Html(&file.cause),
                file.state,
                units::bytes(file.size_bytes),
                units::count(file.entries as u64),
            );
        }
        put!(self, "</tbody>\n</table></div>\n");
        self.left_out(bad.len(), MOST_FILES);
    }

    fn workers(&mut self, overview: &Overview) {
        let official = overview.totals.official_processes;
        if official > 0 {
            put!(
                self,
                "<p class=\"soft\">Processes that wrote files with the official client: {}. It does not say \
                 which of them live.</p>\n",
                units::count(official as u64)
            );
        }
        if overview.workers.is_empty() {
            if official == 0 {
                put!(self, "<p class=\"soft\">No worker is known.</p>\n");
            }
            return;
        }
        put!(
            self,
            "<h3>Workers</h3>\n<div class=\"scroll\"><table>\n\
             <thead><tr><th>Worker</th><th class=\"number\">PID</th><th>State</th><th>Started</th>\
             <th class=\"number\">Kept series</th></tr></thead>\n<tbody>\n"
        );
        for worker in overview.workers.iter().take(MOST_WORKERS) {
            let tone = if worker.state == "live" {
                "good"
            } else {
                "soft"
            };
            put!(
                self,
                "<tr><td class=\"plain mono\">{}</td><td class=\"number\">{}</td>\
                 <td class=\"plain {tone}\">{}</td><td class=\"plain\">{}<small>{}</small></td>\
                 <td class=\"number\">{}</td></tr>\n",
                Html(&worker.tag),
                worker.pid,
                worker.state,
                units::age(worker.started_seconds, self.now),
                units::timestamp(worker.started_seconds),
                units::count(worker.kept_series),
            );
        }
        put!(self, "</tbody>\n</table></div>\n");
        self.left_out(overview.workers.len(), MOST_WORKERS);
    }

    fn left_out(&mut self, all: usize, shown: usize) {
        if all > shown {
            let more = units::count((all - shown) as u64);
            put!(
                self,
                "<p class=\"soft\">and {more} more; forkmeter inspect shows all</p>\n"
            );
        }
    }
}

/// Escapes a name and lets it break after each underscore.
fn breakable(name: &str) -> String {
    Html(name).to_string().replace('_', "_<wbr>")
}

fn labels(labels: &LabelSet) -> String {
    let label = |(name, value)| {
        format!(
            " <span class=\"label\">{}={}</span>",
            Html(name),
            Html(value)
        )
    };
    labels.iter().map(label).collect()
}
