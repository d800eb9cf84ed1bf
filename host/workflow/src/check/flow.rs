//! Values on their way to a field: whether the types fit, and whether a secret would leak.

use cel::common::ast::operators::CONDITIONAL;
use lockkeeper_types::{Field, Type};

use super::{Checker, Facts, Ty, View};
use crate::expr::{Ast, Kind};
use crate::literal;
use crate::model::{Node, Piece, Record, Step, Template};
use crate::names::{listed, nearest};
use crate::source::{Span, Spanned};

/// Where a value goes.
#[derive(Clone)]
pub(super) struct Sink {
    /// `register.secret.lifetime`
    name: String,
    /// The key in the file.
    key: Option<Span>,
    /// The plugin, for fields that are its inputs.
    plugin: Option<String>,
    /// Where to point when something is missing.
    place: Span,
}

impl Sink {
    /// The inputs of a step's plugin.
    pub(super) fn plugin(step: &Step) -> Self {
        Self {
            name: step.name.value.clone(),
            key: None,
            plugin: Some(step.plugin.value.clone()),
            place: step.with.span.clone(),
        }
    }

    /// A place that is not a plugin's: an input's default.
    pub(super) fn named(name: &str, key: Span) -> Self {
        Self {
            name: name.to_owned(),
            place: key.clone(),
            key: Some(key),
            plugin: None,
        }
    }

    fn field(&self, key: &Spanned<String>) -> Self {
        Self {
            name: format!("{}.{}", self.name, key.value),
            key: Some(key.span.clone()),
            plugin: self.plugin.clone(),
            place: key.span.clone(),
        }
    }

    fn item(&self) -> Self {
        Self {
            name: format!("{}[]", self.name),
            ..self.clone()
        }
    }
}

