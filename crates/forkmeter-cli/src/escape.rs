//! Makes text from files safe for where it is shown: names and labels may hold anything.

use std::fmt::{self, Write};

/// Shows text on a terminal or in a log: control characters are escaped, so they cannot move the cursor
/// or fake a line.
#[derive(Debug)]
pub(crate) struct Terminal<'a>(pub(crate) &'a str);

impl fmt::Display for Terminal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if is_hazardous(c) {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// Shows text inside HTML, in an element or a quoted attribute.
#[derive(Debug)]
pub(crate) struct Html<'a>(pub(crate) &'a str);

impl fmt::Display for Html<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c if is_hazardous(c) => write!(f, "{}", c.escape_default())?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Control characters, and the marks that reorder the text around them.
fn is_hazardous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_active_passes() {
        assert_eq!(
            Terminal("a\x1b[2J\nb\u{202e}é").to_string(),
            r"a\u{1b}[2J\nb\u{202e}é"
        );
        assert_eq!(
            Html("<b a='1' c=\"2\">&\n").to_string(),
            "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;\\n"
        );
    }
}
