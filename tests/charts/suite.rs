//! The chart `charts/athena-operator`, under Helm 4 and 3.
//!
//! - [`helm`]: runs them. [`values`], [`rows`]: what `values.yaml`, its schema and its comments say.
//! - [`switches`], with `switches.yaml`: what each value is switched to, and renders of all pairs
//!   of that, made by [`pairwise`].
//! - [`lint`], [`misspelt`], [`refused`], [`described`]: what a user meets first.
//! - [`valid`]: each render against the schemas of each supported [`kubernetes`], and the example
//!   for Argo CD against its own.
//! - [`policy`]: what people install against rules of good practice, with `waivers.yaml`.
//! - [`pod`], [`rbac`], [`names`], [`admission`]: what holds in each render.
//! - [`generated`]: `deploy/` is made from the chart as it is.
//! - [`alerts`]: alerts, with their tests in `alerts/`, and dashboard, read by [`promql`].

mod admission;
mod alerts;
mod described;
mod generated;
mod helm;
mod kubernetes;
mod lint;
mod misspelt;
mod names;
mod pairwise;
mod pod;
mod policy;
mod promql;
mod rbac;
mod refused;
mod rows;
mod switches;
mod valid;
mod values;
