//! Forwards lines of the log to Discord, in few messages and without secrets.

use std::{ops::Range, sync::Arc, time::Duration};

use tokio::{
    sync::Mutex,
    time::{self, Instant},
};
use tracing::{Level, error, info, warn};

use crate::{
    clock::jittered,
    metrics::Metrics,
    outbox::sink::{
        DeliveryError,
        discord::{Discord, Embed, code, cut, plain},
    },
    secret_scanner::SecretScanner,
    telemetry::{LogLine, LogQueue, without_forwarding},
};

/// The most embeds of a message, as Discord limits them.
const MAX_EMBEDS: usize = 10;

/// The most characters of all embeds of a message: Discord permits 6,000, the rest is for titles and footers.
const MAX_CHARACTERS: usize = 5_500;

/// The times of messages.
#[derive(Debug, Clone)]
pub struct BatchPolicy {
    /// The pause between two messages.
    pub interval: Duration,
    /// The backoff after the first failure, and the longest.
    pub backoff: Range<Duration>,
    /// The timeout of [`LogForwarder::flush`].
    pub flush_timeout: Duration,
}

impl Default for BatchPolicy {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            backoff: Duration::from_secs(5)..Duration::from_mins(5),
            flush_timeout: Duration::from_secs(2),
        }
    }
}

/// Forwards lines of the log to Discord. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogForwarder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    discord: Discord,
    scanner: SecretScanner,
    /// The name of the instance.
    instance: String,
    policy: BatchPolicy,
    /// Locked while a message is sent.
    batch: Mutex<Batch>,
}

#[derive(Debug)]
struct Batch {
    queue: LogQueue,
    /// The lines of the next message.
    lines: Vec<ForwardedLine>,
    /// The dropped lines that were reported.
    reported_drops: u64,
    /// Consecutive failures.
    failures: u32,
    /// The time of the next attempt, by Discord's rate limit or by the backoff.
    not_before: Instant,
}

/// A line and the number of its repetitions.
#[derive(Debug)]
struct ForwardedLine {
    line: LogLine,
    times: u32,
}

/// The step after a message.
#[derive(PartialEq, Eq)]
enum Next {
    Message,
    Retry,
    /// The webhook no longer exists.
    Stop,
}

impl LogForwarder {
    /// Creates a forwarder of `queue` to `discord`. Lines in which `scanner` finds a secret are withheld.
    #[must_use]
    pub fn new(
        queue: LogQueue,
        discord: Discord,
        scanner: SecretScanner,
        metrics: &Metrics,
        instance: String,
        policy: BatchPolicy,
    ) -> Self {
        queue.count_drops_in(metrics.log_lines_dropped());
        let batch = Mutex::new(Batch {
            queue,
            lines: Vec::new(),
            reported_drops: 0,
            failures: 0,
            not_before: Instant::now(),
        });
        Self(Arc::new(Inner { discord, scanner, instance, policy, batch }))
    }

    /// Forwards until dropped, or until the webhook no longer exists.
    pub async fn run(self) {
        // The log lines of forwarding would be forwarded without end.
        without_forwarding(async {
            let mut batch = self.0.batch.lock().await;
            while batch.wait_for_line().await {
                // Discord counts requests during a rate limit against the webhook.
                time::sleep_until(batch.not_before).await;
                batch.fill();
                if self.send(&mut batch).await == Next::Stop {
                    return;
                }
                // A pause collects more lines into fewer messages.
                time::sleep(self.0.policy.interval).await;
            }
        })
        .await;
    }

    /// Forwards the queued lines until the timeout. Call after [`Self::run`] has ended.
    pub async fn flush(&self) {
        let flush = without_forwarding(async {
            let mut batch = self.0.batch.lock().await;
            loop {
                batch.fill();
                if batch.lines.is_empty() {
                    return;
                }
                time::sleep_until(batch.not_before).await;
                if self.send(&mut batch).await == Next::Stop {
                    return;
                }
            }
        });
        // Lines that are not forwarded in time remain in the log itself.
        let _ = time::timeout(self.0.policy.flush_timeout, flush).await;
    }