impl Checker<'_> {
    /// Checks a record against the fields that it must have.
    pub(super) fn record(&mut self, record: &Record, fields: &[Field], sink: &Sink, view: &View) {
        for (key, node) in &record.fields {
            if let Some(field) = fields.iter().find(|field| field.name == key.value) {
                self.flow(node, &field.kind, &sink.field(key), view);
            } else {
                self.unknown_field(key, fields, sink);
                self.only_paths(node, view);
            }
        }
        for field in fields {
            let given = record.fields.iter().any(|(key, _)| key.value == field.name);
            // A misspelt field is not a missing one as well.
            let misspelt = record.fields.iter().any(|(key, _)| {
                !fields.iter().any(|field| field.name == key.value)
                    && nearest(&key.value, fields.iter().map(|field| field.name.as_str()))
                        == Some(&field.name)
            });
            if given || misspelt || field.kind.is_optional() {
                continue;
            }
            let found = self
                .error(
                    "LK0207",
                    sink.place.clone(),
                    format!("`{}` needs `{}`", sink.name, field.name),
                )
                .label(format!("`{}` is missing", field.name))
                .note(format!("`{}` is `{}`", field.name, field.kind));
            self.found.push(match &field.docs {
                Some(docs) => found.note(format!("{}: {}", field.name, docs.trim())),
                None => found,
            });
        }
    }

    fn unknown_field(&mut self, key: &Spanned<String>, fields: &[Field], sink: &Sink) {
        let known = || fields.iter().map(|field| field.name.as_str());
        let message = match &sink.plugin {
            Some(plugin) if !sink.name.contains('.') => {
                format!("plugin `{plugin}` has no input `{}`", key.value)
            }
            _ => format!("`{}` has no field `{}`", sink.name, key.value),
        };
        let found = self
            .error("LK0102", key.span.clone(), message)
            .label("unknown field");
        self.found.push(match nearest(&key.value, known()) {
            Some(near) => {
                found.suggest("a field with a similar name exists", key.span.clone(), near)
            }
            None if fields.is_empty() => found.note("it takes no fields"),
            None => found.note(format!("its fields are {}", listed(known()))),
        });
    }

    /// Checks a value against the type of the field it goes to.
    pub(super) fn flow(&mut self, node: &Node, to: &Type, sink: &Sink, view: &View) {
        match &node.template {
            Template::Literal(value) => self.literal(value, &node.span, to, sink),
            Template::Expr(expr) => self.expression(&expr.ast, to, sink, view),
            Template::Text(pieces) => {
                self.pieces(pieces, view);
                let inner = to.without_option();
                if pieces.is_empty() || matches!(inner, Type::String | Type::Id(_) | Type::Url) {
                    return;
                }
                if *inner == Type::Secret {
                    self.written_secret(&node.span, sink);
                } else {
                    self.mismatch(&node.span, &Type::String, to, sink);
                }
            }
            Template::List(items) => match to.without_option() {
                Type::List(inner) => {
                    for item in items {
                        self.flow(item, inner, &sink.item(), view);
                    }
                }
                Type::Flags(names) => {
                    let each = Type::Enum(names.clone());
                    for item in items {
                        self.flow(item, &each, &sink.item(), view);
                    }
                }
                Type::Tuple(kinds) if kinds.len() == items.len() => {
                    for (item, kind) in items.iter().zip(kinds) {
                        self.flow(item, kind, &sink.item(), view);
                    }
                }
                _ => self.shape("a list", &node.span, to, sink),
            },
            Template::Record(record) => self.record_flow(record, &node.span, to, sink, view),
        }
    }

    fn record_flow(&mut self, record: &Record, span: &Span, to: &Type, sink: &Sink, view: &View) {
        let inner = self.guarded(record.when.as_ref(), view);
        if let Some(when) = &record.when
            && !to.is_optional()
        {
            self.found.push(
                self.error(
                    "LK0204",
                    when.span.clone(),
                    "only an optional record may have a `when` of its own",
                )
                .label(format!("`{}` is always needed", sink.name)),
            );
        }
        match to.without_option() {
            Type::Record(fields) => {
                let sink = Sink {
                    place: span.clone(),
                    ..sink.clone()
                };
                self.record(record, fields, &sink, &inner);
            }
            Type::Variant(cases) => match record.fields.as_slice() {
                [(key, node)] => {
                    if let Some((_, Some(kind))) = cases.iter().find(|(case, _)| *case == key.value)
                    {
                        self.flow(node, kind, &sink.field(key), &inner);
                    } else {
                        let names: Vec<_> = cases.iter().map(|(case, _)| case.as_str()).collect();
                        self.found.push(
                            self.error(
                                "LK0209",
                                key.span.clone(),
                                format!("`{}` has no such case `{}`", sink.name, key.value),
                            )
                            .label(format!("one of {} is expected", listed(names))),
                        );
                    }
                }
                _ => self.shape("a record", span, to, sink),
            },
            _ => self.shape("a record", span, to, sink),
        }
    }

    fn literal(&mut self, value: &lockkeeper_types::Value, span: &Span, to: &Type, sink: &Sink) {
        let kind = to.without_option();
        if *kind == Type::Secret {
            self.written_secret(span, sink);
            return;
        }
        if *kind == Type::Duration && value.is_number() {
            self.found.push(
                self.error("LK0204", span.clone(), "a length of time needs its unit")
                    .label("this is a bare number")
                    .suggest("in seconds", span.clone(), format!("\"{value}s\"")),
            );
            return;
        }
        let Err(wrong) = literal::convert(value, to) else {
            return;
        };
        if !wrong.is_literal {
            let noun = match value {
                lockkeeper_types::Value::Bool(_) => "a bool",
                lockkeeper_types::Value::Number(_) => "a number",
                _ => "text",
            };
            self.shape(noun, span, to, sink);
            return;
        }
        let found = self
            .error("LK0209", span.clone(), wrong.what)
            .label(format!("`{}` does not take this", sink.name));
        self.found.push(match wrong.near {
            Some(near) => found.suggest(
                "a similar value exists",
                span.clone(),
                format!("\"{near}\""),
            ),
            None => found,
        });
    }

    fn written_secret(&mut self, span: &Span, sink: &Sink) {
        self.found.push(
            self.error(
                "LK0301",
                span.clone(),
                "a secret may not be written in a file",
            )
            .label(format!("`{}` is `secret`", sink.name))
            .help("take it from a step's output"),
        );
    }

    /// An expression alone, which keeps its type.
    fn expression(&mut self, ast: &Ast, to: &Type, sink: &Sink, view: &View) {
        // Both sides of a choice go to the field, so that a literal is checked as one.
        if let Kind::Call {
            name,
            args,
            target: None,
        } = &ast.kind
            && name.name == CONDITIONAL
            && let [condition, yes, no] = args.as_slice()
            && [yes, no]
                .iter()
                .any(|side| matches!(side.kind, Kind::Text(_) | Kind::Null))
        {
            let condition_view = view.clone();
            let kind = self.operand(condition, &condition_view);
            if !matches!(kind, Ty::Any | Ty::Of(Type::Bool)) {
                self.found.push(
                    self.error(
                        "LK0204",
                        condition.span.clone(),
                        "what stands before `?` must be a bool",
                    )
                    .label("not a bool"),
                );
            }
            for (side, learnt) in [
                (yes, Facts::when(condition)),
                (no, Facts::unless(condition)),
            ] {
                let view = View {
                    facts: self.with_facts_of_steps(view.facts.clone().and(learnt)),
                    ..view.clone()
                };
                self.expression(side, to, sink, &view);
            }
            return;
        }
        if let Kind::Text(text) = &ast.kind {
            self.literal(&text.as_str().into(), &ast.span, to, sink);
            return;
        }
        let kind = match self.infer(ast, view) {
            Ty::Any => return,
            Ty::Null if to.is_optional() => return,
            Ty::Null => {
                self.found.push(
                    self.error(
                        "LK0204",
                        ast.span.clone(),
                        format!("`{}` may not be null", sink.name),
                    )
                    .label(format!("`{to}` is expected")),
                );
                return;
            }
            Ty::Of(kind) => kind,
        };
        if kind.holds_secret() && !to.holds_secret() {
            self.leaked_secret(ast, &kind, to, sink);
        } else if !fits(&kind, to) {
            self.mismatch(&ast.span, &kind, to, sink);
        }
    }

    fn leaked_secret(&mut self, ast: &Ast, kind: &Type, to: &Type, sink: &Sink) {
        let what = if *kind.without_option() == Type::Secret {
            "this value is a secret handle"
        } else {
            "this value holds a secret handle"
        };
        let mut found = self
            .error(
                "LK0301",
                ast.span.clone(),
                "a secret may not flow into a plain field",
            )
            .label(what);
        if let Some(key) = &sink.key {
            found = found.also(
                key.clone(),
                format!("`{}` is `{to}`, stored and shown in clear", sink.name),
            );
        }
        self.found
            .push(found.help("secrets may only be passed to fields of type `secret`"));
    }

    fn mismatch(&mut self, span: &Span, from: &Type, to: &Type, sink: &Sink) {
        let mut found = self
            .error(
                "LK0204",
                span.clone(),
                format!("`{}` takes `{to}`, not `{from}`", sink.name),
            )
            .label(format!("this is `{from}`"));
        if let Some(key) = &sink.key {
            found = found.also(key.clone(), format!("`{}` is `{to}`", sink.name));
        }
        if let (Type::Option(inner), false) = (from, to.is_optional())
            && fits(inner, to)
        {
            found = found.help("it may be absent: test it with `!= null` in `when` first");
        }
        if let (Type::Id(one), Type::Id(other)) = (from.without_option(), to.without_option()) {
            found = found.note(format!(
                "`{one}` and `{other}` name different kinds of object; they are never the same"
            ));
        }
        self.found.push(found);
    }

    fn shape(&mut self, noun: &str, span: &Span, to: &Type, sink: &Sink) {
        let mut found = self
            .error(
                "LK0204",
                span.clone(),
                format!("`{}` takes `{to}`, not {noun}", sink.name),
            )
            .label(format!("this is {noun}"));
        if let Some(key) = &sink.key
            && *key != *span
        {
            found = found.also(key.clone(), format!("`{}` is `{to}`", sink.name));
        }
        self.found.push(found);
    }

    /// The expressions in a text: each must have a text form.
    pub(super) fn pieces(&mut self, pieces: &[Piece], view: &View) {
        for piece in pieces {
            let Piece::Expr(expr) = piece else {
                continue;
            };
            let kind = match self.infer(&expr.ast, view) {
                Ty::Any => continue,
                Ty::Null => "null".to_owned(),
                Ty::Of(kind) if kind.formats_to_text() => continue,
                Ty::Of(kind) if kind.holds_secret() => {
                    self.found.push(
                        self.error(
                            "LK0301",
                            expr.ast.span.clone(),
                            "a secret may not flow into text",
                        )
                        .label("this value is a secret handle")
                        .help("secrets may only be passed to fields of type `secret`"),
                    );
                    continue;
                }
                Ty::Of(kind) => kind.to_string(),
            };
            let found = self
                .error(
                    "LK0204",
                    expr.ast.span.clone(),
                    format!("`{kind}` cannot stand inside text"),
                )
                .label("this has no text form");
            self.found.push(if kind.starts_with("option<") {
                found.help("it may be absent: test it with `!= null` in `when` first")
            } else {
                found
            });
        }
    }

    /// A value that must be text and no secret, such as `lock`.
    pub(super) fn plain_text(&mut self, node: &Node, name: &str) {
        let sink = Sink::named(name, node.span.clone());
        match &node.template {
            // A number or an id names a lock as well as text does.
            Template::Expr(expr) => self.pieces(&[Piece::Expr(expr.clone())], &View::default()),
            _ => self.flow(node, &Type::String, &sink, &View::default()),
        }
    }

    /// An output of the workflow.
    pub(super) fn output(&mut self, name: &Spanned<String>, node: &Node) {
        let view = View::default();
        let Template::Expr(expr) = &node.template else {
            self.only_paths(node, &view);
            return;
        };
        let kind = match expr.ast.path() {
            // An output of a step that was skipped is null, and so is this one.
            Some(path) => self.tested_path(path, &view),
            None => self.infer(&expr.ast, &view),
        };
        if let Ty::Of(kind) = kind
            && kind.holds_secret()
        {
            self.found.push(
                self.error(
                    "LK0301",
                    expr.ast.span.clone(),
                    "a secret may not be an output of a workflow",
                )
                .label("this value is a secret handle")
                .also(
                    name.span.clone(),
                    format!("`{}` would be shown and stored in clear", name.value),
                )
                .help("store it where it belongs in a step, with a field of type `secret`"),
            );
        }
    }
}

