//! The operator's grants: which plugin may use which operation, with which arguments, how often.
//!
//! Two keys open the gate. The plugin's imports ask; the operator's file allows; neither widens
//! the other. Nothing that a run produces flows into a policy.

use std::collections::BTreeMap;
use std::fmt;

use lockkeeper_types::{Import, Value, clean};
use serde::Deserialize;

use crate::operations;

/// Interfaces that only speak to lockkeeper itself and need no grant.
const OWN_INTERFACES: [&str; 3] = ["step/types", "step/progress", "step/timer"];

/// The `[grants.*]` tables of `lockkeeper.toml`, checked.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    plugins: BTreeMap<String, Grants>,
}

/// What one plugin may do.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    plugin: String,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    /// `entra/applications` or `entra/applications.create`, as the operator wrote it.
    key: String,
    /// `entra/applications`
    interface: String,
    /// The functions it covers; all of the interface's when absent.
    functions: Option<Vec<String>>,
    when: Option<String>,
    max_calls: Option<u64>,
}

/// A grant as it stands in the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Written {
    Word(String),
    Functions(Vec<String>),
    Limited(Limited),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limited {
    #[serde(default)]
    functions: Option<Vec<String>>,
    #[serde(default)]
    when: Option<String>,
    #[serde(default)]
    max_calls: Option<u64>,
}

/// What is wrong with a grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("grant {key:?} of plugin `{plugin}`: {problem}")]
pub struct PolicyError {
    /// The table's name.
    pub plugin: String,
    /// The key in the table.
    pub key: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

/// A refusal by policy: what was asked and the line that would allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Whom it concerns.
    pub plugin: String,
    /// What was asked for: `entra/applications.create`.
    pub operation: String,
    /// Why, in one sentence.
    pub reason: String,
    /// What would allow it in the plugin's table of grants in `lockkeeper.toml`.
    pub remedy: Remedy,
}

/// A change of the operator's file that would allow what was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A line that is missing.
    Add(String),
    /// A line that is there and says less.
    Change {
        /// Its key, as it stands in the file.
        key: String,
        /// What it has to say.
        to: String,
    },
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plugin, reason, .. } = self;
        match &self.remedy {
            Remedy::Add(line) => write!(
                f,
                "{reason}; to allow it, add to lockkeeper.toml under [grants.{plugin}]: {line}"
            ),
            Remedy::Change { key, to } => write!(
                f,
                "{reason}; to allow it, change the line {key:?} under [grants.{plugin}] of lockkeeper.toml: {to}"
            ),
        }
    }
}

impl Policy {
    /// Reads the value of the `grants` table: plugin → key → grant. All mistakes are reported.
    pub fn parse(grants: &Value) -> Result<Self, Vec<PolicyError>> {
        let mut policy = Self::default();
        let mut errors = Vec::new();
        let problem = |plugin: &str, key: &str, problem: String| PolicyError {
            plugin: plugin.to_owned(),
            key: key.to_owned(),
            problem,
        };
        for (plugin, table) in grants.as_object().into_iter().flatten() {
            let mut rules = Vec::new();
            for (key, written) in table.as_object().into_iter().flatten() {
                match Rule::parse(key, written) {
                    Ok(rule) => rules.push(rule),
                    Err(text) => errors.push(problem(plugin, key, text)),
                }
            }
            if !table.is_object() {
                errors.push(problem(
                    plugin,
                    "",
                    "a table of grants is expected".to_owned(),
                ));
            }
            policy.plugins.insert(
                plugin.clone(),
                Grants {
                    plugin: plugin.clone(),
                    rules,
                },
            );
        }
        if errors.is_empty() {
            Ok(policy)
        } else {
            Err(errors)
        }
    }

    /// What `plugin` may do; nothing, where the file does not name it.
    pub fn grants(&self, plugin: &str) -> Grants {
        self.plugins.get(plugin).cloned().unwrap_or_else(|| Grants {
            plugin: plugin.to_owned(),
            rules: Vec::new(),
        })
    }
}

