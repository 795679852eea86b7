//! The text of a rules file as a tree of nodes that know where they stand.
//!
//! serde-saphyr parses; what is added here is each node's extent and whether text that is still to come could change
//! it, which is what [`RulesError::could_be_unfinished`] rests on. Three restrictions keep that question answerable
//! and cost no rules file anything: no anchors, no values over several lines unless quoted, one document.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{DuplicateKeyPolicy, Error as YamlError, MergeKeyPolicy, NonFiniteFloatPolicy, Spanned};

use super::error::{RulesError, RulesErrorKind, position, shown};

/// One node of the document.
#[derive(Debug)]
pub(super) struct Node {
    /// Where it starts, as a byte offset.
    pub(super) start: usize,
    /// Where it ends, as a byte offset; after the closing bracket of a flow collection.
    end: usize,
    /// Whether it is, or lies inside, a collection in brackets. Those are closed once they have been parsed.
    in_flow: bool,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// Nothing, or an explicit null.
    Null,
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

#[derive(Debug)]
pub(super) struct Scalar {
    /// The text as written, unquoted and unescaped.
    pub(super) text: String,
    /// The number it is, where it is one; text in quotes counts too.
    pub(super) number: Option<f64>,
    /// The truth value it is, where it is one and not quoted.
    pub(super) boolean: Option<bool>,
}

impl Kind {
    /// What a message calls this.
    pub(super) fn described(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Scalar(scalar) => format!("`{}`", shown(&scalar.text)),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a mapping".to_owned(),
        }
    }
}

/// A parsed text.
pub(super) struct Document<'t> {
    text: &'t str,
    /// Where each line starts: there may be ten thousand routes to say the line of.
    lines: Vec<usize>,
    pub(super) root: Node,
}

impl<'t> Document<'t> {
    /// Parses `text` as YAML.
    pub(super) fn parse(text: &'t str) -> Result<Self, RulesError> {
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                // The caller bounds the text at 1 MiB, so these only have to be out of the way of that.
                max_events: 4_000_000,
                max_nodes: 2_000_000,
                max_depth: 16,
                flow_nesting_limit: 16,
                // No anchors, no aliases: nothing can expand.
                max_anchors: 0,
                max_aliases: 0,
            },
            emit_comments: false,
            duplicate_keys: DuplicateKeyPolicy::PassThrough,
            merge_keys: MergeKeyPolicy::AsOrdinary,
            non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
            with_snippet: false,
        };
        let tree: Spanned<Tree> =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| syntax_error(text, &error))?;
        let root = convert(text, tree, false)?;
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(newline, _)| newline + 1)).collect();
        Ok(Self { text, lines, root })
    }

    /// A mistake in what `node` says.
    pub(super) fn value_error(&self, node: &Node, kind: RulesErrorKind, message: String) -> RulesError {
        let unfinished = !node.in_flow && !has_newline(self.text, node.end);
        self.error(node.start, kind, message, unfinished)
    }

    /// A mistake in a key.
    pub(super) fn key_error(&self, key: &Node, kind: RulesErrorKind, message: String) -> RulesError {
        // `Kick:` may go on as `Kick:808: 0.5`; `Kick: ` may not.
        let rest = self.text.get(key.end..).unwrap_or("").trim_start_matches([' ', '\t']);
        let ended = rest.strip_prefix(':').is_some_and(|rest| !rest.is_empty());
        let unfinished = !key.in_flow && !ended && !has_newline(self.text, key.end);
        self.error(key.start, kind, message, unfinished)
    }

    /// Something that `node` lacks so far; reported at `at`.
    pub(super) fn missing_error(&self, node: &Node, at: &Node, message: String) -> RulesError {
        let unfinished = !node.in_flow && (nothing_follows(self.text, node.end) || !has_newline(self.text, node.end));
        self.error(at.start, RulesErrorKind::Missing, message, unfinished)
    }

    /// A mistake that nothing appended can mend.
    pub(super) fn final_error(&self, node: &Node, kind: RulesErrorKind, message: String) -> RulesError {
        self.error(node.start, kind, message, false)
    }

    /// The line `node` starts on, from 1.
    pub(super) fn line(&self, node: &Node) -> usize {
        self.lines.partition_point(|start| *start <= node.start)
    }

    /// Line and column `node` starts at, both from 1.
    pub(super) fn position(&self, node: &Node) -> (usize, usize) {
        let line = self.line(node);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        (line, self.text.get(start..node.start).unwrap_or("").chars().count() + 1)
    }

    fn error(&self, offset: usize, kind: RulesErrorKind, message: String, unfinished: bool) -> RulesError {
        let (line, column) = position(self.text, offset);
        RulesError { line, column, message, hint: None, kind, unfinished }
    }
}

