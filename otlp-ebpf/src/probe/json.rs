//! A report as JSON.

use std::fmt::Write;

use super::{Report, TlsReport};

impl Report {
    /// The report as one JSON object, for programs to read.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::from("{");
        let cgroup2 = self.cgroup2.as_ref().map(|root| quoted(&root.display().to_string()));
        let hooks = self.hooks.iter().map(|hook| {
            let [name, state, why] = [hook.hook().name(), hook.state().name(), hook.why()].map(quoted);
            format!(r#"{{"hook":{name},"state":{state},"why":{why}}}"#)
        });
        let hooks: Vec<_> = hooks.collect();
        for (key, value) in [
            ("kernel", quoted(&self.kernel)),
            ("types", self.has_types.to_string()),
            ("cgroup2", cgroup2.unwrap_or_else(|| "null".to_owned())),
            ("capabilities", facts(&self.capabilities)),
            ("rings", self.has_rings.to_string()),
            ("masks", quoted(if self.has_masks { "all" } else { "http1" })),
            ("loader", quoted(self.loader.name())),
            ("hooks", format!("[{}]", hooks.join(","))),
            ("tls", format!("[{}]", self.tls.iter().map(tls).collect::<Vec<_>>().join(","))),
        ] {
            let comma = if out.len() > 1 { "," } else { "" };
            // Writing to a string does not fail.
            let _ = write!(out, "{comma}{}:{value}", quoted(key));
        }
        out.push('}');
        out
    }
}

fn tls(report: &TlsReport) -> String {
    let [process, file, library] = [&*report.process, &*report.file, report.library].map(quoted);
    let why = report.unseen.as_deref().map_or_else(|| "null".to_owned(), quoted);
    format!(
        r#"{{"pid":{},"process":{process},"file":{file},"library":{library},"unseen":{why}}}"#,
        report.pid
    )
}

fn facts(facts: &[(&str, bool)]) -> String {
    let each: Vec<_> = facts.iter().map(|(name, is)| format!("{}:{is}", quoted(name))).collect();
    format!("{{{}}}", each.join(","))
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::super::{Hook, HookReport, HookState};
    use super::*;
    use crate::program::Loader;

    #[test]
    fn a_report_is_one_object_whatever_its_texts_hold() {
        let report = Report {
            kernel: "6.1 \"x\"\n".to_owned(),
            has_types: true,
            cgroup2: None,
            capabilities: vec![("CAP_BPF", false)],
            has_rings: true,
            has_masks: false,
            loader: Loader::Aya,
            hooks: vec![HookReport::new(Hook::Network, HookState::Unavailable, "a \\ b")],
            tls: vec![TlsReport {
                pid: 7,
                process: "x".to_owned(),
                file: "/x".to_owned(),
                library: "rustls",
                unseen: Some("why".to_owned()),
            }],
        };
        let right = r#"{"kernel":"6.1 \"x\"\u000a","types":true,"cgroup2":null,"capabilities":{"CAP_BPF":false},"rings":true,"masks":"http1","loader":"aya","hooks":[{"hook":"network","state":"unavailable","why":"a \\ b"}],"tls":[{"pid":7,"process":"x","file":"/x","library":"rustls","unseen":"why"}]}"#;
        assert_eq!(report.to_json(), right);
        assert!(report.to_string().contains("hook network unavailable: a \\ b"));
    }
}
