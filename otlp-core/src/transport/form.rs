//! In which of its two encodings a message travels over HTTP.

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

/// The encoding of a request, which is that of its answer too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Form {
    #[default]
    Protobuf,
    Json,
}

impl Form {
    const ALL: [(Self, &str); 2] =
        [(Self::Protobuf, "application/x-protobuf"), (Self::Json, "application/json")];

    /// The form that the headers name, whatever parameters come with it.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let content_type = headers.get(CONTENT_TYPE)?.as_bytes();
        let media_type = content_type.split(|&byte| byte == b';').next()?.trim_ascii();
        let is_met = |(_, name): &(Self, &str)| media_type.eq_ignore_ascii_case(name.as_bytes());
        Self::ALL.into_iter().find(is_met).map(|(form, _)| form)
    }

    pub(super) const fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content_type: &'static str) -> Option<Form> {
        Form::of(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]))
    }

    #[test]
    fn a_form_is_known_however_its_name_is_written() {
        for (form, name) in Form::ALL {
            assert_eq!(form.content_type(), name);
            assert_eq!(of(name), Some(form));
        }
        for content_type in ["Application/JSON", "application/json; charset=utf-8", " application/json ;x"] {
            assert_eq!(of(content_type), Some(Form::Json), "{content_type}");
        }
        for content_type in ["Application/X-Protobuf", "application/x-protobuf;a=b"] {
            assert_eq!(of(content_type), Some(Form::Protobuf), "{content_type}");
        }
    }

    #[test]
    fn other_types_are_none() {
        for content_type in
            ["", ";", "application/grpc", "application/x-protobuf2", "text/json", "application/json2"]
        {
            assert_eq!(of(content_type), None, "{content_type:?}");
        }
        assert_eq!(Form::of(&HeaderMap::new()), None);
    }
}
