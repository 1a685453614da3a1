//! Posts lines of the log to Discord: few messages, one after the other, and nothing that must stay secret.

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
    telemetry::{Line, Lines, unheard},
};

/// Embeds of a message, as Discord limits them; and the characters that they share, with room for what is added.
const EMBEDS: usize = 10;
const CHARACTERS: usize = 5_500;

/// How messages follow each other.
#[derive(Debug, Clone)]
pub struct BatchPolicy {
    /// Between two messages.
    pub between: Duration,
    /// The pause after the first failure, and the longest.
    pub pauses: Range<Duration>,
    /// What [`Forwarder::flush`] may take.
    pub flush: Duration,
}

impl Default for BatchPolicy {
    fn default() -> Self {
        let pauses = Duration::from_secs(5)..Duration::from_mins(5);
        Self { between: Duration::from_secs(5), pauses, flush: Duration::from_secs(2) }
    }
}

/// Posts lines to Discord. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Forwarder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    discord: Discord,
    scanner: SecretScanner,
    /// What the instance is called.
    instance: String,
    rhythm: BatchPolicy,
    /// Held by whoever posts.
    post: Mutex<Post>,
}

#[derive(Debug)]
struct Post {
    lines: Lines,
    /// What the next message tells.
    batch: Vec<ForwardedLine>,
    /// How many dropped lines were told of.
    dropped: u64,
    /// Failures in a row.
    failures: u32,
    /// Nothing is sent before: so Discord wants it, or so it is waited out.
    held_until: Instant,
}

/// A line, and how often it came.
#[derive(Debug)]
struct ForwardedLine {
    line: Line,
    times: u32,
}

/// What is to follow a message.
#[derive(PartialEq, Eq)]
enum Next {
    /// The next one.
    Message,
    /// The same again, later.
    Again,
    /// Nothing: the webhook is gone.
    Nothing,
}

impl Forwarder {
    /// One that posts `lines` to `discord` in the name of `instance`, without what `scanner` knows for a secret.
    #[must_use]
    pub fn new(
        lines: Lines,
        discord: Discord,
        scanner: SecretScanner,
        metrics: &Metrics,
        instance: String,
        rhythm: BatchPolicy,
    ) -> Self {
        lines.count_into(metrics.log_lines_dropped());
        let (batch, held_until) = (Vec::new(), Instant::now());
        let post = Mutex::new(Post { lines, batch, dropped: 0, failures: 0, held_until });
        Self(Arc::new(Inner { discord, scanner, instance, rhythm, post }))
    }

    /// Posts until dropped, or until the webhook is gone. Nothing that is logged on the way is posted.
    pub async fn run(self) {
        unheard(async {
            let mut post = self.0.post.lock().await;
            while post.fill().await {
                time::sleep_until(post.held_until).await;
                post.fill_up();
                if self.send(&mut post).await == Next::Nothing {
                    return;
                }
                time::sleep(self.0.rhythm.between).await;
            }
        })
        .await;
    }

    /// Posts what waits, as far as there is time for it; after [`Self::run`] has ended.
    pub async fn flush(&self) {
        let flushed = unheard(async {
            let mut post = self.0.post.lock().await;
            loop {
                post.fill_up();
                if post.batch.is_empty() {
                    return;
                }
                time::sleep_until(post.held_until).await;
                if self.send(&mut post).await == Next::Nothing {
                    return;
                }
            }
        });
        // What is left is in the log.
        let _ = time::timeout(self.0.rhythm.flush, flushed).await;
    }

