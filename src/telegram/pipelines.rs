//! Pipelines from chat: a wish made exact, then asked about like any other change.

use std::sync::Arc;

use super::confirm::Wish;
use super::execute::{broken, failed};
use super::handler::{Handler, Origin};
use super::reply::{Reply, pipeline};
use crate::broker::{PipelineWish, Planned, Preview, REASON};
use crate::domain::{Action, Field, PipelineAction, RequestId, SecretValue, Target};

impl Handler {
    /// What is to be done with a pipeline: starting something, or letting it go on, is asked about first.
    pub(super) async fn pipeline(&self, origin: &Origin, wish: PipelineWish) -> Option<Reply> {
        let broker = Arc::clone(&self.broker);
        let planned = self.whole(async move { broker.plan(wish).await }).await;
        let Planned {
            action,
            target,
            reason,
        } = match planned {
            Some(Ok(planned)) => planned,
            Some(Err(error)) => return Some(failed(origin, &error)),
            None => return Some(broken(origin)),
        };
        match action {
            PipelineAction::Run | PipelineAction::Rerun | PipelineAction::Approve => {
                self.ask(origin, Action::Pipeline(action), target).await
            }
            PipelineAction::Runs
            | PipelineAction::Cancel
            | PipelineAction::Deny
            | PipelineAction::Watch
            | PipelineAction::Unwatch => {
                let fields = said(&reason).into_iter().collect();
                self.perform(origin, Action::Pipeline(action), target, fields)
                    .await
            }
        }
    }

    /// What is watched in the chat where somebody asks.
    pub(super) async fn watches(&self, origin: &Origin) -> Reply {
        let chat = match origin.id {
            RequestId::Message { chat, .. } => chat,
            RequestId::Press(_) | RequestId::Connection(_) => origin.user.id,
        };
        match self.broker.watched_in(chat, &origin.user).await {
            Ok(watches) => pipeline::watches(&watches, self.broker.pipelines_mount()),
            Err(error) => failed(origin, &error),
        }
    }

    /// Asks about what would be done to what `preview` shows.
    pub(super) fn pipeline_question(
        &self,
        origin: &Origin,
        action: PipelineAction,
        target: Target,
        preview: &Preview,
    ) -> Reply {
        let question = pipeline::question(action, &target, preview);
        let wish = Wish::Secret {
            action: Action::Pipeline(action),
            target,
            fields: vec![],
        };
        self.wait_for_answer(origin, wish, question)
    }
}

/// The parameter that says why, where that is said.
fn said(reason: &str) -> Option<Field> {
    (!reason.is_empty()).then(|| Field {
        name: REASON.to_owned(),
        json: SecretValue::new(serde_json::Value::from(reason).to_string().into_bytes()),
    })
}
