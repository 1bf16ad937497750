//! The accept loops of one service, and how they end.
//!
//! On shutdown the port stops accepting, its connections are told to finish (GOAWAY, `connection:
//! close`), and what is not done when the drain timeout ends is cut. The pipe stays open meanwhile: a
//! request that is still being answered may need this service. It closes when nobody in the process
//! holds a guard any more.

use std::{io, sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Handler, Listener, Peer, ServeConfig,
    connection::{Connection, Limits},
};
use crate::{
    channel::PipeListener, context::Context, shutdown::Shutdown, task, telemetry::Metrics, tls::Tls,
};

/// How long the pipe waits for its last calls once nobody should need it any more.
const PIPE_DRAIN: Duration = Duration::from_secs(1);
/// Pause after a failed accept: the process is out of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How a drain went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Everything was finished.
    Clean,
    /// So many connections were cut with requests on them.
    Cut(usize),
}

/// Serves a handler on a port, a pipe or both until the shutdown, and drains. What `serve` does for
/// the standard handler; the gateway brings its own.
pub async fn serve_with(
    listener: Option<Listener>,
    pipe: Option<PipeListener>,
    handler: Handler,
    context: &Context,
) -> Drained {
    let config = context.serve_config().clone();
    let shutdown = context.shutdown().clone();
    let metrics = context.metrics();
    let tls = context.tls().cloned();
    let port = Acceptor::new(&handler, &config, metrics, Limits::port(&config), tls);
    let inner = Acceptor::new(&handler, &config, metrics, Limits::pipe(&config), None);
    // The guard keeps the pipes of all services open while this port drains.
    let guard = shutdown.guard();
    let serve_port = async {
        let drained = match listener {
            Some(listener) => {
                accept_port(&port, listener, &shutdown).await;
                port.drain(config.drain_timeout).await
            }
            None => {
                shutdown.requested().await;
                Drained::Clean
            }
        };
        drop(guard);
        drained
    };
    let serve_pipe = async {
        if let Some(pipe) = pipe {
            accept_pipe(&inner, pipe, &shutdown, config.drain_timeout).await;
            inner.drain(PIPE_DRAIN).await;
        }
    };
    // What was cut on a pipe is the process talking to itself; the port is what callers saw.
    let (drained, ()) = tokio::join!(serve_port, serve_pipe);
    if let Drained::Cut(connections) = drained {
        tracing::warn!(
            service = context.name(),
            connections,
            "drain timeout: connections were cut"
        );
    }
    drained
}

async fn accept_port(acceptor: &Acceptor, listener: Listener, shutdown: &Shutdown) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.requested() => return,
            accepted = acceptor.next(&listener) => accepted,
        };
        match accepted {
            Ok((stream, addr, permit)) => {
                // Without it small frames wait for each other; a socket that refuses is as good as gone.
                let _ = stream.set_nodelay(true);
                let peer = Peer { addr: Some(addr), in_process: false };
                acceptor.start(peer, permit, |connection| connection.run_port(stream));
            }
            Err(error) => {
                tracing::warn!(error = %error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn accept_pipe(
    acceptor: &Acceptor,
    mut pipe: PipeListener,
    shutdown: &Shutdown,
    drain_timeout: Duration,
) {
    let nobody_needs_it = async {
        shutdown.requested().await;
        // The ports' drain has the same bound; a little more lets their last answers through.
        let _ = tokio::time::timeout(drain_timeout + PIPE_DRAIN, shutdown.quiet()).await;
    };
    tokio::pin!(nobody_needs_it);
    loop {
        tokio::select! {
            () = &mut nobody_needs_it => return,
            stream = pipe.accept() => match stream {
                Some(stream) => {
                    let (peer, permit) = (Peer { addr: None, in_process: true }, acceptor.permit().await);
                    acceptor.start(peer, permit, |connection| connection.run_pipe(stream));
                }
                None => return,
            }
        }
    }
}

struct Acceptor {
    handler: Handler,
    limits: Arc<Limits>,
    tls: Option<Tls>,
    metrics: Metrics,
    permits: Arc<Semaphore>,
    tracker: TaskTracker,
    drain: CancellationToken,
    cut: CancellationToken,
}

impl Acceptor {
    fn new(
        handler: &Handler,
        config: &ServeConfig,
        metrics: &Metrics,
        limits: Limits,
        tls: Option<Tls>,
    ) -> Self {
        Self {
            handler: handler.clone(),
            limits: Arc::new(limits),
            tls,
            metrics: metrics.clone(),
            permits: Arc::new(Semaphore::new(
                config.max_connections.clamp(1, Semaphore::MAX_PERMITS),
            )),
            tracker: TaskTracker::new(),
            drain: CancellationToken::new(),
            cut: CancellationToken::new(),
        }
    }

    async fn permit(&self) -> OwnedSemaphorePermit {
        self.permits.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// The place is taken before the connection, so that one too many stays in the kernel's queue.
    async fn next(
        &self,
        listener: &Listener,
    ) -> io::Result<(tokio::net::TcpStream, std::net::SocketAddr, OwnedSemaphorePermit)> {
        let permit = self.permit().await;
        let (stream, addr) = listener.accept().await?;
        Ok((stream, addr, permit))
    }

    fn start<F>(&self, peer: Peer, permit: OwnedSemaphorePermit, run: impl FnOnce(Connection) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let connection = Connection {
            handler: self.handler.clone(),
            limits: self.limits.clone(),
            tls: self.tls.clone(),
            peer,
            drain: self.drain.clone(),
            cut: self.cut.clone(),
        };
        let running = run(connection);
        let presence = self.metrics.connection_opened();
        task::spawn(
            "connection",
            self.tracker.track_future(async move {
                running.await;
                drop((permit, presence));
            }),
        );
    }

    async fn drain(&self, bound: Duration) -> Drained {
        self.drain.cancel();
        self.tracker.close();
        if tokio::time::timeout(bound, self.tracker.wait()).await.is_ok() {
            return Drained::Clean;
        }
        let left = self.tracker.len();
        self.cut.cancel();
        self.tracker.wait().await;
        Drained::Cut(left)
    }
}
