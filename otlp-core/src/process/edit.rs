//! Attributes edited in place.

#[cfg(feature = "hash")]
mod hash;
mod key;
mod list;
mod pair;
mod pass;
mod place;
mod plan;

use crate::encode::Encode;
use crate::error::{DecodeError, Error, ErrorKind};
use crate::protocol::Signal;
use crate::record::{AnyValue, KeyValue};
use crate::redact::{MASK, Redactor};
use crate::wire::Writer;
use crate::{Limits, Result};

use super::join::Joiner;
use super::shape::Kind;
use super::splice::{Sources, Splice};
#[cfg(feature = "hash")]
pub use hash::HashKey;
pub use key::KeyPath;
use key::Keys;
use list::Lists;
use pass::Pass;
pub use place::Places;
use plan::{Action, Plan, Rule, When};

/// What to do to the attributes of requests: a list of actions, each applied to what the one before left.
///
/// The actions are those of the Collector's attributes, resource and transform processors, under their names.
/// An action holds at the [`Places`] that [`at`](Self::at) named last before it; at first that is
/// [`Places::RECORD`].
///
/// A key that ends in `*` stands for all keys that begin so; `*` alone for every key. Keys of attributes are flat:
/// `http.request.method` is one key. Within maps, name every step: `["user", "email"]`.
///
/// ```
/// use otlp_core::process::{Edits, Places};
/// use otlp_core::protocol::Signal;
/// use otlp_core::record::{KeyValue, Resource, ResourceSpans, ScopeSpans, Span, TracesRequest};
/// use otlp_core::{encode::Encode, view::TracesView, wire::Writer, Limits};
///
/// let mut editor = Edits::new()
///     .at(Places::ALL)
///     .delete("http.request.header.*")
///     .redact("enduser.id")
///     .at(Places::RESOURCE)
///     .upsert("deployment.environment.name", "production")
///     .build()?;
///
/// let attributes = vec![KeyValue::new("enduser.id", "ada"), KeyValue::new("http.request.header.cookie", "c")];
/// let spans = vec![Span { attributes, ..Span::default() }];
/// let scopes = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
/// let group = ResourceSpans { resource: Resource::service("cart"), scopes, ..ResourceSpans::default() };
/// let body = TracesRequest { resources: vec![group] }.encode_to_bytes();
///
/// let mut out = Writer::new();
/// let edited = editor.edit(Signal::Traces, &body, &mut out)?;
/// assert_eq!(edited.attributes, 3);
/// let request = TracesView::parse(out.as_slice(), &Limits::DEFAULT)?.to_record()?;
/// let group = &request.resources[0];
/// assert_eq!(group.scopes[0].spans[0].attributes, [KeyValue::new("enduser.id", "REDACTED")]);
/// assert_eq!(group.resource.attributes[1], KeyValue::new("deployment.environment.name", "production"));
/// # Ok::<(), otlp_core::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Edits {
    places: Places,
    limits: Limits,
    rules: Vec<Rule>,
    /// Keys and values that are put in, encoded.
    bytes: Vec<u8>,
    fault: Option<&'static str>,
}

impl Edits {
    /// No edits yet.
    pub const fn new() -> Self {
        Self {
            places: Places::RECORD,
            limits: Limits::DEFAULT,
            rules: Vec::new(),
            bytes: Vec::new(),
            fault: None,
        }
    }

    /// Says where the actions from here on hold.
    pub const fn at(mut self, places: Places) -> Self {
        self.places = places;
        self
    }

    /// Sets the bounds that requests, attribute lists and the editor's own memory are held to.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Removes attributes.
    ///
    /// The count of dropped attributes that a record carries is left alone: it is the sender's.
    pub fn delete(self, key: impl Into<KeyPath>) -> Self {
        self.rule(key.into(), Action::Delete)
    }

    /// Removes all attributes but those of these keys.
    pub fn keep(self, keys: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let keys = Keys::any_of(keys.into_iter().map(|key| key.as_ref().to_owned()));
        self.rule(KeyPath(vec![keys]), Action::Keep)
    }

    /// Gives attributes another name; one that has this name already makes way.
    ///
    /// `key` and `to` are keys without `*`. Within a map, `to` is the new last step.
    pub fn rename(mut self, key: impl Into<KeyPath>, to: &str) -> Self {
        let key = key.into();
        if !key.is_exact() || key.is_named(to) {
            self.fault = Some("rename: expected one key and another name for it");
        }
        let to = self.store(|bytes| bytes.extend(to.as_bytes()));
        self.rule(key, Action::Rename(to))
    }

    /// Puts `REDACTED` in the place of values.
    pub fn redact(self, key: impl Into<KeyPath>) -> Self {
        self.update(key, MASK)
    }

    /// Puts `REDACTED` in the place of the values of all keys that `redactor` holds for sensitive, without
    /// regard to case.
    pub fn redact_with(mut self, redactor: &Redactor) -> Self {
        let set = self.value("", MASK.into(), When::Present);
        self.rule(KeyPath(vec![Keys::folded(redactor.keys())]), set)
    }

    /// Sets attributes that are not there; those that are stay as they are. `key` is a key without `*`.
    pub fn insert(self, key: impl Into<KeyPath>, value: impl Into<AnyValue>) -> Self {
        self.set(key.into(), value.into(), When::Absent)
    }

