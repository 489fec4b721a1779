//! What one run found: every number the report shows, written as `summary.json`.
//!
//! Times are seconds since the run began unless a name says otherwise; shares are 0 to 1; a value that was
//! never measured is `None`, not zero. All floats must be finite: JSON knows no other.

use serde::{Deserialize, Serialize};

use crate::figure;

/// Layout of `summary.json`; raised when a field changes its meaning.
pub(crate) const FORMAT: u32 = 1;

/// Everything the report page and the terminal account show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// How the run was made.
    pub(crate) run: Run,
    /// What was broken on purpose; none in a calm run.
    pub(crate) fault: Option<Fault>,
    /// What the alarms were joined into; none where nothing alarmed.
    pub(crate) incident: Option<Incident>,
    /// The few figures that matter most.
    pub(crate) key: KeyFigures,
    /// Every service, in the order in which it shall be listed.
    pub(crate) services: Vec<Service>,
    /// Who calls whom; names are those of `services`.
    pub(crate) edges: Vec<Edge>,
    /// What was measured in each window.
    pub(crate) timeline: Timeline,
    /// Every alarm, earliest first.
    pub(crate) alarms: Vec<Alarm>,
    /// Suspects, most likely first.
    pub(crate) causes: Vec<Cause>,
    /// What the logs say; none where no log was read.
    pub(crate) logs: Option<Logs>,
    /// What the processes held; none where no process was read.
    pub(crate) memory: Option<Memory>,
    /// What the guilty process spends its time on now; none without a guilty one.
    pub(crate) profile: Option<ProfileChange>,
    /// Where every request is, one row for each service, in the order of `services`.
    pub(crate) balances: Vec<Balance>,
    /// What the exporter went through.
    pub(crate) export: Export,
    /// Whether the exporter's own event trace is one the model allows; none where it was not recorded.
    pub(crate) conformance: Option<Conformance>,
    /// What the run must keep; one broken promise makes the program fail.
    pub(crate) promises: Vec<Promise>,
}

/// How the run was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Wall clock at second zero, in milliseconds since 1970, UTC.
    pub(crate) started_unix_millis: u64,
    /// Length of the load.
    pub(crate) seconds: f64,
    /// Requests asked for.
    pub(crate) rate_per_sec: f64,
    /// What every choice was drawn from.
    pub(crate) seed: u64,
    /// How traffic was captured, such as `forwarding tap` or `kernel, TCP segments`.
    pub(crate) capture: String,
    /// The command that repeats the run.
    pub(crate) command: String,
    /// Programs and their versions.
    pub(crate) versions: Vec<Version>,
    /// Operating system and processor, such as `linux 6.1, x86_64`.
    pub(crate) machine: String,
    /// Processors the run could use.
    pub(crate) cores: u32,
}

/// A program and its version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Version {
    /// The program.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
}

/// What was broken on purpose: the truth that the analysers did not know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fault {
    /// Name of the kind, such as `db-slow`.
    pub(crate) kind: String,
    /// Where.
    pub(crate) service: String,
    /// When.
    pub(crate) at_secs: f64,
    /// What was done, as a clause: `the record store lost its index`.
    pub(crate) description: String,
}

/// One incident, as the analysers tell it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Incident {
    /// The first suspect.
    pub(crate) service: String,
    /// What happened to it, following its name: `became slow`.
    pub(crate) symptom: String,
    /// Why, following `because`: `its lookups now scan every record`.
    pub(crate) because: String,
    /// When the first alarm was raised.
    pub(crate) first_alarm_secs: f64,
    /// Services that alarmed or stand downstream of the cause.
    pub(crate) services: Vec<String>,
}

/// The few figures that matter most.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeyFigures {
    /// From the fault to the first alarm after it.
    pub(crate) time_to_first_alarm_secs: Option<f64>,
    /// Place of the service that was really broken among the suspects, from 1.
    pub(crate) rank_of_true_cause: Option<u32>,
    /// Spans that reached the receiver and were kept.
    pub(crate) spans_captured: u64,
    /// Alarms before the fault, or any alarm where there was none.
    pub(crate) false_alarms: u64,
}

/// How a service or a call fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Health {
    /// As before.
    Healthy,
    /// Suffers from another.
    Affected,
    /// First among the suspects.
    Cause,
}

/// A number before and after the fault; in a calm run `after` is none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Shift {
    /// In the clean part, after warm-up.
    pub(crate) before: Option<f64>,
    /// From the fault on.
    pub(crate) after: Option<f64>,
}

/// A service as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Service {
    /// Its name.
    pub(crate) name: String,
    /// What those who call it speak with it, such as `gRPC`; none where no call was seen.
    pub(crate) protocol: Option<String>,
    /// How it fares.
    pub(crate) health: Health,
    /// Requests served a second over the whole run.
    pub(crate) rate_per_sec: f64,
    /// 95th percentile of the latency, in milliseconds.
    pub(crate) p95_ms: Shift,
    /// Share of requests that failed.
    pub(crate) error_share: Shift,
}

