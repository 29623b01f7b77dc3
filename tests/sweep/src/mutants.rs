//! Broken variants of the operator, which the sweep must find out.
//!
//! The operator's sources stay as they are: a copy of the repository is changed and built beside it, once for all variants, and a variable chooses one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use environment::repository;

use crate::ground::{program, target_folder};
use crate::verdict::Verdict;

/// The variable that chooses a variant.
pub(crate) const VARIABLE: &str = "ATHENA_OPERATOR_MUTANT";

/// A broken variant.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// Its name.
    pub name: &'static str,
    /// The scenario and the fault that find it out; none where the scenario alone does.
    pub caught_by: (&'static str, Option<&'static str>),
    /// What goes wrong there.
    pub symptom: Symptom,
    changes: &'static [Change],
}

/// What goes wrong with a broken variant. Another fault, such as one of a binary that does not run at all, does not count.
#[derive(Clone, Copy, Debug)]
pub enum Symptom {
    /// A session beyond the first of an attempt.
    Duplicate,
    /// A session without its object.
    Leak,
    /// The run does not come to its end, for a reason that says this.
    Stuck(&'static str),
}

impl Symptom {
    /// Whether a run came to it.
    pub fn is_of(&self, verdict: &Verdict) -> bool {
        match self {
            Self::Duplicate => verdict.duplicates > 0,
            Self::Leak => verdict.leaks > 0,
            Self::Stuck(reason) => verdict.stuck.as_ref().is_some_and(|stuck| stuck.contains(reason)),
        }
    }
}

/// The name of the variant that is not broken: the same binary, which has to do all well where the others are found out.
pub const SOUND: &str = "sound";

/// A place in the sources, which must be there once, and what stands there in the copy.
#[derive(Clone, Copy, Debug)]
struct Change {
    file: &'static str,
    before: &'static str,
    after: &'static str,
}

const LIFECYCLE: &str = "src/session/lifecycle.rs";
const RECONCILE: &str = "src/controller/reconcile.rs";

/// Every broken variant.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "start-before-record",
        caught_by: ("resume", Some("kill-delete@resume/StartSession#1")),
        symptom: Symptom::Leak,
        changes: &[Change {
            file: RECONCILE,
            before: "            Write::Status { status, .. } => {\n",
            after: "            Write::Status { status, records: Some(number) } if crate::mutant::is(\"start-before-record\") => {\n                \
                    let permit = self.limiter().acquire(crate::athena::rate_limiter::Priority::Start).await;\n                \
                    let _ = self.athena.start_session(&object.spec.work_group, start_session(object, *number).1, permit).await;\n                \
                    self.counted(\"status\", writes::write_status(&self.client, object, status).await)\n            }\n            \
                    Write::Status { status, .. } => {\n",
        }],
    },
    Mutant {
        name: "random-token",
        caught_by: ("start", Some("drop@start/StartSession#1")),
        symptom: Symptom::Duplicate,
        changes: &[Change {
            file: RECONCILE,
            before: "let (_, body) = start_session(&whole, number);\n",
            after: "let (_, body) = start_session(&whole, number);\n        let body = crate::mutant::token(body);\n",
        }],
    },
    Mutant {
        name: "release-while-ending",
        caught_by: ("delete-idle", None),
        symptom: Symptom::Leak,
        changes: &[Change {
            file: LIFECYCLE,
            before: "Some(Look::Seen(session)) if session.ended() && deleting => Step::Release,",
            after: "Some(Look::Seen(session)) if deleting && (session.ended() || session.state == \"TERMINATING\" && crate::mutant::is(\"release-while-ending\")) => Step::Release,",
        }],
    },
    Mutant {
        name: "blind-status",
        caught_by: ("resume", Some("kill-late@start/patch:athenasessions/status#2")),
        symptom: Symptom::Stuck("\"reason\":\"StoppedOutside\""),
        changes: &[Change {
            file: "src/controller/writes.rs",
            // Only a patch can be without a resourceVersion. Its control is a patch with one.
            before: "    let request = async {\n        let parameters = PostParams {",
            after: "    if crate::mutant::is(\"blind-status\") || crate::mutant::is(\"sound\") {\n        \
                    let (mut change, before) = (json!(status), json!(object.status));\n        \
                    for key in before.as_object().into_iter().flat_map(|before| before.keys()) {\n            \
                        if change.get(key).is_none() {\n                change[key] = Value::Null;\n            }\n        \
                    }\n        \
                    let version = if crate::mutant::is(\"sound\") { json!({ \"resourceVersion\": resource_version }) } else { json!({}) };\n        \
                    let patch = Patch::Merge(json!({ \"metadata\": version, \"status\": change }));\n        \
                    let request = async {\n            \
                        let patch = requests(&object.metadata).patch_subresource(\"status\", &object.name_any(), &parameters(), &patch);\n            \
                        send(client, patch.map_err(kube::Error::BuildRequest)?).await\n        \
                    };\n        \
                    return outcome(\"write the status\", timed(request).await);\n    \
                    }\n    let request = async {\n        let parameters = PostParams {",
        }],
    },
    Mutant {
        name: "terminate-once",
        caught_by: ("delete-idle", Some("outage@delete/TerminateSession#1")),
        symptom: Symptom::Stuck("did not come to be gone"),
        changes: &[Change {
            file: "src/session/local_state/terminations.rs",
            before: "(self.terminated.is_none() || looked || self.lives_on)",
            after: "(self.terminated.is_none() || (looked || self.lives_on) && !crate::mutant::is(\"terminate-once\"))",
        }],
    },
    Mutant {
        name: "forget-id",
        caught_by: ("start", None),
        symptom: Symptom::Stuck("StartSession is not answered: forgotten"),
        changes: &[
            Change {
                file: RECONCILE,
                before: "            Ok((id, state)) => Answer::Started(id, state),\n",
                after: "            Ok(_) if crate::mutant::is(\"forget-id\") => Answer::Refused(Refusal::unanswered(\"forgotten\")),\n            \
                        Ok((id, state)) => Answer::Started(id, state),\n",
            },
            Change {
                file: "src/session/ownership.rs",
                before: "(Some((attempt, session)), _) => Search::Found { attempt, session },",
                after: "(Some(_), _) if crate::mutant::is(\"forget-id\") => Search::Absent { begun },\n        \
                        (Some((attempt, session)), _) => Search::Found { attempt, session },",
            },
        ],
    },
    Mutant {
        name: "not-found-once",
        caught_by: ("start", Some("error-404@start/GetSessionStatus#2")),
        symptom: Symptom::Stuck("Athena does not know session"),
        changes: &[Change {
            file: LIFECYCLE,
            before: "    let is_proved_gone = missing &&",
            after: "    let is_proved_gone = known.not_found() > 0 && crate::mutant::is(\"not-found-once\") || missing &&",
        }],
    },
    Mutant {
        name: "finalizer-last",
        caught_by: ("start", Some("kill-delete@start/StartSession#1")),
        symptom: Symptom::Leak,
        changes: &[Change {
            file: LIFECYCLE,
            before: "        _ if !held => Step::AddFinalizer,\n        Attempt::None =>",
            after: "        ref attempt if !held && (matches!(attempt, Attempt::Live(..)) || !crate::mutant::is(\"finalizer-last\")) => Step::AddFinalizer,\n        \
                    Attempt::None =>",
        }],
    },
];

