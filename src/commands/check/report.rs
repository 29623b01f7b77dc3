//! Report of `check`, as text and as JSON.

use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};

use super::permission::{GET_WORK_GROUP, LIST_SESSIONS, Permission, Statement, Verdict};
use crate::athena::{Caller, Target};
use crate::session::reply::WorkGroup;

/// Results of `check`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Identity that makes the calls, if STS returned it.
    pub caller: Option<Caller>,
    /// Destination of the calls to Athena.
    #[serde(flatten)]
    pub target: Target,
    /// Work groups that could be read.
    pub work_groups: Vec<WorkGroupReport>,
    /// All permissions.
    pub permissions: Vec<Permission>,
    /// Other problems.
    pub problems: Vec<String>,
}

/// Work group in the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkGroupReport {
    /// Name.
    pub name: String,
    /// Athena's state of the work group.
    pub state: &'static str,
    /// Engine version.
    pub engine_version: Option<String>,
}

impl WorkGroupReport {
    pub(super) fn of(name: &str, group: &WorkGroup) -> Self {
        let state = if group.enabled { "ENABLED" } else { "DISABLED" };
        Self { name: name.to_owned(), state, engine_version: group.engine_version.clone() }
    }
}

impl Report {
    /// Returns whether no permission is missing and there is no problem. A permission that no call shows is not missing.
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
            && self.permissions.iter().all(|permission| permission.verdict != Verdict::Missing)
    }

    /// Adds a problem, once.
    pub(super) fn problem(&mut self, problem: String) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Returns the report as one JSON object.
    pub fn json(&self) -> String {
        let mut report = json!(self);
        report["ok"] = self.is_ok().into();
        format!("{report:#}\n")
    }

    /// Returns the report as text for people.
    pub fn text(&self) -> String {
        let Target { region, endpoint, athena_url, fips } = &self.target;
        let caller = self.caller.as_ref();
        let unknown = || "unknown".to_owned();
        let mut head = vec![
            ["caller".into(), caller.map_or_else(unknown, |caller| caller.arn.clone())],
            ["account".into(), caller.map_or_else(unknown, |caller| caller.account.clone())],
            ["region".into(), region.clone()],
        ];
        if let Some(url) = athena_url {
            head.push(["Athena".into(), if *fips { format!("{url} (FIPS)") } else { url.clone() }]);
        }
        if let Some(endpoint) = endpoint {
            head.push(["endpoint".into(), format!("{endpoint} in place of AWS's own")]);
        }
        let mut text = table(head);
        if !self.work_groups.is_empty() {
            let row = |group: &WorkGroupReport| {
                [group.name.clone(), group.state.into(), group.engine_version.clone().unwrap_or_else(unknown)]
            };
            text += "\n";
            text += &table(
                [["WORK GROUP", "STATE", "ENGINE"].map(str::to_owned)]
                    .into_iter()
                    .chain(self.work_groups.iter().map(row)),
            );
        }
        let row = |permission: &Permission| {
            let work_group = permission.work_group.clone().unwrap_or_else(|| "all".into());
            [
                permission.action.clone(),
                work_group,
                permission.verdict.words().into(),
                permission.detail.clone(),
            ]
        };
        text += "\n";
        text += &table(
            [["PERMISSION", "WORK GROUP", "VERDICT", ""].map(str::to_owned)]
                .into_iter()
                .chain(self.permissions.iter().map(row)),
        );
        if !self.problems.is_empty() {
            text += "\nIn the way:\n";
            text.extend(self.problems.iter().map(|problem| format!("- {problem}\n")));
        }
        self.add_policy(&mut text, "Missing; add to the caller's policy:", |verdict| {
            verdict == Verdict::Missing
        });
        self.add_policy(
            &mut text,
            "These permissions could not be confirmed. If they are missing, this policy grants them:",
            |verdict| matches!(verdict, Verdict::Unknown | Verdict::NotChecked),
        );
        let is_needed = |permission: &Permission| {
            permission.verdict == Verdict::Missing
                && ![GET_WORK_GROUP, LIST_SESSIONS].contains(&permission.action.as_str())
        };
        text += if self.is_ok() {
            "\nNothing that was checked is missing.\n"
        } else if self.problems.is_empty() && !self.permissions.iter().any(is_needed) {
            "\nThe operator works without these permissions, but finds out less: docs/aws.md.\n"
        } else {
            "\nThe operator cannot work like this.\n"
        };
        text
    }

    fn add_policy(&self, text: &mut String, title: &str, of: impl Fn(Verdict) -> bool) {
        let statements = self
            .permissions
            .iter()
            .filter(|permission| of(permission.verdict))
            .filter_map(|permission| permission.statement.as_ref());
        let statements = Statement::merged(statements);
        if !statements.is_empty() {
            let policy: Value = json!({ "Version": "2012-10-17", "Statement": statements });
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{title}\n{policy:#}\n");
        }
    }
}

