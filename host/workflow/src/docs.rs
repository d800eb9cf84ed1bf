//! A workflow's page: what it takes, what it does, what it gives.

use std::fmt::Write as _;

use lockkeeper_types::Type;

use crate::model::{Input, Template, Workflow};
use crate::{Plugins, graph};

/// A Markdown page on a workflow: inputs, steps and outputs.
pub fn docs(workflow: &Workflow, plugins: &dyn Plugins) -> String {
    let name = workflow.name.value.as_str();
    let mut page = format!("# {}\n\n", workflow.title.as_deref().unwrap_or(name));
    if let Some(description) = &workflow.description {
        let _ = writeln!(page, "{}\n", description.trim());
    }
    if !workflow.owners.is_empty() {
        let _ = writeln!(page, "Owners: {}.\n", workflow.owners.join(", "));
    }
    let required: Vec<_> = workflow
        .inputs
        .iter()
        .filter(|input| input.is_required() && !input.kind.holds_secret())
        .map(|input| format!(" -i {}=…", input.name.value))
        .collect();
    let _ = writeln!(
        page,
        "```sh\nlockkeeper plan {name}{0}\nlockkeeper run {name}{0}\n```\n",
        required.concat()
    );
    if !workflow.inputs.is_empty() {
        page.push_str("## Inputs\n\n| Name | Type | Default | |\n|---|---|---|---|\n");
        for input in &workflow.inputs {
            input_rows(&mut page, input, "", &workflow.source.text);
        }
        page.push('\n');
    }
    page.push_str("## Steps\n\n");
    for step in &workflow.steps {
        let title = step
            .title
            .as_deref()
            .or_else(|| plugins.signature(&step.plugin)?.docs.as_deref())
            .unwrap_or_default();
        let _ = write!(
            page,
            "- **{}** (`{}`) {}",
            step.name.value,
            step.plugin.value,
            one_line(title)
        );
        if let Some(when) = &step.when {
            let _ = write!(page, " Only when `{}`.", when.text);
        }
        page.push('\n');
    }
    let _ = writeln!(page, "\n```text\n{}```\n", graph::outline(workflow));
    if !workflow.outputs.is_empty() {
        page.push_str("## Outputs\n\n| Name | Value |\n|---|---|\n");
        for output in &workflow.outputs {
            let written = match &output.value.template {
                Template::Expr(expr) => expr.text.as_str(),
                _ => workflow
                    .source
                    .text
                    .get(output.value.span.clone())
                    .unwrap_or_default(),
            };
            let _ = writeln!(page, "| `{}` | {} |", output.name.value, code(written));
        }
        page.push('\n');
    }
    page
}

fn input_rows(page: &mut String, input: &Input, owner: &str, text: &str) {
    let name = format!("{owner}{}", input.name.value);
    let default = match &input.default {
        Some(node) => code(text.get(node.span.clone()).unwrap_or_default()),
        None if input.kind.is_optional() => "absent".to_owned(),
        None => "required".to_owned(),
    };
    let mut help = input.help.as_deref().map(one_line).unwrap_or_default();
    if let Some(pattern) = &input.pattern {
        let _ = write!(help, " Matches {}.", code(pattern.as_str()));
    }
    if let Some(check) = &input.check {
        let _ = write!(help, " Must hold: {}.", code(&check.text));
    }
    let kind = code(&brief(&input.kind));
    let _ = writeln!(page, "| `{name}` | {kind} | {default} | {} |", help.trim());
    for field in &input.fields {
        input_rows(page, field, &format!("{name}."), text);
    }
}

/// A type without the fields of its records, which have rows of their own.
fn brief(kind: &Type) -> String {
    match kind {
        Type::Record(_) => "record".to_owned(),
        Type::List(inner) => format!("list<{}>", brief(inner)),
        Type::Option(inner) => format!("option<{}>", brief(inner)),
        other => other.to_string(),
    }
}

fn one_line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}

fn code(text: &str) -> String {
    format!("`{}`", one_line(text))
}