const MODULE: &str = r#"//! Which broken variant runs.

/// Whether it is this one.
pub fn is(name: &str) -> bool {
    std::env::var("ATHENA_OPERATOR_MUTANT").as_deref() == Ok(name)
}

/// The body of StartSession, with a token of its own in the variant without stable tokens.
pub fn token(body: Vec<u8>) -> Vec<u8> {
    match serde_json::from_slice::<serde_json::Value>(&body) {
        Ok(mut value) if is("random-token") => {
            value["ClientRequestToken"] = format!("{:032x}", fastrand::u128(..)).into();
            value.to_string().into_bytes()
        }
        _ => body,
    }
}
"#;

/// The sources that differ, with every variant in them.
fn changed() -> anyhow::Result<HashMap<&'static str, String>> {
    let mut changed: HashMap<&str, String> = HashMap::new();
    for mutant in MUTANTS {
        for change in mutant.changes {
            let text = match changed.entry(change.file) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    entry.insert(std::fs::read_to_string(repository().join(change.file))?)
                }
            };
            let found = text.matches(change.before).count();
            ensure!(
                found == 1,
                "the place that mutant {} changes is {found} times in {}: `{}`",
                mutant.name,
                change.file,
                change.before
            );
            *text = text.replace(change.before, change.after);
        }
    }
    Ok(changed)
}

/// The binary that holds every variant.
///
/// # Errors
/// When a place to change is not in the sources any more, or the copy cannot be built.
pub fn build() -> anyhow::Result<PathBuf> {
    // Not the target folder of the operator: cargo knows a package by its path in its workspace, so that the one would be taken for the other.
    let target = target_folder()?.with_file_name("mutants");
    let copy = target.join("sources");
    let changed = changed()?;
    let changed_text = |file: &Path| changed.get(file.to_str()?).cloned();
    mirror(&repository(), &copy, Path::new(""), &|file| {
        let text = std::fs::read_to_string(repository().join(file)).ok();
        match file.to_str() {
            Some("src/lib.rs") => {
                text.map(|text| format!("{text}\n#[allow(missing_docs)]\npub mod mutant;\n"))
            }
            _ => changed_text(file),
        }
    })?;
    write(&copy.join("src/mutant.rs"), MODULE.as_bytes())?;
    let mut build = Command::new(program("CARGO", "cargo"));
    build.current_dir(&copy).args([
        "build",
        "--locked",
        "--quiet",
        "--package",
        "athena-operator",
        "--bin",
        "athena-operator",
    ]);
    build.env("CARGO_TARGET_DIR", &target);
    ensure!(build.status().context("cannot run cargo")?.success(), "the mutants cannot be built");
    Ok(target.join("debug/athena-operator"))
}

/// Copies a folder, without what is built, and with what `change` makes of a file.
fn mirror(
    from: &Path,
    to: &Path,
    below: &Path,
    change: &dyn Fn(&Path) -> Option<String>,
) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(from.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if !matches!(entry.file_name().to_str(), Some("target" | ".git")) {
                mirror(from, to, &path, change)?;
            }
        } else if let Some(text) = change(&path) {
            write(&to.join(&path), text.as_bytes())?;
        } else {
            write(&to.join(&path), &std::fs::read(entry.path())?)?;
        }
    }
    Ok(())
}

/// Writes a file unless it is so already: what has not changed is not built again.
fn write(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if std::fs::read(file).is_ok_and(|before| before == bytes) {
        return Ok(());
    }
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_place_that_a_mutant_changes_is_in_the_sources_once() {
        super::changed().expect("every place");
    }
}
