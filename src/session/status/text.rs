//! Times and texts as the schema of the status takes them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// A time as the API server stores it: in whole seconds.
pub fn seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

/// `text`, cut to the characters that the schema allows.
pub(super) fn bounded(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}