/// Whether a value of one type may go to a field of another.
pub(super) fn fits(from: &Type, to: &Type) -> bool {
    match (from, to) {
        (Type::Option(from), Type::Option(to)) | (Type::List(from), Type::List(to)) => {
            fits(from, to)
        }
        (Type::Option(_), _) => false,
        (from, Type::Option(to)) => fits(from, to),
        (
            Type::String | Type::Guid | Type::Url | Type::Id(_) | Type::Enum(_) | Type::Timestamp,
            Type::String,
        )
        | (Type::String | Type::Guid, Type::Id(_))
        | (Type::Integer { .. }, Type::Integer { .. } | Type::Float) => true,
        (Type::Enum(values), Type::Enum(cases)) => values.iter().all(|value| cases.contains(value)),
        (Type::List(item), Type::Flags(names)) => fits(item, &Type::Enum(names.clone())),
        (Type::Record(given), Type::Record(wanted)) => {
            given
                .iter()
                .all(|field| wanted.iter().any(|other| other.name == field.name))
                && wanted.iter().all(|field| {
                    match given.iter().find(|other| other.name == field.name) {
                        Some(other) => fits(&other.kind, &field.kind),
                        None => field.kind.is_optional(),
                    }
                })
        }
        (from, to) => from == to,
    }
}
