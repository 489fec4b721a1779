//! The manifest of the agent: of Kubernetes' schema, and with no capability that no hook asks for.
#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests, but knows no helpers of tests")]
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const MANIFEST: &str = include_str!("../deploy/daemonset.yaml");

/// Kubernetes whose schema it is held to.
const KUBERNETES: &str = "1.29";

/// What a validator says of a manifest; none where there is no validator.
fn validated(manifest: &str) -> Option<(bool, String)> {
    let file =
        std::env::temp_dir().join(format!("otlp-deploy-{}-{}.yaml", std::process::id(), manifest.len()));
    std::fs::write(&file, manifest).unwrap();
    let python = std::env::var_os("OTLP_PYTHON").unwrap_or_else(|| "python3".into());
    let mut command = Command::new(Path::new(&python));
    command.args(["-m", "kubernetes_validate", "--strict", "-k", KUBERNETES]).arg(&file);
    let output = command.output();
    std::fs::remove_file(&file).unwrap();
    let said = output.map(|output| {
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (output.status.success(), text.concat())
    });
    let missing = match said {
        Ok((_, text)) if text.contains("No module named") => text,
        Ok(said) => return Some(said),
        Err(error) => error.to_string(),
    };
    assert_ne!(std::env::var("OTLP_REQUIRE").as_deref(), Ok("all"), "{missing}");
    println!("skipped: pip install kubernetes-validate, and name its Python in OTLP_PYTHON: {missing}");
    None
}

#[test]
fn the_manifest_is_of_kubernetes_schema() {
    let Some((is_valid, said)) = validated(MANIFEST) else { return };
    assert!(is_valid, "{said}");
    // Twin: a word that the schema does not know is told.
    let broken = MANIFEST.replace("hostPID: true", "hostPid: true");
    let (is_valid, said) = validated(&broken).unwrap();
    assert!(!is_valid && said.contains("hostPid"), "{said}");
}

#[test]
fn it_has_the_capabilities_that_hooks_ask_for_and_no_others() {
    let line = MANIFEST.lines().find_map(|line| line.trim().strip_prefix("add: ")).unwrap();
    let has: BTreeSet<String> =
        line.split('"').skip(1).step_by(2).map(|name| format!("CAP_{name}")).collect();
    let asked = otlp_ebpf::probe::probe().capabilities;
    assert_eq!(has, asked.into_iter().map(|(name, _)| name.to_owned()).collect());
    assert!(MANIFEST.contains("drop: [\"ALL\"]") && MANIFEST.contains("privileged: false"));
}
