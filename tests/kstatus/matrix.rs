//! The matrix of conditions: what each tool makes of each situation. It is said here and not computed, so that a change of any of them shows.

/// A situation of an object that is not being edited.
pub(crate) struct Row {
    /// Status of Ready; empty where the operator has said nothing yet.
    pub ready: &'static str,
    /// Reason of Ready.
    pub reason: &'static str,
    /// The verdict of kstatus: of Flux, Helm 4 and others.
    pub kstatus: &'static str,
    /// The verdict of Argo CD.
    pub argo: &'static str,
}

impl Row {
    /// The name of the file that shows the row, without folder and ending.
    pub(crate) fn file(&self) -> String {
        let mut name = self.argo.to_lowercase() + "_";
        for (index, letter) in self.reason.char_indices() {
            if letter.is_uppercase() && index > 0 {
                name.push('-');
            }
            name.extend(letter.to_lowercase());
        }
        name
    }
}

const fn row(ready: &'static str, reason: &'static str, kstatus: &'static str, argo: &'static str) -> Row {
    Row { ready, reason, kstatus, argo }
}

/// Every row. `Created` is an object that the operator has not seen, `Edited` one whose last generation it has not seen.
pub(crate) const MATRIX: [Row; 37] = [
    row("", "Created", "InProgress", "Progressing"),
    row("True", "Edited", "InProgress", "Progressing"),
    row("Unknown", "Starting", "InProgress", "Progressing"),
    row("Unknown", "SessionCreating", "InProgress", "Progressing"),
    row("Unknown", "SessionCreated", "InProgress", "Progressing"),
    row("True", "SessionIdle", "Current", "Healthy"),
    row("True", "SessionBusy", "Current", "Healthy"),
    row("Unknown", "UnknownState", "InProgress", "Progressing"),
    row("Unknown", "SessionTerminating", "InProgress", "Progressing"),
    row("Unknown", "Suspending", "InProgress", "Progressing"),
    row("Unknown", "DeadlineExceeded", "InProgress", "Progressing"),
    row("Unknown", "ReplacingSession", "InProgress", "Progressing"),
    row("False", "TerminateRefused", "Failed", "Degraded"),
    row("False", "Deleting", "Terminating", "Progressing"),
    row("True", "Suspended", "Current", "Healthy"),
    row("True", "IdleTimeout", "Current", "Healthy"),
    row("True", "DeadlineExceeded", "Current", "Healthy"),
    row("Unknown", "RestartingAfterFailure", "InProgress", "Progressing"),
    row("False", "SessionFailed", "Failed", "Degraded"),
    row("False", "SessionDegraded", "Failed", "Degraded"),
    row("False", "StartupDeadlineExceeded", "Failed", "Degraded"),
    row("False", "StoppedOutside", "Failed", "Degraded"),
    row("False", "SessionVanished", "Failed", "Degraded"),
    row("False", "InvalidRequest", "Failed", "Degraded"),
    row("Unknown", "WorkGroupNotFound", "InProgress", "Progressing"),
    row("False", "WorkGroupNotFound", "Failed", "Degraded"),
    row("Unknown", "AccessDenied", "InProgress", "Progressing"),
    row("False", "AccessDenied", "Failed", "Degraded"),
    row("Unknown", "QuotaExceeded", "InProgress", "Progressing"),
    row("Unknown", "Throttled", "InProgress", "Progressing"),
    row("Unknown", "ObservationStale", "InProgress", "Progressing"),
    row("False", "TokenMismatch", "Failed", "Degraded"),
    row("False", "SessionAlreadyExists", "Failed", "Degraded"),
    row("False", "IdentityChanged", "Failed", "Degraded"),
    row("False", "ObjectInvalid", "Failed", "Degraded"),
    row("Unknown", "WriteRefused", "InProgress", "Progressing"),
    row("False", "WriteRefused", "Failed", "Degraded"),
];
