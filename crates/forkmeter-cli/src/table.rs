//! Aligned tables for a terminal.

use std::fmt::Write;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::escape::Terminal;

/// Describes one column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// What stands above it.
    pub(crate) title: &'static str,
    /// Whether it holds numbers, which are aligned at the right.
    pub(crate) number: bool,
    /// Whether its text may be cut where the terminal is too narrow.
    pub(crate) elastic: bool,
}

impl Column {
    pub(crate) const fn text(title: &'static str) -> Self {
        Self {
            title,
            number: false,
            elastic: false,
        }
    }

    pub(crate) const fn elastic(title: &'static str) -> Self {
        Self {
            title,
            number: false,
            elastic: true,
        }
    }

    pub(crate) const fn number(title: &'static str) -> Self {
        Self {
            title,
            number: true,
            elastic: false,
        }
    }
}

const GAP: usize = 2;
const LEAST_WIDTH: usize = 12;

/// Formats rows under their titles, each line at most `width` columns wide where the elastic columns allow it.
///
/// Texts are made safe for a terminal. `width` is `None` where nothing is to be cut.
pub(crate) fn format<const N: usize>(
    columns: [Column; N],
    rows: &[[String; N]],
    width: Option<usize>,
) -> String {
    let rows: Vec<[String; N]> = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| Terminal(cell).to_string()))
        .collect();
    let mut widths = columns.map(|column| column.title.width());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    if let Some(width) = width {
        shrink(&columns, &mut widths, width);
    }
    let mut text = String::new();
    let titles = columns.map(|column| column.title.to_owned());
    for row in std::iter::once(&titles).chain(&rows) {
        let mut line = String::new();
        for ((column, cell), &width) in columns.iter().zip(row).zip(&widths) {
            let cell = cut(cell, width);
            let padding = " ".repeat(width.saturating_sub(cell.width()));
            let (before, after) = if column.number {
                (&*padding, "")
            } else {
                ("", &*padding)
            };
            let _ = write!(line, "{before}{cell}{after}{:GAP$}", "");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Takes what is missing from the widest elastic columns.
fn shrink<const N: usize>(columns: &[Column; N], widths: &mut [usize; N], total: usize) {
    loop {
        let now: usize = widths.iter().sum::<usize>() + GAP * N.saturating_sub(1);
        if now <= total {
            return;
        }
        let elastic = (0..N).filter(|&i| columns[i].elastic && widths[i] > LEAST_WIDTH);
        let Some(widest) = elastic.max_by_key(|&i| widths[i]) else {
            return;
        };
        widths[widest] -= 1;
    }
}

/// Cuts `text` to `width` columns and marks the cut.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = 1;
    let mut short = String::new();
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        short.push(c);
    }
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_cut() {
        let columns = [Column::elastic("NAME"), Column::number("SERIES")];
        let rows = [
            ["a_rather_long_name".to_owned(), "1".to_owned()],
            ["日本\x1b".to_owned(), "1,000".to_owned()],
        ];
        let wide = "NAME                SERIES\n\
                    a_rather_long_name       1\n\
                    日本\\u{1b}           1,000\n";
        assert_eq!(format(columns, &rows, None), wide);
        let narrow = format(columns, &rows, Some(22));
        assert!(narrow.lines().all(|line| line.width() <= 22), "{narrow}");
        assert!(narrow.contains("a_rather_long…"), "{narrow}");
    }
}