/// Calls from one service to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Edge {
    /// Who calls.
    pub(crate) caller: String,
    /// Who is called.
    pub(crate) callee: String,
    /// What they speak, such as `gRPC`; none where it is not known.
    pub(crate) protocol: Option<String>,
    /// Calls a second over the whole run.
    pub(crate) rate_per_sec: f64,
    /// How the calls fare.
    pub(crate) health: Health,
}

/// What was measured, window by window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Timeline {
    /// Length of a window.
    pub(crate) window_secs: f64,
    /// End of each window, ascending: the moment its figures were known.
    pub(crate) at_secs: Vec<f64>,
    /// One track for each service, in the order of `services`.
    pub(crate) tracks: Vec<Track>,
}

/// One service over time: each list as long as `Timeline::at_secs`, none where a window had no request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Track {
    /// The service.
    pub(crate) service: String,
    /// Requests a second.
    pub(crate) rate_per_sec: Vec<Option<f64>>,
    /// Median latency in milliseconds.
    pub(crate) p50_ms: Vec<Option<f64>>,
    /// 95th percentile of the latency in milliseconds.
    pub(crate) p95_ms: Vec<Option<f64>>,
    /// Share of requests that failed.
    pub(crate) error_share: Vec<Option<f64>>,
}

/// What the processes held over time, and whether one of them runs out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// What each may hold, in bytes.
    pub(crate) limit_bytes: u64,
    /// One track for each service, in the order of `services`.
    pub(crate) tracks: Vec<MemoryTrack>,
    /// The one that runs out first; none where none does.
    pub(crate) exhaustion: Option<Exhaustion>,
}

/// What the process of one service held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MemoryTrack {
    /// The service.
    pub(crate) service: String,
    /// When it was read.
    pub(crate) at_secs: Vec<f64>,
    /// Resident bytes, as many as there are times.
    pub(crate) bytes: Vec<u64>,
}

/// When a process that leaks reaches its limit, counted from the last reading, with an interval of 95 %.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Exhaustion {
    /// The service.
    pub(crate) service: String,
    /// Bytes that come on top in a second.
    pub(crate) bytes_per_sec: f64,
    /// Seconds at the earliest.
    pub(crate) earliest_secs: f64,
    /// Seconds that are likeliest.
    pub(crate) likely_secs: f64,
    /// Seconds at the latest.
    pub(crate) latest_secs: f64,
}

/// One alarm of the detector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Alarm {
    /// When it was raised.
    pub(crate) at_secs: f64,
    /// Of which service.
    pub(crate) service: String,
    /// What moved, such as `p95 latency`.
    pub(crate) feature: String,
    /// What `expected` and `observed` are counted in.
    pub(crate) unit: Unit,
    /// What the detector expected.
    pub(crate) expected: f64,
    /// What it met.
    pub(crate) observed: f64,
    /// How many times the detector's threshold it was; at least 1.
    pub(crate) times_threshold: f64,
}

/// What a number is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// Milliseconds.
    Millis,
    /// A share, 0 to 1.
    Share,
    /// Events a second.
    PerSec,
    /// Bytes.
    Bytes,
    /// The metric's own, which its rows do not know.
    Own,
}

/// One suspect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cause {
    /// The service suspected.
    pub(crate) service: String,
    /// The chance that it is the true one, 0 to 1.
    pub(crate) score: f64,
    /// Why, in a sentence.
    pub(crate) statement: String,
    /// What the score is made of, largest first; the shares add up to the score.
    pub(crate) contributions: Vec<Contribution>,
    /// What it rests on, strongest first, one sentence each.
    pub(crate) evidence: Vec<String>,
}

/// One part of a cause's score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Contribution {
    /// What is contributed, such as `own latency`.
    pub(crate) name: String,
    /// The signal that it was read from, such as `spans`.
    pub(crate) signal: String,
    /// How much, 0 to 1.
    pub(crate) share: f64,
}

/// What the logs say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Logs {
    /// Lines read.
    pub(crate) lines: u64,
    /// Templates they were reduced to.
    pub(crate) templates: u64,
    /// Templates not seen before the fault (in a calm run: before the end of warm-up), most frequent first.
    pub(crate) new_templates: Vec<NewTemplate>,
    /// What follows from them, gravest first.
    pub(crate) findings: Vec<LogFinding>,
}

/// A log template not seen before the fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NewTemplate {
    /// Who writes it.
    pub(crate) service: String,
    /// The template, `<*>` where it varies.
    pub(crate) template: String,
    /// How often it was written.
    pub(crate) count: u64,
    /// When first.
    pub(crate) first_secs: f64,
}

/// A statement about the logs and the lines it cites.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LogFinding {
    /// One sentence.
    pub(crate) title: String,
    /// More, where there is more to say.
    pub(crate) detail: String,
    /// The lines cited.
    pub(crate) lines: Vec<CitedLine>,
}

