//! Names of namespaces and work groups as labels: a bounded number, and none for ever.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::runtime::metrics::registry::Label;

/// Number of names that are labels; the series of the others are added up.
pub const MAX_LABELS: usize = 200;
/// Label of the other names.
pub(super) const OTHER: &str = "other";
/// Time for which a name stays a label after its last use.
const LABEL_TTL: Duration = Duration::from_hours(1);

/// Names that are labels, and the time of the last use of each. It has no clock.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<String, Instant>);

impl Names {
    /// Returns `name` as a label: first come, first served.
    pub(super) fn label(&mut self, name: &str, now: Instant) -> Label {
        if let Some(used) = self.0.get_mut(name) {
            *used = now;
        } else if self.0.len() < MAX_LABELS {
            self.0.insert(name.to_owned(), now);
        } else {
            return OTHER.into();
        }
        name.to_owned().into()
    }

    /// Makes room: removes the names that have not been used for long.
    pub(super) fn expire(&mut self, now: Instant) {
        self.0.retain(|_, used| now.saturating_duration_since(*used) < LABEL_TTL);
    }

    /// Returns whether `label` is the label of a name, or of the other names.
    pub(super) fn has(&self, label: &str) -> bool {
        label == OTHER || self.0.contains_key(label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_names_are_labels_and_the_rest_are_others() {
        let (mut names, now) = (Names::default(), Instant::now());
        for number in 0..MAX_LABELS {
            assert_eq!(names.label(&format!("n-{number}"), now), format!("n-{number}"));
        }
        assert_eq!(names.label("late", now), OTHER);
        assert_eq!(names.label("n-7", now), "n-7");
    }

    #[test]
    fn a_name_that_is_not_used_makes_room_after_an_hour() {
        let (mut names, start) = (Names::default(), Instant::now());
        for number in 0..MAX_LABELS {
            names.label(&format!("n-{number}"), start);
        }
        names.label("n-7", start + LABEL_TTL / 2);
        names.expire(start + LABEL_TTL.saturating_sub(Duration::from_secs(1)));
        assert_eq!(names.label("late", start + LABEL_TTL / 2), OTHER);
        names.expire(start + LABEL_TTL);
        assert_eq!(names.label("late", start + LABEL_TTL), "late");
        assert!(names.has("n-7") && names.has(OTHER) && !names.has("n-8"));
    }
}
