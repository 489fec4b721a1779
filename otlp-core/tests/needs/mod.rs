//! What a test needs from outside: found, or skipped with a printed reason, or with `OTLP_REQUIRE=all` a failure.

use std::process::Command;

/// A Python that can import `modules`: that of `OTLP_PYTHON`, which may be one of a virtual environment, or the system's.
pub(crate) fn python(modules: &str, packages: &str) -> Option<String> {
    let imports = |python: &String| {
        let import = format!("import {modules}");
        Command::new(python).args(["-c", &import]).output().is_ok_and(|output| output.status.success())
    };
    let system = ["python3", "/usr/bin/python3"].map(str::to_owned);
    let found = std::env::var("OTLP_PYTHON").into_iter().chain(system).find(imports);
    if found.is_none() {
        missing(&format!("OTLP_PYTHON=the python of a venv with: pip install {packages}"));
    }
    found
}

/// Says what is missing, where it may be.
pub(crate) fn missing(what: &str) {
    assert_ne!(std::env::var("OTLP_REQUIRE").as_deref(), Ok("all"), "required, but missing: {what}");
    println!("skipped: {what}");
}
