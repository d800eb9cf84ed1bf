//! `[inputs.…]`

use lockkeeper_types::{Field, Type};
use regex::Regex;

use super::kind::{self, Wrong};
use super::{Entry, Reader};
use crate::diagnostic::Diagnostic;
use crate::model::Input;
use crate::names::{listed, nearest};
use crate::source::Spanned;

impl Reader<'_> {
    pub(super) fn input(&mut self, entry: &Entry<'_>) -> Option<Input> {
        const KEYS: [&str; 7] = [
            "type", "values", "fields", "pattern", "check", "default", "help",
        ];
        self.check_name(&entry.key, "an input");
        let table = self.table(entry, &format!("input `{}`", entry.key.value))?;
        self.keys(
            table,
            &format!("input `{}`", entry.key.value),
            &KEYS,
            &["file"],
        );
        let values = self.texts(table, "values");
        let fields: Vec<_> = self
            .entries_of(table, "fields")
            .into_iter()
            .filter_map(|field| self.input(&field))
            .collect();
        let pattern = self.pattern(table);
        let check = self.expression(table, "check");
        let default = self
            .entry(table, "default")
            .and_then(|default| self.node(&default));
        let help = self.text(table, "help").map(|help| help.value);
        if !table.contains_key("type") {
            self.found.push(
                Diagnostic::error(
                    "LK0106",
                    self.source,
                    self.header(&entry.key.span),
                    format!("input `{}` has no `type`", entry.key.value),
                )
                .label("`type` is missing here"),
            );
        }
        let declared = self.text(table, "type")?;
        let types: Vec<_> = fields
            .iter()
            .map(|field| Field {
                name: field.name.value.clone(),
                kind: field.kind.value.clone(),
                docs: field.help.clone(),
            })
            .collect();
        let cases: Vec<_> = values.iter().map(|value| value.value.clone()).collect();
        let kind = match kind::parse(&declared, &cases, &types) {
            Ok(kind) => kind,
            Err(wrong) => {
                self.wrong_kind(&declared, wrong);
                return None;
            }
        };
        self.companions(entry, &declared, &kind, &cases, !types.is_empty());
        Some(Input {
            name: entry.key.clone(),
            kind: Spanned::new(kind, declared.span),
            pattern,
            check,
            default,
            help,
            fields,
        })
    }

    fn pattern(&mut self, table: &dyn toml_edit::TableLike) -> Option<Spanned<Regex>> {
        let text = self.text(table, "pattern")?;
        match Regex::new(&text) {
            Ok(regex) => Some(Spanned::new(regex, text.span)),
            Err(error) => {
                let last = error.to_string();
                let reason = last.lines().last().unwrap_or_default().trim();
                let reason = reason.trim_start_matches("error: ");
                self.found.push(
                    Diagnostic::error(
                        "LK0209",
                        self.source,
                        text.span,
                        "this pattern is not a regular expression",
                    )
                    .label(reason),
                );
                None
            }
        }
    }

    fn wrong_kind(&mut self, declared: &Spanned<String>, wrong: Wrong) {
        let found = match wrong {
            Wrong::Unknown(name) => {
                let found = Diagnostic::error(
                    "LK0103",
                    self.source,
                    declared.span.clone(),
                    format!("there is no type `{name}`"),
                )
                .label("unknown type");
                match nearest(&name, kind::NAMES) {
                    Some(near) => found.suggest(
                        "a type with a similar name exists",
                        declared.span.clone(),
                        format!("\"{}\"", declared.replace(&name, near)),
                    ),
                    None => found.note(format!("the types are {}", listed(kind::NAMES))),
                }
            }
            Wrong::Brackets => Diagnostic::error(
                "LK0103",
                self.source,
                declared.span.clone(),
                format!("the type `{}` cannot be read", declared.value),
            )
            .label("`list<…>` and `option<…>` hold one type between `<` and `>`"),
        };
        self.found.push(found);
    }

    /// `enum` needs `values` and `record` needs `fields`, and nothing else takes them.
    fn companions(
        &mut self,
        entry: &Entry<'_>,
        declared: &Spanned<String>,
        kind: &Type,
        values: &[String],
        has_fields: bool,
    ) {
        let (needed, given, noun) = match kind::innermost(kind) {
            Type::Enum(_) => ("values", !values.is_empty(), "an enum"),
            Type::Record(_) => ("fields", has_fields, "a record"),
            _ => return,
        };
        if !given && !self.found.iter().any(|found| found.span == declared.span) {
            self.found.push(
                Diagnostic::error(
                    "LK0106",
                    self.source,
                    declared.span.clone(),
                    format!("input `{}` is {noun} without `{needed}`", entry.key.value),
                )
                .label(format!("{noun} must say its `{needed}`")),
            );
        }
    }
}
