//! Values with `${ }` in them.

use lockkeeper_types::Value;
use toml_edit::{Item, TableLike};

use super::{Entry, Reader};
use crate::diagnostic::Diagnostic;
use crate::expr::Expr;
use crate::model::{Node, Piece, Record, Template};
use crate::source::Span;
use crate::text::Text;

impl Reader<'_> {
    /// The value of an entry.
    pub(super) fn node(&mut self, entry: &Entry<'_>) -> Option<Node> {
        let span = self.span(entry.item);
        match entry.item {
            Item::Value(value) => self.value(value),
            Item::Table(table) => {
                // A table's own span is its header; one made of dotted keys has none.
                let span = super::header(self.source, &entry.key.span);
                Some(self.record_node(table, span))
            }
            Item::ArrayOfTables(tables) => {
                let nodes = tables
                    .iter()
                    .map(|table| {
                        let span = table.span().unwrap_or_else(|| span.clone());
                        self.record_node(table, span)
                    })
                    .collect();
                Some(Node {
                    template: Template::List(nodes),
                    span,
                })
            }
            Item::None => None,
        }
    }

    fn value(&mut self, value: &toml_edit::Value) -> Option<Node> {
        let end = self.source.text.len();
        let span = value.span().unwrap_or(end..end);
        let literal = |value: Value| Template::Literal(value);
        let template = match value {
            toml_edit::Value::String(text) => self.template(text.value(), span.clone())?,
            toml_edit::Value::Integer(number) => literal((*number.value()).into()),
            toml_edit::Value::Float(number) => literal((*number.value()).into()),
            toml_edit::Value::Boolean(truth) => literal((*truth.value()).into()),
            toml_edit::Value::Datetime(time) => literal(time.value().to_string().into()),
            toml_edit::Value::Array(items) => {
                // Every item is read, so that each one's mistakes are found.
                let nodes: Vec<_> = items.iter().map(|item| self.value(item)).collect();
                Template::List(nodes.into_iter().collect::<Option<_>>()?)
            }
            toml_edit::Value::InlineTable(table) => {
                return Some(self.record_node(table, span));
            }
        };
        Some(Node { template, span })
    }

    fn record_node(&mut self, table: &dyn TableLike, span: Span) -> Node {
        Node {
            template: Template::Record(self.record(table, span.clone(), true)),
            span,
        }
    }

    /// A table of values; one that is `guarded` takes `when` as its own guard.
    pub(super) fn record(&mut self, table: &dyn TableLike, span: Span, guarded: bool) -> Record {
        let when = if guarded {
            self.expression(table, "when")
        } else {
            None
        };
        let mut fields = Vec::new();
        for entry in self.entries(table) {
            if guarded && entry.key.value == "when" {
                continue;
            }
            if let Some(node) = self.node(&entry) {
                fields.push((entry.key, node));
            } else {
                // What is wrong with it has been said; the checker must not miss the field.
                let span = self.span(entry.item);
                let broken = Node {
                    template: Template::Text(Vec::new()),
                    span,
                };
                fields.push((entry.key, broken));
            }
        }
        Record { when, fields, span }
    }

    /// The template that a text is; nothing if an expression in it cannot be read.
    fn template(&mut self, value: &str, span: Span) -> Option<Template> {
        let text = Text::new(self.source, value, span);
        match pieces(&text) {
            Ok(pieces) => Some(pieces),
            Err(found) => {
                self.found.extend(found);
                None
            }
        }
    }
}

