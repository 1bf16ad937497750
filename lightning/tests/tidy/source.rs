//! Rules of the source text.

use super::{report, rust_files};

/// A new file has at most this many lines; a longer one becomes a folder.
const FILE_LINES: usize = 500;
/// A function fits on a screen or two.
const FUNCTION_LINES: usize = 80;

#[test]
fn every_file_opens_with_what_it_is() {
    let faults: Vec<String> = rust_files()
        .iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| path.display().to_string())
        .collect();
    report("a file without a `//!` header", &faults);
}

#[test]
fn files_stay_short() {
    let faults: Vec<String> = rust_files()
        .iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES)
        .map(|(path, lines)| format!("{}: {lines} lines", path.display()))
        .collect();
    report("a file over 500 lines", &faults);
}

#[test]
fn functions_stay_short() {
    let mut faults = Vec::new();
    for (path, text) in rust_files() {
        for (name, line, length) in functions(&text) {
            if length > FUNCTION_LINES {
                faults.push(format!("{}:{line} {name}: {length} lines", path.display()));
            }
        }
    }
    report("a function over 80 lines", &faults);
}

/// Functions with their first line and length, by indentation: the code is formatted, so a function
/// ends at the first `}` in its own column.
fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let indent = line.len() - code.len();
        let Some(name) = function_name(code) else { continue };
        if code.ends_with('}') {
            continue; // all on one line
        }
        let end = format!("{}}}", " ".repeat(indent));
        let length = lines[at..].iter().position(|line| *line == end);
        let declared_only = lines[at..]
            .iter()
            .position(|line| line.trim_end().ends_with(';') || line.trim_end().ends_with('{'));
        let is_declaration =
            declared_only.is_some_and(|place| lines[at + place].trim_end().ends_with(';'));
        if let (Some(length), false) = (length, is_declaration) {
            found.push((name.to_owned(), at + 1, length + 1));
        }
    }
    found
}

fn function_name(code: &str) -> Option<&str> {
    let mut rest = code;
    for word in ["pub ", "pub(crate) ", "pub(super) ", "const ", "async "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let name = rest.strip_prefix("fn ")?;
    name.split(['(', '<']).next()
}

#[test]
fn sql_stands_only_in_store_rooms() {
    let statements =
        ["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "CREATE TABLE ", "DROP TABLE "];
    let mut faults = Vec::new();
    for (path, text) in rust_files() {
        let name = path.to_string_lossy();
        let is_store =
            name.starts_with("store/") || name.ends_with("/store.rs") || name.contains("/store/");
        let is_test =
            name.contains("/tests/") || name.ends_with("tests.rs") || name.ends_with("/tests.rs");
        if is_store || is_test {
            continue;
        }
        for (at, line) in text.lines().enumerate() {
            let code = line.trim_start();
            if code.starts_with("//") {
                continue;
            }
            if statements.iter().any(|statement| line.contains(statement)) {
                faults.push(format!("{name}:{}", at + 1));
            }
        }
    }
    report("SQL outside store.rs", &faults);
}

#[test]
fn nothing_is_left_to_do_without_an_issue() {
    // Spelled apart, so that this file does not find itself.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let mut faults = Vec::new();
    for (path, text) in rust_files() {
        for (at, line) in text.lines().enumerate() {
            let mut words = line.split(|character: char| !character.is_alphanumeric());
            if words.any(|word| marks.contains(&word)) {
                faults.push(format!("{}:{}", path.display(), at + 1));
            }
        }
    }
    report("a mark of unfinished work", &faults);
}
