//! Paths: `inputs.storage.account`, `steps.register.app_id`, and what they are.

use lockkeeper_types::{Field, Type};

use super::{Checker, Facts, Ty, View};
use crate::builtin::{run_fields, target_fields};
use crate::expr::{Segment, dotted};
use crate::model::Step;
use crate::names::{listed, nearest};
use crate::read::header;

impl Checker<'_> {
    /// The type of a path, where it is used as a value.
    pub(super) fn path(&mut self, path: &[Segment], view: &View) -> Ty {
        self.resolve(path, view, false)
    }

    /// The type of a path, where it may be absent altogether: compared with null.
    pub(super) fn tested_path(&mut self, path: &[Segment], view: &View) -> Ty {
        self.resolve(path, view, true)
    }

    fn resolve(&mut self, path: &[Segment], view: &View, tested: bool) -> Ty {
        let Some((root, rest)) = path.split_first() else {
            return Ty::Any;
        };
        if let Some((_, local)) = view
            .locals
            .iter()
            .rev()
            .find(|(name, _)| *name == root.name)
        {
            return match local.clone() {
                Ty::Of(kind) => self.fields(kind, path, 1, view, "variable"),
                other => other,
            };
        }
        match (root.name.as_str(), rest.first()) {
            ("inputs", Some(name)) => self.input_path(name, path, view),
            ("steps", Some(name)) => self.step_path(name, path, view, tested),
            ("target", Some(_)) => self.fields(
                Type::Record(target_fields().to_vec()),
                path,
                1,
                view,
                "target",
            ),
            ("run", Some(_)) => {
                self.fields(Type::Record(run_fields().to_vec()), path, 1, view, "run")
            }
            ("self", _) if view.own.is_some() => match view.own.clone() {
                Some(Ty::Of(kind)) => self.fields(kind, path, 1, view, "self"),
                _ => Ty::Any,
            },
            ("inputs" | "steps" | "target" | "run", None) => {
                self.found.push(
                    self.error(
                        "LK0212",
                        root.span.clone(),
                        format!("`{}` alone is not a value", root.name),
                    )
                    .label(format!("write `{}.` and a name", root.name)),
                );
                Ty::Any
            }
            _ => {
                self.unknown_root(root, view);
                Ty::Any
            }
        }
    }

    fn unknown_root(&mut self, root: &Segment, view: &View) {
        let mut known = vec!["inputs", "steps", "target", "run"];
        if view.own.is_some() {
            known.push("self");
        }
        known.extend(view.locals.iter().map(|(name, _)| name.as_str()));
        let found = self
            .error(
                "LK0212",
                root.span.clone(),
                format!("there is no variable `{}`", root.name),
            )
            .label("unknown variable");
        let found = if self.workflow.input(&root.name).is_some() {
            found.suggest(
                "an input of that name exists",
                root.span.start..root.span.start,
                "inputs.",
            )
        } else if self.workflow.step(&root.name).is_some() {
            found.suggest(
                "a step of that name exists",
                root.span.start..root.span.start,
                "steps.",
            )
        } else if let Some(near) = nearest(&root.name, known.iter().copied()) {
            found.suggest(
                "a variable with a similar name exists",
                root.span.clone(),
                near,
            )
        } else if root.name == "self" {
            found
                .note("`self` is a step's own outputs in `expect`, and an input's value in `check`")
        } else {
            found.note(format!("the variables are {}", listed(known)))
        };
        self.found.push(found);
    }

    fn input_path(&mut self, name: &Segment, path: &[Segment], view: &View) -> Ty {
        if let Some(input) = self.workflow.input(&name.name) {
            let kind = input.kind.value.clone();
            return self.fields(kind, path, 2, view, "input");
        }
        if self.broken.contains(&format!("inputs.{}", name.name)) {
            return Ty::Any;
        }
        let unreadable = self
            .broken
            .iter()
            .filter_map(|name| name.strip_prefix("inputs."));
        let known = || {
            let readable = self.workflow.inputs.iter();
            readable
                .map(|input| input.name.as_str())
                .chain(unreadable.clone())
        };
        let found = self
            .error(
                "LK0201",
                name.span.clone(),
                format!("there is no input `{}`", name.name),
            )
            .label("unknown input");
        let found = match nearest(&name.name, known()) {
            Some(near) => {
                let found = match self.workflow.input(near) {
                    Some(input) => found.also(
                        header(&self.workflow.source, &input.name.span),
                        format!("`{near}` is declared here"),
                    ),
                    None => found,
                };
                found.suggest(
                    "an input with a similar name exists",
                    name.span.clone(),
                    near,
                )
            }
            None if self.workflow.inputs.is_empty() => found.note("the workflow has no inputs"),
            None => found.note(format!("the inputs are {}", listed(known()))),
        };
        self.found.push(found);
        Ty::Any
    }

    fn step_path(&mut self, name: &Segment, path: &[Segment], view: &View, tested: bool) -> Ty {
        let Some(step) = self.workflow.step(&name.name) else {
            if !self.broken.contains(&format!("steps.{}", name.name)) {
                self.unknown_step(&name.name, name.span.clone());
            }
            return Ty::Any;
        };
        let Some(outputs) = self.outputs_of(step) else {
            return Ty::Any;
        };
        let Some(field) = path.get(2) else {
            let outputs = Type::Record(outputs.to_vec());
            return Ty::Of(if is_sure_to_run(step, view) {
                outputs
            } else {
                Type::Option(Box::new(outputs))
            });
        };
        let Some(output) = outputs.iter().find(|output| output.name == field.name) else {
            self.unknown_output(step, outputs, field);
            return Ty::Any;
        };
        if !is_sure_to_run(step, view) && !tested {
            self.unguarded_step(step, path);
        }
        self.fields(Type::Record(vec![output.clone()]), path, 2, view, "step")
    }

    fn unguarded_step(&mut self, step: &Step, path: &[Segment]) {
        let name = step.name.value.as_str();
        let span = whole(path);
        let mut found = self
            .error(
                "LK0206",
                span,
                format!("step `{name}` may be skipped, and then it has no outputs"),
            )
            .label("used without the guard of the step");
        if let Some(when) = &step.when {
            found = found
                .also(when.span.clone(), format!("`{name}` runs only when this holds"))
                .help(format!(
                    "give the step, or the record that this value is in, the same guard: when = \"{}\"",
                    when.text
                ));
        }
        self.found.push(found);
    }

    fn unknown_output(&mut self, step: &Step, outputs: &[Field], field: &Segment) {
        let name = step.name.value.as_str();
        let found = self
            .error(
                "LK0203",
                field.span.clone(),
                format!("step `{name}` has no output `{}`", field.name),
            )
            .label("unknown output")
            .also(
                header(&self.workflow.source, &step.name.span),
                format!("`{name}` is declared here"),
            );
        let all: Vec<_> = outputs
            .iter()
            .map(|output| format!("{}: {}", output.name, output.kind))
            .collect();
        let found = found.note(if all.is_empty() {
            format!("plugin `{}` has no outputs", step.plugin.value)
        } else {
            format!("plugin `{}` outputs {}", step.plugin.value, all.join(", "))
        });
        let near = nearest(
            &field.name,
            outputs.iter().map(|output| output.name.as_str()),
        );
        self.found.push(match near {
            Some(near) => found.suggest(
                "an output with a similar name exists",
                field.span.clone(),
                near,
            ),
            None => found,
        });
    }

    /// The type of `path` when its first `known` segments are of type `kind`.
    pub(super) fn fields(
        &mut self,
        kind: Type,
        path: &[Segment],
        known: usize,
        view: &View,
        root: &str,
    ) -> Ty {
        let mut kind = kind;
        for (index, segment) in path.iter().enumerate().skip(known) {
            let before = path.get(..index).unwrap_or_default();
            if let Type::Option(inner) = &kind {
                if !view.facts.is_present(before) {
                    self.unguarded_option(path, before);
                }
                kind = (**inner).clone();
            }
            match self.field(&kind, segment, &dotted(before), root) {
                Some(next) => kind = next,
                None => return Ty::Any,
            }
        }
        if let Type::Option(inner) = &kind
            && view.facts.is_present(path)
        {
            kind = (**inner).clone();
        }
        Ty::Of(kind)
    }

    /// The type of one field.
    pub(super) fn field(
        &mut self,
        kind: &Type,
        segment: &Segment,
        owner: &str,
        root: &str,
    ) -> Option<Type> {
        let code = match root {
            "input" => "LK0201",
            "step" => "LK0203",
            _ => "LK0212",
        };
        let Type::Record(fields) = kind else {
            let mut found = self
                .error(
                    code,
                    segment.span.clone(),
                    format!("`{owner}` is `{kind}`, which has no fields"),
                )
                .label("no such field");
            if matches!(kind, Type::List(_)) {
                found = found.help(format!(
                    "take one item, such as `{owner}[0]`, or use `{owner}.map(item, …)`"
                ));
            }
            self.found.push(found);
            return None;
        };
        if let Some(field) = fields.iter().find(|field| field.name == segment.name) {
            return Some(field.kind.clone());
        }
        let known = || fields.iter().map(|field| field.name.as_str());
        let found = self
            .error(
                code,
                segment.span.clone(),
                format!("`{owner}` has no field `{}`", segment.name),
            )
            .label("unknown field");
        self.found.push(match nearest(&segment.name, known()) {
            Some(near) => found.suggest(
                "a field with a similar name exists",
                segment.span.clone(),
                near,
            ),
            None => found.note(format!("its fields are {}", listed(known()))),
        });
        None
    }

    fn unguarded_option(&mut self, path: &[Segment], absent: &[Segment]) {
        let name = dotted(absent);
        let span = whole(path).start..absent.last().map_or(0, |last| last.span.end);
        let mut found = self
            .error("LK0206", span, format!("`{name}` may be absent"))
            .label("used without a guard");
        if let [root, input, ..] = absent
            && root.name == "inputs"
            && let Some(input) = self.workflow.input(&input.name)
        {
            found = found.also(
                input.kind.span.clone(),
                format!("`{}` is optional", input.name.value),
            );
        }
        self.found.push(found.help(format!(
            "guard the step, or the record that this value is in: when = \"{name} != null\""
        )));
    }
}

/// Where a path stands.
pub(super) fn whole(path: &[Segment]) -> crate::Span {
    let start = path.first().map_or(0, |first| first.span.start);
    let end = path.last().map_or(0, |last| last.span.end);
    start..end
}

/// Whether the step has run wherever `view` holds.
fn is_sure_to_run(step: &Step, view: &View) -> bool {
    let Some(when) = &step.when else {
        return true;
    };
    let outputs = ["steps", step.name.as_str()].map(|name| Segment {
        name: name.to_owned(),
        span: 0..0,
    });
    view.facts.is_present(&outputs) || view.facts.covers(&Facts::when(&when.ast))
}
