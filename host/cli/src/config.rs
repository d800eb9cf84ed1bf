//! What `lockkeeper.toml` says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lockkeeper_cloud::Target;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, Error, ValueDeserializer};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) project: ProjectTable,
    pub(crate) plugins: BTreeMap<String, PluginTable>,
    /// Read apart, by [`Config::parse`].
    #[serde(skip_deserializing)]
    pub(crate) targets: BTreeMap<String, Place>,
    pub(crate) grants: toml::Table,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ProjectTable {
    /// Where workflow files are: `workflows/*.toml`.
    pub(crate) workflows: Option<Vec<String>>,
    /// The state folder, `.lockkeeper` when left out.
    pub(crate) state: Option<Spanned<PathBuf>>,
    /// The target when none is said.
    pub(crate) target: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PluginTable {
    /// The component file.
    pub(crate) path: PathBuf,
}

/// Where runs of a project can go.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// The embedded simulator.
    Simulator,
    /// A tenant and a workspace.
    Cloud(Box<Target>),
}

impl Config {
    /// Reads the file's text; an error says the place and what is expected there.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let shown = |mut error: Error| {
            error.set_input(Some(text));
            error.to_string()
        };
        let mut root = DeTable::parse(text).map_err(shown)?;
        let targets = root.get_mut().remove("targets");
        let mut config = Self::deserialize(Deserializer::from(root)).map_err(shown)?;
        if let Some(state) = &config.project.state {
            folder(state).map_err(|wrong| wrong.at_its_line(text))?;
        }
        if let Some(targets) = targets {
            config.targets = self::targets(targets).map_err(|wrong| wrong.at_its_line(text))?;
        }
        Ok(config)
    }
}

/// What is wrong with a target. The line itself is not shown: a secret may stand on it.
struct Wrong {
    place: usize,
    what: String,
}

impl Wrong {
    fn new<T>(at: &Spanned<T>, what: impl Into<String>) -> Self {
        Self {
            place: at.span().start,
            what: what.into(),
        }
    }

    fn at_its_line(&self, text: &str) -> String {
        let before = text.get(..self.place).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default();
        let column = column.chars().count() + 1;
        format!("line {line}, column {column}: {}", self.what)
    }
}

/// Refuses a database where a folder is expected. No more than its scheme is shown: a password may
/// stand in an address.
fn folder(state: &Spanned<PathBuf>) -> Result<(), Wrong> {
    let text = state.get_ref().to_string_lossy();
    let Some((scheme, _)) = text.split_once(':') else {
        return Ok(());
    };
    let is_scheme = scheme.len() > 1
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|other| other.is_ascii_alphanumeric() || "+-.".contains(other));
    if !is_scheme {
        return Ok(());
    }
    let what = format!(
        "`state` in [project] cannot be `{scheme}:…` yet: it is a folder, such as `.lockkeeper`"
    );
    Err(Wrong::new(state, what))
}

fn targets(tables: Spanned<DeValue<'_>>) -> Result<BTreeMap<String, Place>, Wrong> {
    let tables = table(tables, "targets")?.into_inner();
    let mut targets = BTreeMap::new();
    for (name, found) in tables {
        let shown = format!("targets.{}", name.get_ref());
        let found = table(found, &shown)?;
        targets.insert(name.into_inner().into_owned(), target(found, &shown)?);
    }
    Ok(targets)
}

fn table<'t>(found: Spanned<DeValue<'t>>, name: &str) -> Result<Spanned<DeTable<'t>>, Wrong> {
    let span = found.span();
    match found.into_inner() {
        DeValue::Table(table) => Ok(Spanned::new(span, table)),
        _ => Err(Wrong {
            place: span.start,
            what: format!("`{name}` must be a table, written `[{name}]`"),
        }),
    }
}

fn target(found: Spanned<DeTable<'_>>, name: &str) -> Result<Place, Wrong> {
    if let Some(sim) = found.get_ref().get("sim") {
        if sim.get_ref().as_bool() != Some(true) {
            let what = format!(
                "`sim` in [{name}] can only be `true`; a target that is no simulator leaves it out"
            );
            return Err(Wrong::new(sim, what));
        }
        let mut keys = found.get_ref().keys();
        return match keys.find(|key| key.get_ref() != "sim") {
            None => Ok(Place::Simulator),
            Some(key) => {
                let what = format!(
                    "`{}` in [{name}]: the simulator takes `sim = true` and no other key",
                    key.get_ref()
                );
                Err(Wrong::new(key, what))
            }
        };
    }
    if let Some(auth) = found.get_ref().get("auth")
        && !auth.get_ref().is_table()
    {
        let what =
            format!("`auth` in [{name}] must be a table, such as `{{ kind = \"azure-cli\" }}`");
        return Err(Wrong::new(auth, what));
    }
    let mut places = Vec::new();
    places_of_values(found.get_ref(), "", &mut places);
    let span = found.span();
    let value = Spanned::new(span.clone(), DeValue::Table(found.into_inner()));
    let target = Target::deserialize(ValueDeserializer::from(value));
    let target = target.map_err(|error| {
        let place = error.span().map_or(span.start, |span| span.start);
        let within = places.iter().rev().find(|(span, _)| span.contains(&place));
        let key = within.map_or_else(String::new, |(_, key)| format!("`{key}` in "));
        let more = if error.message().starts_with("unknown field") && key.is_empty() {
            "; the simulator is `sim = true` alone"
        } else {
            ""
        };
        Wrong {
            place,
            what: format!("{key}[{name}]: {}{more}", error.message()),
        }
    })?;
    Ok(Place::Cloud(Box::new(target)))
}

