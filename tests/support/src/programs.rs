//! Other programs that tests use where they are installed, and are required in CI.
//!
//! A test that cannot do anything without one returns early and counts as passed. So that nobody takes that for tested,
//! a line says what is left out and why.

use std::io::Write as _;
use std::path::PathBuf;

/// A program, or several that are used together.
pub struct Program {
    /// As people call it.
    name: &'static str,
    /// The file, by any of these names.
    files: &'static [&'static str],
    /// How Debian calls the package.
    package: &'static str,
    /// With the value `required` a test fails where the program is missing.
    variable: &'static str,
}

pub const MOSQUITTO: Program = Program {
    name: "Mosquitto",
    files: &["mosquitto"],
    package: "mosquitto",
    variable: "POLY2MQTT_TEST_MOSQUITTO",
};

pub const ETCD: Program = Program {
    name: "etcd",
    files: &["etcd"],
    package: "etcd-server",
    variable: "POLY2MQTT_TEST_ETCD",
};

pub const CHROMIUM: Program = Program {
    name: "Chromium",
    files: &["chromium", "chromium-browser", "google-chrome"],
    package: "chromium",
    variable: "POLY2MQTT_TEST_BROWSER",
};

pub const CHROMEDRIVER: Program = Program {
    name: "chromedriver",
    files: &["chromedriver"],
    package: "chromium-driver",
    variable: "POLY2MQTT_TEST_BROWSER",
};

impl Program {
    /// Where it is. If it is missing, the test that asks fails where the program is required; elsewhere a line says
    /// that the test is skipped.
    pub fn find(&self) -> Option<PathBuf> {
        let places = std::env::var_os("PATH").unwrap_or_default();
        // Users have no `sbin` in their path, where Debian installs servers.
        let places = std::env::split_paths(&places).chain([PathBuf::from("/usr/sbin")]);
        let mut files =
            places.flat_map(|place| self.files.iter().map(move |file| place.join(file)));
        let found = files.find(|file| file.is_file());
        if found.is_none() {
            let is_required = std::env::var(self.variable).is_ok_and(|value| value == "required");
            self.say_skipped(is_required);
        }
        found
    }

    fn say_skipped(&self, is_required: bool) {
        let Self { name, package, .. } = self;
        assert!(!is_required, "{name} is required but not installed");
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test");
        // Not eprintln, whose output is shown for failed tests only.
        let _ = writeln!(
            std::io::stderr(),
            "skipped: what {test} does with {name} (apt install {package})"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MISSING: Program = Program {
        name: "Nothing",
        files: &["no-program-has-this-name"],
        package: "nothing",
        variable: "POLY2MQTT_TEST_NOTHING",
    };

    #[test]
    fn what_is_there_is_found_by_any_of_its_names() {
        let shell = Program {
            files: &["no-program-has-this-name", "sh"],
            ..MISSING
        };
        assert!(shell.find().unwrap().ends_with("sh"));
        assert_eq!(MISSING.find(), None);
    }

    #[test]
    #[should_panic = "Nothing is required but not installed"]
    fn where_it_is_required_a_missing_program_fails_the_test() {
        MISSING.say_skipped(true);
    }
}
