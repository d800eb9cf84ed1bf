//! What a condition makes known: `inputs.storage != null` lets its fields be used.

use std::collections::BTreeSet;

use cel::common::ast::operators::{EQUALS, LOGICAL_AND, LOGICAL_NOT, LOGICAL_OR, NOT_EQUALS};

use super::Checker;
use crate::expr::{Ast, Kind, Segment, dotted};

/// Conditions that are known to hold, each in its one spelling.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Facts(BTreeSet<String>);

impl Facts {
    /// What holds where the condition does.
    pub(super) fn when(condition: &Ast) -> Self {
        let mut facts = Self::default();
        facts.learn(condition, true);
        facts
    }

    /// What holds where the condition does not.
    pub(super) fn unless(condition: &Ast) -> Self {
        let mut facts = Self::default();
        facts.learn(condition, false);
        facts
    }

    /// Both.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    pub(super) fn is_present(&self, path: &[Segment]) -> bool {
        self.0.contains(&present(&dotted(path)))
    }

    pub(super) fn covers(&self, other: &Self) -> bool {
        other.0.is_subset(&self.0)
    }

    fn learn(&mut self, condition: &Ast, holds: bool) {
        if let Some((path, is_present)) = null_test(condition) {
            if is_present == holds {
                self.0.insert(present(&dotted(path)));
            } else {
                self.0.insert(format!("{} == null", dotted(path)));
            }
            return;
        }
        if let Kind::Call { name, args, .. } = &condition.kind {
            match (name.name.as_str(), holds) {
                (LOGICAL_AND, true) | (LOGICAL_OR, false) => {
                    for arg in args {
                        self.learn(arg, holds);
                    }
                    return;
                }
                (LOGICAL_NOT, _) => {
                    for arg in args {
                        self.learn(arg, !holds);
                    }
                    return;
                }
                _ => {}
            }
        }
        let text = condition.canonical();
        self.0
            .insert(if holds { text } else { format!("!({text})") });
    }
}

fn present(path: &str) -> String {
    format!("{path} != null")
}

/// The path that a condition compares with null, and whether it asks for its presence.
pub(crate) fn null_test(condition: &Ast) -> Option<(&[Segment], bool)> {
    let Kind::Call { name, args, target } = &condition.kind else {
        return None;
    };
    match (name.name.as_str(), args.as_slice()) {
        (EQUALS | NOT_EQUALS, [one, other]) => {
            let ((Kind::Path(path), Kind::Null) | (Kind::Null, Kind::Path(path))) =
                (&one.kind, &other.kind)
            else {
                return None;
            };
            Some((path, name.name == NOT_EQUALS))
        }
        ("has", [only]) if target.is_none() => Some((only.path()?, true)),
        _ => None,
    }
}

impl Checker<'_> {
    /// The facts, and those of the guards of every step that is known to have run.
    pub(super) fn with_facts_of_steps(&self, mut facts: Facts) -> Facts {
        loop {
            let before = facts.0.len();
            for step in &self.workflow.steps {
                if facts
                    .0
                    .contains(&present(&format!("steps.{}", step.name.value)))
                    && let Some(when) = &step.when
                {
                    facts = facts.and(Facts::when(&when.ast));
                }
            }
            if facts.0.len() == before {
                return facts;
            }
        }
    }
}
