//! Asking a run to stop before its next call.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// A request to stop, shared by everything that can wait.
#[derive(Clone, Debug)]
pub struct Cancellation(Arc<watch::Sender<bool>>);

impl Default for Cancellation {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Cancellation {
    /// Asks to stop.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Whether it was asked.
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is asked.
    pub async fn set(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|asked| *asked).await;
    }

    /// Sleeps for `length`, or until it is asked.
    pub async fn sleep(&self, length: Duration) {
        // Even a sleep of no length lasts until the timer's next millisecond.
        if length.is_zero() {
            return;
        }
        // Which of the two it was, the caller sees at its next look.
        let _ = tokio::time::timeout(length, self.set()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleep_ends_when_it_is_asked_to_stop() {
        let cancellation = Cancellation::default();
        let sleeping = cancellation.sleep(Duration::from_hours(1));
        let asking = async {
            tokio::task::yield_now().await;
            cancellation.cancel();
        };
        tokio::join!(sleeping, asking);
        assert!(cancellation.is_set());
    }
}
