//! The graph of a workflow's steps, for Graphviz and for a terminal.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::model::{Step, Workflow};

/// The steps and their waits in Graphviz's DOT language. Conditional steps are dashed.
pub fn dot(workflow: &Workflow) -> String {
    let quoted = |text: &str| format!("{text:?}");
    let mut text = format!(
        "digraph {} {{\n  rankdir=LR\n  node [shape=box]\n",
        quoted(&workflow.name)
    );
    for step in &workflow.steps {
        let label = format!("{}\n{}", step.name.value, step.plugin.value);
        let style = if step.when.is_some() {
            " style=dashed"
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "  {} [label={}{style}]",
            quoted(&step.name),
            quoted(&label)
        );
    }
    let order = workflow.order();
    for step in &workflow.steps {
        for other in order.get(step.name.as_str()).into_iter().flatten() {
            let _ = writeln!(text, "  {} -> {}", quoted(other), quoted(&step.name));
        }
    }
    text.push_str("}\n");
    text
}

/// The steps in an order in which they could run, one a line: those of one depth wait for nothing
/// of their own depth, so they run side by side.
pub fn outline(workflow: &Workflow) -> String {
    let order = workflow.order();
    let mut depths = BTreeMap::new();
    for step in &workflow.steps {
        depth(&step.name, &order, &mut depths);
    }
    let mut steps: Vec<(usize, &Step)> = workflow
        .steps
        .iter()
        .map(|step| (depths.get(step.name.as_str()).copied().unwrap_or(0), step))
        .collect();
    steps.sort_by_key(|(depth, _)| *depth);
    let width = |of: fn(&Step) -> usize| workflow.steps.iter().map(of).max().unwrap_or(0);
    let names = width(|step| step.name.len());
    let plugins = width(|step| step.plugin.len());
    let mut text = String::new();
    for (depth, step) in steps {
        let waits = order
            .get(step.name.as_str())
            .map_or_else(String::new, |others| {
                if others.is_empty() {
                    String::new()
                } else {
                    format!("after {}", others.join(", "))
                }
            });
        let when = step
            .when
            .as_ref()
            .map_or_else(String::new, |when| format!("  when {}", when.text));
        let line = format!(
            "{} {:names$}  {:plugins$}  {waits}{when}",
            depth + 1,
            step.name.value,
            step.plugin.value
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// How many steps must run before `name`, one after another.
fn depth<'a>(
    name: &'a str,
    order: &BTreeMap<&'a str, Vec<&'a str>>,
    known: &mut BTreeMap<&'a str, usize>,
) -> usize {
    if let Some(depth) = known.get(name) {
        return *depth;
    }
    // A ring, which only a workflow that was not checked can have, ends here.
    known.insert(name, 0);
    let others = order.get(name).cloned().unwrap_or_default();
    let found = others
        .into_iter()
        .map(|other| depth(other, order, known) + 1)
        .max()
        .unwrap_or(0);
    known.insert(name, found);
    found
}
