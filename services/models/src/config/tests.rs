//! The section as the operator writes it.

use serde_json::json;

use super::*;

#[test]
fn a_provider_is_read_as_documented() {
    let config: Config = serde_json::from_value(json!({
        "default_model": "gpt",
        "keep_calls": "30 days",
        "provider": [{
            "name": "openai",
            "kind": "openai",
            "base_url": "http://127.0.0.1:9/v1",
            "key": {"env": "KEY"},
            "timeout": "90s",
            "token_limit_field": "max_completion_tokens",
            "models": [{"id": "gpt", "upstream_model": "gpt-x", "input_price_per_million": 0.15}],
        }, {"name": "scripted", "kind": "scripted", "rules": "rules.yaml"}],
    }))
    .expect("a configuration");
    let provider = &config.provider[0];
    assert_eq!((provider.kind, provider.timeout), (ProviderKind::OpenAi, Duration::from_secs(90)));
    assert_eq!(provider.token_limit_field, TokenLimitField::MaxCompletionTokens);
    assert_eq!(config.provider[1].kind, ProviderKind::Scripted);
    assert_eq!(config.keep_calls, Duration::from_secs(30 * 24 * 3_600));
}

#[test]
fn unknown_keys_are_refused() {
    let check = |value| assert!(serde_json::from_value::<Config>(value).is_err());
    check(json!({"defaultmodel": "x"}));
    check(json!({"provider": [{"name": "p", "url": "x"}]}));
    check(json!({"provider": [{"name": "p", "models": [{"id": "m", "price": 1}]}]}));
}
