//! Export responses, one type for each signal there.

use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::profiles::v1development::{
    ExportProfilesPartialSuccess, ExportProfilesServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};

use crate::error::{Error, ErrorKind, Result};
use crate::record::ExportResponse;

macro_rules! response {
    ($($theirs:ident { $partial:ident { $rejected:ident } })*) => {
        $(impl From<ExportResponse> for $theirs {
            /// Counts above 2^63 - 1 become that: the field is signed.
            fn from(response: ExportResponse) -> Self {
                let partial_success = (!response.is_full_success()).then(|| $partial {
                    $rejected: i64::try_from(response.rejected).unwrap_or(i64::MAX),
                    error_message: response.message,
                });
                Self { partial_success }
            }
        }

        impl TryFrom<$theirs> for ExportResponse {
            type Error = Error;

            fn try_from(response: $theirs) -> Result<Self> {
                let Some(partial) = response.partial_success else { return Ok(Self::default()) };
                let rejected = u64::try_from(partial.$rejected).map_err(|_| {
                    let message = format!(concat!(stringify!($rejected), ": {} is below zero"), partial.$rejected);
                    Error::new(ErrorKind::Malformed, message)
                })?;
                Ok(Self { rejected, message: partial.error_message })
            }
        })*
    };
}

response! {
    ExportTraceServiceResponse { ExportTracePartialSuccess { rejected_spans } }
    ExportLogsServiceResponse { ExportLogsPartialSuccess { rejected_log_records } }
    ExportMetricsServiceResponse { ExportMetricsPartialSuccess { rejected_data_points } }
    ExportProfilesServiceResponse { ExportProfilesPartialSuccess { rejected_profiles } }
}
