//! Signals, heard by a thread of their own: however busy the service is, it is told to stop, and it ends.

use std::io;
use std::process::exit;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tokio::sync::watch;

/// What a second signal to stop ends the process with, at once.
const IMPATIENT: i32 = 130;

/// What the signals said.
#[derive(Debug, Clone)]
pub(crate) struct Signals {
    stop: watch::Receiver<bool>,
    reload: watch::Receiver<u64>,
}

impl Signals {
    /// Begins to listen. SIGTERM and SIGINT say to stop: the process ends `at_most` so much later, whatever it is doing then, and at once
    /// at a second one. SIGHUP says to read files again; SIGUSR1 and SIGUSR2 say nothing.
    ///
    /// # Errors
    /// When the system gives no thread, or no signals.
    pub(crate) fn listen(at_most: Duration) -> io::Result<Self> {
        let (stop_sender, stop) = watch::channel(false);
        let (reload_sender, reload) = watch::channel(0);
        let (ready, is_ready) = sync_channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(hear(&stop_sender, &reload_sender, at_most, |heard| {
                // Whoever asked waits for it.
                let _ = ready.send(heard);
            }));
        })?;
        is_ready.recv().map_err(io::Error::other)??;
        Ok(Self { stop, reload })
    }

    /// Waits for the signal to stop.
    pub(crate) async fn stop(mut self) {
        if self.stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for the next signal to read files again.
    pub(crate) async fn reload(&mut self) {
        if self.reload.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Ends the process a while from now, whatever it is doing then.
fn end_after(time: Duration) {
    let waiting = std::thread::Builder::new().name("end".to_owned()).spawn(move || {
        std::thread::sleep(time);
        exit(0);
    });
    // Without a thread the orderly end has to do.
    drop(waiting);
}

#[cfg(unix)]
async fn hear(stop: &watch::Sender<bool>, reload: &watch::Sender<u64>, at_most: Duration, ready: impl FnOnce(io::Result<()>)) {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = || {
        Ok((
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::hangup())?,
            signal(SignalKind::user_defined1())?,
            signal(SignalKind::user_defined2())?,
        ))
    };
    let (mut terminate, mut interrupt, mut hangup, mut user1, mut user2) = match listen() {
        Ok(signals) => {
            ready(Ok(()));
            signals
        }
        Err(error) => return ready(Err(error)),
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => stop_or_end(stop, at_most),
            _ = interrupt.recv() => stop_or_end(stop, at_most),
            _ = hangup.recv() => reload.send_modify(|times| *times += 1),
            _ = user1.recv() => {}
            _ = user2.recv() => {}
        }
    }
}

#[cfg(not(unix))]
async fn hear(stop: &watch::Sender<bool>, _: &watch::Sender<u64>, at_most: Duration, ready: impl FnOnce(io::Result<()>)) {
    ready(Ok(()));
    while tokio::signal::ctrl_c().await.is_ok() {
        stop_or_end(stop, at_most);
    }
}

fn stop_or_end(stop: &watch::Sender<bool>, at_most: Duration) {
    if stop.send_replace(true) {
        exit(IMPATIENT);
    }
    end_after(at_most);
}
