//! Pipes: connections inside the process. The same bytes flow through memory instead of a socket, so
//! that everything above (limits, deadlines, identity) holds just the same.
//!
//! A pipe exists from the moment the process knows which services it will serve: a call that comes
//! before its service is up waits in the queue instead of failing.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{io::DuplexStream, sync::mpsc};

/// Bytes that a pipe holds in each direction before the writer waits.
const BUFFER: usize = 256 * 1024;
/// Connections that may wait to be accepted.
const BACKLOG: usize = 128;

/// Makes connections to one service of this process.
#[derive(Clone)]
pub(crate) struct Pipe(mpsc::Sender<DuplexStream>);

/// Accepts the connections of a [`Pipe`].
pub struct PipeListener(mpsc::Receiver<DuplexStream>);

/// The pipes of a process, by the word of the service.
#[derive(Clone, Default)]
pub(crate) struct Pipes(Arc<BTreeMap<String, Ends>>);

/// The connecting end, and the listening end until it is taken.
type Ends = (Pipe, Mutex<Option<PipeListener>>);

impl Pipes {
    pub(crate) fn new<'a>(services: impl IntoIterator<Item = &'a str>) -> Self {
        let pipes = services.into_iter().map(|service| {
            let (sender, receiver) = mpsc::channel(BACKLOG);
            (service.to_owned(), (Pipe(sender), Mutex::new(Some(PipeListener(receiver)))))
        });
        Self(Arc::new(pipes.collect()))
    }

    pub(super) fn get(&self, service: &str) -> Option<Pipe> {
        self.0.get(service).map(|(pipe, _)| pipe.clone())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = String> + '_ {
        self.0.keys().cloned()
    }

    /// The listening end; once.
    pub(crate) fn listen(&self, service: &str) -> Option<PipeListener> {
        let (_, listener) = self.0.get(service)?;
        listener.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Pipe {
    /// Whether both lead to the same listener.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.same_channel(&other.0)
    }

    pub(super) async fn connect(&self) -> io::Result<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(BUFFER);
        let gone = |_| io::Error::new(io::ErrorKind::ConnectionRefused, "the service has stopped");
        self.0.send(theirs).await.map_err(gone)?;
        Ok(ours)
    }
}

impl PipeListener {
    /// The next connection; `None` when nobody can connect any more.
    pub(crate) async fn accept(&mut self) -> Option<DuplexStream> {
        self.0.recv().await
    }
}
