//! A project: its folder, its `lockkeeper.toml`, its workflows, plugins, grants and targets.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lockkeeper_engine::{Catalogue, Component};
use lockkeeper_gate::{KeyRing, Policy};
use lockkeeper_runtime::{Runtime, RuntimeOptions};
use lockkeeper_types::Value;
use lockkeeper_workflow::{Checked, Diagnostic, Source};
use sha2::{Digest, Sha256};

use crate::config::{Config, Place};
use crate::exit::{Exit, Problem};
use crate::files;

/// The operator's file.
pub(crate) const FILE: &str = "lockkeeper.toml";

/// Where the state of a project lies, beside its file.
const STATE: &str = ".lockkeeper";

/// A project, or the shipped files where there is none.
pub(crate) struct Project {
    /// The folder of `lockkeeper.toml`; the current folder without one.
    root: PathBuf,
    config: Option<Config>,
}

impl Project {
    /// The project of `folder`, or the nearest one above the current folder, or none.
    pub(crate) fn find(folder: Option<&Path>) -> Result<Self, Problem> {
        let here = match folder {
            Some(folder) if !folder.is_dir() => {
                let what = if folder.exists() {
                    "is no folder"
                } else {
                    "is not there"
                };
                return Err(Problem::new(
                    Exit::Usage,
                    format!("the project folder {} {what}", folder.display()),
                )
                .help("`--project` (or LOCKKEEPER_PROJECT) names the folder of a lockkeeper.toml; `lockkeeper init FOLDER` makes one"));
            }
            Some(folder) => folder.to_owned(),
            None => std::env::current_dir().map_err(|error| {
                Problem::new(
                    Exit::Failed,
                    format!("cannot tell the current folder: {error}"),
                )
            })?,
        };
        let root = match folder {
            Some(_) => here.join(FILE).is_file().then(|| here.clone()),
            None => here
                .ancestors()
                .find(|folder| folder.join(FILE).is_file())
                .map(Path::to_owned),
        };
        let Some(root) = root else {
            return Ok(Self {
                root: here,
                config: None,
            });
        };
        let path = root.join(FILE);
        let text = files::read_to_string(&path)?;
        let config = Config::parse(&text)
            .map_err(|error| Problem::new(Exit::Usage, format!("{}: {error}", path.display())))?;
        Ok(Self {
            root,
            config: Some(config),
        })
    }

    /// Where the operator's file is, or would be.
    pub(crate) fn file(&self) -> PathBuf {
        self.root.join(FILE)
    }

    /// The state folder.
    pub(crate) fn state(&self) -> PathBuf {
        let configured = self
            .config
            .as_ref()
            .and_then(|config| config.project.state.as_ref());
        let configured = configured.map(|state| state.get_ref().as_path());
        self.root.join(configured.unwrap_or(Path::new(STATE)))
    }

    /// The journal file.
    pub(crate) fn journal(&self) -> PathBuf {
        self.state().join("journal.db")
    }

    /// The keys of this project's sealed secrets: apart from its state, in a folder of this user.
    /// It is called by where the state lies, however one came there.
    pub(crate) fn keys(&self) -> Result<KeyRing, Problem> {
        files::make_folder(&self.state())?;
        let state = files::canonical(&self.state())?;
        let name = format!("{:x}", Sha256::digest(state.as_os_str().as_encoded_bytes()));
        let folder = match std::env::var_os("LOCKKEEPER_KEYS") {
            Some(folder) => PathBuf::from(folder),
            None => user_folder("XDG_DATA_HOME", ".local/share")?.join("keys"),
        };
        Ok(KeyRing::new(folder.join(name)))
    }

    /// Whether the operator's file has a target of that name.
    pub(crate) fn has_target(&self, name: &str) -> bool {
        let config = self.config.as_ref();
        config.is_some_and(|config| config.targets.contains_key(name))
    }

    /// Where a run of `asked`, or of the configured target, goes, and the target's name.
    pub(crate) fn place(&self, asked: Option<&str>) -> Result<(String, Place), Problem> {
        let Some(config) = &self.config else {
            return match asked {
                None | Some("sim") => Ok(("sim".to_owned(), Place::Simulator)),
                Some(name) => Err(Problem::new(
                    Exit::Usage,
                    format!("there is no target `{name}`: no {FILE} was found here or above"),
                )
                .help("`lockkeeper init` writes a project with a target to fill in")),
            };
        };
        let name = asked
            .map(str::to_owned)
            .or_else(|| config.project.target.clone())
            .unwrap_or_else(|| "sim".to_owned());
        match config.targets.get(&name) {
            Some(place) => Ok((name, place.clone())),
            None if name == "sim" => Ok((name, Place::Simulator)),
            None => {
                let known: Vec<&str> = config.targets.keys().map(String::as_str).collect();
                Err(Problem::new(
                    Exit::Usage,
                    format!("{FILE} has no target `{name}`; it has {}", known.join(", ")),
                ))
            }
        }
    }

