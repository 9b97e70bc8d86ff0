//! The two clients of an administrator: one asks, the other changes. Both answer in bounded time.

use std::future::Future;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{ClientConfig, ClientContext};

use crate::config::Config;
use crate::kafka::client::Refusal;
use crate::kafka::code::Code;
use crate::kafka::connect::{PATIENCE, note_waiting};
use crate::kafka::errors::{Causes, Membership, is_contact_lost, refusal_words, setup};
use crate::kafka::properties::{native, threads_of};
use crate::threads;

/// How long a request may take after another had no answer: with many topics, the time-out is not waited
/// for again for each.
const AFTER_LOSS: Duration = Duration::from_millis(500);

/// Between two looks at something that is awaited.
const STEP: Duration = Duration::from_millis(20);

/// Receives what librdkafka reports to its application.
pub(super) struct Heard(Causes);

impl ClientContext for Heard {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level as i32, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error.rdkafka_error_code().unwrap_or(Code::Unknown), reason);
    }
}

impl ConsumerContext for Heard {}

/// An admin client shows nothing: the other client receives what keeps both from their brokers. But it may
/// be the only one that wants the broker that carries a change out.
pub(super) struct Overheard(Causes);

impl ClientContext for Overheard {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.overhear(level as i32, facility, message);
    }

    fn error(&self, _: KafkaError, _: &str) {}
}

/// The clients, which may have no answer yet.
///
/// They are never dropped: librdkafka's destructor has no upper bound while brokers are away.
pub(super) struct Connection {
    pub(super) config: Config,
    causes: Causes,
    /// Sends questions, and receives errors. A consumer, since a producer's questions create topics.
    asker: Arc<ManuallyDrop<BaseConsumer<Heard>>>,
    /// Whether a request had no answer in its time.
    is_lost: AtomicBool,
    /// How long answers that came late were waited for, ms.
    waited: AtomicU64,
    changer: OnceLock<ManuallyDrop<AdminClient<Overheard>>>,
}

impl Connection {
    /// Clients that know these brokers.
    pub(super) fn new(config: &Config, brokers: &str) -> anyhow::Result<Self> {
        let causes = Causes::new(config.log, &config.brokers, Membership::None);
        let mut client = client_config(config)?;
        client.set("metadata.broker.list", brokers);
        threads::ensure(threads_of(&client))?;
        let asker: BaseConsumer<Heard> =
            client.create_with_context(Heard(causes.clone())).map_err(|e| creation_error(&e, &client))?;
        Ok(Self {
            config: config.clone(),
            causes,
            asker: Arc::new(ManuallyDrop::new(asker)),
            is_lost: AtomicBool::new(false),
            waited: AtomicU64::new(0),
            changer: OnceLock::new(),
        })
    }

