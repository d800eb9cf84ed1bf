//! Workflow files: reading them, checking them before anything runs, and evaluating what they say.
//!
//! [`load`] does what `lockkeeper workflow check` does and what every plan and run starts with.
//! A checked [`Workflow`] is then evaluated step by step against a [`Scope`].
//! Findings are [`Diagnostic`]s: data, which [`Diagnostic::render`] prints as rustc prints its own.

mod bind;
mod builtin;
mod check;
mod codes;
mod diagnostic;
mod docs;
mod evaluate;
mod expr;
mod graph;
mod literal;
mod model;
mod names;
mod order;
mod read;
mod render;
mod schema;
mod source;
mod text;

pub use builtin::{run_fields, target_fields};
pub use codes::{CODES, explain};
pub use diagnostic::{Diagnostic, Diagnostics, Label, Severity, Suggestion};
pub use docs::docs;
pub use evaluate::{Decision, Failure, Scope};
pub use expr::Expr;
pub use graph::{dot, outline};
pub use model::{
    Backoff, ErrorClass, Input, Node, Output, Piece, Record, Retry, Settle, Step, Template, Undo,
    Workflow,
};
pub use schema::schema;
pub use source::{Source, Span, Spanned};

use std::collections::BTreeSet;
use std::sync::Arc;

use lockkeeper_types::Signature;

/// What the checker must know of the plugins, and of what the operator grants them.
pub trait Plugins {
    /// The contract of a plugin, if there is one of that name.
    fn signature(&self, plugin: &str) -> Option<&Signature>;

    /// The names of all plugins, for suggestions.
    fn names(&self) -> Vec<String>;

    /// The operations that the plugin imports and the operator has not granted.
    fn denied(&self, plugin: &str) -> Vec<Denied>;
}

/// An operation that a plugin asks for and that is not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// `entra/applications.create`
    pub operation: String,
    /// The line in `lockkeeper.toml` that would grant it, with what the line grants already.
    pub grant: String,
}

/// A workflow without errors, and what may be said of it anyway.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The workflow.
    pub workflow: Workflow,
    /// The warnings.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a workflow file without looking at plugins: TOML, keys, shapes, the syntax of expressions.
pub fn parse(source: &Arc<Source>) -> Result<Workflow, Diagnostics> {
    let (workflow, _, found) = read::read(source);
    match workflow {
        Some(workflow) if found.is_empty() => Ok(workflow),
        _ => Err(Diagnostics::in_file_order(found)),
    }
}

/// The plugins that a workflow file names, found without reading all of it; none where it is not
/// even TOML.
pub fn plugin_names(source: &Source) -> Option<BTreeSet<String>> {
    read::plugin_names(source)
}

/// A workflow file as it was read, with what is wrong with its shape, and not checked yet.
#[derive(Debug)]
pub struct Draft {
    workflow: Option<Workflow>,
    broken: check::Broken,
    found: Vec<Diagnostic>,
}

/// Reads a workflow file to check it.
pub fn draft(source: &Arc<Source>) -> Draft {
    let (workflow, broken, found) = read::read(source);
    Draft {
        workflow,
        broken,
        found,
    }
}

impl Draft {
    /// Checks it, so that every mistake in the file is found at once.
    pub fn check(self, plugins: &dyn Plugins) -> Result<Checked, Diagnostics> {
        let found = match &self.workflow {
            Some(workflow) => check::check(workflow, plugins, &self.broken, self.found),
            None => self.found,
        };
        let Diagnostics(found) = Diagnostics::in_file_order(found);
        match self.workflow {
            Some(mut workflow) if !found.iter().any(Diagnostic::is_error) => {
                for step in &mut workflow.steps {
                    if let Some(signature) = plugins.signature(&step.plugin) {
                        step.outputs.clone_from(&signature.outputs);
                    }
                }
                Ok(Checked {
                    workflow,
                    warnings: found,
                })
            }
            _ => Err(Diagnostics(found)),
        }
    }
}

/// Reads and checks a workflow file in one go.
pub fn load(source: &Arc<Source>, plugins: &dyn Plugins) -> Result<Checked, Diagnostics> {
    draft(source).check(plugins)
}

/// Checks every path, type, guard and secret of a workflow against the plugins; errors and
/// warnings, in file order.
pub fn check(workflow: &Workflow, plugins: &dyn Plugins) -> Vec<Diagnostic> {
    let found = check::check(workflow, plugins, &check::Broken::new(), Vec::new());
    Diagnostics::in_file_order(found).0
}
