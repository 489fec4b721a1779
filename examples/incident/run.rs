//! The main job from beginning to end: start, watch, break, understand, tell.

use std::collections::BTreeMap;
use std::io::{self, Stdout};
use std::path::Path;
use std::sync::mpsc::{Receiver as Inbox, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::ProgressDrawTarget;
use otlp_core::time::{Clock as _, SystemClock};
use otlp_core::transport::receiver::{Receiver, ReceiverLimits, ReceiverStats};
use otlp_core::{Error, ErrorKind, UnixNanos};
use otlp_logai::Window;

use crate::account::Account;
use crate::analysis::{
    Analysis, Found, LATENESS, LogReading, Logs, News, Noticed, ProfileReading, compare_profiles,
};
use crate::capture::{Capture, Captured};
use crate::export::{Exported, Exporting};
use crate::flags::Flags;
use crate::load::{Load, LoadConfig, LoadReport};
use crate::receive::{Intake, Received};
use crate::shop::{Counts, Fault, ProfileConfig, Program, Protocol, Role, Shop, ShopConfig};
use crate::{figure, page, report};

/// How often the program looks around.
const TICK: Duration = Duration::from_millis(100);
/// Requests that may wait for the analysis before the receiver says that it is busy.
const BACKLOG: usize = 1_024;
/// How long the receiver may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// Everything that a run came to; the report is made of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// When the load began.
    pub(crate) started: UnixNanos,
    /// When it ended.
    pub(crate) ended: UnixNanos,
    /// When the fault was planted; none in a calm run.
    pub(crate) broken: Option<UnixNanos>,
    /// What the clients saw.
    pub(crate) load: LoadReport,
    /// What the services say they served.
    pub(crate) served: BTreeMap<Role, Counts>,
    /// What was seen of it.
    pub(crate) captured: Captured,
    /// What the exporter did.
    pub(crate) exported: Exported,
    /// What the receiver took.
    pub(crate) received: Received,
    /// What passed the receiver's socket.
    pub(crate) socket: ReceiverStats,
    /// What the analysis found.
    pub(crate) found: Found,
    /// What the logs say.
    pub(crate) logs: LogReading,
    /// What the suspect's profile says.
    pub(crate) profile: Option<ProfileReading>,
}

/// Runs the main job; true where every promise was kept.
///
/// # Errors
/// Where a part cannot be started, a service dies, or a file cannot be written.
pub(crate) fn run(flags: &Flags) -> Result<bool, Error> {
    prepare(&flags.out)?;
    let length = Duration::from_secs(flags.seconds().into());
    let account = Account::new(io::stdout(), ProgressDrawTarget::stderr(), length);
    let mut teller = Teller { account, clock: Instant::now() };
    let outcome = Stage::set(flags)?.play(flags, length, &mut teller)?;
    let summary = report::summarise(flags, &outcome);
    let flame = outcome.profile.as_ref().map(|profile| profile.flame_svg.as_str());
    page::write(&flags.out, &summary, flame).map_err(|error| cannot("write the report", error))?;
    let path = flags.out.join("report.html");
    teller.account.finish(&summary, &path).map_err(|error| cannot("write to the terminal", error))?;
    Ok(summary.holds())
}

/// All parts, running.
struct Stage {
    shop: Shop,
    capture: Capture,
    intake: Intake,
    receiver: Receiver,
    exporting: Exporting,
    news: SyncSender<News>,
    alarms: Inbox<Noticed>,
    analysis: JoinHandle<Found>,
}

impl Stage {
    fn set(flags: &Flags) -> Result<Self, Error> {
        let (news, incoming) = sync_channel(BACKLOG);
        let (told, alarms) = channel();
        let analysis = Analysis::new(told)?;
        let analysis = std::thread::Builder::new()
            .name("analysis".to_owned())
            .spawn(move || analysis.run(&incoming, || SystemClock.now()))
            .map_err(|error| cannot("start a thread", error))?;
        let intake = Intake::create(&flags.out, news.clone())?;
        let receiver = Receiver::start("127.0.0.1:0", ReceiverLimits::default(), intake.clone())?;
        let shop = Shop::start(&ShopConfig {
            seed: flags.seed,
            out: flags.out.clone(),
            profile: ProfileConfig::default(),
            program: Program::this()?,
        })?;
        let capture = Capture::start(&shop.services(), flags.capture, flags.seed)?;
        let services: BTreeMap<_, _> = shop.services().iter().map(|own| (own.role, own.address)).collect();
        let direct = |role| services.get(&role).copied().unwrap_or(receiver.local_addr());
        shop.connect(|role| capture.address_of(role).unwrap_or_else(|| direct(role)))?;
        let endpoint = format!("http://{}", receiver.local_addr());
        let exporting = Exporting::start(endpoint, flags.seed, capture.outboxes(), &shop.services())?;
        Ok(Self { shop, capture, intake, receiver, exporting, news, alarms, analysis })
    }