fn pieces(text: &Text<'_>) -> Result<Template, Vec<Diagnostic>> {
    let value = text.value;
    let mut pieces = Vec::new();
    let mut found = Vec::new();
    let mut literal = String::new();
    let mut at = 0;
    while let Some(offset) = value.get(at..).and_then(|rest| rest.find("${")) {
        let open = at + offset;
        let before = value.get(at..open).unwrap_or_default();
        if let Some(escaped) = before.strip_suffix('$') {
            literal.push_str(escaped);
            literal.push_str("${");
            at = open + 2;
            continue;
        }
        literal.push_str(before);
        let Some(close) = closing(value, open + 2) else {
            let found_here = match unclosed_quote(text, open + 2) {
                Some(quote) => quote,
                None => Diagnostic::error(
                    "LK0108",
                    text.source,
                    text.span(open..value.len()),
                    "this `${` is never closed",
                )
                .label("`}` is missing")
                .help("write `$${` for a literal `${`"),
            };
            found.push(found_here);
            return Err(found);
        };
        match Expr::parse(text, open + 2..close) {
            Ok(expr) => {
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                pieces.push(Piece::Expr(expr));
            }
            Err(error) => found.push(*error),
        }
        at = close + 1;
    }
    if !found.is_empty() {
        return Err(found);
    }
    literal.push_str(value.get(at..).unwrap_or_default());
    if pieces.is_empty() {
        return Ok(Template::Literal(literal.into()));
    }
    if literal.is_empty() && pieces.len() == 1 {
        if let Some(Piece::Expr(expr)) = pieces.pop() {
            return Ok(Template::Expr(expr));
        }
    } else if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(Template::Text(pieces))
}

/// Where the `}` stands that ends the expression which starts at `start`.
fn closing(value: &str, start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut escaped = false;
    for (offset, character) in value.get(start..)?.char_indices() {
        match (quote, character) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) => {
                if open == character {
                    quote = None;
                }
            }
            (None, '\'' | '"') => quote = Some(character),
            (None, '{') => depth += 1,
            (None, '}') if depth == 0 => return Some(start + offset),
            (None, '}') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}

/// An expression that swallows its `}` because of a quote that is never closed.
fn unclosed_quote(text: &Text<'_>, start: usize) -> Option<Diagnostic> {
    let close = start + text.value.get(start..)?.find('}')?;
    Expr::parse(text, start..close).err().map(|error| *error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    fn parse(value: &str) -> Result<Template, Vec<Diagnostic>> {
        let source = Source::new("a.toml", format!("'{value}'"));
        let text = Text::new(&source, value, 0..value.len() + 2);
        pieces(&text)
    }

    #[test]
    fn a_lone_expression_keeps_its_type() {
        assert!(
            matches!(parse("${ inputs.a }"), Ok(Template::Expr(expr)) if expr.text == "inputs.a")
        );
        assert!(matches!(parse("x ${inputs.a}"), Ok(Template::Text(pieces)) if pieces.len() == 2));
        assert!(matches!(parse("${a}${b}"), Ok(Template::Text(pieces)) if pieces.len() == 2));
    }

    #[test]
    fn other_braces_are_text() {
        for text in ["{{secrets/a/b}}", "$x {y}", "", "$"] {
            let Ok(Template::Literal(value)) = parse(text) else {
                panic!("{text} is a literal");
            };
            assert_eq!(value, text);
        }
        let Ok(Template::Literal(value)) = parse("$${inputs.a} $${") else {
            panic!("escaped");
        };
        assert_eq!(value, "${inputs.a} ${");
    }

    #[test]
    fn databricks_references_may_hold_expressions() {
        let Ok(Template::Text(pieces)) = parse("{{secrets/${steps.scope.name}/k}}") else {
            panic!("a text");
        };
        assert!(matches!(pieces.first(), Some(Piece::Literal(text)) if text == "{{secrets/"));
        assert!(matches!(pieces.last(), Some(Piece::Literal(text)) if text == "/k}}"));
    }

    #[test]
    fn quotes_and_maps_may_hold_braces() {
        assert!(matches!(parse("${ size(\"}\") }"), Ok(Template::Expr(_))));
        assert!(matches!(parse("${ {\"a\": 1}.a }"), Ok(Template::Expr(_))));
    }
}
