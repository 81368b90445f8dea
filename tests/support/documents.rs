//! Queries from the documents, which the tests run, so that the documents stay right.

/// The chart query in the chapter of a store in docs/sinks.md.
pub fn chart(chapter: &str) -> String {
    let text = include_str!("../../docs/sinks.md");
    let (_, rest) = text.split_once(&format!("\n## {chapter}\n")).unwrap_or_else(|| panic!("no chapter {chapter}"));
    let own = rest.split("\n## ").next().unwrap_or_default();
    let query = own.split_once("for a chart").and_then(|(_, rest)| rest.split("```").nth(1));
    // After the language name of the code block.
    let (_, query) = query.and_then(|query| query.split_once('\n')).unwrap_or_else(|| panic!("no chart in {chapter}"));
    query.trim().into()
}
