//! Messages to whoever listens now.
//!
//! The bus carries wake-ups and events of which the database holds the truth, so it may lose: a
//! subscriber that falls behind loses the oldest messages and is told how many, upon which it looks
//! into the database. Each subscriber has a queue of its own, so that a flood on one subject costs
//! the
//! listeners of another nothing.
//!
//! Subjects are NATS's: words joined by dots; in a pattern `*` stands for one word and a final `>`
//! for
//! one or more.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_util::{Stream, future::BoxFuture, stream::BoxStream};

use crate::Error;

#[cfg(test)]
mod tests;

/// The largest message: 1 MiB.
const MAX_PAYLOAD: usize = 1 << 20;

/// The longest subject: 256 bytes.
const MAX_SUBJECT: usize = 256;

/// The most messages that wait for one subscriber.
const QUEUE_MESSAGES: usize = 1_024;

/// The most bytes that wait for one subscriber: 4 MiB.
const QUEUE_BYTES: usize = 4 << 20;

/// Messages to whoever listens now; nothing is kept for those who come later.
pub trait Bus: Send + Sync {
    /// Sends a message of at most 1 MiB. It does not wait for any subscriber.
    fn publish<'a>(&'a self, subject: &'a str, payload: Bytes) -> BoxFuture<'a, Result<(), Error>>;

    /// Listens, from the moment this returns, to subjects that fit a pattern, in the order of
    /// publishing.
    fn subscribe<'a>(
        &'a self,
        pattern: &'a str,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Notice>, Error>>;
}

/// What a subscriber receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A message.
    Message {
        /// The subject it was published on.
        subject: String,
        /// Its bytes.
        payload: Bytes,
    },
    /// The subscriber was too slow: so many messages before the next one are lost.
    Lagged(u64),
}

/// A bus in this process. Clones share it.
#[derive(Clone, Default)]
pub struct MemoryBus {
    subscribers: Arc<Mutex<Vec<Weak<Subscriber>>>>,
}

struct Subscriber {
    pattern: String,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<(String, Bytes)>,
    bytes: usize,
    lost: u64,
    closed: bool,
    waker: Option<Waker>,
}

/// The stream of one subscriber. It ends when every handle of the bus is gone.
struct Subscription {
    subscriber: Arc<Subscriber>,
}

// === impl MemoryBus ===

impl MemoryBus {
    /// A bus without subscribers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn send(&self, subject: &str, payload: &Bytes) -> Result<(), Error> {
        check(subject, false)?;
        if payload.len() > MAX_PAYLOAD {
            return Err(Error::TooLarge { what: "a message", limit: MAX_PAYLOAD });
        }
        // Held while the queues are filled, so that all subscribers see one order.
        lock(&self.subscribers).retain(|subscriber| {
            let Some(subscriber) = subscriber.upgrade() else { return false };
            if matches(&subscriber.pattern, subject) {
                subscriber.push(subject, payload);
            }
            true
        });
        Ok(())
    }

    fn listen(&self, pattern: &str) -> Result<BoxStream<'static, Notice>, Error> {
        check(pattern, true)?;
        let queue = Mutex::new(Queue::default());
        let subscriber = Arc::new(Subscriber { pattern: pattern.to_owned(), queue });
        lock(&self.subscribers).push(Arc::downgrade(&subscriber));
        Ok(Box::pin(Subscription { subscriber }))
    }
}

impl Bus for MemoryBus {
    fn publish<'a>(&'a self, subject: &'a str, payload: Bytes) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(std::future::ready(self.send(subject, &payload)))
    }

    fn subscribe<'a>(
        &'a self,
        pattern: &'a str,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Notice>, Error>> {
        Box::pin(std::future::ready(self.listen(pattern)))
    }
}

impl Drop for MemoryBus {
    fn drop(&mut self) {
        if Arc::strong_count(&self.subscribers) == 1 {
            for subscriber in lock(&self.subscribers).drain(..).filter_map(|each| each.upgrade()) {
                subscriber.close();
            }
        }
    }
}

// === impl Subscriber ===

impl Subscriber {
    fn push(&self, subject: &str, payload: &Bytes) {
        let mut queue = lock(&self.queue);
        queue.bytes += subject.len() + payload.len();
        queue.messages.push_back((subject.to_owned(), payload.clone()));
        while queue.messages.len() > QUEUE_MESSAGES || queue.bytes > QUEUE_BYTES {
            let Some(oldest) = queue.take() else { break };
            drop(oldest);
            queue.lost += 1;
        }
        queue.wake();
    }

    fn close(&self) {
        let mut queue = lock(&self.queue);
        queue.closed = true;
        queue.wake();
    }
}

// === impl Queue ===

impl Queue {
    fn take(&mut self) -> Option<(String, Bytes)> {
        let (subject, payload) = self.messages.pop_front()?;
        self.bytes -= subject.len() + payload.len();
        Some((subject, payload))
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

// === impl Subscription ===

impl Stream for Subscription {
    type Item = Notice;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Notice>> {
        let mut queue = lock(&self.subscriber.queue);
        if queue.lost > 0 {
            return Poll::Ready(Some(Notice::Lagged(std::mem::take(&mut queue.lost))));
        }
        if let Some((subject, payload)) = queue.take() {
            return Poll::Ready(Some(Notice::Message { subject, payload }));
        }
        if queue.closed {
            return Poll::Ready(None);
        }
        queue.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Whether a subject fits a pattern.
fn matches(pattern: &str, subject: &str) -> bool {
    let mut words = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, words.next()) {
            (">", Some(_)) => return true,
            (_, None) => return false,
            ("*", Some(_)) => {}
            (wanted, Some(word)) if wanted == word => {}
            (_, Some(_)) => return false,
        }
    }
    words.next().is_none()
}

fn check(subject: &str, pattern: bool) -> Result<(), Error> {
    if subject.len() > MAX_SUBJECT {
        return Err(Error::TooLarge { what: "a subject", limit: MAX_SUBJECT });
    }
    let mut words = subject.split('.').peekable();
    while let Some(word) = words.next() {
        if word.is_empty() {
            return Err(Error::Subject("a word is empty"));
        }
        if word.contains(|each: char| each.is_whitespace() || each.is_control()) {
            return Err(Error::Subject("a word contains a space or control character"));
        }
        if !word.contains(['*', '>']) {
            continue;
        }
        match (pattern, word, words.peek()) {
            (false, _, _) => {
                return Err(Error::Subject("a message is published on one subject, not a pattern"));
            }
            (true, "*", _) | (true, ">", None) => {}
            (true, _, _) => {
                return Err(Error::Subject("'*' stands alone as a word, '>' alone as the last"));
            }
        }
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
