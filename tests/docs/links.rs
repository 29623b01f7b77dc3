//! The pages hang together: each link leads to a file and a heading that are there, and each page can be reached from the README.

use std::path::Path;

use crate::{files, read, repository};

fn pages() -> Vec<String> {
    files("docs", "md").into_iter().chain(["README.md".to_owned()]).collect()
}

/// The lines of `page` outside of fenced code.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    page.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fence && !fenced
    })
}

/// The anchors of the headings of `page`, as GitHub makes them.
fn anchors(page: &str) -> Vec<String> {
    let anchor = |heading: &str| {
        let kept = heading.trim().to_lowercase().replace(' ', "-");
        kept.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_')).collect()
    };
    prose(page)
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches('#')))
        .collect()
}

/// Where the links of `page` lead to within the repository.
fn links(page: &str) -> Vec<String> {
    // Code, such as a pattern, may look like one.
    let texts = prose(page).map(|line| line.split('`').step_by(2).collect::<String>());
    let targets = texts.flat_map(|text| {
        text.split("](")
            .skip(1)
            .filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
            .collect::<Vec<_>>()
    });
    targets.filter(|target| !target.starts_with("https://")).collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    for path in pages() {
        let page = read(&path);
        let folder = Path::new(&path).parent().unwrap_or(Path::new(""));
        for target in links(&page) {
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file =
                if file.is_empty() { repository(&path) } else { repository("").join(folder).join(file) };
            assert!(file.exists(), "{path}: {target} leads to no file");
            if !anchor.is_empty() {
                let headings = anchors(
                    &std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{target}: {error}")),
                );
                assert!(
                    headings.iter().any(|heading| heading == anchor),
                    "{path}: {target} leads to no heading of {headings:?}"
                );
            }
        }
    }
}

#[test]
fn the_readme_leads_to_every_page() {
    let readme = read("README.md");
    for path in files("docs", "md") {
        assert!(links(&readme).contains(&path), "README.md has no link to {path}");
    }
}
