//! Checks that a dictionary begins as it has to, and that every index into it points at something.

use super::dictionary::undefined;
use super::{
    FunctionView, KeyValueAndUnitView, LocationView, MappingView, ProfileLinkView, ProfileView,
    ProfilesDictionaryView, SampleView, StackView, ValueTypeView,
};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::view::attribute::{AnyValueView, KeyValueView};
use crate::view::request::{ProfilesView, ResourceProfilesView, ScopeProfilesView};

type Checked = Result<(), DecodeError>;

impl ProfilesView<'_> {
    /// Checks the dictionary, and every index into it that the profiles, resources and scopes hold.
    ///
    /// A request of nothing at all passes. One walk over the whole request, no allocation.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Invalid`] for a table that does not begin with the zero value, and
    /// [`DecodeErrorKind::Reference`] for an index below zero or past the end of its table, at the message that holds
    /// it; other kinds where something is malformed.
    ///
    /// ```
    /// use otlp_core::Limits;
    /// use otlp_core::view::ProfilesView;
    ///
    /// // A dictionary whose only element is a string that is not empty.
    /// let error = ProfilesView::parse(b"\x12\x03\x2a\x01x", &Limits::DEFAULT)?.check().unwrap_err();
    /// assert_eq!(error.to_string(), "mapping table: element 0, the zero value, is missing at byte 2");
    /// # Ok::<(), otlp_core::DecodeError>(())
    /// ```
    pub fn check(&self) -> Checked {
        let dictionary = self.dictionary();
        if self.resources().len() == 0 && dictionary.tables().iter().all(|table| table.len() == 0) {
            return Ok(());
        }
        dictionary.check()?;
        self.resources().try_for_each(|group| dictionary.check_group(&group?))
    }
}

impl<'a> ProfilesDictionaryView<'a> {
    /// Checks that the first element of each table is the zero value, and that every index that an element holds
    /// points into its table. One walk over the dictionary, no allocation.
    ///
    /// # Errors
    /// As [`ProfilesView::check`].
    pub fn check(&self) -> Checked {
        self.check_zeros()?;
        self.mappings().try_for_each(|mapping| self.check_mapping(&mapping?))?;
        self.locations().try_for_each(|location| self.check_location(&location?))?;
        self.functions().try_for_each(|function| self.check_function(&function?))?;
        self.links().try_for_each(|link| link.map(drop))?;
        self.strings().try_for_each(|string| string.map(drop))?;
        self.attributes().try_for_each(|attribute| self.check_attribute(&attribute?))?;
        self.stacks().try_for_each(|stack| self.check_stack(&stack?))
    }

    fn check_zeros(&self) -> Checked {
        let begin = self.wire.begin();
        zero(self.mappings().next(), is_zero_mapping, ZERO_MAPPING, begin)?;
        zero(self.locations().next(), is_zero_location, ZERO_LOCATION, begin)?;
        zero(self.functions().next(), is_zero_function, ZERO_FUNCTION, begin)?;
        zero(self.links().next(), is_zero_link, ZERO_LINK, begin)?;
        zero(self.strings().next(), |string| string.is_empty(), ZERO_STRING, begin)?;
        zero(self.attributes().next(), is_zero_attribute, ZERO_ATTRIBUTE, begin)?;
        zero(self.stacks().next(), |stack| stack.location_indices().len() == 0, ZERO_STACK, begin)
    }

    fn check_mapping(&self, mapping: &MappingView<'_>) -> Checked {
        let begin = mapping.wire.begin();
        self.check_string(mapping.filename_index(), begin)?;
        self.check_attributes(mapping.attribute_indices(), begin)
    }

    fn check_location(&self, location: &LocationView<'_>) -> Checked {
        let begin = location.wire.begin();
        within("mapping", location.mapping_index(), self.mappings.len(), begin)?;
        for line in location.lines() {
            let line = line?;
            within("function", line.function_index(), self.functions.len(), line.wire.begin())?;
        }
        self.check_attributes(location.attribute_indices(), begin)
    }

    fn check_function(&self, function: &FunctionView<'_>) -> Checked {
        let strings = [function.name_index(), function.system_name_index(), function.filename_index()];
        strings.into_iter().try_for_each(|index| self.check_string(index, function.wire.begin()))
    }

    fn check_attribute(&self, attribute: &KeyValueAndUnitView<'_>) -> Checked {
        let begin = attribute.wire.begin();
        self.check_string(attribute.key_index(), begin)?;
        self.check_string(attribute.unit_index(), begin)?;
        self.check_value(&attribute.value(), begin)
    }

    fn check_stack(&self, stack: &StackView<'_>) -> Checked {
        let (most, begin) = (self.locations.len(), stack.wire.begin());
        stack.location_indices().try_for_each(|index| within("location", index, most, begin))
    }

    fn check_group(&self, group: &ResourceProfilesView<'_>) -> Checked {
        self.check_pairs(group.resource().attributes())?;
        group.scopes().try_for_each(|scope| self.check_scope(&scope?))
    }