    /// The workflows by name, and what is to be said of how they were found.
    pub(crate) fn workflows(&self) -> Result<(BTreeMap<String, Found>, Vec<String>), Problem> {
        let mut found = BTreeMap::new();
        let mut warnings = Vec::new();
        let Some(config) = &self.config else {
            for (name, text) in lockkeeper_plugins::WORKFLOWS {
                found.insert((*name).to_owned(), Found::Shipped { name, text });
            }
            return Ok((found, warnings));
        };
        let default = ["workflows/*.toml".to_owned()];
        let patterns = config.project.workflows.as_deref().unwrap_or(&default);
        for pattern in patterns {
            for path in files::matching(&self.root, pattern)? {
                let name = path
                    .file_stem()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                let one = Found::File {
                    shown: path
                        .strip_prefix(&self.root)
                        .unwrap_or(&path)
                        .display()
                        .to_string(),
                    path,
                };
                if let Some(other) = found.insert(name.clone(), one)
                    && let Some(one) = found.get(&name)
                    && one.path() != other.path()
                {
                    warnings.push(format!(
                        "two files are called `{name}`: that name means {}, and {} only runs by its path",
                        one.path(),
                        other.path()
                    ));
                }
            }
        }
        if found.is_empty() {
            warnings.push(format!(
                "no file matches `workflows` of {}: {}",
                self.file().display(),
                patterns.join(", ")
            ));
        }
        Ok((found, warnings))
    }

    /// The workflow called `name`, or the file of that path.
    pub(crate) fn workflow(&self, name: &str) -> Result<Arc<Source>, Problem> {
        let path = Path::new(name);
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            return read_source(path, name);
        }
        let (workflows, warnings) = self.workflows()?;
        if let Some(found) = workflows.get(name) {
            return found.read();
        }
        let known: Vec<String> = workflows.into_keys().collect();
        let near = known
            .iter()
            .find(|known| strsim::osa_distance(known, name) <= 2);
        let problem = Problem::new(Exit::NotFound, format!("there is no workflow `{name}`"));
        Err(match near {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None if known.is_empty() => problem.help(warnings.join("; ")),
            None => problem.help(format!("there are: {}", known.join(", "))),
        })
    }

    /// The plugins, loaded, with their grants. Only those in `wanted`, where that is given.
    pub(crate) fn catalogue(
        &self,
        runtime: &Runtime,
        wanted: Option<&BTreeSet<String>>,
    ) -> Result<Catalogue, Problem> {
        let is_wanted = |name: &str| wanted.is_none_or(|wanted| wanted.contains(name));
        let mut components: BTreeMap<String, Component> = lockkeeper_plugins::builtin()
            .iter()
            .filter(|builtin| is_wanted(builtin.name))
            .map(|builtin| {
                let bytes = Cow::Borrowed(builtin.component);
                (
                    builtin.name.to_owned(),
                    Component {
                        name: builtin.name.to_owned(),
                        bytes,
                    },
                )
            })
            .collect();
        let own = self.config.as_ref().map(|config| &config.plugins);
        for (name, plugin) in own
            .into_iter()
            .flatten()
            .filter(|(name, _)| is_wanted(name))
        {
            let bytes = Cow::Owned(files::read(&self.root.join(&plugin.path))?);
            components.insert(
                name.clone(),
                Component {
                    name: name.clone(),
                    bytes,
                },
            );
        }
        let components = components.into_values().collect();
        Catalogue::load(runtime, components, self.policy()?).map_err(|errors| {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            Problem::new(Exit::Usage, lines.join("\n"))
        })
    }

    /// The names of all plugins.
    pub(crate) fn plugin_names(&self) -> Vec<String> {
        let own = self
            .config
            .as_ref()
            .map(|config| config.plugins.keys().cloned());
        let builtin = lockkeeper_plugins::builtin()
            .iter()
            .map(|builtin| builtin.name.to_owned());
        let mut names: Vec<String> = builtin.chain(own.into_iter().flatten()).collect();
        names.sort();
        names.dedup();
        names
    }

    fn policy(&self) -> Result<Policy, Problem> {
        let shipped: Config;
        let grants = if let Some(config) = &self.config {
            &config.grants
        } else {
            shipped = Config::parse(lockkeeper_plugins::GRANTS)
                .map_err(|error| Problem::new(Exit::Internal, error))?;
            &shipped.grants
        };
        let grants: Value = serde_json::to_value(grants)
            .map_err(|error| Problem::new(Exit::Usage, error.to_string()))?;
        Policy::parse(&grants).map_err(|errors| {
            let lines: Vec<String> = errors
                .iter()
                .map(|error| format!("{FILE}: {error}"))
                .collect();
            Problem::new(Exit::Usage, lines.join("\n"))
        })
    }

    /// Loads and checks a workflow with the plugins it names.
    pub(crate) fn load(&self, source: &Arc<Source>) -> Result<(Checked, Catalogue), Problem> {
        let wanted = lockkeeper_workflow::plugin_names(source);
        let (draft, catalogue) = std::thread::scope(|scope| {
            let loading = scope.spawn(|| self.catalogue(&runtime()?, wanted.as_ref()));
            let draft = lockkeeper_workflow::draft(source);
            let panicked = |_| Err(Problem::new(Exit::Internal, "loading the plugins panicked"));
            (draft, loading.join().unwrap_or_else(panicked))
        });
        let catalogue = catalogue?;
        let known = Known {
            catalogue: &catalogue,
            names: self.plugin_names(),
        };
        let checked = draft
            .check(&known)
            .map_err(|diagnostics| Problem::from(diagnostics.0))?;
        Ok((checked, catalogue))
    }
}

