//! Sends a log-in to the device, when its turn among all devices has come. Decides nothing about what follows.

use std::sync::atomic::Ordering;

use http::Method;
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::time::timeout;

use super::{Authenticator, closed};
use crate::device::admission::{LONGEST_CONNECT_PERMIT, LONGEST_LOGIN_PERMIT, TimedPermit};
use crate::device::endpoint::{AttemptOutcome, RequestSlot, SMALL_RESPONSE};
use crate::device::login_reply::{LoginReply, ReplyKind};
use crate::device::problem::Problem;
use crate::device::session::{SESSION_PATHS, Session};

/// What a log-in brought.
pub(super) struct LoginAnswer {
    /// To which the log-in was sent: the session is released there.
    pub path: &'static str,
    pub kind: ReplyKind,
    pub reply: Result<Session, Problem>,
    /// They came with the reply, also with one that is no session.
    pub cookies: Vec<String>,
}

impl Authenticator {
    /// Sends the log-in, to its other path if the device lacks the first.
    pub(super) async fn request_login(
        &self,
        slot: &RequestSlot<'_>,
        generation: u64,
    ) -> Result<LoginAnswer, Problem> {
        let [first, second] = SESSION_PATHS;
        let answer = self.request_login_at(slot, generation, first).await?;
        if answer.kind != ReplyKind::LacksPath {
            return Ok(answer);
        }
        // Any other reply to that says nothing: a device that starts may refuse with 403 what it does not know yet.
        match self.request_login_at(slot, generation, second).await {
            Ok(other) if other.kind == ReplyKind::OfSessions => Ok(LoginAnswer {
                reply: other.reply.map(|session| session.at(second)),
                ..other
            }),
            _ => Ok(answer),
        }
    }

    /// Waits until the log-in may be sent: the device accepts connections, and few others are being logged in to.
    async fn login_permit(&self) -> Result<TimedPermit<impl Sized + use<>>, Problem> {
        // Before the limiter: devices that are switched off would queue for nothing.
        let permit = self.limits.start.permit(self.priority.raised());
        let permit = self.queue_time.track(permit).await;
        let reach = self.endpoint.reach();
        permit.run_for(LONGEST_CONNECT_PERMIT, reach).await?;
        let connecting = self.limits.logins.begin();
        let permit = self.limits.logins.acquire(self.priority.raised());
        let permit = self.queue_time.track(permit).await;
        Ok(TimedPermit((connecting, permit)))
    }

    /// Sends the log-in to one path.
    async fn request_login_at(
        &self,
        slot: &RequestSlot<'_>,
        generation: u64,
        path: &'static str,
    ) -> Result<LoginAnswer, Problem> {
        // Nothing is sent before the permit is there, so there is nothing to undo.
        let permit = self.closed.run_until_cancelled(self.login_permit()).await;
        let permit = permit.ok_or_else(closed)??;
        self.is_login_sent.store(true, Ordering::Release);
        let credentials = json!({
            "user": self.user,
            "password": self.password.expose_secret(),
        });
        let request = self.endpoint.fixed(Method::POST, path, Some(&credentials));
        let exchange = self
            .endpoint
            .exchange(slot, &request, None, None, SMALL_RESPONSE);
        // Longer than any caller waits: a late reply still brings a session that must be released.
        let exchange = timeout(self.timings.slow_request_timeout, exchange);
        let exchanged = permit.run_for(LONGEST_LOGIN_PERMIT, exchange).await;
        let (attempt, cookies) = exchanged.map_err(|_| Problem::no_answer())?;
        let mut kind = ReplyKind::Other;
        let reply = match attempt {
            AttemptOutcome::Answered(response) => {
                let reply = LoginReply {
                    status: response.status,
                    cookies: &cookies,
                    body: &response.body,
                };
                kind = reply.kind();
                reply.session(generation)
            }
            AttemptOutcome::Unreachable(problem) => Err(problem),
            AttemptOutcome::Broken(error) => Err(self.endpoint.login_broke(&error)),
            // A page, perhaps: its start is enough to tell.
            AttemptOutcome::Large(large) => LoginReply {
                status: large.size.status,
                cookies: &cookies,
                body: &large.start,
            }
            .session(generation),
        };
        Ok(LoginAnswer {
            path,
            kind,
            reply,
            cookies,
        })
    }
}
