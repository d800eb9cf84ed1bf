//! `init`.

use std::path::PathBuf;

use crate::exit::{Exit, Problem};
use crate::files;
use crate::printer::Printer;
use crate::project::{FILE, Project, runtime};

/// What a new project's file begins with; the grants follow.
const HEAD: &str = r#"# The operator's file: where workflows run, and what plugins may do.
# It alone grants; a workflow or a plugin cannot widen it.

[project]
workflows = ["workflows/*.toml"]
target    = "sim"                    # the target when `--target` is not given

# The built-in simulator of Entra, Azure and Databricks, on this machine only.
[targets.sim]
sim = true

# A real tenant and workspace. Sign in with `az login`, or choose another `kind`:
# client-secret, oidc, managed-identity, databricks-pat, databricks-oauth.
# [targets.dev]
# tenant_id = "00000000-0000-0000-0000-000000000000"
# workspace = "https://adb-1234567890123456.7.azuredatabricks.net"
# auth      = { kind = "azure-cli" }

# What each plugin may do: two keys open the gate, its imports and these lines.
"#;

/// Writes into `folder`, or into the `project` folder of the flag that all commands take.
pub(super) fn init(
    folder: Option<PathBuf>,
    project: Option<PathBuf>,
    printer: &Printer,
) -> Result<Exit, Problem> {
    let folder = match (folder, project) {
        (Some(folder), Some(project)) if folder != project => {
            return Err(Problem::new(
                Exit::Usage,
                format!(
                    "{} and the project folder {} cannot both be meant; nothing was written",
                    folder.display(),
                    project.display()
                ),
            )
            .help("leave FOLDER out, or `--project` (and LOCKKEEPER_PROJECT)"));
        }
        (folder, project) => folder.or(project).unwrap_or_else(|| PathBuf::from(".")),
    };
    let file = folder.join(FILE);
    if file.exists() {
        return Err(Problem::new(
            Exit::Usage,
            format!("{} is there already; nothing was written", file.display()),
        ));
    }
    let workflows = folder.join("workflows");
    files::make_folder(&workflows)?;
    for (name, text) in lockkeeper_plugins::WORKFLOWS {
        let path = workflows.join(format!("{name}.toml"));
        if path.exists() {
            printer.say(&format!("  Kept    {}", path.display()));
        } else {
            files::write(&path, text)?;
            printer.say(&format!("  Wrote   {}", path.display()));
        }
    }
    files::write(&file, &format!("{HEAD}{}", lockkeeper_plugins::GRANTS))?;
    printer.say(&format!("  Wrote   {}", file.display()));
    let project = Project::find(Some(&folder))?;
    let catalogue = project.catalogue(&runtime()?, None)?;
    let signatures: Vec<_> = catalogue.signatures().cloned().collect();
    let schema = project.state().join("schema");
    files::make_folder(&schema)?;
    let text = serde_json::to_string_pretty(&lockkeeper_workflow::schema(&signatures))
        .map_err(|error| Problem::new(Exit::Internal, error.to_string()))?;
    files::write(&schema.join("workflow-1.json"), &text)?;
    printer.say("  Next    lockkeeper run onboard -i app_name=etl-demo");
    Ok(Exit::Done)
}
