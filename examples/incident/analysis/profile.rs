//! What the suspect's CPU time went into before and after the trouble began.

use std::path::Path;

use otlp_core::finding::Finding;
use otlp_core::{Error, ErrorKind, UnixNanos};
use otlp_profiles::{Diff, FlameGraph, FunctionShift, Limits, Profile, ValueType};

use crate::shop::{ProfileWindow, Shop};

/// Functions shown.
const FUNCTIONS: usize = 8;

/// The comparison of a process with itself.
#[derive(Debug)]
pub(crate) struct ProfileReading {
    /// The service.
    pub(crate) service: String,
    /// Samples before the trouble began.
    pub(crate) samples_before: u64,
    /// Samples since.
    pub(crate) samples_after: u64,
    /// Functions whose own share moved most.
    pub(crate) functions: Vec<FunctionShift>,
    /// What to tell a person, where a function stands out.
    pub(crate) finding: Option<Finding>,
    /// The differential flame graph.
    pub(crate) flame_svg: String,
}

/// Merges the windows of `service` before `onset` and those after, and compares; none where either side is
/// without samples. Windows that reach over the onset belong to neither.
///
/// # Errors
/// Where a profile cannot be read, or the merged ones cannot be written.
pub(crate) fn compare_profiles(
    out: &Path,
    service: &str,
    onset: UnixNanos,
) -> Result<Option<ProfileReading>, Error> {
    let windows: Vec<_> =
        Shop::profiles(out)?.into_iter().filter(|window| window.service.name() == service).collect();
    let before = merged(windows.iter().filter(|window| window.end <= onset))?;
    let after = merged(windows.iter().filter(|window| window.start >= onset))?;
    let samples = |profile: &Profile| u64::try_from(profile.total()).unwrap_or(0);
    let (samples_before, samples_after) = (samples(&before), samples(&after));
    if samples_before == 0 || samples_after == 0 {
        return Ok(None);
    }
    for (profile, name) in [(&before, "before"), (&after, "after")] {
        let path = out.join("profiles").join(format!("{service}-{name}.pb.gz"));
        std::fs::write(&path, profile.to_pprof_gzip()?).map_err(|source| {
            Error::new(ErrorKind::Io, format!("cannot write {}", path.display())).with_source(source)
        })?;
    }
    let diff = Diff::between(&before, &after)?;
    let mut finding = diff.to_finding(service);
    if let Some(finding) = &mut finding {
        finding.time = onset;
    }
    let title = format!("{service}: CPU time since the trouble began, beside the time before");
    let flame = FlameGraph::differential(&before, &after)?.title(title).to_svg();
    let functions = diff.functions.iter().take(FUNCTIONS).cloned().collect();
    let service = service.to_owned();
    Ok(Some(ProfileReading {
        service,
        samples_before,
        samples_after,
        functions,
        finding,
        flame_svg: flame.svg,
    }))
}

fn merged<'a>(windows: impl Iterator<Item = &'a ProfileWindow>) -> Result<Profile, Error> {
    let limits = Limits::default();
    let mut whole = Profile::try_new([ValueType::samples()], &limits)?;
    for window in windows {
        let bytes = std::fs::read(&window.path).map_err(|source| {
            Error::new(ErrorKind::Io, format!("cannot read {}", window.path.display())).with_source(source)
        })?;
        whole.merge(&Profile::parse_pprof(&bytes, &limits)?)?;
    }
    Ok(whole)
}