    /// Sets attributes that are there; others are not added.
    pub fn update(self, key: impl Into<KeyPath>, value: impl Into<AnyValue>) -> Self {
        self.set(key.into(), value.into(), When::Present)
    }

    /// Sets attributes, whether they are there or not. `key` is a key without `*`.
    pub fn upsert(self, key: impl Into<KeyPath>, value: impl Into<AnyValue>) -> Self {
        self.set(key.into(), value.into(), When::Either)
    }

    /// Cuts texts to at most `max_bytes` bytes, at the end of a character. Other values stay.
    pub fn truncate(self, key: impl Into<KeyPath>, max_bytes: usize) -> Self {
        self.rule(key.into(), Action::Truncate(max_bytes))
    }

    /// Puts a SHA-256 digest, 64 hexadecimal digits, in the place of values.
    ///
    /// Texts and bytes are digested as they are, numbers and truth values as their decimal text and `true` or
    /// `false`, lists and maps as they are encoded; no value stays none. See [`HashKey`] for when to give a key.
    #[cfg(feature = "hash")]
    pub fn hash(self, key: impl Into<KeyPath>, hash_key: HashKey) -> Self {
        self.rule(key.into(), Action::Hash(Box::new(hash_key)))
    }

    /// Checks the actions and makes the editor.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a key that is set or renamed is a pattern, where a path has no steps, or where
    /// more is put in than the limits let a message have.
    pub fn build(self) -> Result<Editor> {
        let fault = if self.bytes.len() > self.limits.message_bytes() {
            Some("edits: values longer than a message may be")
        } else {
            self.fault
        };
        if let Some(fault) = fault {
            return Err(Error::new(ErrorKind::Config, fault));
        }
        Ok(Editor {
            plan: Plan::new(self.rules, self.bytes),
            limits: self.limits,
            splice: Splice::default(),
            lists: Lists::default(),
            joiner: Joiner::default(),
        })
    }

    fn rule(mut self, path: KeyPath, action: Action) -> Self {
        if path.0.is_empty() {
            self.fault = Some("path of a key: expected one step at least");
        }
        self.rules.push(Rule { places: self.places, path, action });
        self
    }

    fn set(mut self, path: KeyPath, value: AnyValue, when: When) -> Self {
        let key = path.last_name().map(str::to_owned);
        if key.is_none() && when != When::Present {
            self.fault = Some("insert, upsert: expected a key without `*`");
        }
        let action = self.value(&key.unwrap_or_default(), value, when);
        self.rule(path, action)
    }

    /// Encodes a value that is put in, alone and with its key.
    fn value(&mut self, key: &str, value: AnyValue, when: When) -> Action {
        let content = value.encode_to_bytes();
        let pair = KeyValue::new(key, value).encode_to_bytes();
        let value = self.store(|bytes| bytes.extend(&content));
        let pair = self.store(|bytes| bytes.extend(&pair));
        Action::Set { value, pair, when }
    }

    fn store(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> super::splice::Piece {
        let from = self.bytes.len();
        write(&mut self.bytes);
        super::splice::Piece::new(super::splice::Source::Plan, from, self.bytes.len())
    }
}

impl Default for Edits {
    fn default() -> Self {
        Self::new()
    }
}

/// Applies [`Edits`] to one request after the other, and keeps the room it needs for it.
///
/// - What no action touches is copied as it is, byte for byte: order, unknown fields, needless bytes in lengths.
/// - What an action touches is written anew: the attribute, and the lengths of the messages around it. Unknown
///   fields of the attribute stay; those within a value that is replaced go with it.
/// - A message that says nothing with one of its pieces is read as protobuf has it: of duplicated keys the last
///   holds, a value in pieces is joined, as are a resource and a scope, before they are edited.
/// - An action applies to every attribute of its key, should a list hold the key twice.
/// - Only what has to be looked into is checked: the fields of every message on the way to an attribute, and
///   texts that are truncated.
///
/// O(bytes of the request) for one place and few keys. Allocates nothing once the buffers have grown.
#[derive(Debug, Clone)]
pub struct Editor {
    plan: Plan,
    limits: Limits,
    splice: Splice,
    lists: Lists,
    joiner: Joiner,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Edited {
    /// Attributes of a list that were changed, removed or added; one in which something was done within a map counts once.
    pub attributes: usize,
}

impl Editor {
    /// Puts the edited request in front of what `out` holds.
    ///
    /// # Errors
    /// Where the bytes are malformed or pass a limit, `max_heap_bytes` among them, which bounds what the editor
    /// takes itself, or where the edited request would pass `max_message_bytes`. `out` is then as it was.
    pub fn edit(&mut self, signal: Signal, body: &[u8], out: &mut Writer) -> Result<Edited, DecodeError> {
        let Self { plan, limits, splice, lists, joiner } = self;
        let kind = Kind::request(signal)?;
        let (worked_on, edited) = joiner.run(kind, body, limits, |request| {
            splice.begin();
            lists.begin();
            let mut pass = Pass::new(request, plan, limits, splice, lists);
            pass.request(kind)
        })?;
        // What was joined only to look into it stays in pieces where nothing was to be done.
        let body = if splice.is_changed() { worked_on } else { body };
        splice.write(Sources { body, arena: lists.arena(), plan: plan.bytes() }, out);
        Ok(edited)
    }
}
