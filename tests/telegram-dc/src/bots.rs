//! Pressing bots' buttons without a client.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::Datacenter;
use crate::model::{Chat, Refusal};
use crate::world::Presser;

/// What a bot said to the one who pressed its button.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackAnswer {
    /// The words, if there were any.
    pub text: Option<String>,
    /// Whether they are to be confirmed, instead of passing by.
    pub alert: bool,
}

impl Datacenter {
    /// Presses a button as a person, by their own number for the message, and waits for
    /// the bot's answer.
    ///
    /// # Errors
    /// What Telegram would refuse, and `BOT_RESPONSE_TIMEOUT` for a bot that is too slow.
    pub async fn press(
        &self,
        user: i64,
        chat: Chat,
        id: i32,
        data: impl AsRef<[u8]>,
    ) -> Result<CallbackAnswer, Refusal> {
        let (sender, receiver) = oneshot::channel();
        let presser = Presser::Test(sender);
        let patience = {
            let mut world = self.shared.world();
            world.press(user, chat, id, data.as_ref(), presser, Instant::now())?;
            world.callbacks.patience
        };
        let late = || Refusal::bad("BOT_RESPONSE_TIMEOUT");
        // A datacenter that was stopped says nothing any more.
        let outcome = tokio::time::timeout(patience.saturating_mul(2), receiver).await;
        let answer = outcome.map_err(|_| late())?.map_err(|_| late())??;
        Ok(CallbackAnswer {
            text: answer.message,
            alert: answer.alert,
        })
    }

    /// How long bots have to answer from now on, 10 seconds unless this is called.
    pub fn set_bot_patience(&self, patience: Duration) {
        self.shared.world().callbacks.patience = patience;
    }
}
