//! The six shipped plugins, built to components, and the workflows that ship with them.

/// A plugin that ships with lockkeeper.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// Its name, as workflow files and grants say it.
    pub name: &'static str,
    /// The component's bytes.
    pub component: &'static [u8],
}

/// The shipped plugins.
pub fn builtin() -> &'static [Builtin] {
    include!(concat!(env!("OUT_DIR"), "/builtin.rs"))
}

/// The shipped workflows: name and text.
pub const WORKFLOWS: &[(&str, &str)] =
    &[("onboard", include_str!("../../../workflows/onboard.toml"))];

/// Grants for the shipped plugins, as `lockkeeper.toml` takes them: to each exactly the operations
/// that it imports.
pub const GRANTS: &str = include_str!("grants.toml");

#[cfg(test)]
mod tests;
