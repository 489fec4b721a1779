//! Attribute keys and values.

/// A value of an attribute or the body of a log record.
///
/// ```
/// use otlp_core::record::AnyValue;
/// let value = AnyValue::Array(vec![AnyValue::from("a"), AnyValue::from(2_i64), AnyValue::from(true)]);
/// assert!(matches!(value, AnyValue::Array(items) if items.len() == 3));
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub enum AnyValue {
    /// No value, which OTLP allows.
    #[default]
    Empty,
    /// UTF-8 text.
    String(String),
    /// True or false.
    Bool(bool),
    /// A signed 64-bit number.
    Int(i64),
    /// A double.
    Double(f64),
    /// A list of values.
    Array(Vec<Self>),
    /// A map, in the order it was written.
    KvList(Vec<KeyValue>),
    /// Raw bytes.
    Bytes(Vec<u8>),
    /// Index of a text in the dictionary of a profiles request. The other signals have no dictionary: there it
    /// says nothing, and is kept as it came.
    StringIndex(i32),
}

impl AnyValue {
    /// The text, where the value is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The number, where the value is a whole number.
    #[must_use]
    pub const fn as_int(&self) -> Option<i64> {
        if let Self::Int(value) = self { Some(*value) } else { None }
    }
}

impl From<&str> for AnyValue {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for AnyValue {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<i64> for AnyValue {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u16> for AnyValue {
    fn from(value: u16) -> Self {
        Self::Int(value.into())
    }
}

impl From<u32> for AnyValue {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<f64> for AnyValue {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}

impl From<bool> for AnyValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// One attribute.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KeyValue {
    /// The name, from the semantic conventions where they have one.
    pub key: String,
    /// The value.
    pub value: AnyValue,
    /// Index of the name in the dictionary of a profiles request; 0 for a name of its own. The other signals have
    /// no dictionary: there it says nothing, and is kept as it came.
    pub key_index: i32,
}

impl KeyValue {
    /// Makes an attribute.
    ///
    /// ```
    /// use otlp_core::record::KeyValue;
    /// let port = KeyValue::new("server.port", 8080_u16);
    /// assert_eq!(port.value.as_int(), Some(8080));
    /// ```
    pub fn new(key: impl Into<String>, value: impl Into<AnyValue>) -> Self {
        Self { key: key.into(), value: value.into(), key_index: 0 }
    }

    /// The value of the first attribute named `key`. O(attributes).
    ///
    /// ```
    /// use otlp_core::record::{AnyValue, KeyValue};
    /// let attributes = [KeyValue::new("http.request.method", "GET"), KeyValue::new("server.port", 443_u16)];
    /// let port = KeyValue::find(&attributes, "server.port").and_then(AnyValue::as_int);
    /// assert_eq!(port, Some(443));
    /// ```
    #[must_use]
    pub fn find<'a>(attributes: &'a [Self], key: &str) -> Option<&'a AnyValue> {
        attributes.iter().find(|attribute| attribute.key == key).map(|attribute| &attribute.value)
    }
}