impl Rule {
    fn parse(key: &str, written: &Value) -> Result<Self, String> {
        let written: Written = serde_json::from_value(written.clone()).map_err(|_| {
            "expected \"*\", a list of functions, or { functions, when, max_calls }".to_owned()
        })?;
        let (interface, function) = match key.split_once('.') {
            Some((interface, function)) => (interface, Some(function)),
            None => (key, None),
        };
        let known: Vec<&str> = operations::ALL
            .iter()
            .filter_map(|definition| definition.name().split_once('.'))
            .filter_map(|(of, function)| (of == interface).then_some(function))
            .collect();
        if known.is_empty() {
            return Err(format!("there is no interface `{interface}`"));
        }
        let (functions, when, max_calls) = match (function, written) {
            (Some(function), Written::Word(word)) if word == "*" => {
                (Some(vec![function.to_owned()]), None, None)
            }
            (None, Written::Word(word)) if word == "*" => (None, None, None),
            (_, Written::Word(word)) => return Err(format!("expected \"*\", not {word:?}")),
            (None, Written::Functions(functions)) => (Some(functions), None, None),
            (Some(_), Written::Functions(_)) => {
                return Err("the key names a function already, so a list cannot follow".to_owned());
            }
            (
                Some(function),
                Written::Limited(Limited {
                    functions: None,
                    when,
                    max_calls,
                }),
            ) => (Some(vec![function.to_owned()]), when, max_calls),
            (Some(_), Written::Limited(_)) => {
                return Err("the key names a function already; leave out `functions`".to_owned());
            }
            (None, Written::Limited(limited)) => {
                (limited.functions, limited.when, limited.max_calls)
            }
        };
        for function in functions.iter().flatten() {
            if !known.contains(&function.as_str()) {
                return Err(format!(
                    "`{interface}` has no function `{function}`; it has {}",
                    known.join(", ")
                ));
            }
        }
        if let Some(expression) = &when {
            if expression.len() > LONGEST_WHEN {
                return Err(format!(
                    "`when` is {} bytes long, and {LONGEST_WHEN} are the most",
                    expression.len()
                ));
            }
            cel::Program::compile(expression)
                .map_err(|error| format!("`when` is not an expression: {error}"))?;
        }
        Ok(Self {
            key: key.to_owned(),
            interface: interface.to_owned(),
            functions,
            when,
            max_calls,
        })
    }

    fn covers(&self, interface: &str, function: &str) -> bool {
        self.interface == interface
            && self
                .functions
                .as_ref()
                .is_none_or(|functions| functions.iter().any(|covered| covered == function))
    }
}

/// How often each rule has been used in a step.
#[derive(Clone, Debug, Default)]
pub struct Use {
    counts: BTreeMap<usize, u64>,
}

impl Grants {
    /// Everything: for what the operator asks for by name, such as an undo, and no plugin makes.
    pub fn everything(asker: &str) -> Self {
        let mut interfaces: Vec<&str> = operations::ALL
            .iter()
            .filter_map(|definition| definition.name().split_once('.'))
            .map(|(interface, _)| interface)
            .collect();
        interfaces.dedup();
        let rules = interfaces
            .into_iter()
            .map(|interface| Rule {
                key: interface.to_owned(),
                interface: interface.to_owned(),
                functions: None,
                when: None,
                max_calls: None,
            })
            .collect();
        Self {
            plugin: asker.to_owned(),
            rules,
        }
    }

    /// The imports that no grant covers, each with the line that would.
    pub fn missing(&self, imports: &[Import]) -> Vec<Denial> {
        let mut missing = Vec::new();
        for import in imports {
            if OWN_INTERFACES.contains(&import.interface.as_str()) {
                continue;
            }
            let uncovered: Vec<&str> = import
                .functions
                .iter()
                .map(String::as_str)
                .filter(|function| {
                    !self
                        .rules
                        .iter()
                        .any(|rule| rule.covers(&import.interface, function))
                })
                .collect();
            if !uncovered.is_empty() {
                missing.push(Denial {
                    plugin: self.plugin.clone(),
                    operation: format!("{}.{}", import.interface, uncovered.join(", ")),
                    reason: format!(
                        "plugin `{}` asks for {} of `{}`, which it is not granted",
                        self.plugin,
                        uncovered.join(", "),
                        import.interface
                    ),
                    remedy: self.covering(&import.interface, &uncovered),
                });
            }
        }
        missing
    }

