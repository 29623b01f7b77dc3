//! The values of the chart: the comments of its values.yaml.

use std::fmt::Write;

use crate::rows::{Row, rows};

/// The table of the values, in the order of the file.
pub(crate) fn table() -> String {
    let mut table = String::from("| value | default | meaning |\n|---|---|---|\n");
    for Row { path, default, meaning } in rows(&crate::read("charts/athena-operator/values.yaml")) {
        writeln!(table, "| `{path}` | `{default}` | {meaning} |").expect("a string takes all");
    }
    table
}
