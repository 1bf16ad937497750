//! The templates as they are shipped.

use super::*;

#[test]
fn the_documented_templates_are_shipped() {
    let templates = Templates::shipped().unwrap();
    let check = |id: &str, name: &str, agent_type: AgentType| {
        let design = &templates.get(id).unwrap().design;
        assert_eq!((design.name.as_str(), design.agent_type), (name, agent_type), "{id}");
        assert!(!design.instructions.is_empty() && !design.description.is_empty(), "{id}");
    };
    check("basic-conversational", "Basic Conversational Agent", AgentType::Conversational);
    check("task-executor", "Task Executor", AgentType::TaskExecutor);
    check("data-processor", "Data Processor", AgentType::DataProcessor);
}

#[test]
fn a_broken_file_is_refused() {
    let check = |text: &str, part: &str| {
        let reason = read(text).unwrap_err();
        assert!(reason.contains(part), "{reason}");
    };
    check("id = 1", "expected a string");
    let whole = FILES[0].1.replace("\"conversational\"", "\"chatty\"");
    check(&whole, "chatty");
    check(&format!("surprise = 1\n{}", FILES[0].1), "surprise");
}