    /// What would cover functions of an interface that nothing covers yet. A key stands in a file once,
    /// so a line that is there is changed.
    fn covering(&self, interface: &str, functions: &[&str]) -> Remedy {
        let there = self.rules.iter().find(|rule| rule.key == interface);
        let granted = there.and_then(|rule| rule.functions.as_ref());
        let all: Vec<String> = granted
            .into_iter()
            .flatten()
            .map(String::as_str)
            .chain(functions.iter().copied())
            .map(|function| format!("\"{function}\""))
            .collect();
        let list = format!("[{}]", all.join(", "));
        match there {
            None => Remedy::Add(format!("\"{interface}\" = {list}")),
            Some(rule) if rule.when.is_none() && rule.max_calls.is_none() => Remedy::Change {
                key: interface.to_owned(),
                to: format!("\"{interface}\" = {list}"),
            },
            Some(_) => {
                let lines = functions.iter();
                let lines = lines.map(|function| format!("\"{interface}.{function}\" = \"*\""));
                Remedy::Add(lines.collect::<Vec<_>>().join("\n"))
            }
        }
    }

    /// Whether the call is granted, counting it against the rule that allows it.
    pub fn decide(&self, operation: &str, arguments: &Value, used: &mut Use) -> Result<(), Denial> {
        let (interface, function) = operation.split_once('.').unwrap_or((operation, ""));
        if OWN_INTERFACES.contains(&interface) {
            return Ok(());
        }
        let mut refusal = None;
        for (index, rule) in self.rules.iter().enumerate() {
            if !rule.covers(interface, function) {
                continue;
            }
            if let Some(expression) = &rule.when
                && !holds(expression, arguments)
            {
                refusal = Some((
                    format!(
                        "`{expression}` does not hold for {}",
                        about(expression, arguments)
                    ),
                    rule,
                    "its `when` has to hold for this call as well".to_owned(),
                ));
                continue;
            }
            let count = used.counts.entry(index).or_default();
            if let Some(max) = rule.max_calls
                && *count >= max
            {
                refusal = Some((
                    format!("its max_calls of {max} is used up"),
                    rule,
                    format!("max_calls = {} or more", max + 1),
                ));
                continue;
            }
            *count += 1;
            return Ok(());
        }
        let (why, remedy) = match refusal {
            None => (
                "no grant covers it".to_owned(),
                Remedy::Add(format!("\"{operation}\" = \"*\"")),
            ),
            Some((why, rule, to)) => {
                let key = rule.key.clone();
                (why, Remedy::Change { key, to })
            }
        };
        Err(Denial {
            plugin: self.plugin.clone(),
            operation: operation.to_owned(),
            reason: format!("plugin `{}` may not call {operation}: {why}", self.plugin),
            remedy,
        })
    }
}

/// How much is shown of an argument, in characters.
const VALUE_CHARS: usize = 200;

/// The arguments that an expression looks at, for people.
fn about(expression: &str, arguments: &Value) -> String {
    let named: Vec<String> = arguments
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| expression.contains(&format!("call.{name}")))
        .map(|(name, value)| format!("call.{name} = {}", clean(&value.to_string(), VALUE_CHARS)))
        .collect();
    if named.is_empty() {
        "its arguments".to_owned()
    } else {
        named.join(", ")
    }
}

/// How many bytes a grant's `when` may have. The `cel` crate recurses over a chain of operators; half
/// as many of them are evaluated in half of a thread's 2 MiB of stack in a debug build.
const LONGEST_WHEN: usize = 2_000;