    async fn send(&self, batch: &mut Batch) -> Next {
        let dropped = batch.queue.dropped();
        let embeds = self.embeds(batch, dropped - batch.reported_drops);
        match self.0.discord.send(&embeds).await {
            Ok(()) => {
                if std::mem::take(&mut batch.failures) > 0 {
                    info!("forwarding the log to Discord resumed");
                }
                batch.reported_drops = dropped;
                batch.lines.clear();
                Next::Message
            }
            Err(DeliveryError::Refused(reason)) => {
                warn!(reason, "Discord rejected log lines; dropping them");
                batch.drop_lines();
                Next::Message
            }
            Err(DeliveryError::Gone(reason)) => {
                error!(
                    reason,
                    "forwarding the log to Discord stopped; fix DISCORD_WEBHOOK_URL and restart"
                );
                // Without a receiver, lines would only fill the queue.
                batch.queue.close();
                batch.drop_lines();
                Next::Stop
            }
            Err(DeliveryError::Later { why, after }) => {
                self.back_off(batch, &why, after);
                Next::Retry
            }
        }
    }

    /// Delays the next attempt by Discord's rate limit, or by a backoff that doubles with each failure.
    fn back_off(&self, batch: &mut Batch, reason: &str, retry_after: Option<Duration>) {
        // Rate limits are normal operation of Discord and do not count as failures.
        if batch.failures == 0 && retry_after.is_none() {
            warn!(reason, "forwarding the log to Discord failed; retrying");
        }
        let Range { start, end } = self.0.policy.backoff;
        // Saturating, because hours of failures would overflow.
        let doubled = start.saturating_mul(2_u32.saturating_pow(batch.failures)).min(end);
        // Jitter keeps instances that failed together from retrying together.
        let pause = retry_after.unwrap_or_else(|| jittered(doubled, 0.8..1.2));
        // A rate limit does not double the next backoff.
        batch.failures += u32::from(retry_after.is_none());
        batch.not_before = Instant::now() + pause;
    }

    fn embeds(&self, batch: &Batch, dropped: u64) -> Vec<Embed> {
        let max_characters = MAX_CHARACTERS / batch.lines.len().max(1);
        let mut embeds: Vec<Embed> =
            batch.lines.iter().map(|line| self.embed(line, max_characters)).collect();
        if let Some(first) = embeds.first_mut().filter(|_| dropped > 0) {
            first.fields.push(("Lines dropped", dropped.to_string()));
        }
        embeds
    }

    fn embed(&self, forwarded: &ForwardedLine, max_characters: usize) -> Embed {
        let LogLine { at, level, target, message, fields, request } = &forwarded.line;
        // Joined, because a secret may be spread over message and fields.
        let text = [message.as_str(), fields, request].join(" ");
        let description = match self.0.scanner.scan(&text) {
            Some(secret) => format!("withheld: the line holds what looks like {secret}"),
            None => describe(message, fields, request, max_characters.saturating_sub(160)),
        };
        let times = match forwarded.times {
            1 => String::new(),
            times => format!(", {times} times"),
        };
        Embed {
            title: format!("{level}{times}"),
            description,
            color: color(*level),
            at: Some(*at),
            footer: cut(&format!("{target} at {}", self.0.instance), 120),
            ..Embed::default()
        }
    }
}

/// Formats the message with the fields of the line and of its request.
fn describe(message: &str, fields: &str, request: &str, max_characters: usize) -> String {
    // Escaping may double the length.
    let message = plain(&cut(message, max_characters / 4));
    let blocks = [fields, request].into_iter().filter(|text| !text.is_empty());
    blocks.fold(message, |text, block| text + "\n" + &code(block, max_characters / 4))
}

fn color(level: Level) -> u32 {
    match level {
        Level::ERROR => 0x00d9_3025,
        Level::WARN => 0x00f9_ab00,
        _ => 0x0060_7d8b,
    }
}

impl Batch {
    /// Waits until there is a line to send. Returns `false` once the queue has ended.
    async fn wait_for_line(&mut self) -> bool {
        if self.lines.is_empty() {
            let Some(line) = self.queue.next().await else { return false };
            self.add(line);
        }
        true
    }

    /// Moves queued lines to the batch, as many as fit.
    fn fill(&mut self) {
        while self.lines.len() < MAX_EMBEDS {
            let Some(line) = self.queue.try_next() else { return };
            self.add(line);
        }
    }

    /// Adds a line, or counts a repetition.
    fn add(&mut self, line: LogLine) {
        let is_same = |forwarded: &&mut ForwardedLine| {
            (forwarded.line.level, forwarded.line.target) == (line.level, line.target)
                && forwarded.line.message == line.message
        };
        match self.lines.iter_mut().find(is_same) {
            Some(forwarded) => forwarded.times += 1,
            None => self.lines.push(ForwardedLine { line, times: 1 }),
        }
    }

    /// Counts the lines of the batch as dropped.
    fn drop_lines(&mut self) {
        let count: u32 = self.lines.drain(..).map(|forwarded| forwarded.times).sum();
        self.queue.count_dropped(count.into());
    }
}
