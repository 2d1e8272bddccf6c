//! Work that waits for the disk, off the runtime's threads.
//!
//! Invariant: a panic in the work is a panic of its caller, so that the task's edge counts it.

/// Runs `work` on a thread that may block, and returns its result. Work that has begun runs to its end even if the caller is dropped.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    // The order in which threads end cannot be repeated.
    if crate::simulation::is_simulated() {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is shutting down, and drops this future with every other.
        Err(_) => std::future::pending().await,
    }
}
