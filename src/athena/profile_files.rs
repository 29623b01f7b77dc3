//! The profiles of AWS's files of configuration and credentials. They may change while the operator runs, and the SDK ends the process for some
//! values in them. So the SDK gets the text that was checked here, and reads no file itself.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use aws_config::profile::{ProfileSet, load};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_runtime::env_config::property::PropertiesKey;
use aws_types::os_shim_internal::{Env, Fs};

use crate::env_vars::{Kind, PROFILE_KEYS};
use crate::runtime::confidential;

/// Parts of a section of services: the SDK's names of the services that the operator calls.
const SERVICES: [&str; 2] = ["athena", "sts"];
const WHITESPACE: [char; 2] = [' ', '\t'];

/// The files, and warnings about unreadable parts of them or of files beside them.
pub(super) struct ProfileFiles {
    /// The files for the SDK.
    pub(super) files: EnvConfigFiles,
    /// Sentences about files that cannot be read, for the message about missing credentials.
    pub(super) warnings: Vec<String>,
}

/// One file.
struct File {
    kind: EnvConfigFileKind,
    path: String,
    /// The text without lines that have no value.
    text: String,
}

impl ProfileFiles {
    /// Reads the files that the environment names, or those in the home folder.
    ///
    /// # Errors
    /// When a value that the SDK would read is wrong: the problem and its place.
    pub(super) async fn read() -> Result<Self, String> {
        let mut warnings = Vec::new();
        let files = [
            File::read(EnvConfigFileKind::Config, "AWS_CONFIG_FILE", "~/.aws/config", &mut warnings),
            File::read(
                EnvConfigFileKind::Credentials,
                "AWS_SHARED_CREDENTIALS_FILE",
                "~/.aws/credentials",
                &mut warnings,
            ),
        ];
        let selected = std::env::var("AWS_PROFILE").unwrap_or_else(|_| "default".into());
        let tokens = check(&files, selected, &mut warnings).await?;
        let named = ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"];
        let named = named
            .into_iter()
            .filter_map(|variable| Some((variable.to_owned(), std::env::var(variable).ok()?)));
        warnings
            .extend(named.chain(tokens).filter_map(|(named_by, path)| warning_of_token(&named_by, &path)));
        Ok(Self { files: files_of(&files), warnings })
    }
}

fn files_of<'a>(files: impl IntoIterator<Item = &'a File>) -> EnvConfigFiles {
    files
        .into_iter()
        .fold(EnvConfigFiles::builder(), |builder, file| builder.with_contents(file.kind, file.text.clone()))
        .build()
}

async fn parse(files: EnvConfigFiles, profile: &str) -> Result<ProfileSet, String> {
    let parsed =
        load(&Fs::from_slice(&[]), &Env::from_slice(&[]), &files, Some(Cow::Owned(profile.to_owned()))).await;
    parsed.map_err(|error| {
        let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        cause.split_whitespace().collect::<Vec<_>>().join(" ")
    })
}

/// Checks all values that the SDK reads when `selected` is the profile. Returns the files of tokens that profiles name, with the place of each name.
async fn check(
    files: &[File],
    selected: String,
    warnings: &mut Vec<String>,
) -> Result<Vec<(String, String)>, String> {
    let mut sets = Vec::new();
    for file in files {
        match parse(files_of([file]), &selected).await {
            Ok(set) => sets.push((file.path.as_str(), set)),
            Err(error) => warnings.push(format!("the profiles of {} cannot be read: {error}", file.path)),
        }
    }
    // The SDK reads no profile if a file has none that it understands.
    let Ok(all) = parse(files_of(files), &selected).await else { return Ok(Vec::new()) };
    let mut profiles = vec![selected];
    while let Some(next) = profiles.last().and_then(|profile| all.get_profile(profile)?.get("source_profile"))
        && !profiles.iter().any(|profile| profile == next)
    {
        profiles.push(next.to_owned());
    }
    let mut tokens = Vec::new();
    for (path, set) in &sets {
        for profile in profiles.iter().filter_map(|profile| set.get_profile(profile)) {
            // In quotes, a key that is followed by a word is not treated as a key and its value, which the log would hide.
            let place = |key: &str| format!("`{key}` of profile {} in {path}", profile.name());
            for key in PROFILE_KEYS {
                if let Some(problem) = profile.get(key.name).and_then(|value| key.kind.problem(value)) {
                    return Err(format!("{} {problem}", place(key.name)));
                }
            }
            tokens.extend(
                profile
                    .get("web_identity_token_file")
                    .map(|token| (place("web_identity_token_file"), token.to_owned())),
            );
        }
        for service in SERVICES {
            if let Some(problem) = endpoint(&all, set, service).and_then(|url| Kind::Endpoint.problem(url)) {
                return Err(format!("`endpoint_url` of {service} in {path} {problem}"));
            }
        }
    }
    Ok(tokens)
}

