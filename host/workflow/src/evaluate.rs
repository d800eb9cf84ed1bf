//! What a workflow says once values are known.

use std::collections::BTreeMap;

use lockkeeper_types::{Signature, Value};

use crate::{Diagnostic, Span, Step, Workflow};

/// The values that expressions can see.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    /// The inputs, as [`Workflow::bind_inputs`] made them.
    pub inputs: Value,
    /// The outputs of each step that has ended; null for one that was skipped.
    pub steps: BTreeMap<String, Value>,
    /// `name`, `tenant_id`, `workspace_url`.
    pub target: Value,
    /// `id`, `actor`, `started_at`, `target`.
    pub run: Value,
}

/// Whether a step runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It runs.
    Run,
    /// It is skipped.
    Skip {
        /// Why, such as `inputs.storage is null`.
        reason: String,
    },
    /// A plan cannot know; it is decided after that step.
    Unknown {
        /// The step that the decision waits for.
        step: String,
    },
}

/// An expectation that does not hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The expression's text.
    pub expression: String,
    /// The variables in it and their values.
    pub values: Vec<(String, Value)>,
    /// Where it stands.
    pub span: Span,
}

impl Workflow {
    /// The inputs object of a run: given values (already JSON) and defaults, checked against
    /// types, patterns and checks. `run` and `target` are what defaults may refer to.
    pub fn bind_inputs(
        &self,
        given: &BTreeMap<String, Value>,
        run: &Value,
        target: &Value,
    ) -> Result<Value, Vec<Diagnostic>> {
        let _ = (given, run, target);
        Ok(Value::Null)
    }

    /// The value that `-i name=text` means, by the input's type.
    pub fn parse_input(&self, name: &str, text: &str) -> Result<Value, Box<Diagnostic>> {
        let _ = (name, text);
        Ok(Value::Null)
    }

    /// Whether a step runs.
    pub fn evaluate_when(&self, step: &Step, scope: &Scope) -> Result<Decision, Box<Diagnostic>> {
        let _ = (step, scope);
        Ok(Decision::Run)
    }

    /// The plugin's inputs: `with`, with every expression evaluated and every value in the shape
    /// that the signature asks for (durations in whole seconds, absent options null).
    pub fn evaluate_with(
        &self,
        step: &Step,
        scope: &Scope,
        signature: &Signature,
    ) -> Result<Value, Box<Diagnostic>> {
        let _ = (step, scope, signature);
        Ok(Value::Null)
    }

    /// The expectations that a step's outputs do not meet; an unknown one is met.
    pub fn evaluate_expect(
        &self,
        step: &Step,
        outputs: &Value,
        scope: &Scope,
    ) -> Result<Vec<Failure>, Box<Diagnostic>> {
        let _ = (step, outputs, scope);
        Ok(Vec::new())
    }

    /// The workflow's outputs; one that depends on a skipped step is null.
    pub fn evaluate_outputs(
        &self,
        scope: &Scope,
    ) -> Result<serde_json::Map<String, Value>, Box<Diagnostic>> {
        let _ = scope;
        Ok(serde_json::Map::new())
    }

    /// The key that only one run at a time may hold, if the workflow has a `lock`.
    pub fn evaluate_lock(&self, scope: &Scope) -> Result<Option<String>, Box<Diagnostic>> {
        let _ = scope;
        Ok(None)
    }
}
