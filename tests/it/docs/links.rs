//! Links on the pages: those within the project lead to a file and a heading that are there, those to other
//! servers are whole addresses. No network is used.
use std::collections::BTreeMap;

use url::Url;

use super::pages;

/// The lines of a page that are in no fenced block, in which links and headings are examples.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        !fenced && !is_fence
    })
}

/// The targets of the links on a page.
pub(super) fn links(text: &str) -> impl Iterator<Item = &str> {
    let after = prose(text).flat_map(|line| line.split("](").skip(1));
    after.filter_map(|rest| rest.split(')').next())
}

/// The headings of a page as a link names them: of two equal ones the second has a number.
fn anchors(text: &str) -> Vec<String> {
    let mut count = BTreeMap::new();
    let headings = prose(text).filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            let earlier: &mut usize = count.entry(anchor.clone()).or_default();
            *earlier += 1;
            match *earlier {
                1 => anchor,
                nth => format!("{anchor}-{}", nth - 1),
            }
        })
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let mut count = 0;
    let mut dead = Vec::new();
    for (path, text) in pages() {
        for link in links(&text) {
            count += 1;
            if link.contains(':') {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.parent().unwrap().join(file),
            };
            let leads = target.exists()
                && (anchor.is_empty()
                    || std::fs::read_to_string(&target)
                        .is_ok_and(|text| anchors(&text).iter().any(|known| known == anchor)));
            if !leads {
                dead.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
    assert!(count > 300, "{count}");
}

#[test]
fn links_to_other_servers_are_whole_addresses() {
    let mut count = 0;
    for (path, text) in pages() {
        for link in links(&text).filter(|link| link.contains(':')) {
            let url = Url::parse(link);
            let whole = url.as_ref().is_ok_and(|url| {
                let host = url.host_str().unwrap_or_default();
                url.scheme() == "https" && host.contains('.') && !host.contains("example")
            });
            assert!(whole, "{}: {link}: {url:?}", path.display());
            count += 1;
        }
    }
    assert!(count > 5, "{count}");
}

#[test]
fn equal_headings_have_numbers_and_code_has_none() {
    let text =
        "# One `two`\n## A\n```sh\n# no heading\n[x](none)\n```\n## A\n[y](#a-1) [z](b.md#c)\n";
    assert_eq!(anchors(text), ["one-two", "a", "a-1"]);
    assert_eq!(links(text).collect::<Vec<_>>(), ["#a-1", "b.md#c"]);
}
