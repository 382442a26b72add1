//! `forkmeter serve`: the command line of the exporter.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgMatches;
use forkmeter_core::LabelSet;

use crate::error::Error;
use crate::serve::{self, Config, ListenAddress, Target};
use crate::{log, units};

/// Export directories over HTTP for a Prometheus server.
///
/// Every scrape of /metrics reads all directories and answers with one merged exposition: families that
/// several directories have are one family. A directory need not exist yet. Pages: / shows what there is,
/// /-/healthy and /-/ready answer 200 while the exporter works.
///
/// --label belongs to the DIR before it; given before the first DIR it belongs to every DIR. A label that an
/// application sets itself is kept as exported_NAME, as Prometheus does.
#[expect(clippy::doc_markdown, reason = "this is the help text")]
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, override_usage = USAGE)]
pub(crate) struct Args {
    /// The directories that workers count in (their PROMETHEUS_MULTIPROC_DIR)
    #[arg(value_name = "DIR", required = true)]
    directories: Vec<PathBuf>,

    /// A label for every series of the DIR before it; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_label)]
    labels: Vec<Label>,

    /// Where to listen: HOST:PORT, or :PORT for all interfaces; may be repeated
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9464"
    )]
    listen_addresses: Vec<ListenAddress>,

    /// The path of the metrics
    #[arg(
        long = "web.telemetry-path",
        value_name = "PATH",
        default_value = serve::TELEMETRY_PATH,
        value_parser = parse_telemetry_path
    )]
    telemetry_path: String,

    /// The number of connections that are served at once; more wait
    #[arg(
        long = "web.max-connections",
        value_name = "N",
        default_value_t = serve::MAX_CONNECTIONS,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    max_connections: u16,

    /// How long a client may take to send a request, take in an answer or stay idle, for example 30s
    #[arg(long = "web.read-timeout", value_name = "TIME", default_value = "30s", value_parser = parse_timeout)]
    read_timeout: Duration,

    /// How often to fold the files that dead workers of the official client left, for example 10m; never unless it is
    /// given. See 'forkmeter help gc', and run as the application's user
    #[arg(long = "gc.interval", value_name = "TIME", value_parser = parse_interval)]
    gc_interval: Option<Duration>,

    /// For how long such files must not have been written to
    #[arg(long = "gc.min-age", value_name = "TIME", default_value = "1m", value_parser = units::parse_time)]
    gc_min_age: Duration,

    /// The form of the log lines on standard error
    #[arg(long = "log.format", value_name = "FORMAT", default_value = "text")]
    log_format: log::Format,
}

const USAGE: &str = "forkmeter serve [OPTIONS] <DIR [--label NAME=VALUE]...>...";

const EXAMPLES: &str = "\
Examples:
  One application, reached from this machine only:
    forkmeter serve /run/app

  On all interfaces, at another port:
    forkmeter serve /run/app --web.listen-address :9100

  Two applications, told apart by a label, both in zone a:
    forkmeter serve --label zone=a /run/web --label service=web /run/jobs --label service=jobs";

#[derive(Clone, Debug)]
struct Label {
    name: String,
    value: String,
}

/// Serves until a signal stops it.
pub(crate) fn run(args: Args, matches: &ArgMatches) -> Result<(), Error> {
    let targets = targets(&args, matches).map_err(|message| Error::Usage {
        command: "serve",
        message,
    })?;
    serve::run(Config {
        targets,
        listen_addresses: args.listen_addresses,
        telemetry_path: args.telemetry_path,
        max_connections: usize::from(args.max_connections),
        timeout: args.read_timeout,
        gc_interval: args.gc_interval,
        gc_min_age: args.gc_min_age,
        log_format: args.log_format,
    })
}

/// Gives each directory the labels that stand behind it, and those that stand before all of them.
fn targets(args: &Args, matches: &ArgMatches) -> Result<Vec<Target>, String> {
    let indices = |id| matches.indices_of(id).into_iter().flatten();
    let directory_indices: Vec<usize> = indices("directories").collect();
    let mut common = LabelSet::empty();
    let mut own = vec![LabelSet::empty(); args.directories.len()];
    for (label, index) in args.labels.iter().zip(indices("labels")) {
        let before = directory_indices.partition_point(|&directory| directory < index);
        let set = if before == 0 {
            &mut common
        } else {
            &mut own[before - 1]
        };
        if set.get(&label.name).is_some() {
            return Err(format!(
                "the label '{}' is given twice for the same DIR",
                label.name
            ));
        }
        *set = set.with(&*label.name, &*label.value);
    }
    for (index, path) in args.directories.iter().enumerate() {
        if args.directories[..index]
            .iter()
            .any(|other| same_directory(other, path))
        {
            return Err(format!("the directory '{}' is given twice", path.display()));
        }
    }
    let targets = args.directories.iter().zip(own).map(|(path, own)| Target {
        path: path.clone(),
        labels: own
            .iter()
            .fold(common.clone(), |all, (name, value)| all.with(name, value)),
    });
    Ok(targets.collect())
}

