//! Expressions: CEL text in the file, read into a small tree whose nodes know their place.
//!
//! The `cel` crate parses and evaluates. Its tree names nodes by operator tokens; the checker needs
//! exact ranges, so the tree is [lowered](lower) once into [`Ast`].

mod depth;
mod lower;
mod slips;

use std::sync::LazyLock;

use cel::Env;

use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::text::Text;

/// The standard library without macros: `has`, `all` and their like stay the calls that they are
/// written as, which is what the checker wants to see.
static CHECKING: LazyLock<Env> =
    LazyLock::new(|| Env::default().with_optional_support(false).with_stdlib());

/// How many bytes an expression may have: the `cel` crate builds its tree from a chain of operators
/// without bound, and takes it down again by recursion.
const LONGEST: usize = 4_000;

/// How many operators, calls and fields of an expression may build on each other. Whatever walks the
/// tree recurses, on threads with 2 MiB of stack, and a debug build overflows at about 300.
const DEEPEST: usize = 100;

/// A CEL expression in the file.
#[derive(Clone, Debug)]
pub struct Expr {
    /// The expression's text.
    pub text: String,
    /// Where it stands in the file.
    pub span: Span,
    pub(crate) ast: Ast,
}

/// A node of an expression.
#[derive(Clone, Debug)]
pub(crate) struct Ast {
    pub(crate) kind: Kind,
    /// Its place in the file.
    pub(crate) span: Span,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    /// `a.b.c`, root first.
    Path(Vec<Segment>),
    /// A field of something that is not itself a path.
    Select(Box<Ast>, Segment),
    /// A function, a method or an operator; operators are called as in `cel::common::ast::operators`.
    Call {
        name: Segment,
        target: Option<Box<Ast>>,
        args: Vec<Ast>,
    },
    List(Vec<Ast>),
    Map(Vec<(Ast, Ast)>),
    /// What CEL has and workflow files have no use for: bytes, messages.
    Unsupported(&'static str),
}

/// A name in an expression.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) span: Span,
}

impl Expr {
    /// Reads the expression in `range` of `text`.
    pub(crate) fn parse(text: &Text<'_>, range: Span) -> Result<Self, Box<Diagnostic>> {
        let code = text.value.get(range.clone()).unwrap_or_default();
        let trimmed = code.trim();
        let start = range.start + (code.len() - code.trim_start().len());
        let place = Place {
            text,
            start,
            code: trimmed,
        };
        let span = place.span(0..trimmed.len());
        if trimmed.is_empty() {
            return Err(Box::new(
                Diagnostic::error(
                    "LK0108",
                    text.source,
                    text.span(range),
                    "this expression is empty",
                )
                .label("an expression is expected here"),
            ));
        }
        let too_big = |message: String| {
            Box::new(
                Diagnostic::error("LK0108", text.source, span.clone(), message)
                    .label("too much for one expression")
                    .help("compare with a list by `in`, or give the value as an input"),
            )
        };
        if trimmed.len() > LONGEST {
            return Err(too_big(format!(
                "this expression is {} bytes long, and {LONGEST} are the most",
                trimmed.len()
            )));
        }
        let ast = match bare_path(&place) {
            Some(ast) => ast,
            None => match CHECKING.parser().parse_with_source_info(trimmed) {
                Ok((tree, info)) => match depth::depth(&tree) {
                    deep if deep > DEEPEST => {
                        return Err(too_big(format!(
                            "in this expression {deep} operators build on each other, and {DEEPEST} are the most"
                        )));
                    }
                    _ => lower::lower(&place, &tree, &info),
                },
                Err(errors) if is_nested_too_deeply(&errors) => {
                    return Err(too_big(
                        "this expression is nested too deeply, and 96 brackets in one another are the most"
                            .to_owned(),
                    ));
                }
                Err(errors) => return Err(Box::new(slips::explain(&place, &errors))),
            },
        };
        Ok(Self {
            text: trimmed.to_owned(),
            span,
            ast,
        })
    }
}