    fn check_scope(&self, scope: &ScopeProfilesView<'_>) -> Checked {
        self.check_pairs(scope.scope().attributes())?;
        scope.profiles().try_for_each(|profile| self.check_profile(&profile?))
    }

    fn check_profile(&self, profile: &ProfileView<'_>) -> Checked {
        let begin = profile.wire.begin();
        self.check_type(profile.sample_type(), begin)?;
        self.check_type(profile.period_type(), begin)?;
        self.check_attributes(profile.attribute_indices(), begin)?;
        profile.samples().try_for_each(|sample| self.check_sample(&sample?))
    }

    /// `begin` is that of the profile: a type that is not there begins nowhere.
    fn check_type(&self, value_type: ValueTypeView<'_>, begin: usize) -> Checked {
        self.check_string(value_type.kind_index(), begin)?;
        self.check_string(value_type.unit_index(), begin)
    }

    fn check_sample(&self, sample: &SampleView<'_>) -> Checked {
        let begin = sample.wire.begin();
        within("stack", sample.stack_index(), self.stacks.len(), begin)?;
        within("link", sample.link_index(), self.links.len(), begin)?;
        self.check_attributes(sample.attribute_indices(), begin)
    }

    fn check_pairs(&self, mut pairs: impl Iterator<Item = Result<KeyValueView<'a>, DecodeError>>) -> Checked {
        pairs.try_for_each(|pair| {
            let pair = pair?;
            self.check_string(pair.key_index(), pair.offset())?;
            self.check_value(&pair.value(), pair.offset())
        })
    }

    /// Recursion is bounded by the depth limit.
    fn check_value(&self, value: &AnyValueView<'_>, begin: usize) -> Checked {
        match value {
            AnyValueView::StringIndex(index) => self.check_string(*index, begin),
            AnyValueView::Array(array) => {
                array.values().try_for_each(|value| self.check_value(&value?, begin))
            }
            AnyValueView::KvList(map) => map.entries().try_for_each(|pair| {
                let pair = pair?;
                self.check_string(pair.key_index(), pair.offset())?;
                self.check_value(&pair.value(), pair.offset())
            }),
            _ => Ok(()),
        }
    }

    fn check_attributes(&self, mut indices: impl Iterator<Item = i32>, begin: usize) -> Checked {
        indices.try_for_each(|index| within("attribute", index, self.attributes.len(), begin))
    }

    fn check_string(&self, index: i32, begin: usize) -> Checked {
        within("string", index, self.strings.len(), begin)
    }
}

/// Refuses an index past the end of its table, which `what` names in the singular.
#[inline]
fn within(what: &'static str, index: i32, len: usize, begin: usize) -> Checked {
    match usize::try_from(index) {
        Ok(place) if place < len => Ok(()),
        _ => Err(undefined(what, index, begin)),
    }
}

/// What to say of a first element that is another value, and of one that is missing.
type Complaints = [&'static str; 2];

macro_rules! complaints {
    ($($name:ident: $table:literal,)+) => {
        $(const $name: Complaints = [
            concat!($table, " table: element 0 is not the zero value"),
            concat!($table, " table: element 0, the zero value, is missing"),
        ];)+
    };
}

complaints! {
    ZERO_MAPPING: "mapping",
    ZERO_LOCATION: "location",
    ZERO_FUNCTION: "function",
    ZERO_LINK: "link",
    ZERO_STRING: "string",
    ZERO_ATTRIBUTE: "attribute",
    ZERO_STACK: "stack",
}

fn zero<V>(
    first: Option<Result<V, DecodeError>>,
    is_zero: impl FnOnce(&V) -> bool,
    [other, missing]: Complaints,
    begin: usize,
) -> Checked {
    let wrong = |complaint| Err(DecodeError::new(begin, DecodeErrorKind::Invalid(complaint)));
    match first.transpose()? {
        Some(first) if is_zero(&first) => Ok(()),
        Some(_) => wrong(other),
        None => wrong(missing),
    }
}

fn is_zero_mapping(mapping: &MappingView<'_>) -> bool {
    (mapping.memory_start(), mapping.memory_limit(), mapping.file_offset()) == (0, 0, 0)
        && mapping.filename_index() == 0
        && mapping.attribute_indices().len() == 0
}

fn is_zero_location(location: &LocationView<'_>) -> bool {
    (location.mapping_index(), location.address()) == (0, 0)
        && location.lines().len() == 0
        && location.attribute_indices().len() == 0
}

const fn is_zero_function(function: &FunctionView<'_>) -> bool {
    function.name_index() == 0
        && function.system_name_index() == 0
        && function.filename_index() == 0
        && function.start_line() == 0
}

fn is_zero_link(link: &ProfileLinkView<'_>) -> bool {
    !link.trace_id().is_valid() && !link.span_id().is_valid()
}

fn is_zero_attribute(attribute: &KeyValueAndUnitView<'_>) -> bool {
    attribute.key_index() == 0
        && attribute.unit_index() == 0
        && matches!(attribute.value(), AnyValueView::Empty)
}
