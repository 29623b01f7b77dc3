//! Environment variables of this program and of the libraries in it: the permitted values of each, and a start of the program without the empty ones.
//!
//! The AWS SDK ends the process for some wrong values, and ignores others, so that calls go to another place than the user meant. So this program
//! checks all values before a library reads them. It refuses a wrong value, and never corrects it. An empty value means unset.
//!
//! - `table`: every variable and profile key; `value`: the kinds of their values.

mod table;
mod value;

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;

pub use self::table::{PROFILE_KEYS, ProfileKey, VARIABLES, Variable};
pub use self::value::Kind;
pub(crate) use self::value::{is_label, is_role};

/// Executes this program again, in the same process and with the same arguments, without the variables of [`VARIABLES`] that are empty. Returns if
/// none is empty: so the program is executed again only once. Variables cannot be removed safely while a process runs.
///
/// # Errors
/// When the program cannot be started again.
pub fn start_without_empty() -> anyhow::Result<()> {
    let (empty, rest): (Vec<_>, Vec<_>) =
        std::env::vars_os().partition(|(name, value)| is_empty(name, value));
    if empty.is_empty() {
        return Ok(());
    }
    let names = empty.iter().map(|(name, _)| name.to_string_lossy()).collect::<Vec<_>>().join(", ");
    let failure = || format!("cannot start again without {names}, which the environment has without a value");
    let mut arguments = std::env::args_os();
    let mut command = Command::new(std::env::current_exe().with_context(failure)?);
    if let Some(own_name) = arguments.next() {
        command.arg0(own_name);
    }
    Err(command.args(arguments).env_clear().envs(rest).exec()).with_context(failure)
}

fn is_empty(name: &OsStr, value: &OsStr) -> bool {
    value.is_empty()
        && name
            .to_str()
            .and_then(Variable::named)
            .is_some_and(|variable| !matches!(variable.kind, Kind::Unchecked(_)))
}

impl Variable {
    /// Returns the variable of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        let is = |variable: &&Self| match variable.name.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => variable.name == name,
        };
        VARIABLES.iter().find(is)
    }
}

/// Returns a sentence for each variable of `environment` that `is_read` chooses and that has a wrong value.
pub fn problems(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    is_read: impl Fn(&str, &Variable) -> bool,
) -> Vec<String> {
    let problem = |(name, value): (OsString, OsString)| {
        let name = name.into_string().ok()?;
        let variable = Variable::named(&name).filter(|variable| is_read(&name, variable))?;
        let problem = match value.to_str() {
            Some(value) => variable.kind.problem(value),
            None if matches!(variable.kind, Kind::Anything | Kind::Unchecked(_)) => None,
            None => Some("is not UTF-8 text".into()),
        };
        // In quotes: else the redaction of the output takes the name and the word after it for a key and its secret, and leaves the word out.
        problem.map(|problem| format!("`{name}` {problem}"))
    };
    let mut problems: Vec<String> = environment.into_iter().filter_map(problem).collect();
    problems.sort();
    problems
}

/// Returns the values of the environment that must not be printed.
pub fn secrets() -> impl Iterator<Item = String> {
    VARIABLES
        .iter()
        .filter(|variable| variable.kind.is_secret())
        .filter_map(|variable| std::env::var(variable.name).ok())
}

#[cfg(test)]
mod tests;
