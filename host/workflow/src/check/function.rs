//! The types of functions and methods in expressions.

use lockkeeper_types::Type;

use super::infer::{INTEGER, is_text};
use super::{Checker, Ty, View};
use crate::expr::{Ast, Kind, Segment};
use crate::literal;
use crate::names::nearest;

/// The functions and methods that expressions may call.
const FUNCTIONS: [&str; 27] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "has",
    "all",
    "exists",
    "exists_one",
    "map",
    "filter",
    "duration",
    "timestamp",
    "string",
    "int",
    "double",
    "bool",
    "getFullYear",
    "getMonth",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
];

impl Checker<'_> {
    /// The type of a call that is no operator.
    pub(super) fn function(&mut self, ast: &Ast, name: &Segment, args: &[Ast], view: &View) -> Ty {
        match (name.name.as_str(), args) {
            ("has", [arg]) => {
                self.found.push(
                    self.error("LK0204", arg.span.clone(), "`has` takes a path")
                        .label("not a path"),
                );
                Ty::Of(Type::Bool)
            }
            ("size", [arg]) => self.size(ast, arg, view),
            ("duration" | "timestamp", [arg]) => self.constructor(&name.name, ast, arg, view),
            ("string" | "int" | "double" | "bool", [arg]) => self.conversion(name, ast, arg, view),
            _ => self.unknown_function(name, args, view),
        }
    }

    /// `string(x)` and its like.
    fn conversion(&mut self, name: &Segment, ast: &Ast, arg: &Ast, view: &View) -> Ty {
        let kind = self.present(arg, view);
        if let Ty::Of(found) = &kind
            && !found.formats_to_text()
        {
            self.no_overload(
                ast,
                format!("`{}` cannot convert this", name.name),
                &[(arg, &kind)],
            );
        }
        Ty::Of(match name.name.as_str() {
            "string" => Type::String,
            "int" => INTEGER,
            "double" => Type::Float,
            _ => Type::Bool,
        })
    }

    fn unknown_function(&mut self, name: &Segment, args: &[Ast], view: &View) -> Ty {
        for arg in args {
            self.operand(arg, view);
        }
        let exists = FUNCTIONS.contains(&name.name.as_str());
        let found = if exists {
            self.error(
                "LK0212",
                name.span.clone(),
                format!("`{}` is not called like this", name.name),
            )
            .label(usage(&name.name))
        } else {
            let wrong = self
                .error(
                    "LK0212",
                    name.span.clone(),
                    format!("there is no function `{}`", name.name),
                )
                .label("unknown function");
            match (name.name.as_str(), nearest(&name.name, FUNCTIONS)) {
                ("now" | "uuid", _) => wrong.help(
                    "a run is repeatable: use `run.started_at` for the time and `run.id` for a unique text",
                ),
                (_, Some(near)) => {
                    wrong.suggest("a function with a similar name exists", name.span.clone(), near)
                }
                (_, None) => wrong,
            }
        };
        self.found.push(found);
        Ty::Any
    }

    pub(super) fn method(
        &mut self,
        ast: &Ast,
        name: &Segment,
        target: &Ast,
        args: &[Ast],
        view: &View,
    ) -> Ty {
        match (name.name.as_str(), args) {
            ("size", []) => self.size(ast, target, view),
            ("contains" | "startsWith" | "endsWith" | "matches", [arg]) => {
                let (one, other) = (self.present(target, view), self.present(arg, view));
                if !is_text(&one) || !is_text(&other) {
                    self.no_overload(
                        ast,
                        format!("`{}` takes text", name.name),
                        &[(target, &one), (arg, &other)],
                    );
                }
                if let ("matches", Kind::Text(pattern)) = (name.name.as_str(), &arg.kind)
                    && regex::Regex::new(pattern).is_err()
                {
                    self.found.push(
                        self.error(
                            "LK0209",
                            arg.span.clone(),
                            "this pattern is not a regular expression",
                        )
                        .label("cannot be read"),
                    );
                }
                Ty::Of(Type::Bool)
            }
            ("all" | "exists" | "exists_one" | "map" | "filter", [variable, body]) => {
                self.comprehension(ast, name, target, (variable, body), view)
            }
            (
                "getFullYear" | "getMonth" | "getDate" | "getDayOfMonth" | "getDayOfWeek"
                | "getDayOfYear" | "getHours" | "getMinutes" | "getSeconds" | "getMilliseconds",
                [],
            ) => {
                let kind = self.present(target, view);
                if !matches!(kind, Ty::Any | Ty::Of(Type::Timestamp | Type::Duration)) {
                    self.no_overload(
                        ast,
                        format!("`{}` takes a time", name.name),
                        &[(target, &kind)],
                    );
                }
                Ty::Of(INTEGER)
            }
            _ => {
                self.operand(target, view);
                self.unknown_function(name, args, view)
            }
        }
    }

    fn comprehension(
        &mut self,
        ast: &Ast,
        name: &Segment,
        list: &Ast,
        (variable, body): (&Ast, &Ast),
        view: &View,
    ) -> Ty {
        let list_kind = self.present(list, view);
        let item = match &list_kind {
            Ty::Of(Type::List(inner)) => Ty::Of((**inner).clone()),
            Ty::Any => Ty::Any,
            other => self.no_overload(
                ast,
                format!("`{}` takes a list", name.name),
                &[(list, other)],
            ),
        };
        let Some([variable]) = variable.path() else {
            self.found.push(
                self.error(
                    "LK0212",
                    variable.span.clone(),
                    format!("the first argument of `{}` is a new name", name.name),
                )
                .label("not a name"),
            );
            return Ty::Any;
        };
        let mut inner = view.clone();
        inner.locals.push((variable.name.clone(), item));
        let kind = self.operand(body, &inner);
        match name.name.as_str() {
            "map" => match kind {
                Ty::Of(kind) => Ty::Of(Type::List(Box::new(kind))),
                _ => Ty::Any,
            },
            operation => {
                self.want_bool(body, &kind, "what is asked of each item must be a bool");
                match operation {
                    "filter" => list_kind,
                    _ => Ty::Of(Type::Bool),
                }
            }
        }
    }

    fn size(&mut self, ast: &Ast, arg: &Ast, view: &View) -> Ty {
        let kind = self.present(arg, view);
        if !is_text(&kind) && !matches!(kind, Ty::Of(Type::List(_) | Type::Flags(_))) {
            self.no_overload(
                ast,
                "`size` takes text or a list".to_owned(),
                &[(arg, &kind)],
            );
        }
        Ty::Of(INTEGER)
    }

    fn constructor(&mut self, name: &str, ast: &Ast, arg: &Ast, view: &View) -> Ty {
        let made = if name == "duration" {
            Type::Duration
        } else {
            Type::Timestamp
        };
        let kind = self.present(arg, view);
        if !is_text(&kind) {
            return self.no_overload(ast, format!("`{name}` takes text"), &[(arg, &kind)]);
        }
        if let Kind::Text(text) = &arg.kind {
            self.constructor_literal(&made, arg, text);
        }
        Ty::Of(made)
    }

    /// CEL's own durations end with hours; the days of a workflow file are not known to it.
    fn constructor_literal(&mut self, made: &Type, arg: &Ast, text: &str) {
        let written = serde_json::Value::from(text);
        if let Err(wrong) = literal::convert(&written, made) {
            self.found.push(
                self.error("LK0209", arg.span.clone(), wrong.what)
                    .label("cannot be read"),
            );
        } else if *made == Type::Duration && text.contains('d') {
            let hours = literal::seconds(text).unwrap_or_default() / 3_600;
            self.found.push(
                self.error(
                    "LK0209",
                    arg.span.clone(),
                    "`duration()` in an expression knows hours, minutes and seconds, but no days",
                )
                .label("`d` is only for values")
                .suggest(
                    "write it in hours",
                    arg.span.clone(),
                    format!("'{hours}h'"),
                ),
            );
        }
    }
}

fn usage(name: &str) -> String {
    match name {
        "all" | "exists" | "exists_one" | "filter" => {
            format!("write `list.{name}(item, condition)`")
        }
        "map" => "write `list.map(item, expression)`".to_owned(),
        "contains" | "startsWith" | "endsWith" | "matches" => {
            format!("write `text.{name}('…')`")
        }
        name if name.starts_with("get") => format!("write `time.{name}()`"),
        name => format!("write `{name}(value)`"),
    }
}
