//! The commands that a page tells people to run.

/// Programs whose commands are also taken from code within a text.
const PROGRAMS: [&str; 3] = ["kubectl", "helm", "aws"];

/// The commands of `page`, each with the number of its line: lines after the prompt `$ ` in ```` ```console ```` blocks, with the lines that they
/// continue on, and code spans that begin with one of a few programs. Spans are as they are shown: in a row of a table, `\|` is a bar.
pub(crate) fn commands(page: &str) -> Vec<(usize, String)> {
    let mut commands = Vec::new();
    let mut fence = None;
    let mut lines = page.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            fence = if fence.is_none() { Some(language.trim()) } else { None };
        } else if fence == Some("console") {
            let Some(first) = line.strip_prefix("$ ") else { continue };
            let mut command = first.to_owned();
            while command.ends_with('\\') {
                let Some((next, _)) = lines.next() else { break };
                command.extend(["\n", next]);
            }
            commands.push((number, command));
        } else if fence.is_none() {
            commands.extend(code_spans(line).filter(|span| is_command(span)).map(|span| (number, span)));
        }
    }
    commands
}

fn code_spans(line: &str) -> impl Iterator<Item = String> {
    let is_row = line.starts_with('|');
    line.split('`')
        .skip(1)
        .step_by(2)
        .map(move |span| if is_row { span.replace("\\|", "|") } else { span.to_owned() })
}

/// Whether a code span is more than the name of a program or of one of its subcommands.
fn is_command(span: &str) -> bool {
    let words: Vec<&str> = span.split_whitespace().collect();
    words.len() > 2 && PROGRAMS.contains(&words[0])
}

/// Whether `text` is `pattern`, in which `*` stands for any text.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| matches(after, &rest[at..]))
        }),
    }
}
