//! What a plugin's component says of itself.

use serde::{Deserialize, Serialize};

use crate::Field;

/// A plugin's contract, read from its component's types: the world is the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The plugin's name, as workflow files and grants say it.
    pub plugin: String,
    /// SHA-256 of the component's bytes, in lower-case hexadecimal.
    pub digest: String,
    /// What the world's doc comment says, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docs: Option<String>,
    /// The fields of `run`'s parameter.
    pub inputs: Vec<Field>,
    /// The fields of `run`'s result.
    pub outputs: Vec<Field>,
    /// Whether it has an `adopt`, which takes an existing object into its care.
    #[serde(default)]
    pub adopts: bool,
    /// The lockkeeper interfaces it imports, which are the permissions it asks for.
    pub imports: Vec<Import>,
}

/// One imported interface and the functions of it that the component can call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Package and interface without namespace and version: `entra/applications`.
    pub interface: String,
    /// The version it was built against: `0.1.0`.
    pub version: String,
    /// The functions, in the component's order, in kebab-case: `find-by-unique-name`.
    pub functions: Vec<String>,
}
