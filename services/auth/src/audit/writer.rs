//! The one writer of the chain: takes events from a bounded queue and keeps as many as have gathered
//! with one flush.
//!
//! When the queue is full, events that nobody waits for are dropped and counted: refusing service to
//! everybody because the trail is slow would make the trail a weapon. What an administrator changes
//! waits instead.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lightning_mesh::{clock::Clock, shutdown::Shutdown, task};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{Entry, Link};
use crate::{
    Error,
    store::{Store, audit::Head},
};

/// How many messages wait for the writer.
const QUEUE: usize = 16_384;
/// How many events one flush takes at most, give or take one message.
const GROUP: usize = 500;
/// How often it is tried again when another instance was faster.
const ATTEMPTS: usize = 20;
/// How long further tokens of a program are counted rather than written down.
const WINDOW: Duration = Duration::from_secs(10);
/// How many programs are counted at once; beyond it each token is written down.
const MAX_COUNTED: usize = 10_000;
/// The action of which there may be thousands a second.
const COUNTED: &str = "token.issued";

/// The way to the writer. Clones share it.
#[derive(Clone)]
pub(crate) struct Audit {
    queue: mpsc::Sender<Message>,
    figures: Arc<Figures>,
}

#[derive(Default)]
struct Figures {
    kept: AtomicU64,
    dropped: AtomicU64,
}

struct Message {
    entries: Vec<Entry>,
    kept: Option<oneshot::Sender<bool>>,
}

struct Writer {
    store: Store,
    clock: Clock,
    head: Option<Head>,
    counted: HashMap<Key, Counted>,
    figures: Arc<Figures>,
}

/// Subject, client, grant.
type Key = (String, String, String);

/// Events like one that was written down.
struct Counted {
    since: Instant,
    count: u64,
    last: Entry,
}

// === impl Audit ===

impl Audit {
    /// Starts the writer behind the last event that is kept.
    pub(crate) async fn open(
        store: Store,
        clock: Clock,
        shutdown: Shutdown,
    ) -> Result<Self, Error> {
        let head = Some(store.head().await?);
        let (queue, mut messages) = mpsc::channel::<Message>(QUEUE);
        let figures = Arc::new(Figures::default());
        let counted = HashMap::new();
        let mut writer = Writer { store, clock, head, counted, figures: figures.clone() };
        task::spawn("auth-audit", async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(1));
            // Until the last call is answered there may be events.
            let end = async move {
                shutdown.requested().await;
                shutdown.quiet().await;
            };
            let mut end = std::pin::pin!(end);
            loop {
                tokio::select! {
                    biased;
                    message = messages.recv() => match message {
                        Some(message) => writer.take(message, &mut messages).await,
                        None => break,
                    },
                    _ = ticks.tick() => writer.tell_counts(WINDOW).await,
                    () = &mut end => break,
                }
            }
            writer.tell_counts(Duration::ZERO).await;
        });
        Ok(Self { queue, figures })
    }

    /// Notes an event without waiting.
    pub(crate) fn note(&self, entry: Entry) {
        let message = Message { entries: vec![entry], kept: None };
        if self.queue.try_send(message).is_err() {
            self.figures.lose(1, "the queue is full");
        }
    }

    /// Notes events and waits until they are kept.
    pub(crate) async fn keep(&self, entries: Vec<Entry>) -> Result<(), Error> {
        let (sender, kept) = oneshot::channel();
        let message = Message { entries, kept: Some(sender) };
        self.queue.send(message).await.map_err(|_| Error::AuditUnavailable)?;
        match kept.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Error::AuditUnavailable),
        }
    }

    /// Events that were lost elsewhere, before they came here.
    pub(crate) fn lost(&self, count: u64) {
        self.figures.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// How many events were kept.
    pub(crate) fn kept(&self) -> u64 {
        self.figures.kept.load(Ordering::Relaxed)
    }

    /// How many events were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.figures.dropped.load(Ordering::Relaxed)
    }
}

// === impl Figures ===

impl Figures {
    fn lose(&self, count: usize, why: &str) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let before = self.dropped.fetch_add(count, Ordering::Relaxed);
        // One line for a thousand: whatever fills the queue must not fill the log as well.
        if before / 1_000 != (before + count) / 1_000 || before == 0 {
            tracing::error!(dropped = before + count, why, "audit events are lost");
        }
    }
}

// === impl Writer ===

impl Writer {
    /// Keeps a message and whatever waits behind it.
    async fn take(&mut self, first: Message, messages: &mut mpsc::Receiver<Message>) {
        let mut entries = Vec::new();
        let mut waiting = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            waiting.extend(message.kept);
            for entry in message.entries {
                entries.extend(self.counted(entry));
            }
            next = if entries.len() < GROUP { messages.try_recv().ok() } else { None };
        }
        let kept = self.write(entries).await;
        for one in waiting {
            // Whoever stopped waiting needs no answer.
            let _ = one.send(kept);
        }
    }

    /// The event, unless it is one of many that are counted.
    fn counted(&mut self, entry: Entry) -> Option<Entry> {
        let is_program = !entry.subject.starts_with("user:");
        if entry.action != COUNTED || entry.outcome != "success" || !is_program {
            return Some(entry);
        }
        let grant = entry.details.iter().find(|(name, _)| name.starts_with("grant"));
        let grant = grant.map(|(_, value)| value.clone()).unwrap_or_default();
        let key = (entry.subject.clone(), entry.client_id.clone(), grant);
        if let Some(counted) = self.counted.get_mut(&key) {
            counted.count += 1;
            return None;
        }
        if self.counted.len() < MAX_COUNTED {
            let last = entry.clone();
            self.counted.insert(key, Counted { since: Instant::now(), count: 0, last });
        }
        Some(entry)
    }

    /// Writes down the counts that are at least this old.
    async fn tell_counts(&mut self, age: Duration) {
        let mut entries = Vec::new();
        let now = self.clock.now().as_micros();
        self.counted.retain(|_, counted| {
            if counted.since.elapsed() < age {
                return true;
            }
            if counted.count > 0 {
                let mut entry = counted.last.clone();
                entry.time = now;
                entry.details.push(("count".to_owned(), counted.count.to_string()));
                entries.push(entry);
            }
            false
        });
        self.write(entries).await;
    }

    /// Whether all is kept.
    async fn write(&mut self, entries: Vec<Entry>) -> bool {
        if entries.is_empty() {
            return true;
        }
        let count = entries.len();
        match self.try_write(&entries).await {
            Ok(()) => {
                self.figures.kept.fetch_add(count.try_into().unwrap_or(0), Ordering::Relaxed);
                true
            }
            Err(error) => {
                self.figures.lose(count, &error.to_string());
                // Whether they were kept may be unknown, so where the chain ends is as well.
                self.head = None;
                false
            }
        }
    }

    async fn try_write(&mut self, entries: &[Entry]) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let head = match self.head.take() {
                Some(head) => head,
                None => self.store.head().await?,
            };
            let (mut sequence, mut hash) = (head.sequence, head.hash.clone());
            let mut links = Vec::with_capacity(entries.len());
            for entry in entries {
                let link = Link::forge(entry.clone(), sequence + 1, hash);
                (sequence, hash) = (link.sequence, link.hash.clone());
                links.push(link);
            }
            // If another instance was faster, the head is read again.
            if self.store.append_events(&head, &links).await? {
                self.head = Some(Head { sequence, hash });
                return Ok(());
            }
        }
        Err(Error::AuditUnavailable)
    }
}