/// Returns the endpoint of a service from the section of services that the selected profile names, if `set` has it.
fn endpoint<'a>(all: &ProfileSet, set: &'a ProfileSet, service: &str) -> Option<&'a str> {
    let key = PropertiesKey::builder()
        .section_key("services")
        .section_name(all.get("services")?)
        .property_name(service);
    set.other_sections().get(&key.sub_property_name("endpoint_url").build().ok()?).map(String::as_str)
}

impl File {
    fn read(kind: EnvConfigFileKind, variable: &str, default: &str, warnings: &mut Vec<String>) -> Self {
        let named = std::env::var(variable).ok();
        let path = at_home(named.as_deref().unwrap_or(default));
        let shown = path.display().to_string();
        let text = match std::fs::read(&path).map(String::from_utf8) {
            Ok(Ok(text)) => text,
            Ok(Err(_)) => {
                warnings.push(format!("{shown} is not UTF-8 text"));
                String::new()
            }
            Err(error) => {
                if named.is_some() || error.kind() != std::io::ErrorKind::NotFound {
                    warnings.push(format!("{shown} ({variable}) cannot be read: {error}"));
                }
                String::new()
            }
        };
        Self { kind, path: shown, text: without_empty_values(&text) }
    }
}

/// Returns `path` with the home folder in place of a `~` at its beginning.
fn at_home(path: &str) -> PathBuf {
    match (Path::new(path).strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(path),
    }
}

/// Reads the file of a token, which is kept out of all output from then on, and returns the problem with it.
fn warning_of_token(named_by: &str, path: &str) -> Option<String> {
    let problem = match std::fs::read(path).map(String::from_utf8) {
        Ok(Ok(token)) if token.is_empty() => "is empty".into(),
        Ok(Ok(token)) => {
            confidential::register_secret(&token);
            Kind::SecretHeader.problem(&token)?
        }
        Ok(Err(_)) => "is not UTF-8 text".into(),
        Err(error) => format!("cannot be read: {error}"),
    };
    Some(format!("{path} ({named_by}) {problem}"))
}

/// Returns `text` without the lines that give a key no value: such a key is unset.
fn without_empty_values(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let has_content =
        |line: &&&str| !line.trim_matches(WHITESPACE).is_empty() && !line.starts_with(['#', ';']);
    let is_kept = |number: usize, line: &&str| {
        let is_head =
            || lines[number + 1..].iter().find(has_content).is_some_and(|next| next.starts_with(WHITESPACE));
        // A key without a value may be the head of indented lines.
        !has_content(&line) || !is_without_value(line) || (!line.starts_with(WHITESPACE) && is_head())
    };
    let kept = |(number, line)| if is_kept(number, line) { line } else { &"" };
    lines.iter().enumerate().map(kept).flat_map(|line| [line, "\n"]).collect()
}

fn is_without_value(line: &str) -> bool {
    let Some((key, value)) = line.split_once('=') else { return false };
    let is_comment =
        value.starts_with(WHITESPACE) && value.trim_start_matches(WHITESPACE).starts_with(['#', ';']);
    !key.starts_with('[')
        && !key.contains(['#', ';'])
        && (value.trim_matches(WHITESPACE).is_empty() || is_comment)
}

#[cfg(test)]
#[path = "profile_files_tests.rs"]
mod tests;