/// Tells whether two paths lead to the same directory; also where they look the same in a label.
fn same_directory(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    a.to_string_lossy() == b.to_string_lossy() || real(a) == real(b)
}

fn parse_label(text: &str) -> Result<Label, String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err("expected NAME=VALUE, for example service=web".to_owned());
    };
    let legacy = |index: usize, c: char| {
        c.is_ascii_alphabetic() || c == '_' || (index > 0 && c.is_ascii_digit())
    };
    if name.is_empty() || !name.chars().enumerate().all(|(index, c)| legacy(index, c)) {
        return Err(format!(
            "'{name}' is no label name: use letters, digits and _, a digit not first"
        ));
    }
    if name.starts_with("__") || matches!(name, "le" | "quantile") {
        return Err(format!("the label name '{name}' is reserved"));
    }
    if value.is_empty() {
        return Err(format!("the label '{name}' needs a value"));
    }
    Ok(Label {
        name: name.to_owned(),
        value: value.to_owned(),
    })
}

fn parse_telemetry_path(path: &str) -> Result<String, String> {
    let ordinary = |c: char| c.is_ascii_alphanumeric() || "/._~-".contains(c);
    if !path.starts_with('/') || !path.chars().all(ordinary) {
        return Err("expected a path of letters, digits and ._~- that starts with /".to_owned());
    }
    if path == "/" || path.starts_with("/-/") {
        return Err(format!("'{path}' is used by another page"));
    }
    Ok(path.to_owned())
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    let time = units::parse_time(text)?;
    if time.is_zero() {
        return Err("it must be more than 0".to_owned());
    }
    if time > Duration::from_secs(86_400) {
        return Err("it must be at most 1 day".to_owned());
    }
    Ok(time)
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    parse_timeout(text).and_then(|time| {
        if time < Duration::from_secs(1) {
            return Err("it must be at least 1s".to_owned());
        }
        Ok(time)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args as _, FromArgMatches};

    fn parse(line: &str) -> Result<Vec<Target>, String> {
        let command = Args::augment_args(clap::Command::new("serve"));
        let matches = command
            .try_get_matches_from(line.split(' '))
            .map_err(|e| e.to_string())?;
        targets(&Args::from_arg_matches(&matches).unwrap(), &matches)
    }

    fn labels(line: &str) -> Vec<String> {
        let text = |(name, value): (&str, &str)| format!("{name}={value}");
        let all = parse(line).unwrap();
        all.iter()
            .map(|target| target.labels.iter().map(text).collect::<Vec<_>>().join(" "))
            .collect()
    }

    #[test]
    fn labels_belong_to_the_directory_before_them() {
        assert_eq!(labels("serve /a /b"), ["", ""]);
        assert_eq!(
            labels("serve /a --label x=1 /b --label=x=2 --label y=a=b,c"),
            ["x=1", "x=2 y=a=b,c"]
        );
        assert_eq!(
            labels("serve --label z=a /a --label x=1 /b"),
            ["x=1 z=a", "z=a"]
        );
        assert_eq!(
            labels("serve --label z=a /a --label z=b /b"),
            ["z=b", "z=a"]
        );
        assert_eq!(
            labels("serve --web.telemetry-path /m --label x=1 /a"),
            ["x=1"]
        );
    }

    #[test]
    fn wrong_labels_and_directories_are_refused() {
        for line in [
            "serve",
            "serve /a /a",
            "serve /tmp /tmp/.",
            "serve /a --label x=1 --label x=2",
            "serve /a --label x",
            "serve /a --label 1x=1",
            "serve /a --label le=1",
            "serve /a --label __x=1",
            "serve /a --label x=",
            "serve /a --web.telemetry-path metrics",
            "serve /a --web.telemetry-path /{a}",
            "serve /a --web.telemetry-path /-/ready",
            "serve /a --web.read-timeout 0",
            "serve /a --web.max-connections 0",
            "serve /a --gc.interval 10ms",
            "serve /a --gc.min-age soon",
            "serve /a --web.listen-address 9464",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
