//! Time as OTLP has it: nanoseconds since the Unix epoch.

mod parse;

use std::fmt;
use std::ops::Add;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970-01-01T00:00:00Z; zero means "not known", as in OTLP. Reaches the year 2554.
///
/// ```
/// use std::time::Duration;
/// use otlp_core::UnixNanos;
/// let start = UnixNanos::from_millis(1_500);
/// let end = start + Duration::from_millis(20);
/// assert_eq!(end.duration_since(start), Duration::from_millis(20));
/// assert_eq!(start.duration_since(end), Duration::ZERO);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixNanos(pub u64);

impl UnixNanos {
    /// "Not known".
    pub const ZERO: Self = Self(0);

    /// Makes an instant from whole milliseconds since the epoch; saturates.
    ///
    /// ```
    /// use otlp_core::UnixNanos;
    /// assert_eq!(UnixNanos::from_millis(1500), UnixNanos(1_500_000_000));
    /// ```
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Makes an instant from whole seconds since the epoch; saturates.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Reads a time as tables have it: Unix seconds, milliseconds, microseconds or nanoseconds, told apart by size, or
    /// ISO 8601 with `T` or a space, in UTC where it has no offset.
    ///
    /// ```
    /// use otlp_core::UnixNanos;
    /// let noon = UnixNanos::from_secs(1_675_080_000);
    /// assert_eq!(UnixNanos::parse("2023-01-30T13:00:00+01:00")?, noon);
    /// assert_eq!(UnixNanos::parse("1675080000000")?, noon);
    /// # Ok::<(), otlp_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) where it is neither, or before 1970 or after 2554.
    pub fn parse(text: &str) -> crate::Result<Self> {
        parse::parse(text)
    }

    /// Seconds since the epoch; loses precision below about 200 ns for present dates.
    ///
    /// ```
    /// use otlp_core::UnixNanos;
    /// assert_eq!(UnixNanos::from_millis(1500).as_secs_f64(), 1.5);
    /// ```
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Time from `earlier` to this; zero where `earlier` is later (a clock that went backwards).
    ///
    /// ```
    /// use std::time::Duration;
    /// use otlp_core::UnixNanos;
    /// let (before, after) = (UnixNanos::from_secs(1), UnixNanos::from_secs(3));
    /// assert_eq!(after.duration_since(before), Duration::from_secs(2));
    /// assert_eq!(before.duration_since(after), Duration::ZERO);
    /// ```
    #[must_use]
    pub const fn duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This instant less `duration`; stops at zero.
    ///
    /// ```
    /// use std::time::Duration;
    /// use otlp_core::UnixNanos;
    /// let minute = Duration::from_secs(60);
    /// assert_eq!(UnixNanos::from_secs(90).saturating_sub(minute), UnixNanos::from_secs(30));
    /// assert_eq!(UnixNanos::from_secs(30).saturating_sub(minute), UnixNanos::ZERO);
    /// ```
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }
}

impl Add<Duration> for UnixNanos {
    type Output = Self;

    /// Saturates at the year 2554.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

impl From<SystemTime> for UnixNanos {
    /// Instants before 1970 become zero.
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).map_or(0, nanos))
    }
}

impl fmt::Display for UnixNanos {
    /// Seconds with nine decimals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// Where a driver takes the time from; pure code takes an instant as an argument instead.
///
/// ```
/// use otlp_core::{Clock, UnixNanos};
///
/// /// A clock that stands still, for tests.
/// struct Noon;
///
/// impl Clock for Noon {
///     fn now(&self) -> UnixNanos {
///         UnixNanos::from_secs(43_200)
///     }
/// }
///
/// fn age(of: UnixNanos, clock: &dyn Clock) -> std::time::Duration {
///     clock.now().duration_since(of)
/// }
/// assert_eq!(age(UnixNanos::from_secs(43_140), &Noon).as_secs(), 60);
/// ```
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> UnixNanos;
}

/// The machine's clock. It may go backwards; whoever subtracts uses [`UnixNanos::duration_since`].
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixNanos {
        SystemTime::now().into()
    }
}

impl<F: Fn() -> UnixNanos + Send + Sync> Clock for F {
    fn now(&self) -> UnixNanos {
        self()
    }
}

/// Whole nanoseconds, saturating at `u64::MAX` (584 years).
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
