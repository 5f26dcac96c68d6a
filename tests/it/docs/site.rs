//! The documentation as a site: its table of contents has every page once, and what mdBook makes of it has no dead
//! link and asks no other server for anything.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use percent_encoding::percent_decode_str;

use super::links::links;
use super::{page, pages, root};

/// Pages that are not part of the site: the repository's front page, whose place docs/README.md takes, and the
/// table of contents itself.
const NOT_ON_THE_SITE: [&str; 2] = ["README.md", "docs/SUMMARY.md"];

/// A path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(normal.pop(), "{}", path.display()),
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

#[test]
fn the_table_of_contents_has_every_page_once() {
    let summary = page("docs/SUMMARY.md");
    let listed: Vec<PathBuf> = links(&summary)
        .map(|link| normal(&Path::new("docs").join(link)))
        .collect();
    let once: BTreeSet<&PathBuf> = listed.iter().collect();
    assert_eq!(once.len(), listed.len(), "a page is listed twice");
    for (path, _) in pages() {
        let path = path.strip_prefix(root()).unwrap();
        let not_on_site = NOT_ON_THE_SITE.iter().any(|name| Path::new(name) == path);
        assert_ne!(
            once.contains(&path.to_owned()),
            not_on_site,
            "docs/SUMMARY.md: {}",
            path.display()
        );
    }
}

/// mdBook, if it is installed. With `POLY2MQTT_TEST_MDBOOK=required` it must be.
fn mdbook() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut files = std::env::split_paths(&path).map(|folder| folder.join("mdbook"));
    let found = files.find(|file| file.is_file());
    let required = std::env::var_os("POLY2MQTT_TEST_MDBOOK").is_some_and(|word| word == "required");
    assert!(found.is_some() || !required, "mdbook is not installed");
    found
}

/// The files below a folder, by their paths in it.
fn files(folder: &Path, found: &mut BTreeMap<PathBuf, String>, top: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found, top);
        } else {
            let text = std::fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&text).into_owned();
            found.insert(path.strip_prefix(top).unwrap().to_owned(), text);
        }
    }
}

/// The values of an attribute in a page.
fn values<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!(" {attribute}=\"");
    let after: Vec<&str> = html.split(&start).skip(1).collect();
    after
        .into_iter()
        .filter_map(|rest| rest.split('"').next())
        .collect()
}

/// Whether an address on a page leads to a file of the site, and to an id in it.
fn leads(site: &BTreeMap<PathBuf, String>, from: &Path, address: &str) -> bool {
    let address = address.replace("&amp;", "&");
    let (file, anchor) = address.split_once('#').unwrap_or((&address, ""));
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let target = match file {
        "" => from.to_owned(),
        file => normal(&from.parent().unwrap().join(decode(file))),
    };
    let Some(text) = site.get(&target) else {
        return false;
    };
    anchor.is_empty() || text.contains(&format!("id=\"{}\"", decode(anchor)))
}

#[test]
fn the_rendered_site_is_whole_and_asks_nobody() {
    let Some(mdbook) = mdbook() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut build = Command::new(mdbook);
    build.current_dir(root()).args(["build", "--dest-dir"]);
    let built = build.arg(folder.path()).output().unwrap();
    assert!(built.status.success(), "{built:?}");
    let top = folder.path().join("html");
    let mut site = BTreeMap::new();
    files(&top, &mut site, &top);
    let mut count = 0;
    let mut wrong = Vec::new();
    let is_other = |address: &str| address.split('/').next().unwrap().contains(':');
    for (path, text) in &site {
        let kind = path.extension().and_then(|kind| kind.to_str());
        if kind == Some("css") && (text.contains("url(http") || text.contains("@import")) {
            wrong.push(format!("{}: asks another server", path.display()));
        }
        // The page for addresses that do not exist has absolute ones.
        if kind != Some("html") || path == Path::new("404.html") {
            continue;
        }
        for address in values(text, "src") {
            if is_other(address) || !leads(&site, path, address) {
                wrong.push(format!("{}: {address}", path.display()));
            }
            count += 1;
        }
        for address in values(text, "href") {
            let loaded = text.contains(&format!("<link rel=\"stylesheet\" href=\"{address}\""));
            let fine = if is_other(address) {
                !loaded
            } else {
                leads(&site, path, address)
            };
            if !fine {
                wrong.push(format!("{}: {address}", path.display()));
            }
            count += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count > 2000, "{count}");
    // Every page of the table of contents is there, with its files.
    for (file, word) in [
        ("index.html", "Start here"),
        ("topics.html", "audio/volume/set"),
        ("source/SECURITY.html", "Security"),
        ("source/examples/node-red-flow.json", "mqtt in"),
        ("source/examples/qsys/index.html", "poly2mqtt-room.qplug"),
    ] {
        let text = site.get(Path::new(file)).expect(file);
        assert!(text.contains(word), "{file}");
    }
}
