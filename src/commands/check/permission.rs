//! Verdict on a permission by AWS's reply to a call, and the IAM statement that grants the permission.

use serde::Serialize;
use serde_json::{Value, json};

use crate::athena::Caller;
use crate::session::reply::{ErrorClass, Refusal};

pub(super) const GET_WORK_GROUP: &str = "athena:GetWorkGroup";
pub(super) const LIST_SESSIONS: &str = "athena:ListSessions";
pub(super) const START_SESSION: &str = "athena:StartSession";
pub(super) const TAG_RESOURCE: &str = "athena:TagResource";
pub(super) const GET_SESSION: &str = "athena:GetSession";
pub(super) const GET_SESSION_STATUS: &str = "athena:GetSessionStatus";
pub(super) const TERMINATE_SESSION: &str = "athena:TerminateSession";
pub(super) const PASS_ROLE: &str = "iam:PassRole";

/// Verdict on a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// The caller has the permission.
    Allowed,
    /// The caller does not have the permission.
    Missing,
    /// The reply to the call does not show whether the caller has the permission.
    Unknown,
    /// No call shows whether the caller has the permission, or none could be made.
    NotChecked,
}

impl Verdict {
    /// Returns the verdict in words, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Missing => "missing",
            Self::Unknown => "unknown",
            Self::NotChecked => "not checked",
        }
    }
}

/// Permission, and the verdict on it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Permission {
    /// IAM action.
    pub action: String,
    /// Work group, if the call was for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work_group: Option<String>,
    /// Verdict.
    pub verdict: Verdict,
    /// Reason of the verdict; empty where there is none to give.
    pub detail: String,
    /// Statement that grants the permission, unless the caller has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<Statement>,
}

/// Statement of an IAM policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    effect: &'static str,
    /// Actions.
    pub action: Vec<String>,
    /// Resources.
    pub resource: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Value>,
}

impl Statement {
    /// Returns a statement that allows `action` on `resource`; a role may be passed to Athena only.
    pub fn allow(action: &str, resource: Vec<String>) -> Self {
        let condition = (action == PASS_ROLE)
            .then(|| json!({ "StringEquals": { "iam:PassedToService": "athena.amazonaws.com" } }));
        Self { effect: "Allow", action: vec![action.to_owned()], resource, condition }
    }

    /// Returns `statements`, with those on the same resources merged into one.
    pub fn merged<'a>(statements: impl IntoIterator<Item = &'a Self>) -> Vec<Self> {
        let mut merged: Vec<Self> = Vec::new();
        for statement in statements {
            match merged
                .iter_mut()
                .find(|other| other.resource == statement.resource && other.condition == statement.condition)
            {
                Some(other) => other.action.extend(statement.action.iter().cloned()),
                None => merged.push(statement.clone()),
            }
        }
        merged
    }
}

/// ARNs of resources in the caller's account.
#[derive(Clone, Debug)]
pub struct Resources {
    /// Beginning of the ARNs, up to the account.
    prefix: String,
}

impl Resources {
    /// Returns the ARNs in the account of `caller` in `region`. An unknown account becomes `*`.
    pub fn of(caller: Option<&Caller>, region: &str) -> Self {
        let partition = caller
            .and_then(|caller| caller.arn.split(':').nth(1))
            .filter(|partition| !partition.is_empty())
            .unwrap_or("aws");
        let account = caller.map_or("*", |caller| &caller.account);
        Self { prefix: format!("arn:{partition}:athena:{region}:{account}") }
    }

    pub(super) fn work_group(&self, name: &str) -> String {
        format!("{}:workgroup/{name}", self.prefix)
    }

    pub(super) fn session(&self, work_group: &str, id: &str) -> String {
        format!("{}/session/{id}", self.work_group(work_group))
    }

    /// Returns the ARNs of work groups and of their sessions: AWS asks for the permission on either.
    pub(super) fn with_sessions(&self, work_groups: &[&str]) -> Vec<String> {
        work_groups.iter().flat_map(|name| [self.work_group(name), self.session(name, "*")]).collect()
    }
}

/// Verdict by one reply.
#[derive(Debug, PartialEq)]
pub(super) struct Judgement {
    pub(super) verdict: Verdict,
    pub(super) detail: String,
    /// Problem that kept AWS from a reply.
    pub(super) problem: Option<String>,
    /// Another action that AWS denied in place of the one of the call, its resource, and AWS's message.
    pub(super) denied: Option<(String, String, String)>,
}

impl Judgement {
    fn new(verdict: Verdict, detail: impl Into<String>) -> Self {
        Self { verdict, detail: detail.into(), problem: None, denied: None }
    }

    pub(super) fn allowed(detail: &str) -> Self {
        Self::new(Verdict::Allowed, detail)
    }

    pub(super) fn not_checked(reason: &str) -> Self {
        Self::new(Verdict::NotChecked, reason)
    }
}

