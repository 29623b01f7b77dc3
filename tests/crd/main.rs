//! The CRD: the rules of Kubernetes' API linter, and whether it goes on where released ones left off.

mod compatibility;
mod lint;
mod schema;