/// Where a workflow is.
pub(crate) enum Found {
    /// In this program.
    Shipped {
        name: &'static str,
        text: &'static str,
    },
    /// In a file, and how its path is shown.
    File { path: PathBuf, shown: String },
}

impl Found {
    /// The path that it is shown by.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Shipped { name, .. } => format!("workflows/{name}.toml"),
            Self::File { shown, .. } => shown.clone(),
        }
    }

    pub(crate) fn read(&self) -> Result<Arc<Source>, Problem> {
        match self {
            Self::Shipped { text, .. } => Ok(Source::new(self.path(), *text)),
            Self::File { path, shown } => read_source(path, shown),
        }
    }
}

/// Reads a workflow file, which has to be UTF-8 as TOML is.
fn read_source(path: &Path, shown: &str) -> Result<Arc<Source>, Problem> {
    String::from_utf8(files::read(path)?)
        .map(|text| Source::new(shown, text))
        .map_err(|error| {
            let first = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes());
            let stand_in = first..first + char::REPLACEMENT_CHARACTER.len_utf8();
            let source = Source::new(shown, text);
            let found = Diagnostic::error("LK0101", &source, stand_in, "this is not UTF-8 text");
            vec![found.label("this byte begins no character")].into()
        })
}

/// A catalogue that holds only the plugins at hand, under the names of all.
struct Known<'a> {
    catalogue: &'a Catalogue,
    names: Vec<String>,
}

impl lockkeeper_workflow::Plugins for Known<'_> {
    fn signature(&self, plugin: &str) -> Option<&lockkeeper_types::Signature> {
        self.catalogue.signature(plugin)
    }
    fn names(&self) -> Vec<String> {
        self.names.clone()
    }
    fn denied(&self, plugin: &str) -> Vec<lockkeeper_workflow::Denied> {
        self.catalogue.denied(plugin)
    }
}

/// The runtime, with its cache of compiled plugins.
pub(crate) fn runtime() -> Result<Runtime, Problem> {
    let cache = match std::env::var_os("LOCKKEEPER_CACHE") {
        Some(folder) => PathBuf::from(folder),
        None => user_folder("XDG_CACHE_HOME", ".cache")?,
    };
    Runtime::new(RuntimeOptions { cache: Some(cache) })
        .map_err(|error| Problem::new(Exit::Failed, error.to_string()))
}

/// lockkeeper's folder below the one that `variable` names, or below `fallback` in the home folder.
fn user_folder(variable: &str, fallback: &str) -> Result<PathBuf, Problem> {
    let base = std::env::var_os(variable)
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from);
    let base = base.or_else(|| std::env::home_dir().map(|home| home.join(fallback)));
    base.map(|base| base.join("lockkeeper")).ok_or_else(|| {
        Problem::new(
            Exit::Failed,
            format!("cannot tell the home folder; set {variable}"),
        )
    })
}
