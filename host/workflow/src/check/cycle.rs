//! Steps that wait for each other.

use std::collections::{BTreeMap, BTreeSet};

use super::Checker;
use crate::order::{Edge, edges};

impl Checker<'_> {
    /// One finding per ring, with a label for each of its edges.
    pub(super) fn cycles(&mut self) {
        let edges = edges(self.workflow);
        let mut done = BTreeSet::new();
        let mut rings = Vec::new();
        for step in &self.workflow.steps {
            walk(&step.name, &edges, &mut Vec::new(), &mut done, &mut rings);
        }
        for ring in rings {
            self.ring(&ring);
        }
    }

    fn ring(&mut self, ring: &[(&str, &Edge)]) {
        let Some(((first, edge), others)) = ring.split_first() else {
            return;
        };
        let mut names: Vec<_> = ring.iter().map(|(name, _)| format!("`{name}`")).collect();
        names.push(format!("`{first}`"));
        let waits = |name: &str, edge: &Edge| format!("`{name}` waits for `{}`", edge.to);
        let message = if others.is_empty() {
            format!("step `{first}` waits for itself")
        } else {
            format!("these steps wait for each other: {}", names.join(" → "))
        };
        let mut found = self
            .error("LK0205", edge.span.clone(), message)
            .label(waits(first, edge));
        for (name, edge) in others {
            found = found.also(edge.span.clone(), waits(name, edge));
        }
        self.found.push(if others.is_empty() {
            found.help(
                "a step's own outputs are `self` in its `expect`, and known nowhere else in it",
            )
        } else {
            found.help("take one of these references out")
        });
    }
}

/// Goes along the edges from `name`, and collects the ring that it finds.
fn walk<'a>(
    name: &str,
    edges: &'a BTreeMap<String, Vec<Edge>>,
    path: &mut Vec<(&'a str, &'a Edge)>,
    done: &mut BTreeSet<&'a str>,
    rings: &mut Vec<Vec<(&'a str, &'a Edge)>>,
) {
    let Some((name, outgoing)) = edges.get_key_value(name) else {
        return;
    };
    if done.contains(name.as_str()) {
        return;
    }
    if let Some(start) = path.iter().position(|(step, _)| step == name) {
        let ring: Vec<_> = path.iter().skip(start).copied().collect();
        // Rings that share a step with one that is reported would say the same again.
        if !rings
            .iter()
            .flatten()
            .any(|(step, _)| ring.iter().any(|(other, _)| other == step))
        {
            rings.push(ring);
        }
        return;
    }
    for edge in outgoing {
        path.push((name, edge));
        walk(&edge.to, edges, path, done, rings);
        path.pop();
    }
    done.insert(name);
}
