//! What nothing uses: inputs, and secrets that would be lost.

use lockkeeper_types::Type;

use super::Checker;

impl Checker<'_> {
    pub(super) fn unused(&mut self) {
        let mut used = Vec::new();
        self.workflow.each_expr(&mut |expr| {
            expr.ast.each_path(&mut |path| {
                let names: Vec<_> = path.iter().map(|one| one.name.as_str()).collect();
                used.push(names);
            });
        });
        for input in &self.workflow.inputs {
            let is_used = used
                .iter()
                .any(|path| path.starts_with(&["inputs", &input.name]));
            if !is_used {
                self.found.push(
                    self.error(
                        "LK0208",
                        input.name.span.clone(),
                        format!("input `{}` is never used", input.name.value),
                    )
                    .warning()
                    .label("nothing refers to it"),
                );
            }
        }
        for step in &self.workflow.steps {
            for output in self.outputs_of(step).unwrap_or_default() {
                let is_used = used.iter().any(|path| {
                    path.starts_with(&["steps", &step.name])
                        && path.get(2).is_none_or(|field| *field == output.name)
                });
                if is_used || !output.kind.holds_secret() {
                    continue;
                }
                let name = format!("{}.{}", step.name.value, output.name);
                let span = crate::read::header(&self.workflow.source, &step.name.span);
                let found = if output.kind == Type::Secret {
                    self.error(
                        "LK0302",
                        span,
                        format!("the secret `{name}` is made and never stored"),
                    )
                    .label("nobody could ever use it")
                } else {
                    self.error(
                        "LK0208",
                        span,
                        format!("the secret `{name}`, if one is made, is never stored"),
                    )
                    .warning()
                    .label("nobody could ever use it")
                };
                self.found.push(found.help(format!(
                    "pass `steps.{name}` to a field of type `secret`, such as one that stores it in a vault"
                )));
            }
        }
    }
}
