//! Checks that a dictionary begins as it has to, and that every index into it points at something.

use super::attribute::{AnyValue, KeyValue};
use super::profile::{
    Function, KeyValueAndUnit, Location, Mapping, Profile, ProfileLink, ProfilesDictionary, Sample, Stack,
    ValueType,
};
use super::request::ProfilesRequest;
use crate::error::{Error, ErrorKind, Result};

impl ProfilesRequest {
    /// Checks the dictionary, and every index into it that the profiles, resources and scopes hold.
    ///
    /// A request of nothing at all passes. O(records), no allocation.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for a table that does not begin with the zero value, and for an index below zero or
    /// past the end of its table. The message names table and index.
    ///
    /// ```
    /// use otlp_core::record::{Profile, ProfilesDictionary, ProfilesRequest, ResourceProfiles, Sample, ScopeProfiles};
    ///
    /// let sample = Sample { stack_index: 7, ..Sample::default() };
    /// let profile = Profile { samples: vec![sample], ..Profile::default() };
    /// let scope = ScopeProfiles { profiles: vec![profile], ..ScopeProfiles::default() };
    /// let group = ResourceProfiles { scopes: vec![scope], ..ResourceProfiles::default() };
    /// let request = ProfilesRequest { resources: vec![group], dictionary: ProfilesDictionary::new() };
    /// let error = request.check().unwrap_err();
    /// assert_eq!(error.to_string(), "stack 7 is not defined: the table has 1");
    /// ```
    pub fn check(&self) -> Result<()> {
        let dictionary = &self.dictionary;
        if self.resources.is_empty() && dictionary.is_empty() {
            return Ok(());
        }
        dictionary.check()?;
        for group in &self.resources {
            dictionary.check_pairs(&group.resource.attributes)?;
            for scope in &group.scopes {
                dictionary.check_pairs(&scope.scope.attributes)?;
                scope.profiles.iter().try_for_each(|profile| dictionary.check_profile(profile))?;
            }
        }
        Ok(())
    }
}

impl ProfilesDictionary {
    /// Checks that the first element of each table is the zero value, and that every index that an element holds
    /// points into its table. O(elements), no allocation.
    ///
    /// # Errors
    /// As [`ProfilesRequest::check`].
    pub fn check(&self) -> Result<()> {
        self.check_zeros()?;
        self.mappings.iter().try_for_each(|mapping| self.check_mapping(mapping))?;
        self.locations.iter().try_for_each(|location| self.check_location(location))?;
        self.functions.iter().try_for_each(|function| self.check_function(function))?;
        self.attributes.iter().try_for_each(|attribute| self.check_attribute(attribute))?;
        let mut indices = self.stacks.iter().flat_map(|stack| &stack.location_indices);
        indices.try_for_each(|index| check_index("location", *index, self.locations.len()))
    }

    fn check_zeros(&self) -> Result<()> {
        zero("mapping", self.mappings.first(), &Mapping::default())?;
        zero("location", self.locations.first(), &Location::default())?;
        zero("function", self.functions.first(), &Function::default())?;
        zero("link", self.links.first(), &ProfileLink::default())?;
        zero("string", self.strings.first(), &String::new())?;
        zero("attribute", self.attributes.first(), &KeyValueAndUnit::default())?;
        zero("stack", self.stacks.first(), &Stack::default())
    }

    fn check_mapping(&self, mapping: &Mapping) -> Result<()> {
        self.check_string(mapping.filename_index)?;
        self.check_attributes(&mapping.attribute_indices)
    }

    fn check_location(&self, location: &Location) -> Result<()> {
        check_index("mapping", location.mapping_index, self.mappings.len())?;
        let mut functions = location.lines.iter().map(|line| line.function_index);
        functions.try_for_each(|index| check_index("function", index, self.functions.len()))?;
        self.check_attributes(&location.attribute_indices)
    }

    fn check_function(&self, function: &Function) -> Result<()> {
        let strings = [function.name_index, function.system_name_index, function.filename_index];
        strings.into_iter().try_for_each(|index| self.check_string(index))
    }

    fn check_attribute(&self, attribute: &KeyValueAndUnit) -> Result<()> {
        self.check_string(attribute.key_index)?;
        self.check_string(attribute.unit_index)?;
        self.check_value(&attribute.value)
    }

    fn check_profile(&self, profile: &Profile) -> Result<()> {
        for ValueType { kind_index, unit_index } in [profile.sample_type, profile.period_type] {
            self.check_string(kind_index)?;
            self.check_string(unit_index)?;
        }
        self.check_attributes(&profile.attribute_indices)?;
        profile.samples.iter().try_for_each(|sample| self.check_sample(sample))
    }

    fn check_sample(&self, sample: &Sample) -> Result<()> {
        check_index("stack", sample.stack_index, self.stacks.len())?;
        check_index("link", sample.link_index, self.links.len())?;
        self.check_attributes(&sample.attribute_indices)
    }

    fn check_pairs(&self, pairs: &[KeyValue]) -> Result<()> {
        pairs.iter().try_for_each(|pair| {
            self.check_string(pair.key_index)?;
            self.check_value(&pair.value)
        })
    }

    /// Recurses as deep as the value nests.
    fn check_value(&self, value: &AnyValue) -> Result<()> {
        match value {
            AnyValue::StringIndex(index) => self.check_string(*index),
            AnyValue::Array(values) => values.iter().try_for_each(|value| self.check_value(value)),
            AnyValue::KvList(pairs) => self.check_pairs(pairs),
            _ => Ok(()),
        }
    }

    fn check_attributes(&self, indices: &[i32]) -> Result<()> {
        indices.iter().try_for_each(|index| check_index("attribute", *index, self.attributes.len()))
    }

    fn check_string(&self, index: i32) -> Result<()> {
        check_index("string", index, self.strings.len())
    }
}

/// `what` names the table, in the singular.
fn check_index(what: &str, index: i32, len: usize) -> Result<()> {
    match usize::try_from(index) {
        Ok(place) if place < len => Ok(()),
        _ => Err(Error::new(
            ErrorKind::Malformed,
            format!("{what} {index} is not defined: the table has {len}"),
        )),
    }
}

fn zero<T: PartialEq>(what: &str, first: Option<&T>, zero: &T) -> Result<()> {
    match first {
        Some(first) if first == zero => Ok(()),
        Some(_) => {
            Err(Error::new(ErrorKind::Malformed, format!("{what} table: element 0 is not the zero value")))
        }
        None => Err(Error::new(
            ErrorKind::Malformed,
            format!("{what} table: element 0, the zero value, is missing"),
        )),
    }
}
