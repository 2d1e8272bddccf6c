//! `/notices`: a test of the channels over which the owner gets notices.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::actor::Actor;
use crate::api::{NoticeAnswer, NoticeTest};
use crate::control::{Control, ControlError};
use crate::error::ApiError;
use crate::extract::Body;
use crate::recorder::Recorder;

/// The channels.
const CHANNELS: [&str; 3] = ["mail", "webhook", "ntfy"];

pub(crate) async fn test(
    actor: Actor,
    State(control): State<Arc<dyn Control>>,
    State(recorder): State<Recorder>,
    Body(test): Body<NoticeTest>,
) -> Result<Json<Vec<NoticeAnswer>>, ApiError> {
    if let Some(channel) = test.channel.as_deref().filter(|channel| !CHANNELS.contains(channel)) {
        let text = format!("`{}` is not a channel", mail::one_line_at_most(channel, 60));
        return Err(ApiError::bad(text).hint(format!("the channels are {}", CHANNELS.join(", "))));
    }
    match control.test_notices(test.channel).await {
        Ok(answers) if answers.is_empty() => {
            Err(ApiError::conflict("no channel is set up").hint("set postmaster, or webhook or ntfy in [notices], and restart the server"))
        }
        Ok(answers) => {
            recorder.server(&actor, "notices", "test notice sent");
            Ok(Json(answers))
        }
        Err(ControlError::NotRunning) => Err(ApiError::conflict("the server is not running").hint("start it: waypost serve")),
        Err(ControlError::Failed(why)) => Err(ApiError::conflict(why)),
    }
}