/// A log line, redacted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CitedLine {
    /// When it was written.
    pub(crate) at_secs: f64,
    /// Who wrote it.
    pub(crate) service: String,
    /// The line.
    pub(crate) line: String,
}

/// Where a process spends its time now and did before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProfileChange {
    /// The service.
    pub(crate) service: String,
    /// Samples taken before the fault.
    pub(crate) samples_before: u64,
    /// Samples taken after it.
    pub(crate) samples_after: u64,
    /// Functions by how much their own share grew, most first.
    pub(crate) functions: Vec<FunctionChange>,
}

/// A function's own share of the time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FunctionChange {
    /// The function.
    pub(crate) function: String,
    /// Share before.
    pub(crate) before: f64,
    /// Share after.
    pub(crate) after: f64,
}

/// Where the requests of one service are: `served = accepted + rejected + lost`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Balance {
    /// The service.
    pub(crate) service: String,
    /// Requests it served by its own count.
    pub(crate) served: u64,
    /// Spans of it that the receiver kept.
    pub(crate) accepted: u64,
    /// Spans that the receiver refused by partial success.
    pub(crate) rejected: u64,
    /// Requests without a span that arrived, by reason.
    pub(crate) lost: Vec<Loss>,
}

/// Requests lost for one reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Loss {
    /// Why.
    pub(crate) reason: String,
    /// How many.
    pub(crate) count: u64,
}

/// What the exporter went through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Export {
    /// Requests sent, retries among them.
    pub(crate) requests: u64,
    /// Requests sent again.
    pub(crate) retries: u64,
    /// Spans the receiver met twice.
    pub(crate) duplicates: u64,
    /// Bytes encoded, before compression.
    pub(crate) bytes_encoded: u64,
    /// Bytes sent, after compression.
    pub(crate) bytes_sent: u64,
    /// What did not go smoothly, in order of time.
    pub(crate) events: Vec<ExportEvent>,
}

/// Something that happened to an export request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ExportEvent {
    /// When.
    pub(crate) at_secs: f64,
    /// What, such as `503 with Retry-After: 1`.
    pub(crate) what: String,
    /// What the exporter did about it.
    pub(crate) then: String,
}

/// Whether the exporter's event trace is one the model allows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Conformance {
    /// True where every event is allowed.
    pub(crate) conforms: bool,
    /// Events checked.
    pub(crate) events: u64,
    /// States of the model that were explored.
    pub(crate) states: u64,
    /// Name of the model.
    pub(crate) model: String,
    /// The first event that is not allowed and why; empty where all are.
    pub(crate) detail: String,
}

/// Something the run must keep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Promise {
    /// What is promised, as a sentence.
    pub(crate) name: String,
    /// Whether it held.
    pub(crate) holds: bool,
    /// The figures behind it.
    pub(crate) detail: String,
}

impl Balance {
    /// Requests lost for whatever reason.
    pub(crate) fn lost_total(&self) -> u64 {
        self.lost.iter().fold(0, |sum, loss| sum.saturating_add(loss.count))
    }

    /// True where every request is somewhere.
    pub(crate) fn is_balanced(&self) -> bool {
        let known = self.accepted.saturating_add(self.rejected).saturating_add(self.lost_total());
        self.served == known
    }
}

impl Summary {
    /// The run in one sentence.
    pub(crate) fn headline(&self) -> String {
        match (&self.incident, &self.fault) {
            (Some(incident), fault) => self.incident_sentence(incident, fault.as_ref()),
            (None, Some(fault)) => format!(
                "No alarm was raised, although {} at {}",
                figure::printable(&fault.description),
                self.clock_at(fault.at_secs)
            ),
            (None, None) => format!("No alarm was raised in {} of load", figure::secs(self.run.seconds)),
        }
    }

    fn incident_sentence(&self, incident: &Incident, fault: Option<&Fault>) -> String {
        let since = fault.map_or(incident.first_alarm_secs, |fault| fault.at_secs);
        let mut sentence = format!(
            "{} {} at {}",
            figure::printable(&incident.service),
            figure::printable(&incident.symptom),
            self.clock_at(since)
        );
        if !incident.because.is_empty() {
            sentence.push_str(" because ");
            sentence.push_str(&figure::printable(&incident.because));
        }
        match self.key.time_to_first_alarm_secs {
            Some(secs) => sentence.push_str(&format!("; found after {}", figure::secs(secs))),
            None if fault.is_none() => sentence.push_str(", although nothing had been broken"),
            None => {}
        }
        sentence
    }

    /// Wall clock, UTC, at a moment of the run.
    pub(crate) fn clock_at(&self, at_secs: f64) -> String {
        figure::clock(self.run.started_unix_millis, at_secs)
    }

    /// True where every promise holds.
    pub(crate) fn holds(&self) -> bool {
        self.promises.iter().all(|promise| promise.holds)
    }

    /// The summary as readable JSON.
    ///
    /// # Errors
    /// Never for a summary made of finite numbers; what serde says otherwise.
    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}