fn has_newline(text: &str, from: usize) -> bool {
    text.get(from..).is_some_and(|rest| rest.contains('\n'))
}

/// Whether only blanks and comments follow, a colon before them being the one of a key without a value.
fn nothing_follows(text: &str, from: usize) -> bool {
    let rest = text.get(from..).unwrap_or("").trim_start_matches([' ', '\t']);
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    rest.lines().all(|line| line.trim_start().is_empty() || line.trim_start().starts_with('#'))
}

/// What serde-saphyr hands over.
enum Tree {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Spanned<Tree>>),
    Map(Vec<(Spanned<Tree>, Spanned<Tree>)>),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value as f64))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Tree, E> {
        Ok(Tree::Number(value as f64))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Tree, E> {
        Ok(Tree::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Tree, E> {
        Ok(Tree::Text(String::from_utf8_lossy(value).into_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Tree::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Tree::Map(entries))
    }
}

/// Gives each node its extent and refuses values over several lines.
fn convert(text: &str, tree: Spanned<Tree>, in_flow: bool) -> Result<Node, RulesError> {
    let span = tree.referenced.span();
    let start = span.byte_offset().map_or(0, |offset| offset as usize).min(text.len());
    let length = span.byte_len().map_or(0, |length| length as usize);
    let end = start.saturating_add(length).min(text.len());
    let source = text.get(start..end).unwrap_or("");
    let bracket = match &tree.value {
        Tree::List(_) if source.starts_with('[') => Some(']'),
        Tree::Map(_) if source.starts_with('{') => Some('}'),
        _ => None,
    };
    let in_flow = in_flow || bracket.is_some();
    let scalar = |text: &str, number, boolean| Kind::Scalar(Scalar { text: text.to_owned(), number, boolean });
    let (kind, inner_end) = match tree.value {
        Tree::Null => (Kind::Null, end),
        Tree::Bool(value) => (scalar(source, None, Some(value)), end),
        Tree::Number(value) => (scalar(source, Some(value), None), end),
        Tree::Text(value) => {
            let number = value.trim().parse().ok();
            (Kind::Scalar(Scalar { text: value, number, boolean: None }), end)
        }
        Tree::List(nodes) => {
            let nodes: Vec<Node> =
                nodes.into_iter().map(|node| convert(text, node, in_flow)).collect::<Result<_, _>>()?;
            let inner_end = nodes.last().map_or(end, |node| node.end);
            (Kind::List(nodes), inner_end)
        }
        Tree::Map(entries) => {
            let entries: Vec<(Node, Node)> = entries
                .into_iter()
                .map(|(key, value)| Ok((convert(text, key, in_flow)?, convert(text, value, in_flow)?)))
                .collect::<Result<_, RulesError>>()?;
            let inner_end = entries.last().map_or(end, |(key, value)| value.end.max(key.end));
            (Kind::Map(entries), inner_end)
        }
    };
    if matches!(kind, Kind::Scalar(_)) {
        refuse_several_lines(text, start, source)?;
    }
    let end = match bracket {
        Some(bracket) => after_bracket(text, inner_end, bracket),
        None => inner_end.max(end),
    };
    Ok(Node { start, end, in_flow, kind })
}

/// Refuses `|` and `>` scalars and unquoted values that go on in the next line: nobody could tell whether the text of
/// such a value has ended.
fn refuse_several_lines(text: &str, start: usize, source: &str) -> Result<(), RulesError> {
    let quoted = source.starts_with(['"', '\'']);
    let before = text.get(..start).unwrap_or("");
    let (earlier, indentation) = before.rsplit_once('\n').unwrap_or(("", before));
    // `key: |` or `- >-`, the value below it.
    let header = earlier.trim_end().trim_end_matches(['+', '-', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
    let block_scalar = indentation.trim().is_empty()
        && header.strip_suffix(['|', '>']).is_some_and(|key| key.trim_end_matches([' ', '\t']).ends_with([':', '-']))
        && !header.rsplit('\n').next().unwrap_or("").contains('#');
    if quoted || !block_scalar && !source.contains('\n') {
        return Ok(());
    }
    let (line, column) = position(text, start);
    Err(RulesError {
        line,
        column,
        message: "a value over several lines".to_owned(),
        hint: Some("write it on one line, in quotes if it has special characters".to_owned()),
        kind: RulesErrorKind::Syntax,
        unfinished: false,
    })
}

/// The offset after the bracket that closes a collection whose last item ends at `from`.
fn after_bracket(text: &str, from: usize, bracket: char) -> usize {
    let mut comment = false;
    for (offset, c) in text.get(from..).unwrap_or("").char_indices() {
        match c {
            '\n' => comment = false,
            '#' => comment = true,
            _ if c == bracket && !comment => return from + offset + 1,
            _ => {}
        }
    }
    text.len()
}

/// The byte offset of a line and a column, both from 1, the column in characters; the end where there is no such place.
fn offset_of(text: &str, line: u64, column: u64) -> usize {
    let lines = usize::try_from(line).unwrap_or(usize::MAX).saturating_sub(1);
    let start: usize = text.split_inclusive('\n').take(lines).map(str::len).sum();
    if text.matches('\n').take(lines).count() < lines {
        return text.len();
    }
    let characters = usize::try_from(column).unwrap_or(usize::MAX).saturating_sub(1);
    let rest = text.get(start..).unwrap_or("");
    start + rest.char_indices().nth(characters).map_or(rest.len(), |(offset, _)| offset)
}

/// What the YAML parser said, in words that help, with a position.
fn syntax_error(text: &str, error: &YamlError) -> RulesError {
    let offset = error.location().map_or(text.len(), |location| {
        // The scanner's own errors come without a byte offset.
        let known = location.span().byte_offset().map(|offset| offset as usize);
        known.unwrap_or_else(|| offset_of(text, location.line(), location.column())).min(text.len())
    });
    let last_line = text.rfind('\n').map_or(0, |newline| newline + 1);
    let (line, column) = position(text, offset);
    let at = text.get(offset..).unwrap_or("").chars().next();
    let said = match error {
        YamlError::ExternalMessage { msg, .. } | YamlError::Message { msg, .. } => msg.clone(),
        other => {
            // The position is told apart from the text; it is said once.
            let text = other.to_string();
            text.split(" at line ").next().unwrap_or(&text).to_owned()
        }
    };
    let directives_only =
        || text.lines().all(|line| line.is_empty() || line.starts_with('%') || line.trim_start().starts_with('#'));
    let open = said.starts_with("unclosed ");
    let mut unfinished = open || offset >= last_line || directives_only();
    let value_of = |key: &str| {
        let start = text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
        text.get(start..offset).is_some_and(|before| before.contains(key))
    };
    let (message, hint) = match (error, at) {
        (YamlError::MultipleDocuments { .. }, _) => {
            ("a second document".to_owned(), Some("rules are one document: remove the `---`".to_owned()))
        }
        (YamlError::Budget { breach: BudgetBreach::Anchors { .. } | BudgetBreach::Aliases { .. }, .. }, _) => (
            "a value that starts with `&` or `*` means something else in YAML".to_owned(),
            Some("put it in quotes".to_owned()),
        ),
        (_, Some(c @ ('*' | '&'))) if !open => (
            format!("a value that starts with `{c}` means something else in YAML"),
            Some(format!("put it in quotes: \"{c}…\"")),
        ),
        (_, Some(c @ ('>' | '<' | '|'))) if !open => (
            format!("a value that starts with `{c}` means something else in YAML"),
            Some(if value_of("to") {
                "put it in quotes".to_owned()
            } else {
                format!("put the condition in quotes: \"{c} 4.0\"")
            }),
        ),
        (_, Some(c @ ('@' | '`' | '%' | '!'))) if !open => {
            (format!("a value can't start with `{c}`"), Some("put it in quotes".to_owned()))
        }
        _ if at == Some('\t') || said.to_lowercase().starts_with("tab") => {
            ("a tab where YAML wants spaces".to_owned(), Some("indent with spaces".to_owned()))
        }
        _ if said == "simple key expected ':'" || said.contains("expected ':'") => {
            ("a line without a `:`".to_owned(), Some("a setting is written `key: value`".to_owned()))
        }
        (YamlError::Budget { .. }, _) => {
            unfinished = unfinished && open;
            (format!("more than rules may hold: {said}"), None)
        }
        _ => (said, None),
    };
    RulesError { line, column, message, hint, kind: RulesErrorKind::Syntax, unfinished }
}
