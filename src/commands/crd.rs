//! `athena-operator crd`: prints the CustomResourceDefinition.

use crate::api;

/// Prints the CustomResourceDefinition as YAML.
///
/// # Errors
/// When the definition cannot be serialised as YAML, which a test excludes.
pub fn print() -> anyhow::Result<()> {
    print!("{}", serde_saphyr::to_string(&api::crd())?);
    Ok(())
}
