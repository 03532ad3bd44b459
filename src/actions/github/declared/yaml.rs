//! YAML as plain texts, lists and mappings. A node that stands in several places is one node, so
//! that a small file stays small; how deep and how many they are is bounded.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle};

use crate::domain::signs::one_line;

/// Deepest nesting: what is nested is read and dropped by as many calls.
const MAX_DEPTH: usize = 64;
/// Most nodes: of a file of the largest size, at some bytes each.
const MAX_NODES: usize = 50_000;

/// What stands somewhere in a document.
pub(super) enum Node {
    /// A text, a number, a truth value or nothing: they differ only to who reads them.
    Scalar {
        text: String,
        /// Whether it stands without quotes.
        plain: bool,
    },
    List(Vec<Rc<Self>>),
    Map(Vec<(String, Rc<Self>)>),
}

impl Node {
    /// What is under `key`.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, node)| &**node),
            Self::Scalar { .. } | Self::List(_) => None,
        }
    }

    /// Its text, where it is one, and not nothing.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Scalar { text, .. } if !self.is_null() => Some(text),
            Self::Scalar { .. } | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// Whether nothing stands there.
    pub(super) fn is_null(&self) -> bool {
        match self {
            Self::Scalar { text, plain } => {
                *plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            Self::List(_) | Self::Map(_) => false,
        }
    }
}

/// What is open while it is read.
struct Open {
    anchor: usize,
    node: Node,
    /// The key whose value comes next.
    key: Option<String>,
}

/// Reads the first document of `text`; an error says what is wrong and where.
pub(super) fn read(text: &str) -> Result<Node, String> {
    let mut open: Vec<Open> = vec![];
    let mut anchors: HashMap<usize, Rc<Node>> = HashMap::new();
    let mut nodes = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let at = error.marker();
            let what = one_line(error.info());
            format!(
                "its file is not YAML: {what} in line {} column {}",
                at.line(),
                at.col() + 1
            )
        })?;
        nodes += 1;
        if nodes > MAX_NODES || open.len() > MAX_DEPTH {
            return Err("its file is nested too deeply, or of too many parts".to_owned());
        }
        let (anchor, node) = match event {
            Event::MappingStart(anchor, _) => {
                open.push(Open::new(anchor, Node::Map(vec![])));
                continue;
            }
            Event::SequenceStart(anchor, _) => {
                open.push(Open::new(anchor, Node::List(vec![])));
                continue;
            }
            Event::MappingEnd | Event::SequenceEnd => match open.pop() {
                Some(open) => (open.anchor, Rc::new(open.node)),
                None => continue,
            },
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let text = text.into_owned();
                (anchor, Rc::new(Node::Scalar { text, plain }))
            }
            Event::Alias(anchor) => match anchors.get(&anchor) {
                Some(node) => (0, node.clone()),
                None => return Err("its file names a part within itself".to_owned()),
            },
            Event::DocumentEnd | Event::StreamEnd => break,
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) => continue,
        };
        if anchor > 0 {
            anchors.insert(anchor, node.clone());
        }
        if let Some(parent) = open.last_mut() {
            parent.take(node).map_err(|what| {
                format!(
                    "its file is no workflow: {what} in line {}",
                    span.start.line()
                )
            })?;
        } else {
            anchors.clear();
            return Rc::try_unwrap(node).map_err(|_| "its file names itself".to_owned());
        }
    }
    Err("its file is empty".to_owned())
}

impl Open {
    fn new(anchor: usize, node: Node) -> Self {
        Self {
            anchor,
            node,
            key: None,
        }
    }

    /// Puts `child` where it belongs.
    fn take(&mut self, child: Rc<Node>) -> Result<(), &'static str> {
        match &mut self.node {
            Node::List(list) => list.push(child),
            Node::Map(entries) => match self.key.take() {
                Some(key) => entries.push((key, child)),
                None => match &*child {
                    Node::Scalar { text, .. } => {
                        if entries.iter().any(|(name, _)| name == text) {
                            return Err("a key stands there twice");
                        }
                        self.key = Some(text.clone());
                    }
                    Node::List(_) | Node::Map(_) => return Err("a key is no text"),
                },
            },
            Node::Scalar { .. } => return Err("a text holds something"),
        }
        Ok(())
    }
}