    async fn send(&self, post: &mut Post) -> Next {
        let dropped = post.lines.dropped();
        let embeds = self.embeds(post, dropped - post.dropped);
        let sent = self.0.discord.send(&embeds).await;
        match sent {
            Ok(()) => {
                if 0 < std::mem::take(&mut post.failures) {
                    info!("lines of the log are posted to Discord again");
                }
                (post.dropped, post.batch) = (dropped, Vec::new());
                Next::Message
            }
            Err(DeliveryError::Refused(why)) => {
                warn!(why, "Discord refused lines of the log: they are left out");
                post.leave_out();
                Next::Message
            }
            Err(DeliveryError::Gone(why)) => {
                error!(
                    why,
                    "no line of the log is posted to Discord any more; mend DISCORD_WEBHOOK_URL and restart"
                );
                post.lines.close();
                post.leave_out();
                Next::Nothing
            }
            Err(DeliveryError::Later { why, after }) => {
                self.put_off(post, &why, after);
                Next::Again
            }
        }
    }

    /// Waits as long as Discord says, or longer with each failure.
    fn put_off(&self, post: &mut Post, why: &str, after: Option<Duration>) {
        // A limit on the rate is how Discord works, and no failure.
        if post.failures == 0 && after.is_none() {
            warn!(why, "lines of the log cannot be posted to Discord; it is tried again");
        }
        let Range { start, end } = self.0.rhythm.pauses;
        let doubled = start.saturating_mul(2_u32.saturating_pow(post.failures)).min(end);
        let pause = after.unwrap_or_else(|| jittered(doubled, 0.8..1.2));
        post.failures += u32::from(after.is_none());
        post.held_until = Instant::now() + pause;
    }

    fn embeds(&self, post: &Post, dropped: u64) -> Vec<Embed> {
        let room = CHARACTERS / post.batch.len().max(1);
        let mut embeds: Vec<Embed> = post.batch.iter().map(|it| self.embed(it, room)).collect();
        if let Some(first) = embeds.first_mut().filter(|_| 0 < dropped) {
            first.fields.push(("Lines dropped", dropped.to_string()));
        }
        embeds
    }

    /// `told` in so many characters at most.
    fn embed(&self, told: &ForwardedLine, room: usize) -> Embed {
        let Line { at, level, target, message, fields, request } = &told.line;
        let whole = [message.as_str(), fields, request].join(" ");
        let description = match self.0.scanner.scan(&whole) {
            Some(likeness) => format!("withheld: the line holds what looks like {likeness}"),
            None => described(message, fields, request, room.saturating_sub(160)),
        };
        let times = if told.times == 1 { String::new() } else { format!(", {} times", told.times) };
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

/// The message, and under it its fields and its request's.
fn described(message: &str, fields: &str, request: &str, room: usize) -> String {
    // Escaped it may be twice as long.
    let message = plain(&cut(message, room / 4));
    let more = [fields, request].into_iter().filter(|it| !it.is_empty());
    more.fold(message, |all, it| all + "\n" + &code(it, room / 4))
}

fn color(level: Level) -> u32 {
    match level {
        Level::ERROR => 0x00d9_3025,
        Level::WARN => 0x00f9_ab00,
        _ => 0x0060_7d8b,
    }
}

impl Post {
    /// Waits until there is something to tell; never again once the lines have ended.
    async fn fill(&mut self) -> bool {
        if self.batch.is_empty() {
            let Some(line) = self.lines.next().await else { return false };
            self.add(line);
        }
        true
    }

    /// Takes what waits and has room.
    fn fill_up(&mut self) {
        while self.batch.len() < EMBEDS {
            let Some(line) = self.lines.waiting() else { return };
            self.add(line);
        }
    }

    /// What says the same as one before is counted with it.
    fn add(&mut self, line: Line) {
        let same = |it: &&mut ForwardedLine| {
            (it.line.level, it.line.target) == (line.level, line.target)
                && it.line.message == line.message
        };
        match self.batch.iter_mut().find(same) {
            Some(told) => told.times += 1,
            None => self.batch.push(ForwardedLine { line, times: 1 }),
        }
    }

    /// Counts the batch as dropped.
    fn leave_out(&mut self) {
        let lines: u32 = self.batch.drain(..).map(|it| it.times).sum();
        self.lines.drop_taken(lines.into());
    }
}