/// Whether the parser gave up because of the depth of brackets in one another.
fn is_nested_too_deeply(errors: &cel::ParseErrors) -> bool {
    errors.errors.iter().any(|error| {
        let source = error.source.as_ref().map(ToString::to_string);
        source
            .as_deref()
            .unwrap_or(&error.msg)
            .contains("Recursion limit")
    })
}

/// An expression's code and where its characters are in the file.
pub(crate) struct Place<'a> {
    pub(crate) text: &'a Text<'a>,
    /// Where the code starts in the text's value.
    pub(crate) start: usize,
    pub(crate) code: &'a str,
}

impl Place<'_> {
    pub(crate) fn span(&self, range: Span) -> Span {
        self.text
            .span(self.start + range.start..self.start + range.end)
    }
}

/// Most expressions are a path and nothing else; those need no parser.
fn bare_path(place: &Place<'_>) -> Option<Ast> {
    let mut segments = Vec::new();
    let mut start = 0;
    for name in place.code.split('.') {
        if !is_identifier(name) {
            return None;
        }
        segments.push(Segment {
            name: name.to_owned(),
            span: place.span(start..start + name.len()),
        });
        start += name.len() + 1;
    }
    if segments.len() == 1 && matches!(place.code, "true" | "false" | "null") {
        return None;
    }
    Some(Ast {
        kind: Kind::Path(segments),
        span: place.span(0..place.code.len()),
    })
}

fn is_identifier(name: &str) -> bool {
    const RESERVED: [&str; 19] = [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "in",
        "let",
        "loop",
        "namespace",
        "null",
        "package",
        "return",
        "true",
        "var",
        "void",
    ];
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name
            .chars()
            .all(|other| other.is_ascii_alphanumeric() || other == '_')
        && !RESERVED.contains(&name)
}

impl Ast {
    /// The path that this node is, if it is one: `["inputs", "storage"]`.
    pub(crate) fn path(&self) -> Option<&[Segment]> {
        match &self.kind {
            Kind::Path(segments) => Some(segments),
            _ => None,
        }
    }

    /// Calls `visit` for every path in the expression.
    pub(crate) fn each_path<'a>(&'a self, visit: &mut impl FnMut(&'a [Segment])) {
        match &self.kind {
            Kind::Path(segments) => visit(segments),
            Kind::Select(operand, _) => operand.each_path(visit),
            Kind::Call { target, args, .. } => {
                for node in target.as_deref().into_iter().chain(args) {
                    node.each_path(visit);
                }
            }
            Kind::List(items) => items.iter().for_each(|item| item.each_path(visit)),
            Kind::Map(entries) => {
                for (key, value) in entries {
                    key.each_path(visit);
                    value.each_path(visit);
                }
            }
            _ => {}
        }
    }

    /// The expression in one spelling, so that two that mean the same by the letter are equal.
    pub(crate) fn canonical(&self) -> String {
        match &self.kind {
            Kind::Null => "null".to_owned(),
            Kind::Bool(value) => value.to_string(),
            Kind::Integer(value) => value.to_string(),
            Kind::Float(value) => value.to_string(),
            Kind::Text(value) => format!("{value:?}"),
            Kind::Path(segments) => dotted(segments),
            Kind::Select(operand, field) => format!("{}.{}", operand.canonical(), field.name),
            Kind::Call { name, target, args } => {
                let args: Vec<_> = args.iter().map(Self::canonical).collect();
                let target = target
                    .as_ref()
                    .map_or_else(String::new, |target| format!("{}.", target.canonical()));
                format!("{target}{}({})", name.name, args.join(", "))
            }
            Kind::List(items) => {
                let items: Vec<_> = items.iter().map(Self::canonical).collect();
                format!("[{}]", items.join(", "))
            }
            Kind::Map(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(key, value)| format!("{}: {}", key.canonical(), value.canonical()))
                    .collect();
                format!("{{{}}}", entries.join(", "))
            }
            Kind::Unsupported(what) => (*what).to_owned(),
        }
    }
}

/// `a.b.c`
pub(crate) fn dotted(segments: &[Segment]) -> String {
    let names: Vec<_> = segments.iter().map(|one| one.name.as_str()).collect();
    names.join(".")
}
