//! The memory of `ClientRequestToken`.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::Config;
use crate::session::later;

#[derive(Debug, Default)]
pub(crate) struct Tokens(HashMap<String, Used>);

#[derive(Debug)]
struct Used {
    request: Value,
    session_id: String,
    at: Timestamp,
}

/// What a token means for a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// Never seen, or forgotten.
    New,
    /// The same request came before and started this session.
    Replay(&'a str),
    /// Another request came before.
    Mismatch,
}

impl Tokens {
    pub(crate) fn look_up(&self, token: &str, request: &Value, config: &Config, now: Timestamp) -> Token<'_> {
        let lapsed = |used: &&Used| config.token_memory.is_some_and(|memory| later(used.at, memory) <= now);
        match self.0.get(token).filter(|used| !lapsed(used)) {
            None => Token::New,
            Some(used) if used.request == *request => Token::Replay(&used.session_id),
            Some(_) => Token::Mismatch,
        }
    }

    pub(crate) fn remember(&mut self, token: &str, request: &Value, session_id: &str, now: Timestamp) {
        let used = Used { request: request.clone(), session_id: session_id.to_owned(), at: now };
        self.0.insert(token.to_owned(), used);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_stands_for_one_request_until_it_lapses() {
        let now = Timestamp::UNIX_EPOCH;
        let config = Config { token_memory: Some(Duration::from_mins(1)), ..Config::default() };
        let mut tokens = Tokens::default();
        assert_eq!(tokens.look_up("t", &json!({"a": 1, "b": 2}), &config, now), Token::New);
        tokens.remember("t", &json!({"a": 1, "b": 2}), "s", now);
        assert_eq!(tokens.look_up("t", &json!({"b": 2, "a": 1}), &config, now), Token::Replay("s"));
        assert_eq!(tokens.look_up("t", &json!({"a": 1}), &config, now), Token::Mismatch);
        let lapsed = later(now, Duration::from_mins(1));
        assert_eq!(tokens.look_up("t", &json!({"a": 1}), &config, lapsed), Token::New);
    }
}
