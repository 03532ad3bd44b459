//! A thousand requests that wait.

use std::time::Duration;

use crate::crowd::among;

/// Without optimisation everything takes far longer, and other tests run beside this one.
const LIMIT: Duration = if cfg!(debug_assertions) {
    Duration::from_secs(2)
} else {
    Duration::from_millis(50)
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_waiting_requests_slow_nobody_down() {
    for (what, took) in among(1000).await {
        assert!(took < LIMIT, "{what} took {took:?}");
    }
}
