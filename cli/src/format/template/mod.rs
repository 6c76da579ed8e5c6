//! Go's text/template, as much of it as people write behind `--format`, over JSON values.
//!
//! Fields, variables, pipelines, `if`, `with`, `range`, comparison and printf, and docker's own functions. Templates
//! cannot be defined, nothing is called on the host, and what is not supported is said so rather than ignored.

mod eval;
mod functions;
mod lex;
mod parse;
mod print;

use std::collections::HashMap;

use serde_json::Value;

use parse::Node;

/// Why a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    /// It is not a template.
    #[error("template: {0}")]
    Syntax(String),
    /// It does not fit what it is used on.
    #[error("template: {0}")]
    Evaluation(String),
}

/// A template, understood.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template {
    nodes: Vec<Node>,
}

/// What a template is used on.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// The dot.
    pub(crate) fields: Value,
    /// For `.Label "key"`.
    pub(crate) labels: HashMap<String, String>,
}

/// Whether values or column headers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Each as it is; what a terminal would obey is escaped.
    Values,
    /// Each on its line: newlines and tabs are escaped, too, so that no value makes a row or a column.
    Row,
    /// Functions leave their argument as it is, so that `{{lower .ID}}` is headed as `{{.ID}}`.
    Headers,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError::Syntax`].
    pub(crate) fn parse(source: &str) -> Result<Self, TemplateError> {
        Ok(Self { nodes: parse::parse(lex::lex(source)?)? })
    }

    /// Reads the value of a `--format` that has no table: nothing when it is empty, JSON on one line for `json`.
    ///
    /// # Errors
    /// As [`Template::parse`].
    pub(crate) fn of_format(text: &str) -> Result<Option<Self>, TemplateError> {
        match text {
            "" => Ok(None),
            "json" => Self::parse("{{json .}}").map(Some),
            text => Self::parse(text).map(Some),
        }
    }

    /// Writes the template for one subject.
    ///
    /// # Errors
    /// [`TemplateError::Evaluation`] for a field that the subject does not have, or a function used wrongly.
    pub(crate) fn render(&self, subject: &Subject) -> Result<String, TemplateError> {
        eval::render(&self.nodes, subject, Mode::Values)
    }

    /// Writes the template for one subject among others, each on its own line.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub(crate) fn render_row(&self, subject: &Subject) -> Result<String, TemplateError> {
        eval::render(&self.nodes, subject, Mode::Row)
    }

    /// Writes the template for a table's head: `headers` maps fields to their column's title.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub(crate) fn render_headers(&self, headers: Value) -> Result<String, TemplateError> {
        let subject = Subject { fields: headers, labels: HashMap::new() };
        eval::render(&self.nodes, &subject, Mode::Headers)
    }
}

impl From<Value> for Subject {
    fn from(fields: Value) -> Self {
        Self { fields, labels: HashMap::new() }
    }
}

#[cfg(test)]
mod tests;
