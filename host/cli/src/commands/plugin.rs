//! `plugin inspect`.

use std::collections::BTreeSet;
use std::path::Path;

use lockkeeper_types::Field;

use crate::args::Plugin;
use crate::exit::{Exit, Problem};
use crate::files;
use crate::printer::Printer;
use crate::project::{Project, runtime};

pub(super) fn plugin(
    project: &Project,
    command: &Plugin,
    printer: &Printer,
) -> Result<Exit, Problem> {
    let Plugin::Inspect { plugin } = command;
    let runtime = runtime()?;
    let path = Path::new(plugin);
    let signature = if path
        .extension()
        .is_some_and(|extension| extension == "wasm")
    {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        runtime
            .load(&name, &files::read(path)?)
            .map_err(|error| Problem::new(Exit::Usage, error.to_string()))?
            .signature()
            .clone()
    } else {
        let catalogue = project.catalogue(&runtime, Some(&BTreeSet::from([plugin.clone()])))?;
        let found = catalogue
            .plugin(plugin)
            .map(|plugin| plugin.signature().clone());
        found.ok_or_else(|| {
            Problem::new(Exit::NotFound, format!("there is no plugin `{plugin}`"))
                .help(format!("there are: {}", project.plugin_names().join(", ")))
        })?
    };
    if printer.wants_json() {
        printer.json("plugin", &signature)?;
        return Ok(Exit::Done);
    }
    let mut text = format!("{}  sha256:{}\n", signature.plugin, signature.digest);
    if let Some(docs) = &signature.docs {
        text.push_str(&format!("{docs}\n"));
    }
    fields("inputs", &signature.inputs, &mut text);
    fields("outputs", &signature.outputs, &mut text);
    text.push_str(if signature.adopts {
        "\nadopts existing objects, by `lockkeeper adopt WORKFLOW STEP=ID`\n"
    } else {
        "\nadopts nothing\n"
    });
    text.push_str("\nasks leave for\n");
    for import in &signature.imports {
        text.push_str(&format!(
            "  {}@{}: {}\n",
            import.interface,
            import.version,
            import.functions.join(", ")
        ));
    }
    printer.result(&text)?;
    Ok(Exit::Done)
}

fn fields(title: &str, fields: &[Field], text: &mut String) {
    text.push_str(&format!("\n{title}\n"));
    for field in fields {
        text.push_str(&format!("  {}: {}\n", field.name, field.kind));
        for line in field.docs.iter().flat_map(|docs| docs.lines()) {
            text.push_str(&format!("      {line}\n"));
        }
    }
}