/// Whether a grant's `when` holds; an expression that cannot be evaluated does not.
fn holds(expression: &str, arguments: &Value) -> bool {
    let Ok(program) = cel::Program::compile(expression) else {
        return false;
    };
    let mut context = cel::Context::default();
    if context.add_variable("call", arguments).is_err() {
        return false;
    }
    matches!(program.execute(&context), Ok(cel::Value::Bool(true)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn grants(table: &Value) -> Grants {
        Policy::parse(&json!({ "p": table })).unwrap().grants("p")
    }

    fn import(interface: &str, functions: &[&str]) -> Import {
        Import {
            interface: interface.to_owned(),
            version: "0.1.0".to_owned(),
            functions: functions.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn what_is_not_granted_is_refused_with_the_line_to_add() {
        let grants = grants(&json!({ "entra/applications": ["find"] }));
        let missing = grants.missing(&[
            import("entra/applications", &["find", "create"]),
            import("step/progress", &["report"]),
        ]);
        assert_eq!(missing.len(), 1);
        let line = "\"entra/applications\" = [\"find\", \"create\"]";
        assert_eq!(
            missing[0].remedy,
            Remedy::Change {
                key: "entra/applications".to_owned(),
                to: line.to_owned()
            },
            "a second line with the same key would be no TOML"
        );
        let fresh = grants.missing(&[import("entra/credentials", &["prove"])]);
        let line = "\"entra/credentials\" = [\"prove\"]";
        assert_eq!(fresh[0].remedy, Remedy::Add(line.to_owned()));
        let denial = grants
            .decide("entra/applications.create", &json!({}), &mut Use::default())
            .unwrap_err();
        let line = "\"entra/applications.create\" = \"*\"";
        assert_eq!(denial.remedy, Remedy::Add(line.to_owned()));
    }

    #[test]
    fn arguments_and_counts_are_held_to() {
        let grants = grants(&json!({
            "databricks/roles.grant": { "when": "call.role == 'servicePrincipal.user'", "max_calls": 2 }
        }));
        let mut used = Use::default();
        let as_user = json!({ "role": "servicePrincipal.user" });
        let as_manager = json!({ "role": "servicePrincipal.manager" });
        let denial = grants
            .decide("databricks/roles.grant", &as_manager, &mut used)
            .unwrap_err();
        assert_eq!(
            denial.to_string(),
            "plugin `p` may not call databricks/roles.grant: `call.role == 'servicePrincipal.user'` does not hold for call.role = \"servicePrincipal.manager\"; to allow it, change the line \"databricks/roles.grant\" under [grants.p] of lockkeeper.toml: its `when` has to hold for this call as well"
        );
        assert!(
            grants
                .decide("databricks/roles.grant", &json!({}), &mut used)
                .is_err()
        );
        assert!(
            grants
                .decide("databricks/roles.grant", &as_user, &mut used)
                .is_ok()
        );
        assert!(
            grants
                .decide("databricks/roles.grant", &as_user, &mut used)
                .is_ok()
        );
        let denial = grants
            .decide("databricks/roles.grant", &as_user, &mut used)
            .unwrap_err();
        assert!(
            denial.to_string().ends_with(
                "max_calls of 2 is used up; to allow it, change the line \"databricks/roles.grant\" under [grants.p] of lockkeeper.toml: max_calls = 3 or more"
            ),
            "{denial}"
        );
    }

    #[test]
    fn every_mistake_in_the_file_is_reported() {
        let errors = Policy::parse(&json!({ "p": {
            "entra/aplications": "*",
            "entra/applications": ["fnd"],
            "databricks/roles.grant": { "whn": "true" },
            "databricks/jobs": "all",
            "databricks/jobs.create": { "when": "call.name ==" },
        }}))
        .unwrap_err();
        assert_eq!(errors.len(), 5, "{errors:#?}");
    }

    #[test]
    fn a_condition_is_bounded_and_whatever_is_taken_can_be_evaluated() {
        let chain = |count: usize| format!("1{} == 1", "+1".repeat(count));
        let parse = |condition: String| {
            Policy::parse(&json!({ "p": { "databricks/jobs.create": { "when": condition } } }))
        };
        let errors = parse(chain(5_000)).unwrap_err();
        assert!(
            errors[0]
                .to_string()
                .contains("`when` is 10006 bytes long, and 2000 are the most"),
            "{errors:?}"
        );
        let longest = chain(997);
        assert_eq!(longest.len(), LONGEST_WHEN);
        parse(longest.clone()).unwrap();
        let evaluated = std::thread::Builder::new()
            .stack_size(2 << 20)
            .spawn(move || holds(&longest, &json!({})));
        assert!(!evaluated.unwrap().join().unwrap());
    }

    #[test]
    fn a_condition_knows_utc_and_offsets() {
        let call = json!({ "expires": "2030-01-01T23:30:00Z" });
        let hour = |zone: &str, hour: i32| {
            let condition = format!("timestamp(call.expires).getHours('{zone}') == {hour}");
            holds(&condition, &call)
        };
        assert!(hour("UTC", 23));
        assert!(hour("+01:00", 0));
        // The names of other zones are left out of the program (.cargo/config.toml).
        assert!(!hour("Europe/Berlin", 0));
    }
}