    fn play(self, flags: &Flags, length: Duration, teller: &mut Teller) -> Result<Outcome, Error> {
        let target = self.capture.address_of(Role::Gateway);
        let target = target.ok_or_else(|| Error::new(ErrorKind::Config, "the gateway is not watched"))?;
        let load = Load::start(&LoadConfig { target, rate_per_sec: flags.rate.into(), seed: flags.seed })?;
        let started = SystemClock.now();
        teller.clock = Instant::now();
        let shown = figure::rate(flags.rate.into());
        let method = self.capture.method();
        teller.say(&format!("six services, {shown} of load, seed {}; capture: {method}", flags.seed))?;
        if let Some(why) = self.capture.refused().and_then(std::error::Error::source) {
            teller.say(&format!("not by the kernel: {why}"))?;
        }
        let others = Role::ALL.into_iter().filter(|role| role.protocol() != Protocol::Http);
        let others: Vec<String> = others.map(|role| format!("{role} {}", role.protocol())).collect();
        teller.say(&format!("they speak {}, but {}", Protocol::Http, others.join(", ")))?;
        let broken = self.watch(flags, length, &load, teller)?;
        let ended = SystemClock.now();
        let load = load.stop()?;
        let served = self.shop.stop()?;
        let captured = self.capture.stop();
        let drained = self.exporting.drain();
        teller.say("load ended, everything drained; reading logs and profiles")?;
        // Spans have all arrived, so the windows up to the end of the load can close.
        for last in [News::Time(ended + LATENESS), News::End] {
            self.news.send(last).map_err(|error| cannot("reach the analysis", error))?;
        }
        let mut found =
            self.analysis.join().map_err(|_| Error::new(ErrorKind::Closed, "the analysis panicked"))?;
        let onset = found.incident.as_ref().map(|incident| incident.onset);
        // In a calm run there is no onset: then everything after the warm-up counts as "since".
        let window = Window { since: onset.unwrap_or(started + report::WARM_UP), until: ended };
        let logs = Logs::read(&flags.out, window)?;
        let mut profiles = Vec::new();
        if let Some(onset) = onset {
            for role in Role::ALL {
                profiles.extend(compare_profiles(&flags.out, role.name(), onset)?);
            }
        }
        let mut told = logs.of_each();
        told.extend(profiles.iter().filter_map(|profile| profile.finding.clone()));
        found.rank(started + report::WARM_UP, &told);
        let suspect =
            found.ranking.as_ref().and_then(|ranking| ranking.top()?.subject.service().map(str::to_owned));
        let logs = logs.told(suspect.as_deref());
        let profile = profiles.into_iter().find(|profile| Some(&profile.service) == suspect.as_ref());
        drained.tell(&report::findings(&found, &logs, profile.as_ref()));
        let exported = drained.close();
        let socket = self.receiver.shutdown(GRACE);
        let received = self.intake.received();
        Ok(Outcome {
            started,
            ended,
            broken,
            load,
            served,
            captured,
            exported,
            received,
            socket,
            found,
            logs,
            profile,
        })
    }

    /// Looks after everything until the time is over; gives when the fault was planted.
    fn watch(
        &self,
        flags: &Flags,
        length: Duration,
        load: &Load,
        teller: &mut Teller,
    ) -> Result<Option<UnixNanos>, Error> {
        let mut broken = None;
        while teller.clock.elapsed() < length {
            std::thread::sleep(TICK.min(length.saturating_sub(teller.clock.elapsed())));
            self.shop.check()?;
            self.news
                .send(News::Time(SystemClock.now()))
                .map_err(|error| cannot("reach the analysis", error))?;
            for noticed in self.alarms.try_iter() {
                teller.say(&report::alarm_line(&noticed))?;
            }
            if flags.fault != Fault::None && broken.is_none() && teller.clock.elapsed() >= length / 2 {
                broken = Some(self.shop.set_fault(flags.fault, true)?);
                teller.say(&format!("fault planted: {}", flags.fault.description()))?;
            }
            let answered = figure::count(load.progress().answered);
            let seen = figure::count(self.capture.requests());
            teller
                .account
                .progress(teller.clock.elapsed(), &format!("{answered} answered, {seen} requests seen"));
        }
        Ok(broken)
    }
}

/// Tells the person in front of the terminal what happens.
struct Teller {
    account: Account<Stdout>,
    /// When the load began.
    clock: Instant,
}

impl Teller {
    fn say(&mut self, text: &str) -> Result<(), Error> {
        let told = self.account.line(self.clock.elapsed(), text);
        told.map_err(|error| cannot("write to the terminal", error))
    }
}

fn prepare(out: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(out.join("otlp")).map_err(|error| cannot("make the output folder", error))
}

fn cannot(what: &str, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Io, format!("cannot {what}")).with_source(source)
}
