//! Values of flags that several components take.

use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;

use crate::env_vars::is_label;

/// Reads a duration, such as `20s`: more than nothing, and at most a day.
///
/// # Errors
/// When `text` is not such a duration.
pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration =
        text.parse().map_err(|_| format!("`{text}` is not a duration such as 500ms, 20s or 10m"))?;
    let positive = Duration::try_from(parsed)
        .ok()
        .filter(|duration| !duration.is_zero() && *duration <= Duration::from_hours(24));
    positive.ok_or_else(|| format!("`{text}` must be more than nothing and at most 24h"))
}

/// Reads the name of a namespace.
///
/// # Errors
/// When `text` is not such a name.
pub fn namespace(text: &str) -> Result<String, String> {
    let found = is_label(text).then(|| text.to_owned());
    found.ok_or_else(|| format!("`{text}` is not the name of a namespace"))
}

/// Reads the name of an object, which becomes a part of the URL of its requests.
///
/// # Errors
/// When `text` is not such a name.
pub fn name(text: &str) -> Result<String, String> {
    let is_name = text.len() <= 253 && text.split('.').all(is_label);
    is_name.then(|| text.to_owned()).ok_or_else(|| {
        format!("`{text}` is not the name of an object: it takes lower case letters, digits, `-` and `.`")
    })
}
