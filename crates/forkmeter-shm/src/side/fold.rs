//! `forkmeter.fold`: the journal of a retirement that may be unfinished.

use serde_json::{Value, json};

use super::SideError;
use crate::layout;

/// Says which files are being folded into which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    /// The name of the retired file.
    pub target: String,
    /// The inode of the file that replaces it: once the target has it, the sources no longer count.
    pub target_inode: u64,
    /// The names of the files that are folded in.
    pub sources: Vec<String>,
}

impl Fold {
    /// Returns the journal's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let document = json!({
            "target": self.target,
            "target_inode": self.target_inode,
            "sources": self.sources,
        });
        document.to_string().into_bytes()
    }

    /// Reads a journal.
    ///
    /// # Errors
    ///
    /// Fails when it is not JSON of that shape, or a name is not that of a segment in the same directory, so
    /// that nobody who finishes the retirement removes anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SideError> {
        let document: Value =
            serde_json::from_slice(bytes).map_err(|_| SideError::Document { field: "json" })?;
        let name = |value: &Value| {
            value
                .as_str()
                .filter(|name| is_segment_name(name))
                .map(String::from)
        };
        let target = document.get("target").and_then(name);
        let sources = document.get("sources").and_then(Value::as_array);
        let sources = sources.and_then(|names| names.iter().map(name).collect());
        let target_inode = document.get("target_inode").and_then(Value::as_u64);
        Ok(Self {
            target: target.ok_or(SideError::Document { field: "target" })?,
            target_inode: target_inode.ok_or(SideError::Document {
                field: "target_inode",
            })?,
            sources: sources.ok_or(SideError::Document { field: "sources" })?,
        })
    }
}

fn is_segment_name(name: &str) -> bool {
    let name = layout::name_before_taken(name).unwrap_or(name);
    name.ends_with(layout::SEGMENT_SUFFIX) && !name.contains(['/', '\0']) && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold() -> Fold {
        Fold {
            target: "gauge_max_retired.db".into(),
            target_inode: u64::MAX,
            sources: vec!["gauge_max_1.db".into(), "gauge_max_2-1.db".into()],
        }
    }

    #[test]
    fn journals_round_trip() {
        assert_eq!(Fold::from_bytes(&fold().to_bytes()), Ok(fold()));
        let text = br#"{"target": "a.db", "target_inode": 5, "sources": [], "later": 1}"#;
        let read = Fold::from_bytes(text).unwrap();
        assert_eq!(
            (&*read.target, read.target_inode, read.sources.len()),
            ("a.db", 5, 0)
        );
    }

    #[test]
    fn names_outside_the_directory_are_refused() {
        for name in ["../a.db", "/a.db", "b/a.db", ".db", "a.txt", "a\0.db"] {
            let field = "sources";
            let bad = Fold {
                sources: vec![name.into()],
                ..fold()
            };
            assert_eq!(
                Fold::from_bytes(&bad.to_bytes()),
                Err(SideError::Document { field }),
                "{name}"
            );
            let bad = Fold {
                target: name.into(),
                ..fold()
            };
            let field = "target";
            assert_eq!(
                Fold::from_bytes(&bad.to_bytes()),
                Err(SideError::Document { field }),
                "{name}"
            );
        }
        assert!(Fold::from_bytes(b"{").is_err());
        assert!(Fold::from_bytes(b"[]").is_err());
    }
}
