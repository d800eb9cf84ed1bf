//! What waits for what.

use std::collections::{BTreeMap, BTreeSet};

use crate::expr::Expr;
use crate::model::{Node, Piece, Record, Step, Template, Workflow};
use crate::source::Span;

/// A step's wait for another.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    /// The step that is waited for.
    pub(crate) to: String,
    /// The reference that makes it wait.
    pub(crate) span: Span,
}

/// The waits of each step, one per step that is waited for.
pub(crate) fn edges(workflow: &Workflow) -> BTreeMap<String, Vec<Edge>> {
    workflow
        .steps
        .iter()
        .map(|step| (step.name.value.clone(), step.edges(workflow)))
        .collect()
}

/// The steps that each step waits for, in the order they are written.
pub(crate) fn order(workflow: &Workflow) -> BTreeMap<&str, Vec<&str>> {
    workflow
        .steps
        .iter()
        .map(|step| {
            let wanted: BTreeSet<_> = step
                .edges(workflow)
                .into_iter()
                .map(|edge| edge.to)
                .collect();
            let others = workflow
                .steps
                .iter()
                .map(|other| other.name.as_str())
                .filter(|other| wanted.contains(*other))
                .collect();
            (step.name.as_str(), others)
        })
        .collect()
}

impl Step {
    fn edges(&self, workflow: &Workflow) -> Vec<Edge> {
        let mut edges: Vec<Edge> = Vec::new();
        let mut add = |to: &str, span: Span| {
            if workflow.step(to).is_some() && !edges.iter().any(|edge| edge.to == to) {
                edges.push(Edge {
                    to: to.to_owned(),
                    span,
                });
            }
        };
        self.each_expr(&mut |expr| {
            expr.ast.each_path(&mut |path| {
                if let [root, step, rest @ ..] = path
                    && root.name == "steps"
                {
                    let end = rest.last().unwrap_or(step).span.end;
                    add(&step.name, root.span.start..end);
                }
            });
        });
        for other in &self.after {
            add(other, other.span.clone());
        }
        edges
    }

    /// Calls `visit` for every expression of the step.
    pub(crate) fn each_expr<'a>(&'a self, visit: &mut impl FnMut(&'a Expr)) {
        self.when.iter().for_each(&mut *visit);
        self.with.each_expr(visit);
        self.expect.iter().for_each(visit);
    }
}

impl Record {
    fn each_expr<'a>(&'a self, visit: &mut impl FnMut(&'a Expr)) {
        self.when.iter().for_each(&mut *visit);
        for (_, node) in &self.fields {
            node.each_expr(visit);
        }
    }
}

impl Node {
    /// Calls `visit` for every expression in the value.
    pub(crate) fn each_expr<'a>(&'a self, visit: &mut impl FnMut(&'a Expr)) {
        match &self.template {
            Template::Literal(_) => {}
            Template::Expr(expr) => visit(expr),
            Template::Text(pieces) => {
                for piece in pieces {
                    if let Piece::Expr(expr) = piece {
                        visit(expr);
                    }
                }
            }
            Template::List(items) => items.iter().for_each(|item| item.each_expr(visit)),
            Template::Record(record) => record.each_expr(visit),
        }
    }
}

impl Workflow {
    /// Calls `visit` for every expression that is evaluated once inputs are bound.
    pub(crate) fn each_expr<'a>(&'a self, visit: &mut impl FnMut(&'a Expr)) {
        if let Some(lock) = &self.lock {
            lock.each_expr(visit);
        }
        for step in &self.steps {
            step.each_expr(visit);
        }
        for output in &self.outputs {
            output.value.each_expr(visit);
        }
    }
}
