//! The report of one case.
use crate::input::Input;
use otlp_anomaly::cause::Ranking;
pub(crate) fn page(_input: &Input, _ranking: &Ranking) -> String {
    String::new()
}
