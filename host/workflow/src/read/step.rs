//! `[steps.…]`

use toml_edit::TableLike;

use super::{Entry, Reader};
use crate::diagnostic::Diagnostic;
use crate::expr::Expr;
use crate::model::{Backoff, ErrorClass, Record, Retry, Settle, Step, Undo};
use crate::source::{Span, Spanned};

const CLASSES: [(&str, ErrorClass); 8] = [
    ("not-found", ErrorClass::NotFound),
    ("conflict", ErrorClass::Conflict),
    ("denied", ErrorClass::Denied),
    ("invalid", ErrorClass::Invalid),
    ("throttled", ErrorClass::Throttled),
    ("not-yet-visible", ErrorClass::NotYetVisible),
    ("unavailable", ErrorClass::Unavailable),
    ("other", ErrorClass::Other),
];

/// What every plugin does about an object that is there already: it adopts what carries its mark.
const ON_EXISTS: [(&str, ()); 1] = [("adopt-if-owned", ())];

const UNDO: [(&str, Undo); 2] = [("inverse", Undo::Inverse), ("keep", Undo::Keep)];

const BACKOFF: [(&str, Backoff); 2] = [
    ("exponential", Backoff::Exponential),
    ("constant", Backoff::Constant),
];

/// The keys of a step.
pub(crate) const KEYS: [&str; 11] = [
    "plugin",
    "title",
    "when",
    "after",
    "with",
    "expect",
    "retry",
    "timeout",
    "settle",
    "on_exists",
    "undo",
];

impl Reader<'_> {
    pub(super) fn step(&mut self, entry: &Entry<'_>) -> Option<Step> {
        self.check_name(&entry.key, "a step");
        let place = format!("step `{}`", entry.key.value);
        let table = self.table(entry, &place)?;
        self.keys(
            table,
            &place,
            &KEYS,
            &["gate", "for_each", "key", "parallel"],
        );
        let header = self.header(&entry.key.span);
        let plugin = self.text(table, "plugin");
        if !table.contains_key("plugin") {
            self.found.push(
                Diagnostic::error(
                    "LK0106",
                    self.source,
                    header.clone(),
                    format!("{place} has no `plugin`"),
                )
                .label("`plugin` is missing here"),
            );
        }
        if plugin.is_none() {
            self.broken.insert(format!("plugin.{}", entry.key.value));
        }
        let with = self.with(entry, table, header);
        self.supported_word(table, "on_exists", &ON_EXISTS, &["fail", "adopt"]);
        Some(Step {
            title: self.text(table, "title").map(|title| title.value),
            when: self.expression(table, "when"),
            after: self.texts(table, "after"),
            retry: self.retry(table),
            timeout: self.seconds(table, "timeout"),
            settle: self.settle(table),
            expect: self.expect(table),
            undo: self
                .supported_word(table, "undo", &UNDO, &["confirm"])
                .unwrap_or_default(),
            // A step without a plugin stays, so that references to it are not errors as well.
            plugin: plugin.unwrap_or_else(|| Spanned::new(String::new(), entry.key.span.clone())),
            outputs: Vec::new(),
            with,
            name: entry.key.clone(),
        })
    }

    fn with(&mut self, step: &Entry<'_>, table: &dyn TableLike, header: Span) -> Record {
        let absent = Record {
            when: None,
            fields: Vec::new(),
            span: header,
        };
        let Some(entry) = self.entry(table, "with") else {
            return absent;
        };
        let Some(with) = self.table(&entry, "`with`") else {
            self.broken.insert(format!("with.{}", step.key.value));
            return absent;
        };
        self.record(with, absent.span, false)
    }

    fn expect(&mut self, table: &dyn TableLike) -> Vec<Expr> {
        let Some(entry) = self.entry(table, "expect") else {
            return Vec::new();
        };
        if let Some((text, span)) = entry.item.as_str().zip(entry.item.span()) {
            return self.expression_in(text, span).into_iter().collect();
        }
        self.texts(table, "expect")
            .into_iter()
            .filter_map(|text| self.expression_in(&text.value, text.span))
            .collect()
    }

    fn retry(&mut self, table: &dyn TableLike) -> Retry {
        let default = Retry::default();
        let Some(entry) = self.entry(table, "retry") else {
            return default;
        };
        let Some(retry) = self.table(&entry, "`retry`") else {
            return default;
        };
        self.keys(
            retry,
            "`retry`",
            &["max", "backoff", "first", "cap", "on"],
            &[],
        );
        let on = if retry.contains_key("on") {
            self.texts(retry, "on")
                .into_iter()
                .filter_map(|class| self.word_of(&class, "on", &CLASSES))
                .collect()
        } else {
            default.on
        };
        Retry {
            max: self.count(retry, "max").unwrap_or(default.max),
            backoff: self
                .word(retry, "backoff", &BACKOFF)
                .unwrap_or(default.backoff),
            first: self.milliseconds(retry, "first").unwrap_or(default.first),
            cap: self.milliseconds(retry, "cap").unwrap_or(default.cap),
            on,
        }
    }

    fn settle(&mut self, table: &dyn TableLike) -> Option<Settle> {
        let entry = self.entry(table, "settle")?;
        let settle = self.table(&entry, "`settle`")?;
        self.keys(settle, "`settle`", &["reads", "timeout"], &[]);
        Some(Settle {
            reads: self.count(settle, "reads").unwrap_or(3),
            timeout: self.seconds(settle, "timeout").unwrap_or(120),
        })
    }
}