/// Returns the rows as text, with aligned columns.
fn table<const N: usize>(rows: impl IntoIterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = rows.into_iter().collect();
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let line = |row: &[String; N]| {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect::<Vec<_>>()
            .join("  ");
        cells.trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(verdict: Verdict) -> Report {
        let statement = Some(Statement::allow("athena:StartSession", vec!["arn:x".into()]))
            .filter(|_| verdict != Verdict::Allowed);
        let permission = Permission {
            action: "athena:StartSession".into(),
            work_group: Some("etl".into()),
            verdict,
            detail: "said so".into(),
            statement,
        };
        Report {
            caller: Some(Caller {
                account: "000000000000".into(),
                arn: "arn:aws:sts::000000000000:assumed-role/o/x".into(),
            }),
            target: Target {
                region: "eu-west-1".into(),
                athena_url: Some("https://athena.eu-west-1.amazonaws.com".into()),
                ..Target::default()
            },
            work_groups: vec![WorkGroupReport {
                name: "etl".into(),
                state: "ENABLED",
                engine_version: Some("Apache Spark version 3.5".into()),
            }],
            permissions: vec![permission],
            problems: Vec::new(),
        }
    }

    #[test]
    fn a_person_reads_who_where_what_and_what_to_add() {
        let expected = r#"caller   arn:aws:sts::000000000000:assumed-role/o/x
account  000000000000
region   eu-west-1
Athena   https://athena.eu-west-1.amazonaws.com

WORK GROUP  STATE    ENGINE
etl         ENABLED  Apache Spark version 3.5

PERMISSION           WORK GROUP  VERDICT
athena:StartSession  etl         missing  said so

Missing; add to the caller's policy:
{
  "Statement": [
    {
      "Action": [
        "athena:StartSession"
      ],
      "Effect": "Allow",
      "Resource": [
        "arn:x"
      ]
    }
  ],
  "Version": "2012-10-17"
}

The operator cannot work like this.
"#;
        assert_eq!(report(Verdict::Missing).text(), expected);
        assert!(report(Verdict::Unknown).text().contains("could not be confirmed"));
        let allowed = report(Verdict::Allowed).text();
        assert!(
            allowed.ends_with(
                "athena:StartSession  etl         allowed  said so\n\nNothing that was checked is missing.\n"
            ),
            "{allowed}"
        );
    }

    #[test]
    fn only_what_is_missing_or_in_the_way_makes_it_fail() {
        for (verdict, ok) in [
            (Verdict::Allowed, true),
            (Verdict::Unknown, true),
            (Verdict::NotChecked, true),
            (Verdict::Missing, false),
        ] {
            assert_eq!(report(verdict).is_ok(), ok, "{verdict:?}");
            let json: Value = serde_json::from_str(&report(verdict).json()).expect("JSON");
            assert_eq!((&json["ok"], &json["permissions"][0]["verdict"]), (&json!(ok), &json!(verdict)));
        }
        let mut hindered = report(Verdict::Allowed);
        hindered.problem("no".into());
        hindered.problem("no".into());
        assert!(!hindered.is_ok());
        assert_eq!(hindered.problems, ["no"]);
    }
}
