//! Inputs: their defaults, patterns and checks.

use lockkeeper_types::Type;

use super::flow::Sink;
use super::{Checker, Ty, View};
use crate::expr::dotted;
use crate::model::{Input, Node, Template};

impl Checker<'_> {
    pub(super) fn inputs(&mut self) {
        for input in &self.workflow.inputs {
            self.input(input);
        }
    }

    fn input(&mut self, input: &Input) {
        let kind = &input.kind.value;
        if let Some(pattern) = &input.pattern
            && *kind.without_option() != Type::String
        {
            self.found.push(
                self.error(
                    "LK0204",
                    pattern.span.clone(),
                    format!("`pattern` is for text; `{}` is `{kind}`", input.name.value),
                )
                .label("nothing to match"),
            );
        }
        if let Some(check) = &input.check {
            let view = View {
                own: Some(Ty::Of(kind.without_option().clone())),
                ..View::default()
            };
            if kind.holds_secret() {
                self.found.push(
                    self.error("LK0301", check.span.clone(), "a secret cannot be checked")
                        .label("nothing can be said of a secret"),
                );
            } else {
                self.condition(check, &view);
            }
        }
        if let Some(default) = &input.default {
            self.default(input, default);
        }
        for field in &input.fields {
            self.input(field);
        }
    }

    /// Defaults are bound before anything runs: they can see the run and the target, no more.
    fn default(&mut self, input: &Input, default: &Node) {
        let mut early = None;
        default.each_expr(&mut |expr| {
            expr.ast.each_path(&mut |path| {
                if let Some(root) = path.first()
                    && (root.name == "inputs" || root.name == "steps")
                    && early.is_none()
                {
                    early = Some((super::path::whole(path), dotted(path)));
                }
            });
        });
        if let Some((span, path)) = early {
            self.found.push(
                self.error("LK0212", span, format!("a default cannot use `{path}`"))
                    .label("not known yet")
                    .note("a default may use `run` and `target`"),
            );
            return;
        }
        let before = self.found.len();
        let sink = Sink::named(&input.name, input.name.span.clone());
        self.flow(default, &input.kind, &sink, &View::default());
        let Template::Literal(serde_json::Value::String(text)) = &default.template else {
            return;
        };
        if let (Some(pattern), true) = (&input.pattern, self.found.len() == before)
            && !pattern.is_match(text)
        {
            self.found.push(
                self.error(
                    "LK0209",
                    default.span.clone(),
                    format!(
                        "the default of `{}` does not match its own pattern",
                        input.name.value
                    ),
                )
                .label("does not match")
                .also(pattern.span.clone(), "the pattern"),
            );
        }
    }
}
