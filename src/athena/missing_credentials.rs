//! Reasons for missing AWS credentials.

/// Reason for missing credentials.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Missing {
    /// None were found.
    #[error("the operator has no AWS credentials (EKS Pod Identity, IRSA, a profile or keys): {0}")]
    NotFound(String),
    /// The credentials that were found cannot be used.
    #[error("the operator's AWS credentials cannot be used: {0}")]
    Unusable(String),
    /// The credentials may be of another account than those before them.
    #[error("cannot tell of which account the operator's new AWS credentials are: {0}")]
    AccountUnknown(String),
    /// The credentials are of another account than those before them.
    #[error(
        "the operator's AWS credentials are of account {found} now, and it works in account {own} until it ends: \
         give it credentials of account {own}, or restart it to have it work in account {found}"
    )]
    AccountChanged {
        /// The account of the process.
        own: String,
        /// The account of the credentials.
        found: String,
    },
}