    /// Puts a question to the cluster on a thread of its own, and serves the client's events
    /// meanwhile, so that an answer that does not come can be explained.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&BaseConsumer<Heard>, Duration) -> KafkaResult<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let timeout = self.timeout();
        let start = Instant::now();
        let (answer, answered) = mpsc::sync_channel(1);
        let asker = Arc::clone(&self.asker);
        // Not waited for where the cluster stays silent: it ends by itself at the time-out.
        threads::start("question", move || {
            let _ = answer.send(question(&asker, timeout));
        })?;
        let mut patient = true;
        loop {
            match answered.recv_timeout(STEP) {
                Ok(Ok(value)) => {
                    self.count(start);
                    self.causes.clear();
                    return Ok(value);
                }
                Ok(Err(e)) => {
                    self.serve();
                    let code = e.rdkafka_error_code().unwrap_or(Code::OperationTimedOut);
                    self.give_up(code);
                    return Err(self.causes.explain(code, &self.config.brokers, timeout));
                }
                Err(mpsc::RecvTimeoutError::Timeout) => self.serve(),
                Err(mpsc::RecvTimeoutError::Disconnected) => bail!("the question to the cluster was lost"),
            }
            if self.causes.are_final(&self.config.brokers) || start.elapsed() > self.timeout() {
                let code = Code::OperationTimedOut;
                self.give_up(code);
                return Err(self.causes.explain(code, &self.config.brokers, timeout));
            }
            if patient && start.elapsed() > PATIENCE {
                patient = false;
                note_waiting(&self.config, &self.causes);
            }
        }
    }

    /// How long a request may take: the time-out; what is left of it where an advertised address that can't be
    /// used has held up others before. A cluster that is slow for another reason gets all of it each time.
    pub(super) fn timeout(&self) -> Duration {
        let least = self.config.timeout.min(AFTER_LOSS);
        if self.is_lost.load(Ordering::Relaxed) {
            return least;
        }
        if self.causes.advertised().is_none() {
            return self.config.timeout;
        }
        let waited = Duration::from_millis(self.waited.load(Ordering::Relaxed));
        self.config.timeout.saturating_sub(waited).max(least)
    }

    /// Counts the time of a request whose answer came late. What is said of the address that held it up comes at
    /// the same time, and is given a moment.
    fn count(&self, start: Instant) {
        let took = start.elapsed();
        if took <= PATIENCE {
            return;
        }
        self.waited.fetch_add(took.as_millis() as u64, Ordering::Relaxed);
        let until = Instant::now() + 10 * STEP;
        while self.causes.advertised().is_none() && Instant::now() < until {
            self.serve();
            std::thread::sleep(STEP);
        }
    }

    /// A request had no answer in its time: the next ones are not given as much again.
    fn give_up(&self, code: Code) {
        self.is_lost.fetch_or(is_contact_lost(code), Ordering::Relaxed);
    }

    /// Serves the client's callbacks.
    fn serve(&self) {
        while self.asker.poll(Duration::ZERO).is_some() {}
    }

    /// Sends a request that changes something (or that only admin clients can send), and
    /// waits for the outcome within the time-out.
    pub(super) fn change<T, F>(
        &self,
        request: impl FnOnce(&AdminClient<Overheard>, &AdminOptions) -> F,
    ) -> Result<T, Code>
    where
        F: Future<Output = KafkaResult<T>>,
    {
        let timeout = Some(self.timeout());
        let options = AdminOptions::new().request_timeout(timeout).operation_timeout(timeout);
        let code = |e: KafkaError| code_of(&e);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|_| Code::CriticalSystemResource)?;
        let client = self.changer().map_err(code)?;
        self.noting(|| runtime.block_on(request(client, &options))).map_err(code)
    }

    /// Makes a request that blocks, and notes why if it takes long.
    pub(super) fn noting<T>(&self, request: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let (done, is_done) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            // Without a thread there is no note.
            let _ = std::thread::Builder::new().name("note".into()).spawn_scoped(scope, move || {
                if is_done.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                    self.serve();
                    note_waiting(&self.config, &self.causes);
                }
            });
            let outcome = request();
            drop(done);
            self.count(start);
            outcome
        })
    }

    /// The client that changes things, made at its first use.
    pub(super) fn changer(&self) -> KafkaResult<&AdminClient<Overheard>> {
        if let Some(client) = self.changer.get() {
            return Ok(client);
        }
        let config = client_config(&self.config).map_err(|e| KafkaError::ClientCreation(e.to_string()))?;
        // One more polls it.
        let lacking = |_| KafkaError::Global(Code::CriticalSystemResource);
        threads::ensure(threads_of(&config) + 1).map_err(lacking)?;
        let client = config.create_with_context(Overheard(self.causes.clone()))?;
        Ok(self.changer.get_or_init(|| ManuallyDrop::new(client)))
    }

    /// Why a request failed: lost contact is explained by what the brokers reported.
    pub(super) fn request_words(&self, refusal: &Refusal) -> anyhow::Error {
        let code = refusal.code;
        if !is_contact_lost(code) {
            return anyhow!(refusal_words(refusal));
        }
        self.give_up(code);
        self.serve();
        // Of a connection that was up, librdkafka says only that it is down.
        if code == Code::BrokerTransportFailure && self.causes.last().is_none() {
            return anyhow!("{}: the connection was closed before an answer came", self.config.brokers);
        }
        self.causes.explain(code, &self.config.brokers, self.config.timeout)
    }

    /// Why a request to change something failed: it may have been carried out though no answer came.
    pub(super) fn change_words(&self, refusal: &Refusal) -> anyhow::Error {
        let e = self.request_words(refusal);
        if matches!(
            refusal.code,
            Code::OperationTimedOut | Code::RequestTimedOut | Code::BrokerTransportFailure
        ) {
            return anyhow!(
                "{e:#}; it may have been done nevertheless (`kq topic list` and `describe` show)"
            );
        }
        e
    }
}

/// The code of an error; where a request failed as a whole, the admin client keeps it apart.
pub(super) fn code_of(e: &KafkaError) -> Code {
    match e {
        KafkaError::AdminOp(code) => *code,
        e => e.rdkafka_error_code().unwrap_or(Code::Fail),
    }
}

/// A client that asks and creates nothing by asking.
fn client_config(config: &Config) -> anyhow::Result<ClientConfig> {
    // The backoff: as for a producer, half of it passes before the second connection.
    native(&config.client(&[("allow.auto.create.topics", "false"), ("reconnect.backoff.ms", "20")]))
}

/// librdkafka's refusal to start a client, which is about its configuration: a file that is no certificate …
fn creation_error(e: &KafkaError, client: &ClientConfig) -> anyhow::Error {
    match e {
        KafkaError::ClientCreation(why) => setup::error(why, client),
        e => setup::error(&e.to_string(), client),
    }
}

/// Looks again and again until there is an answer or the deadline is past.
pub(super) fn await_answer<T>(
    deadline: Instant,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<Option<T>> {
    loop {
        if let Some(answer) = look()? {
            return Ok(Some(answer));
        }
        if Instant::now() > deadline {
            return Ok(None);
        }
        std::thread::sleep(STEP);
    }
}
