//! `athena-operator crd`: prints the CustomResourceDefinition.

use crate::api;

/// Prints the CustomResourceDefinition as YAML.
///
/// # Errors
/// When it cannot be shown as YAML, which a test excludes.
pub fn print() -> anyhow::Result<()> {
    print!("{}", serde_saphyr::to_string(&api::crd())?);
    Ok(())
}
