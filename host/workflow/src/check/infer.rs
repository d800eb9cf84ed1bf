//! The types of expressions and their operators: a small checker over the tree, since the `cel`
//! crate has none.

use cel::common::ast::operators as op;
use lockkeeper_types::Type;

use super::facts::null_test;
use super::{Checker, Facts, Ty, View};
use crate::expr::{Ast, Expr, Kind, Segment};
use crate::literal;

/// 64 bits, signed: what CEL calculates with.
pub(super) const INTEGER: Type = Type::Integer {
    bits: 64,
    signed: true,
};

impl Checker<'_> {
    /// Checks an expression that must be a bool: `when`, `check`, `expect`.
    pub(super) fn condition(&mut self, expr: &Expr, view: &View) {
        let kind = self.operand(&expr.ast, view);
        self.want_bool(&expr.ast, &kind, "a condition must be a bool");
    }

    /// The type of an expression. The caller must mind secrets; see [`Self::operand`].
    pub(super) fn infer(&mut self, ast: &Ast, view: &View) -> Ty {
        match &ast.kind {
            Kind::Null => Ty::Null,
            Kind::Bool(_) => Ty::Of(Type::Bool),
            Kind::Integer(_) => Ty::Of(INTEGER),
            Kind::Float(_) => Ty::Of(Type::Float),
            Kind::Text(_) => Ty::Of(Type::String),
            Kind::Path(path) => self.path(path, view),
            Kind::Select(operand, field) => match self.present(operand, view) {
                Ty::Of(kind) => self
                    .field(&kind, field, "this", "variable")
                    .map_or(Ty::Any, Ty::Of),
                _ => Ty::Any,
            },
            Kind::List(items) => {
                let mut kind = Ty::Any;
                for item in items {
                    let next = self.operand(item, view);
                    if kind == Ty::Any {
                        kind = next;
                    }
                }
                match kind {
                    Ty::Of(kind) => Ty::Of(Type::List(Box::new(kind))),
                    _ => Ty::Any,
                }
            }
            Kind::Map(entries) => {
                for (key, value) in entries {
                    self.operand(key, view);
                    self.operand(value, view);
                }
                Ty::Any
            }
            Kind::Call { name, target, args } => match target {
                Some(target) => self.method(ast, name, target, args, view),
                None => self.call(ast, name, args, view),
            },
            Kind::Unsupported(what) => {
                self.found.push(
                    self.error(
                        "LK0108",
                        ast.span.clone(),
                        format!("{what} has no use in a workflow file"),
                    )
                    .label("not supported"),
                );
                Ty::Any
            }
        }
    }

    /// The type of a part of an expression, which no secret may be.
    pub(super) fn operand(&mut self, ast: &Ast, view: &View) -> Ty {
        let kind = self.infer(ast, view);
        if let Ty::Of(found) = &kind
            && found.holds_secret()
            && ast.path().is_some()
        {
            let what = if *found.without_option() == Type::Secret {
                "this value is a secret handle"
            } else {
                "this value holds a secret handle"
            };
            self.found.push(
                self.error(
                    "LK0301",
                    ast.span.clone(),
                    "a secret may not be part of an expression",
                )
                .label(what)
                .note("a secret has no text, no length and nothing to compare it with")
                .help("pass it on as it is, to a field of type `secret`"),
            );
            return Ty::Any;
        }
        kind
    }

    /// The type of a part of an expression that must not be null.
    pub(super) fn present(&mut self, ast: &Ast, view: &View) -> Ty {
        match self.operand(ast, view) {
            Ty::Of(Type::Option(inner)) => {
                let name = ast.canonical();
                self.found.push(
                    self.error(
                        "LK0206",
                        ast.span.clone(),
                        format!("`{name}` may be absent"),
                    )
                    .label("used without a guard")
                    .help(format!("test it first: `{name} != null && …`")),
                );
                Ty::Of(*inner)
            }
            other => other,
        }
    }

    pub(super) fn want_bool(&mut self, ast: &Ast, kind: &Ty, message: &str) {
        let found = match kind {
            Ty::Any | Ty::Of(Type::Bool) => return,
            Ty::Null => "null".to_owned(),
            Ty::Of(kind) => kind.to_string(),
        };
        self.found.push(
            self.error("LK0204", ast.span.clone(), message)
                .label(format!("this is `{found}`")),
        );
    }

    pub(super) fn no_overload(&mut self, ast: &Ast, message: String, parts: &[(&Ast, &Ty)]) -> Ty {
        let mut found = self.error("LK0204", ast.span.clone(), message);
        let mut described = Vec::new();
        for (part, kind) in parts {
            let kind = match kind {
                Ty::Any => continue,
                Ty::Null => "null".to_owned(),
                Ty::Of(kind) => kind.to_string(),
            };
            described.push(format!("`{}` is `{kind}`", self.written(part)));
        }
        found.label = described.join(", ");
        self.found.push(found);
        Ty::Any
    }

    /// A part of an expression as it is written.
    fn written(&self, ast: &Ast) -> &str {
        self.workflow
            .source
            .text
            .get(ast.span.clone())
            .unwrap_or_default()
    }

    fn call(&mut self, ast: &Ast, name: &Segment, args: &[Ast], view: &View) -> Ty {
        if let Some((path, _)) = null_test(ast) {
            self.tested_path(path, view);
            return Ty::Of(Type::Bool);
        }
        match (name.name.as_str(), args) {
            (operator @ (op::LOGICAL_AND | op::LOGICAL_OR), [left, right]) => {
                let kind = self.operand(left, view);
                self.want_bool(left, &kind, "`&&` and `||` join bools");
                let learnt = if operator == op::LOGICAL_AND {
                    Facts::when(left)
                } else {
                    Facts::unless(left)
                };
                let kind = self.operand(right, &self.knowing(view, learnt));
                self.want_bool(right, &kind, "`&&` and `||` join bools");
                Ty::Of(Type::Bool)
            }
            (op::LOGICAL_NOT, [arg]) => {
                let kind = self.operand(arg, view);
                self.want_bool(arg, &kind, "`!` takes a bool");
                Ty::Of(Type::Bool)
            }
            (op::CONDITIONAL, [condition, yes, no]) => {
                let kind = self.operand(condition, view);
                self.want_bool(condition, &kind, "what stands before `?` must be a bool");
                let yes_kind = self.operand(yes, &self.knowing(view, Facts::when(condition)));
                let no_kind = self.operand(no, &self.knowing(view, Facts::unless(condition)));
                self.either(ast, (yes, &yes_kind), (no, &no_kind))
            }
            (op::EQUALS | op::NOT_EQUALS, [left, right]) => self.equality(ast, left, right, view),
            (op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS, [left, right]) => {
                let (one, other) = (self.present(left, view), self.present(right, view));
                if !is_ordered(&one, &other) {
                    self.no_overload(
                        ast,
                        "these two have no order".to_owned(),
                        &[(left, &one), (right, &other)],
                    );
                }
                Ty::Of(Type::Bool)
            }
            (
                operator @ (op::ADD | op::SUBSTRACT | op::MULTIPLY | op::DIVIDE | op::MODULO),
                [left, right],
            ) => {
                let (one, other) = (self.present(left, view), self.present(right, view));
                arithmetic(operator, &one, &other).unwrap_or_else(|| {
                    self.no_overload(
                        ast,
                        format!(
                            "`{}` cannot be applied to these two",
                            operator.trim_matches('_')
                        ),
                        &[(left, &one), (right, &other)],
                    )
                })
            }
            (op::NEGATE, [arg]) => match self.present(arg, view) {
                kind @ (Ty::Any | Ty::Of(Type::Integer { .. } | Type::Float)) => kind,
                kind => self.no_overload(ast, "`-` takes a number".to_owned(), &[(arg, &kind)]),
            },
            (op::INDEX, [list, index]) => self.index(ast, list, index, view),
            (op::IN, [item, list]) => {
                let one = self.operand(item, view);
                match self.present(list, view) {
                    Ty::Of(Type::List(inner)) => {
                        self.comparable(ast, (item, &one), (list, &Ty::Of(*inner)));
                    }
                    Ty::Any | Ty::Of(Type::Flags(_)) => {}
                    kind => {
                        self.no_overload(ast, "`in` takes a list".to_owned(), &[(list, &kind)]);
                    }
                }
                Ty::Of(Type::Bool)
            }
            _ => self.function(ast, name, args, view),
        }
    }

    fn knowing(&self, view: &View, learnt: Facts) -> View {
        View {
            facts: self.with_facts_of_steps(view.facts.clone().and(learnt)),
            ..view.clone()
        }
    }

    fn index(&mut self, ast: &Ast, list: &Ast, index: &Ast, view: &View) -> Ty {
        let (one, other) = (self.present(list, view), self.present(index, view));
        match (&one, &other) {
            (Ty::Of(Type::List(inner)), Ty::Any | Ty::Of(Type::Integer { .. })) => {
                Ty::Of((**inner).clone())
            }
            (Ty::Any, _) => Ty::Any,
            _ => self.no_overload(
                ast,
                "`[ ]` takes a list and a number".to_owned(),
                &[(list, &one), (index, &other)],
            ),
        }
    }

    fn equality(&mut self, ast: &Ast, left: &Ast, right: &Ast, view: &View) -> Ty {
        let (one, other) = (self.operand(left, view), self.operand(right, view));
        self.comparable(ast, (left, &one), (right, &other));
        Ty::Of(Type::Bool)
    }

    fn comparable(&mut self, ast: &Ast, one: (&Ast, &Ty), other: (&Ast, &Ty)) {
        for ((_, kind), (literal, _)) in [(one, other), (other, one)] {
            let (Ty::Of(kind), Kind::Text(text)) = (kind, &literal.kind) else {
                continue;
            };
            let kind = kind.without_option();
            if !matches!(kind, Type::Enum(_) | Type::Guid | Type::Url) {
                continue;
            }
            if let Err(wrong) = literal::convert(&serde_json::Value::from(text.as_str()), kind) {
                let found = self
                    .error("LK0209", literal.span.clone(), wrong.what)
                    .label("this comparison never holds");
                self.found.push(match wrong.near {
                    Some(near) => found.suggest(
                        "a similar value exists",
                        literal.span.clone(),
                        format!("'{near}'"),
                    ),
                    None => found,
                });
            }
            return;
        }
        if let (Ty::Of(left), Ty::Of(right)) = (one.1, other.1)
            && !can_be_equal(left.without_option(), right.without_option())
        {
            self.no_overload(ast, "these two are never equal".to_owned(), &[one, other]);
        }
    }

    /// The type of `a ? b : c`.
    fn either(&mut self, ast: &Ast, yes: (&Ast, &Ty), no: (&Ast, &Ty)) -> Ty {
        let option = |kind: Type| match kind {
            option @ Type::Option(_) => option,
            other => Type::Option(Box::new(other)),
        };
        match (yes.1, no.1) {
            (Ty::Any, _) | (_, Ty::Any) => Ty::Any,
            (Ty::Null, Ty::Null) => Ty::Null,
            (Ty::Null, Ty::Of(kind)) | (Ty::Of(kind), Ty::Null) => Ty::Of(option(kind.clone())),
            (Ty::Of(one), Ty::Of(other)) if one == other => Ty::Of(one.clone()),
            (Ty::Of(one), Ty::Of(other)) if one.without_option() == other.without_option() => {
                Ty::Of(option(one.without_option().clone()))
            }
            (Ty::Of(Type::Id(_)), Ty::Of(Type::Id(_))) => self.no_overload(
                ast,
                "the two sides of `:` are different kinds of id".to_owned(),
                &[yes, no],
            ),
            (one, other) if is_text(one) && is_text(other) => Ty::Of(Type::String),
            _ => self.no_overload(
                ast,
                "the two sides of `:` have different types".to_owned(),
                &[yes, no],
            ),
        }
    }
}

