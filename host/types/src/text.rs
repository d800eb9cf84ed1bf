//! Makes text that a plugin or a service wrote safe to print: one line, no control characters,
//! capped.

/// `text` on one line with everything escaped that could move a cursor or hide other text, cut
/// after `cap` characters.
pub fn clean(text: &str, cap: usize) -> String {
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == cap {
            out.push('…');
            break;
        }
        if c.is_control() || reorders(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Invisible characters and those that change the direction of what follows.
fn reorders(c: char) -> bool {
    matches!(
        c,
        '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_not_obeyed() {
        assert_eq!(clean("a\x1b[2Jb\nc", 100), "a\\u{1b}[2Jb\\nc");
        assert_eq!(clean("x\u{202e}y", 100), "x\\u{202e}y");
        assert_eq!(clean("grüße", 100), "grüße");
        assert_eq!(clean("abcdef", 3), "abc…");
    }
}