/// Returns the verdict on the permission for `action` by `answer`, the reply to a call.
pub(super) fn judge(action: &str, answer: Result<(), Refusal>) -> Judgement {
    let Err(Refusal { class, reason, message, .. }) = answer else { return Judgement::allowed("") };
    match reason {
        "AccessDenied" => match denied(&message) {
            Some((other, resource)) if other != action => {
                let detail = format!("{other} was denied in its place");
                Judgement {
                    denied: Some((other.to_owned(), resource.to_owned(), message.clone())),
                    ..Judgement::new(Verdict::Unknown, detail)
                }
            }
            _ => Judgement::new(Verdict::Missing, message),
        },
        "CredentialsInvalid" | "ClockSkew" | "WrongRegion" => {
            Judgement { problem: Some(message.clone()), ..Judgement::not_checked(&message) }
        }
        _ if matches!(class, ErrorClass::Throttled | ErrorClass::Unanswered | ErrorClass::NotSent) => {
            let problem = format!("no answer to {}: {message}", action.trim_start_matches("athena:"));
            Judgement { problem: Some(problem), ..Judgement::not_checked(&message) }
        }
        _ => Judgement::new(Verdict::Unknown, message),
    }
}

/// Returns the action and the resource that a denial names.
fn denied(message: &str) -> Option<(&str, &str)> {
    let (_, rest) = message.split_once("is not authorized to perform: ")?;
    let (action, rest) = rest.split_once(' ')?;
    let resource = rest.strip_prefix("on resource: ").and_then(|rest| rest.split_whitespace().next());
    Some((action, resource.unwrap_or("*")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(class: ErrorClass, reason: &'static str, message: &str) -> Refusal {
        Refusal { class, reason, message: message.into(), request_id: None }
    }

    fn verdict(class: ErrorClass, reason: &'static str) -> (Verdict, bool) {
        let judgement = judge("athena:GetSession", Err(refusal(class, reason, "text")));
        assert_eq!(judgement.detail, "text");
        (judgement.verdict, judgement.problem.is_some())
    }

    #[test]
    fn only_a_denial_says_that_a_permission_is_missing() {
        assert_eq!(judge("athena:GetSession", Ok(())), Judgement::allowed(""));
        for (class, reason, expected) in [
            (ErrorClass::MayHeal, "AccessDenied", (Verdict::Missing, false)),
            (ErrorClass::MayHeal, "CredentialsInvalid", (Verdict::NotChecked, true)),
            (ErrorClass::MayHeal, "WrongRegion", (Verdict::NotChecked, true)),
            (ErrorClass::MayHeal, "ClockSkew", (Verdict::NotChecked, true)),
            (ErrorClass::Throttled, "Throttled", (Verdict::NotChecked, true)),
            (ErrorClass::Unanswered, "AthenaUnavailable", (Verdict::NotChecked, true)),
            (ErrorClass::NotSent, "AthenaUnavailable", (Verdict::NotChecked, true)),
            (ErrorClass::Rejected, "InvalidRequest", (Verdict::Unknown, false)),
            (ErrorClass::NotFound, "NotFound", (Verdict::Unknown, false)),
            (ErrorClass::MayHeal, "WorkGroupNotFound", (Verdict::Unknown, false)),
            (ErrorClass::MayHeal, "Refused", (Verdict::Unknown, false)),
        ] {
            assert_eq!(verdict(class, reason), expected, "{reason}");
        }
    }

    #[test]
    fn a_denial_of_another_action_is_told_as_that() {
        let text = "User: arn:aws:sts::000000000000:assumed-role/o/x is not authorized to perform: iam:PassRole on resource: arn:aws:iam::0:role/r \
                    because no identity-based policy allows the iam:PassRole action";
        let denied = |action| judge(action, Err(refusal(ErrorClass::MayHeal, "AccessDenied", text)));
        assert_eq!((denied("iam:PassRole").verdict, denied("iam:PassRole").denied), (Verdict::Missing, None));
        let other = denied("athena:StartSession");
        assert_eq!(other.verdict, Verdict::Unknown);
        assert_eq!(other.denied, Some(("iam:PassRole".into(), "arn:aws:iam::0:role/r".into(), text.into())));
        assert_eq!(
            judge("athena:GetSession", Err(refusal(ErrorClass::MayHeal, "AccessDenied", "no"))).verdict,
            Verdict::Missing
        );
    }

    #[test]
    fn statements_name_the_partition_region_and_account_of_the_caller() {
        let caller = Caller {
            account: "123456789012".into(),
            arn: "arn:aws-cn:sts::123456789012:assumed-role/o/x".into(),
        };
        let resources = Resources::of(Some(&caller), "cn-north-1");
        let group = "arn:aws-cn:athena:cn-north-1:123456789012:workgroup/etl";
        assert_eq!(resources.with_sessions(&["etl"]), [group.to_owned(), format!("{group}/session/*")]);
        assert_eq!(
            Resources::of(None, "eu-west-1").work_group("etl"),
            "arn:aws:athena:eu-west-1:*:workgroup/etl"
        );
    }

    #[test]
    fn statements_on_the_same_resources_are_one() {
        let on = |action: &str, resource: &str| Statement::allow(action, vec![resource.to_owned()]);
        let all = [
            on("athena:GetSession", "a"),
            on("iam:PassRole", "a"),
            on("athena:TerminateSession", "a"),
            on("athena:GetSession", "b"),
        ];
        let policy = serde_json::to_value(Statement::merged(&all)).expect("JSON");
        let condition = json!({ "StringEquals": { "iam:PassedToService": "athena.amazonaws.com" } });
        let expected = json!([
            { "Effect": "Allow", "Action": ["athena:GetSession", "athena:TerminateSession"], "Resource": ["a"] },
            { "Effect": "Allow", "Action": ["iam:PassRole"], "Resource": ["a"], "Condition": condition },
            { "Effect": "Allow", "Action": ["athena:GetSession"], "Resource": ["b"] },
        ]);
        assert_eq!(policy, expected);
    }
}
