//! Expressions.

use crate::source::Span;

/// A CEL expression in the file.
#[derive(Clone, Debug)]
pub struct Expr {
    /// The expression's text.
    pub text: String,
    /// Where it stands in the file.
    pub span: Span,
}
