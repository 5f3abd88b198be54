//! What a registry wants to see: a password, or a token from a server that it names
//! (the distribution specification's token authentication).

use http_auth::ChallengeRef;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Request, Response, StatusCode, Url};
use serde::Deserialize;

use super::{Fault, Wire, read};
use crate::credentials::base64;

/// What is asked for: decides the scope of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Pull,
    Push,
    /// Nothing but to be known.
    Login,
}

/// A token server's answer. Old ones write the first, OAuth ones the second.
#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

impl Wire<'_> {
    /// Sends a request with the header in force. Passwords and tokens are for the
    /// registry alone: an upload's place may be on another host, and a redirect to one
    /// loses the header on the way.
    pub(super) async fn present(
        &self,
        mut request: Request,
        authorization: Option<&str>,
    ) -> Result<Response, Fault> {
        if let Some(text) = authorization.filter(|_| self.is_ours(request.url())) {
            let value = HeaderValue::from_str(text);
            let mut value = value.map_err(|_| Fault::said("its token is no header"))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(self.http.execute(request).await?)
    }

    pub(super) fn is_ours(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// The header to answer a challenge with. Of several transfers that were turned
    /// away with the same header, one renews it for all.
    pub(super) async fn authorize(
        &self,
        headers: &HeaderMap,
        refused: Option<&str>,
    ) -> Result<String, Fault> {
        let mut held = self.authorization.lock().await;
        match held.as_deref() {
            Some(newer) if Some(newer) != refused => Ok(newer.to_owned()),
            _ => {
                let fresh = self.answer(headers).await?;
                Ok(held.insert(fresh).clone())
            }
        }
    }

    async fn answer(&self, headers: &HeaderMap) -> Result<String, Fault> {
        let texts = headers.get_all(WWW_AUTHENTICATE).iter();
        let texts: Vec<&str> = texts.filter_map(|v| v.to_str().ok()).collect();
        let challenges = texts
            .iter()
            .filter_map(|t| http_auth::parse_challenges(t).ok());
        let challenges: Vec<ChallengeRef<'_>> = challenges.flatten().collect();
        let offers = |scheme: &str| {
            challenges
                .iter()
                .find(|c| c.scheme.eq_ignore_ascii_case(scheme))
        };
        if let Some(bearer) = offers("bearer") {
            return Ok(format!("Bearer {}", self.token(bearer).await?));
        }
        match (&self.login, offers("basic")) {
            (Some(login), Some(_)) => {
                let pair = format!("{}:{}", login.user, login.password);
                Ok(format!("Basic {}", base64(pair.as_bytes())))
            }
            _ => Err(Fault::Unauthorized),
        }
    }

    /// Asks the named server for a token. It sees the password, so it must be reached
    /// as safely as the registry itself.
    async fn token(&self, challenge: &ChallengeRef<'_>) -> Result<String, Fault> {
        const LARGEST: usize = 1 << 20;
        let parameter = |name: &str| {
            let found = challenge
                .params
                .iter()
                .find(|(k, _)| k.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_unescaped())
        };
        let realm = parameter("realm").unwrap_or_default();
        let mut url = Url::parse(&realm)
            .map_err(|_| Fault::said(&format!("its token server `{realm}` is no address")))?;
        if self.base.scheme() == "https" && url.scheme() != "https" {
            return Err(Fault::said(
                "its token server would see passwords over plain http",
            ));
        }
        let actions = match self.access {
            Access::Pull => Some("pull"),
            Access::Push => Some("pull,push"),
            Access::Login => None,
        };
        let scope = actions.map(|a| format!("repository:{}:{a}", self.reference.path()));
        let wanted = [("service", parameter("service")), ("scope", scope)];
        for (name, value) in wanted {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
        let mut request = self.http.get(url);
        if let Some(login) = &self.login {
            request = request.basic_auth(&login.user, Some(&login.password));
        }
        let answer = request.send().await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(Fault::Unauthorized);
            }
            other => return Err(Fault::of_answer(other.as_u16(), b"")),
        }
        let token: Token = serde_json::from_slice(&read(answer, LARGEST).await?)
            .map_err(|_| Fault::said("its token server answers without a token"))?;
        let token = token.token.or(token.access_token).filter(|t| !t.is_empty());
        token.ok_or_else(|| Fault::said("its token server answers without a token"))
    }
}
