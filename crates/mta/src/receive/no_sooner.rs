//! One delay for the answers to RCPT: a client cannot tell by the time whether a recipient is known.
//!
//! RFC 5321 s.4.5.3.2 (clients wait minutes). Invariant: an answer comes when both the decision and the delay have ended, whichever is later.

/// Waits for a decision and for the delay, which begin together: how long the decision took does not show.
pub(super) async fn no_sooner_than<T>(delay: Option<impl Future<Output = ()>>, decision: impl Future<Output = T>) -> T {
    match delay {
        None => decision.await,
        Some(delay) => tokio::join!(decision, delay).0,
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_quick_and_a_slow_decision_are_answered_when_the_delay_ends() {
        for is_quick in [true, false] {
            let ((decide, decided), (end, ended)) = (oneshot::channel(), oneshot::channel::<()>());
            let delay = async { drop(ended.await) };
            let mut answer = pin!(no_sooner_than(Some(delay), decided));
            let mut is_answered =
                async || std::future::poll_fn(|context| std::task::Poll::Ready(answer.as_mut().poll(context).is_ready())).await;
            let [first, second] = if is_quick { [decide, end] } else { [end, decide] };
            first.send(()).unwrap();
            assert!(!is_answered().await, "both are needed");
            second.send(()).unwrap();
            assert!(is_answered().await);
        }
        let no_delay: Option<std::future::Ready<()>> = None;
        assert_eq!(no_sooner_than(no_delay, std::future::ready(7)).await, 7);
    }
}
