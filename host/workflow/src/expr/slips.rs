//! Own wording for the slips that people make most often in expressions.

use cel::ParseErrors;

use super::Place;
use crate::diagnostic::Diagnostic;
use crate::source::Span;

/// What is wrong with an expression that the parser refused.
pub(super) fn explain(place: &Place<'_>, errors: &ParseErrors) -> Diagnostic {
    let error = |range: Span, message: &str| {
        Diagnostic::error("LK0108", place.text.source, place.span(range), message)
    };
    let words = match scan(place.code) {
        Ok(words) => words,
        Err(open) => {
            return error(open..place.code.len(), "this quote is never closed")
                .label("opened here")
                .help("text in an expression stands between two `'`, such as `'prod'`");
        }
    };
    for word in &words {
        let (range, replacement) = (word.range.clone(), word.meant());
        let Some(replacement) = replacement else {
            continue;
        };
        let title = match word.text {
            "=" => "`=` does not compare",
            "&" | "|" => "expressions have no bitwise operators",
            _ => "expressions write logic in symbols",
        };
        let span = place.span(range.clone());
        // `not x` becomes `!x`, without the space.
        let gap = if word.text == "not" {
            let after = place.code.get(range.end..).unwrap_or_default();
            after.len() - after.trim_start().len()
        } else {
            0
        };
        let edit = place.span(range.start..range.end + gap);
        return error(range, title)
            .label(format!("write `{replacement}`"))
            .suggest(
                format!("use `{replacement}`"),
                if edit.start == span.start { edit } else { span },
                replacement,
            );
    }
    if let Some(last) = words.last()
        && last.is_operator()
    {
        return error(last.range.clone(), "this operator has nothing on its right")
            .label("a value is expected after it");
    }
    let at = errors
        .errors
        .first()
        .map_or(0, |first| byte_at(place.code, first.pos));
    let found = place.code.get(at..).unwrap_or_default();
    let Some(word) = words.iter().find(|word| word.range.end > at) else {
        return error(
            place.code.len().saturating_sub(1)..place.code.len(),
            "this expression ends too early",
        )
        .label("something is missing after this");
    };
    let range = if found.is_empty() {
        0..place.code.len()
    } else {
        word.range.clone()
    };
    error(range, "this expression cannot be read")
        .label(format!("`{}` is not expected here", word.text))
}

/// The byte of a line and column, both from 1.
fn byte_at(code: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line).unwrap_or(1).max(1);
    let column = usize::try_from(column).unwrap_or(1).max(1);
    let start: usize = code
        .split_inclusive('\n')
        .take(line - 1)
        .map(str::len)
        .sum();
    let rest = code.get(start..).unwrap_or_default();
    start
        + rest
            .char_indices()
            .nth(column - 1)
            .map_or(rest.len(), |(byte, _)| byte)
}

/// A token, as far as slips need to know.
struct Word<'a> {
    text: &'a str,
    range: Span,
}

impl Word<'_> {
    /// What was most likely meant, for a token that CEL does not have.
    fn meant(&self) -> Option<&'static str> {
        match self.text {
            "=" => Some("=="),
            "and" | "AND" | "&" => Some("&&"),
            "or" | "OR" | "|" => Some("||"),
            "not" | "NOT" => Some("!"),
            _ => None,
        }
    }

    fn is_operator(&self) -> bool {
        matches!(
            self.text,
            "&&" | "||"
                | "=="
                | "!="
                | "<"
                | "<="
                | ">"
                | ">="
                | "+"
                | "-"
                | "*"
                | "/"
                | "%"
                | "!"
                | "?"
                | ":"
                | "."
                | "in"
        )
    }
}

/// The tokens of an expression, or where the quote stands that is never closed.
fn scan(code: &str) -> Result<Vec<Word<'_>>, usize> {
    let mut words = Vec::new();
    let mut rest = code;
    loop {
        rest = rest.trim_start();
        let start = code.len() - rest.len();
        let Some(first) = rest.chars().next() else {
            return Ok(words);
        };
        let length = if first == '\'' || first == '"' {
            quoted(rest, first).ok_or(start)?
        } else if first.is_alphanumeric() || first == '_' {
            rest.find(|other: char| !other.is_alphanumeric() && other != '_')
                .unwrap_or(rest.len())
        } else {
            ["&&", "||", "==", "!=", "<=", ">="]
                .into_iter()
                .find(|operator| rest.starts_with(operator))
                .map_or(first.len_utf8(), str::len)
        };
        let (text, after) = rest.split_at(length);
        words.push(Word {
            text,
            range: start..start + length,
        });
        rest = after;
    }
}

/// The length of the quoted text that `rest` starts with.
fn quoted(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (byte, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return Some(byte + character.len_utf8()),
            _ => {}
        }
    }
    None
}
