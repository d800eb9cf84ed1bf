//! The `cel` crate's tree, with exact ranges.

use cel::common::ast::{EntryExpr, Expr, LiteralValue, SourceInfo};
use cel::{IdedExpr, Value};

use super::{Ast, Kind, Place, Segment};
use crate::source::Span;

/// The tree of an expression that was parsed without macros.
pub(super) fn lower(place: &Place<'_>, tree: &IdedExpr, info: &SourceInfo) -> Ast {
    let (kind, range) = Lowering { place, info }.node(tree);
    Ast {
        kind,
        span: place.span(range),
    }
}

struct Lowering<'a> {
    place: &'a Place<'a>,
    info: &'a SourceInfo,
}

/// A node and its range in the code.
type Found = (Kind, Span);

impl Lowering<'_> {
    fn ast(&self, tree: &IdedExpr) -> (Ast, Span) {
        let (kind, range) = self.node(tree);
        let span = self.place.span(range.clone());
        (Ast { kind, span }, range)
    }

    /// The byte where the token of a node starts.
    fn token(&self, id: u64) -> usize {
        self.info
            .offset_for(id)
            .and_then(|(start, _)| usize::try_from(start).ok())
            .map_or(0, |start| start.min(self.place.code.len()))
    }

    /// The byte after the token of a node.
    fn token_end(&self, id: u64) -> usize {
        let code = self.place.code;
        let Some((_, stop)) = self.info.offset_for(id) else {
            return code.len();
        };
        let last = usize::try_from(stop).unwrap_or(code.len());
        (last + 1..=code.len())
            .find(|&byte| code.is_char_boundary(byte))
            .unwrap_or(code.len())
    }

    fn rest(&self, from: usize) -> &str {
        self.place.code.get(from..).unwrap_or_default()
    }

    fn segment(&self, name: &str, start: usize) -> Segment {
        Segment {
            name: name.to_owned(),
            span: self.place.span(start..start + name.len()),
        }
    }

    fn node(&self, tree: &IdedExpr) -> Found {
        let start = self.token(tree.id);
        match &tree.expr {
            Expr::Literal(literal) => (literal_kind(literal), start..self.token_end(tree.id)),
            Expr::Ident(name) => (
                Kind::Path(vec![self.segment(name, start)]),
                start..start + name.len(),
            ),
            Expr::Select(select) => {
                let (operand, range) = self.ast(&select.operand);
                let rest = self.rest(start + 1);
                let field_start = start + 1 + (rest.len() - rest.trim_start().len());
                let field = self.segment(&select.field, field_start);
                let whole = range.start..field_start + select.field.len();
                match operand.kind {
                    Kind::Path(mut segments) => {
                        segments.push(field);
                        (Kind::Path(segments), whole)
                    }
                    _ => (Kind::Select(Box::new(operand), field), whole),
                }
            }
            Expr::Call(call) => self.call(start, call),
            Expr::List(list) => {
                let items = list.elements.iter().map(|item| self.ast(item).0).collect();
                (Kind::List(items), start..self.closing(start))
            }
            Expr::Map(map) => {
                let entries = map
                    .entries
                    .iter()
                    .filter_map(|entry| match &entry.expr {
                        EntryExpr::MapEntry(entry) => {
                            Some((self.ast(&entry.key).0, self.ast(&entry.value).0))
                        }
                        EntryExpr::StructField(_) => None,
                    })
                    .collect();
                (Kind::Map(entries), start..self.closing(start))
            }
            Expr::Struct(_) => (
                Kind::Unsupported("a message"),
                start..self.closing(start).max(start),
            ),
            Expr::Comprehension(_) | Expr::Unspecified => (
                Kind::Unsupported("this expression"),
                0..self.place.code.len(),
            ),
        }
    }

    fn call(&self, token: usize, call: &cel::common::ast::CallExpr) -> Found {
        let target = call.target.as_deref().map(|target| self.ast(target));
        let args: Vec<_> = call.args.iter().map(|arg| self.ast(arg)).collect();
        let is_operator = !call
            .func_name
            .starts_with(|first: char| first.is_ascii_alphabetic() || first == '.')
            || call.func_name.starts_with("_[");
        let (name, whole) = if is_operator {
            let first = args
                .first()
                .map_or(token, |(_, range)| range.start.min(token));
            let last = args.last().map_or(token, |(_, range)| range.end);
            let end = if call.func_name == cel::common::ast::operators::INDEX {
                self.closing(token)
            } else {
                last
            };
            let name = Segment {
                name: call.func_name.clone(),
                span: self.place.span(token..token + 1),
            };
            (name, first..end)
        } else {
            // The token of a call is its opening parenthesis; the name stands before it.
            let before = self.place.code.get(..token).unwrap_or_default().trim_end();
            let name_start = before.len().saturating_sub(call.func_name.len());
            let first = target.as_ref().map_or(name_start, |(_, range)| range.start);
            (
                self.segment(&call.func_name, name_start),
                first..self.closing(token),
            )
        };
        let kind = Kind::Call {
            name,
            target: target.map(|(ast, _)| Box::new(ast)),
            args: args.into_iter().map(|(ast, _)| ast).collect(),
        };
        (kind, whole)
    }

    /// The byte after the bracket that closes the one at `open`.
    fn closing(&self, open: usize) -> usize {
        let mut depth = 0_usize;
        let mut quote = None;
        let mut escaped = false;
        for (offset, character) in self.rest(open).char_indices() {
            match (quote, character) {
                (Some(_), _) if escaped => escaped = false,
                (Some(_), '\\') => escaped = true,
                (Some(open_quote), _) if character == open_quote => quote = None,
                (None, '"' | '\'') => quote = Some(character),
                (None, '(' | '[' | '{') => depth += 1,
                (None, ')' | ']' | '}') => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return open + offset + character.len_utf8();
                    }
                }
                _ => {}
            }
        }
        self.place.code.len()
    }
}

fn literal_kind(literal: &LiteralValue) -> Kind {
    let value = literal.to_val();
    match Value::try_from(value.as_ref()) {
        Ok(Value::Null) => Kind::Null,
        Ok(Value::Bool(value)) => Kind::Bool(value),
        Ok(Value::Int(value)) => Kind::Integer(value.into()),
        Ok(Value::UInt(value)) => Kind::Integer(value.into()),
        Ok(Value::Float(value)) => Kind::Float(value),
        Ok(Value::String(value)) => Kind::Text(value.to_string()),
        _ => Kind::Unsupported("a bytes literal"),
    }
}