/// Where each value of a table stands and its key, what is within it after it.
fn places_of_values(
    table: &DeTable<'_>,
    above: &str,
    places: &mut Vec<(std::ops::Range<usize>, String)>,
) {
    for (key, value) in table {
        let key = format!("{above}{}", key.get_ref());
        places.push((value.span(), key.clone()));
        if let DeValue::Table(inner) = value.get_ref() {
            places_of_values(inner, &format!("{key}."), places);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        let wrong = Config::parse(text).unwrap_err();
        assert!(!wrong.contains("untagged"), "{wrong}");
        wrong
    }

    #[test]
    fn targets_are_simulators_or_clouds() {
        let config = Config::parse(
            "[targets.sim]\nsim = true\n[targets.dev]\nworkspace = \"adb-1.2.azuredatabricks.net\"\nauth = { kind = \"databricks-pat\", token = { env = \"TOKEN\" } }\n",
        );
        let targets = config.unwrap().targets;
        assert!(matches!(targets["sim"], Place::Simulator));
        assert!(matches!(&targets["dev"], Place::Cloud(target) if target.workspace.is_some()));
    }

    #[test]
    fn a_mistake_in_a_target_names_its_line_its_key_and_the_choices() {
        let head = "[project]\n\n[targets.dev]\ntenant_id = \"x\"\n";
        for (lines, place, pieces) in [
            (
                "auth = { kind = \"azurecli\" }",
                "line 5, column 17: ",
                &[
                    "`auth.kind` in [targets.dev]",
                    "`azurecli`",
                    "`azure-cli`",
                    "`oidc`",
                ][..],
            ),
            (
                "worksapce = \"x\"",
                "line 5, column 1: ",
                &[
                    "[targets.dev]",
                    "`worksapce`",
                    "`workspace`",
                    "`sim = true`",
                ],
            ),
            (
                "cloud = \"moon\"",
                "line 5, column 9: ",
                &["`moon`", "`public`", "`china`"],
            ),
            (
                "sim = true",
                "line 4, column 1: ",
                &["`tenant_id`", "[targets.dev]", "no other key"],
            ),
            (
                "sim = \"yes\"",
                "line 5, column 7: ",
                &["`sim` in [targets.dev]", "`true`"],
            ),
            (
                "auth = { kind = \"databricks-pat\", token = \"dapi-needle\" }",
                "line 5, column 8: ",
                &[
                    "`auth` in [targets.dev]",
                    "must not be written inline",
                    "{ env = ",
                ],
            ),
            (
                "auth = { kind = \"databricks-pat\", tokn = \"dapi-needle\" }",
                "line 5, column 8: ",
                &["`auth`", "`tokn`", "`token`"],
            ),
            (
                "auth = \"dapi-needle\"",
                "line 5, column 8: ",
                &["`auth` in [targets.dev] must be a table", "azure-cli"],
            ),
            ("auth = {}", "line 5, column 8: ", &["`kind`"]),
        ] {
            let wrong = wrong(&format!("{head}{lines}\n"));
            assert!(wrong.starts_with(place), "{lines}: {wrong}");
            assert!(!wrong.contains("needle"), "{lines}: {wrong}");
            for piece in pieces {
                assert!(wrong.contains(piece), "{lines}: {piece} in {wrong}");
            }
        }
        assert!(wrong("[targets]\ndev = 3\n").starts_with("line 2, column 7: `targets.dev` must"));
    }

    #[test]
    fn the_state_is_a_folder() {
        for state in [".lockkeeper", "/var/lib/x", "a:b", "./odd:name"] {
            Config::parse(&format!("[project]\nstate = \"{state}\"\n")).unwrap();
        }
        for state in [
            "sqlite:.lockkeeper/state.db",
            "postgres://me:needle@db/x",
            "azblob://x",
        ] {
            let wrong = wrong(&format!("[project]\nstate = \"{state}\"\n"));
            let scheme = state.split(':').next().unwrap();
            assert_eq!(
                wrong,
                format!(
                    "line 2, column 9: `state` in [project] cannot be `{scheme}:…` yet: it is a folder, such as `.lockkeeper`"
                )
            );
        }
    }

    #[test]
    fn other_mistakes_show_their_line() {
        let wrong = wrong("[project]\nstat = \"x\"\n\n[targets.dev]\nsim = true\n");
        assert!(wrong.contains("line 2, column 1"), "{wrong}");
        assert!(
            wrong.contains("`stat`") && wrong.contains("`state`"),
            "{wrong}"
        );
    }
}
