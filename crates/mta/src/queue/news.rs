//! What other nodes of a cluster have changed: the directory is read again, the queue is looked at, pauses end.
//!
//! Invariant: an error changes nothing, and is followed by another try.

use std::sync::Arc;
use std::time::Duration;

use store::News;

use crate::context::Shared;
use crate::deliver::pauses::Pauses;
use crate::deliver::resumed::HeardResumptions;
use crate::support::directory_cache::LiveDirectory;
use crate::support::wake::Wake;

/// Pause after an error.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Hears of changes until shutdown.
pub(crate) async fn run(shared: Shared, wake: Wake, pauses: Pauses) {
    let mut news = shared.store.news();
    let mut known = *news.borrow_and_update();
    let mut resumptions = HeardResumptions::open(pauses, shared.store.clone()).await;
    while news.changed().await.is_ok() {
        let now = *news.borrow_and_update();
        if now.work != known.work {
            wake.wake();
        }
        if now.directory != known.directory {
            reload(&shared.directory).await;
        }
        if now.shared != known.shared {
            while let Err(error) = resumptions.take().await {
                tracing::warn!(%error, "cannot read which pauses another node has ended; trying again");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
        known = now;
    }
    // Over SQLite nobody tells; the task must not end before the server.
    std::future::pending::<News>().await;
}

async fn reload(directory: &Arc<LiveDirectory>) {
    while let Err(error) = directory.reload().await {
        tracing::error!(%error, "another node has changed the directory, and it cannot be read; trying again");
        tokio::time::sleep(AGAIN_AFTER).await;
    }
    tracing::debug!("another node may have changed the directory; it was read again");
}
