//! Builds the shipped plugins to components with a cargo of its own, and embeds them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use wit_parser::{PackageMetadata, Resolve};

/// A plugin's crate, which is also its name in workflow files.
const PLUGINS: [&str; 6] = ["register", "import", "grant", "scope", "job", "test-run"];
const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "plugin";

/// What this build sets for itself and the plugins' build must not see: flags and wrappers such as
/// clippy's would make it build all anew, or not at all.
const PRIVATE: [&str; 12] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_RUSTC_WRAPPER",
    "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET_DIR",
    "TARGET",
    "PROFILE",
];
const PRIVATE_PREFIXES: [&str; 5] = [
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
    "CARGO_FEATURE_",
    "CARGO_CFG_",
    "CARGO_PKG_",
];

fn main() {
    if let Err(problem) = build() {
        for line in problem.lines() {
            println!("cargo::error={line}");
        }
    }
}

fn build() -> Result<(), String> {
    let root = path("CARGO_MANIFEST_DIR")?.join("../..");
    let out = path("OUT_DIR")?;
    target_is_installed()?;

    let target_dir = shared_target_dir(&out)?;
    cargo(&root, &target_dir)?;

    let built = target_dir.join(TARGET).join(PROFILE);
    let mut sources = BTreeSet::new();
    let mut list = String::from("&[\n");
    for name in PLUGINS {
        let file = name.replace('-', "_");
        let component = built.join(&file).with_extension("wasm");
        let mut bytes = fs::read(&component).map_err(|error| said(&component, &error))?;
        append_section(
            &mut bytes,
            PackageMetadata::SECTION_NAME,
            &docs(&root, name)?,
        );
        let copy = out.join(&file).with_extension("wasm");
        fs::write(&copy, bytes).map_err(|error| said(&copy, &error))?;
        let text = format!(
            "    Builtin {{ name: {name:?}, component: include_bytes!({:?}) }},\n",
            copy.display().to_string()
        );
        list.push_str(&text);
        sources.extend(sources_of(&built.join(&file).with_extension("d"))?);
        sources.insert(root.join("plugins").join(name).join("Cargo.toml"));
    }
    list.push_str("]\n");
    let listed = out.join("builtin.rs");
    fs::write(&listed, list).map_err(|error| said(&listed, &error))?;

    for file in [
        "plugins/guest/Cargo.toml",
        "Cargo.toml",
        "Cargo.lock",
        "wit",
    ] {
        sources.insert(root.join(file));
    }
    println!("cargo::rerun-if-changed=build.rs");
    for source in sources {
        println!("cargo::rerun-if-changed={}", source.display());
    }
    Ok(())
}

fn path(variable: &str) -> Result<PathBuf, String> {
    let value = env::var_os(variable).ok_or_else(|| format!("{variable} is not set"))?;
    Ok(PathBuf::from(value))
}

fn said(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

/// Without the target, cargo would only say that it cannot find `std`.
fn target_is_installed() -> Result<(), String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let asked = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output();
    let installed = asked.is_ok_and(|answer| {
        let directory = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
        answer.status.success() && Path::new(&directory).is_dir()
    });
    if installed {
        return Ok(());
    }
    Err(format!(
        "the Rust target {TARGET} is not installed; run `rustup target add {TARGET}` once, then build again"
    ))
}

/// `<target>/plugins`: one for every profile and for clippy, which all have an `OUT_DIR` of their
/// own, and not the directory that the outer cargo has locked.
fn shared_target_dir(out: &Path) -> Result<PathBuf, String> {
    let profile = out
        .ancestors()
        .find(|ancestor| ancestor.ends_with("build"))
        .and_then(Path::parent);
    let target = profile.and_then(Path::parent).map(|parent| {
        let triple = env::var_os("TARGET");
        match parent.parent() {
            Some(above) if parent.file_name() == triple.as_deref() => above,
            _ => parent,
        }
    });
    let target = target.ok_or_else(|| format!("{} is in no target directory", out.display()))?;
    Ok(target.join("plugins"))
}

fn cargo(root: &Path, target_dir: &Path) -> Result<(), String> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root)
        .args(["build", "--profile", PROFILE, "--target", TARGET])
        .arg("--target-dir")
        .arg(target_dir);
    for name in PLUGINS {
        cargo.args(["--package", name]);
    }
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let has_prefix = PRIVATE_PREFIXES
            .iter()
            .any(|prefix| text.starts_with(prefix));
        if has_prefix || PRIVATE.contains(&text.as_ref()) {
            cargo.env_remove(&name);
        }
    }
    let ended = cargo
        .output()
        .map_err(|error| format!("cargo cannot be started to build the plugins: {error}"))?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    Err(format!("the plugins do not build\n{said}"))
}

/// The files that a component was built from, by the makefile rule that cargo writes beside it.
fn sources_of(rule: &Path) -> Result<BTreeSet<PathBuf>, String> {
    let text = fs::read_to_string(rule).map_err(|error| said(rule, &error))?;
    let files = text.split_once(": ").map_or("", |(_, files)| files);
    let spaces = '\u{0}';
    let files = files.replace("\\ ", &spaces.to_string());
    let each = files.split_whitespace();
    Ok(each
        .map(|file| PathBuf::from(file.replace(spaces, " ")))
        .collect())
}

/// The doc comments of a plugin's world, as the section of a WIT package that holds them. The
/// linker leaves them out of components.
fn docs(root: &Path, name: &str) -> Result<Vec<u8>, String> {
    let mut resolve = Resolve::default();
    let packages = ["step", "entra", "azure", "databricks"];
    for package in packages {
        let folder = root.join("wit").join(package);
        resolve
            .push_dir(&folder)
            .map_err(|error| format!("{error:#}"))?;
    }
    let folder = root.join("plugins").join(name).join("wit");
    let (package, _) = resolve
        .push_dir(&folder)
        .map_err(|error| format!("{error:#}"))?;
    // In a component every world is called `root`, and tools expect that name here.
    if let Some(package) = resolve.packages.get_mut(package)
        && let Some(world) = package.worlds.shift_remove(name)
    {
        package.worlds.insert("root".to_owned(), world);
    }
    let docs = PackageMetadata::extract(&resolve, package);
    docs.encode().map_err(|error| format!("{error:#}"))
}

/// Appends a custom section: 0, the size of the rest, the size of the name, the name, the data.
fn append_section(component: &mut Vec<u8>, name: &str, data: &[u8]) {
    let mut section = leb128(name.len());
    section.extend_from_slice(name.as_bytes());
    section.extend_from_slice(data);
    component.push(0);
    component.extend(leb128(section.len()));
    component.extend(section);
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let [low, ..] = (number & 0x7f).to_le_bytes();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
