//! `forkmeter inspect`.

use crate::support::directory::fleet;
use crate::support::stdout;

#[test]
fn tables_show_files_and_families() {
    let directory = fleet();
    std::fs::write(directory.path().join("counter_\u{1b}[2J.db"), b"").unwrap();
    let text = stdout(&format!("inspect {}", directory.path().display()));
    let row = |first: &str| {
        let line = text.lines().find(|line| line.starts_with(first));
        let line = line.unwrap_or_else(|| panic!("no {first} in {text}"));
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert!(text.starts_with(&format!("{}\n", directory.path().display())));
    assert_eq!(row("counter_11.db")[1], "ok");
    assert_eq!(row("requests")[..4], ["requests", "counter", "2", "2"]);
    assert_eq!(
        row("latency_seconds")[..4],
        ["latency_seconds", "histogram", "1", "4"]
    );
    assert!(!text.contains('\u{1b}'), "{text}");
    let short = stdout(&format!("inspect --limit 1 {}", directory.path().display()));
    assert!(
        short.contains("... and 2 more (--limit 0 shows all)"),
        "{short}"
    );
}

#[test]
fn json_has_the_same_data() {
    let directory = fleet();
    let text = stdout(&format!(
        "inspect --output json {}",
        directory.path().display()
    ));
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["totals"]["files"], 6);
    assert_eq!(value["totals"]["files_by_state"]["ok"], 6);
    assert_eq!(value["totals"]["families"], 3);
    assert_eq!(value["totals"]["series"], 4);
    assert_eq!(value["totals"]["official_processes"], 2);
    assert_eq!(value["families"][0]["name"], "requests");
    assert_eq!(value["families"][0]["series"], 2);
    assert_eq!(value["files"].as_array().unwrap().len(), 6);
    assert_eq!(value["workers"].as_array().unwrap().len(), 0);
}
