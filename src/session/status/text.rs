//! Times and texts in the form that the schema of the status accepts.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// Returns a time as the API server stores it: in whole seconds.
pub fn seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

/// Returns `text`, cut to at most `characters` characters.
pub(super) fn bounded(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}
