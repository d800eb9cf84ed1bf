//! Checking a workflow against its inputs and the plugins, before anything runs.

mod cycle;
mod facts;
mod flow;
mod function;
mod infer;
mod inputs;
mod path;
mod unused;

use std::collections::BTreeSet;

use lockkeeper_types::{Field, Type};

use crate::diagnostic::Diagnostic;
use crate::model::{Node, Step, Template, Workflow};
use crate::names::{listed, nearest};
use crate::{Plugins, read};

use facts::Facts;
pub(crate) use facts::null_test;
use flow::Sink;

/// Names that exist although what they stand for could not be read, such as `inputs.region`:
/// using them is no second mistake.
pub(crate) type Broken = BTreeSet<String>;

/// All errors and warnings about a workflow whose shape is known, after those that reading it has
/// `found`. Nothing is said to be unused while a name may be misspelt.
pub(crate) fn check(
    workflow: &Workflow,
    plugins: &dyn Plugins,
    broken: &Broken,
    found: Vec<Diagnostic>,
) -> Vec<Diagnostic> {
    let mut checker = Checker {
        workflow,
        plugins,
        broken,
        found,
    };
    checker.inputs();
    for step in &workflow.steps {
        checker.step(step);
    }
    if let Some(lock) = &workflow.lock {
        checker.plain_text(lock, "lock");
    }
    for output in &workflow.outputs {
        checker.output(&output.name, &output.value);
    }
    checker.cycles();
    let misspelt = |found: &Diagnostic| {
        found.code.starts_with("LK01")
            || matches!(
                found.code,
                "LK0201" | "LK0202" | "LK0203" | "LK0211" | "LK0212"
            )
    };
    if !checker.found.iter().any(misspelt) {
        checker.unused();
    }
    checker.found
}

struct Checker<'a> {
    workflow: &'a Workflow,
    plugins: &'a dyn Plugins,
    broken: &'a Broken,
    found: Vec<Diagnostic>,
}

/// What an expression can see, and what is known while it is evaluated.
#[derive(Clone, Default)]
struct View {
    /// The type of `self`, where there is one.
    own: Option<Ty>,
    /// What is known to hold.
    facts: Facts,
    /// The variables of `all`, `exists` and their like, innermost last.
    locals: Vec<(String, Ty)>,
}

/// The type of an expression.
#[derive(Clone, Debug, PartialEq)]
enum Ty {
    /// Not known, because of a mistake that has been reported already.
    Any,
    /// `null`
    Null,
    /// Known.
    Of(Type),
}

impl<'a> Checker<'a> {
    fn error(
        &self,
        code: &'static str,
        span: crate::Span,
        message: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::error(code, &self.workflow.source, span, message)
    }

    /// The outputs of a step's plugin, if there is such a plugin.
    fn outputs_of(&self, step: &Step) -> Option<&'a [Field]> {
        self.plugins
            .signature(&step.plugin)
            .map(|signature| signature.outputs.as_slice())
    }

    fn step(&mut self, step: &'a Step) {
        let mut view = View::default();
        if let Some(when) = &step.when {
            self.condition(when, &view);
            view.facts = self.with_facts_of_steps(Facts::when(&when.ast));
        }
        for name in &step.after {
            if self.workflow.step(name).is_none()
                && !self.broken.contains(&format!("steps.{}", name.value))
            {
                self.unknown_step(name, name.span.clone());
            }
        }
        let own = if let Some(signature) = self.plugins.signature(&step.plugin) {
            self.grants(step);
            if !self.broken.contains(&format!("with.{}", step.name.value)) {
                self.record(&step.with, &signature.inputs, &Sink::plugin(step), &view);
            }
            Ty::Of(Type::Record(signature.outputs.clone()))
        } else {
            self.unknown_plugin(step);
            for (_, node) in &step.with.fields {
                self.only_paths(node, &view);
            }
            Ty::Any
        };
        view.own = Some(own);
        for expect in &step.expect {
            self.condition(expect, &view);
        }
    }

    /// What can be said of a value that goes to an unknown place.
    fn only_paths(&mut self, node: &Node, view: &View) {
        match &node.template {
            Template::Literal(_) => {}
            Template::Expr(expr) => {
                self.infer(&expr.ast, view);
            }
            Template::Text(pieces) => self.pieces(pieces, view),
            Template::List(items) => {
                for item in items {
                    self.only_paths(item, view);
                }
            }
            Template::Record(record) => {
                let view = self.guarded(record.when.as_ref(), view);
                for (_, node) in &record.fields {
                    self.only_paths(node, &view);
                }
            }
        }
    }

    /// The view inside a record that has a `when` of its own.
    fn guarded(&mut self, when: Option<&crate::Expr>, view: &View) -> View {
        let mut inner = view.clone();
        if let Some(when) = when {
            self.condition(when, view);
            inner.facts = self.with_facts_of_steps(inner.facts.and(Facts::when(&when.ast)));
        }
        inner
    }

    fn unknown_plugin(&mut self, step: &Step) {
        // A step without any plugin has been reported when the file was read.
        if self.broken.contains(&format!("plugin.{}", step.name.value)) {
            return;
        }
        let names = self.plugins.names();
        let known = || names.iter().map(String::as_str);
        let span = step.plugin.span.clone();
        let found = self
            .error(
                "LK0211",
                span.clone(),
                format!("there is no plugin `{}`", step.plugin.value),
            )
            .label("unknown plugin");
        let found = match nearest(&step.plugin, known()) {
            Some(near) => found.suggest(
                "a plugin with a similar name exists",
                span,
                format!("\"{near}\""),
            ),
            None if names.is_empty() => found.note("there are no plugins at all"),
            None => found.note(format!("the plugins are {}", listed(known()))),
        };
        self.found.push(found);
    }

    fn grants(&mut self, step: &Step) {
        let denied = self.plugins.denied(&step.plugin);
        let Some(first) = denied.first() else {
            return;
        };
        let more = match denied.len() - 1 {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        let mut found = self
            .error(
                "LK0401",
                step.plugin.span.clone(),
                format!(
                    "plugin `{}` asks for `{}`{more}, which the operator has not granted",
                    step.plugin.value, first.operation
                ),
            )
            .label("this plugin would be refused");
        for one in &denied {
            found = found.note(format!("not granted: {}", one.operation));
        }
        let mut lines: Vec<_> = denied.iter().map(|one| one.grant.as_str()).collect();
        lines.dedup();
        self.found.push(found.help(format!(
            "to grant it, let `[grants.{}]` in lockkeeper.toml say:\n{}",
            step.plugin.value,
            lines.join("\n")
        )));
    }

    fn unknown_step(&mut self, name: &str, span: crate::Span) {
        let known = || self.workflow.steps.iter().map(|step| step.name.as_str());
        let quoted = self
            .workflow
            .source
            .text
            .get(span.clone())
            .is_some_and(|raw| raw.starts_with(['"', '\'']));
        let found = self
            .error("LK0202", span.clone(), format!("there is no step `{name}`"))
            .label("unknown step");
        let found = match nearest(name, known()) {
            Some(near) => {
                let declared = self.workflow.step(near).map(|step| step.name.span.clone());
                let found = match declared {
                    Some(declared) => found.also(
                        read::header(&self.workflow.source, &declared),
                        format!("`{near}` is declared here"),
                    ),
                    None => found,
                };
                let text = if quoted {
                    format!("\"{near}\"")
                } else {
                    near.to_owned()
                };
                found.suggest("a step with a similar name exists", span, text)
            }
            None => found.note(format!("the steps are {}", listed(known()))),
        };
        self.found.push(found);
    }
}