/// Whether values are text when they are evaluated.
pub(super) fn is_text(kind: &Ty) -> bool {
    matches!(
        kind,
        Ty::Any | Ty::Of(Type::String | Type::Guid | Type::Url | Type::Id(_) | Type::Enum(_))
    )
}

fn is_number(kind: &Ty) -> bool {
    matches!(kind, Ty::Any | Ty::Of(Type::Integer { .. } | Type::Float))
}

fn is_ordered(one: &Ty, other: &Ty) -> bool {
    let same = |kind: &Type| {
        [one, other]
            .iter()
            .all(|ty| matches!(ty, Ty::Any) || **ty == Ty::Of(kind.clone()))
    };
    (is_number(one) && is_number(other))
        || (is_text(one) && is_text(other))
        || same(&Type::Duration)
        || same(&Type::Timestamp)
}

fn can_be_equal(one: &Type, other: &Type) -> bool {
    match (one, other) {
        (Type::Id(one), Type::Id(other)) => one == other,
        (Type::List(one), Type::List(other)) => can_be_equal(one, other),
        (Type::Record(_), Type::Record(_)) => true,
        _ => {
            let (one, other) = (Ty::Of(one.clone()), Ty::Of(other.clone()));
            one == other
                || (is_text(&one) && is_text(&other))
                || (is_number(&one) && is_number(&other))
        }
    }
}

fn arithmetic(operator: &str, one: &Ty, other: &Ty) -> Option<Ty> {
    let (left, right) = match (one, other) {
        (Ty::Of(left), Ty::Of(right)) => (left, right),
        (Ty::Null, _) | (_, Ty::Null) => return None,
        _ => return Some(Ty::Any),
    };
    let kind = match (operator, left, right) {
        (_, Type::Integer { .. }, Type::Integer { .. }) => INTEGER,
        (operator, Type::Float, Type::Float) if operator != op::MODULO => Type::Float,
        (op::ADD, Type::List(one), Type::List(other)) if one == other => left.clone(),
        (op::ADD | op::SUBSTRACT, Type::Duration, Type::Duration)
        | (op::SUBSTRACT, Type::Timestamp, Type::Timestamp) => Type::Duration,
        (op::ADD, Type::Duration, Type::Timestamp)
        | (op::ADD | op::SUBSTRACT, Type::Timestamp, Type::Duration) => Type::Timestamp,
        (op::ADD, _, _) if is_text(one) && is_text(other) => Type::String,
        _ => return None,
    };
    Some(Ty::Of(kind))
}
