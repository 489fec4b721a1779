//! Indices into the tables of a dictionary, resolved.

use super::{
    FunctionView, KeyValueAndUnitView, LineView, LocationView, MappingView, ProfileLinkView,
    ProfilesDictionaryView, StackView,
};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::view::context::{Context, limit};
use crate::view::heap::HeapBudget;
use crate::view::list::List;
use crate::view::message::{Message, narrow};
use crate::view::table::Element;

const TABLES: usize = 7;

impl<'a> ProfilesDictionaryView<'a> {
    /// The string at `index`. O(bytes of the strings before it), no allocation.
    ///
    /// # Errors
    /// Where there is no such string, or one up to it is malformed.
    pub fn string(&self, index: i32) -> Result<&'a str, DecodeError> {
        let place = usize::try_from(index).ok();
        let found = place.and_then(|place| self.strings().nth(place));
        found.unwrap_or_else(|| Err(undefined("string", index, self.wire.begin())))
    }

    /// Notes where each element of each table lies, so that any of them is found at once.
    ///
    /// One pass over the dictionary; one allocation, of four bytes an element.
    ///
    /// # Errors
    /// Where the elements are too many for [`Limits::heap_bytes`](crate::Limits::heap_bytes).
    pub fn index(&self) -> Result<DictionaryIndex<'a>, DecodeError> {
        let mut ends = [0; TABLES];
        let mut total = 0;
        for (end, table) in ends.iter_mut().zip(self.tables()) {
            total += table.len();
            *end = total;
        }
        let mut heap = HeapBudget::new(self.context.limits());
        heap.offset = self.wire.begin();
        let mut offsets = heap.list(total)?;
        offsets.resize(total, 0);
        let index = DictionaryIndex { wire: self.wire, context: self.context, offsets, ends };
        index.filled()
    }

    /// In the order of their field numbers.
    pub(super) const fn tables(&self) -> [List; TABLES] {
        [
            self.mappings,
            self.locations,
            self.functions,
            self.links,
            self.strings,
            self.attributes,
            self.stacks,
        ]
    }
}

/// The tables of a dictionary, any element at once.
///
/// ```
/// use otlp_core::Limits;
/// use otlp_core::encode::Encode;
/// use otlp_core::record::{Function, Line, Location, ProfilesDictionary, ProfilesRequest, Stack};
/// use otlp_core::view::ProfilesView;
///
/// let mut dictionary = ProfilesDictionary::new();
/// dictionary.strings.push("main".into());
/// dictionary.functions.push(Function { name_index: 1, ..Function::default() });
/// let line = Line { function_index: 1, line: 42, column: 0 };
/// dictionary.locations.push(Location { lines: vec![line], ..Location::default() });
/// dictionary.stacks.push(Stack { location_indices: vec![1] });
/// let bytes = ProfilesRequest { resources: Vec::new(), dictionary }.encode_to_bytes();
///
/// let limits = Limits::default();
/// let index = ProfilesView::parse(&bytes, &limits)?.dictionary().index()?;
/// for frame in index.frames(1)? {
///     let frame = frame?;
///     assert_eq!((frame.name(), frame.line().map(|line| line.line())), ("main", Some(42)));
/// }
/// # Ok::<(), otlp_core::DecodeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct DictionaryIndex<'a> {
    wire: Message<'a>,
    context: Context<'a>,
    /// Where the elements lie, table after table.
    offsets: Vec<u32>,
    /// Where each table ends within `offsets`.
    ends: [usize; TABLES],
}

macro_rules! resolved {
    ($($name:ident: $ty:ty = $table:literal;)+) => {
        $(
            #[doc = concat!("The ", stringify!($name), " at `index`. O(its own bytes), no allocation.")]
            ///
            /// # Errors
            /// [`DecodeErrorKind::Reference`] where there is none, another kind where it is malformed.
            #[inline]
            pub fn $name(&self, index: i32) -> Result<$ty, DecodeError> {
                self.element(stringify!($name), $table, index)
            }
        )+
    };
}

impl<'a> DictionaryIndex<'a> {
    resolved! {
        mapping: MappingView<'a> = 1;
        location: LocationView<'a> = 2;
        function: FunctionView<'a> = 3;
        link: ProfileLinkView<'a> = 4;
        string: &'a str = 5;
        attribute: KeyValueAndUnitView<'a> = 6;
        stack: StackView<'a> = 7;
    }

    /// The frames of the stack at `index`, from the innermost out; inlined functions are frames of their own.
    ///
    /// A location without lines is one frame without a function. No allocation. After
    /// [`Limits::elements`](crate::Limits::elements) frames comes an error, and nothing more.
    ///
    /// # Errors
    /// Where there is no such stack, or it is malformed. A bad frame is an `Err` item, and the next call goes on with
    /// the one after it.
    pub fn frames(
        &self,
        index: i32,
    ) -> Result<impl Iterator<Item = Result<FrameView<'a>, DecodeError>> + use<'a, '_>, DecodeError> {
        let stack = self.stack(index)?;
        let most = self.context.limits().elements();
        let frames = stack.location_indices().flat_map(|location| self.frames_at(location)).enumerate();
        let begin = stack.wire.begin();
        Ok(frames.take(most.saturating_add(1)).map(move |(before, frame)| {
            if before < most { frame } else { Err(limit("max_elements", before + 1, most, begin)) }
        }))
    }

    fn frames_at(
        &self,
        location: i32,
    ) -> impl Iterator<Item = Result<FrameView<'a>, DecodeError>> + use<'a, '_> {
        // What stands alone, a failure or a location without lines, or else the lines.
        let (alone, lines) = match self.location(location) {
            Err(error) => (Some(Err(error)), None),
            Ok(location) if location.lines().len() == 0 => (Some(Ok(FrameView::unknown(location))), None),
            Ok(location) => (None, Some(location.lines().map(move |line| self.frame(location, line?)))),
        };
        alone.into_iter().chain(lines.into_iter().flatten())
    }

    fn frame(&self, location: LocationView<'a>, line: LineView<'a>) -> Result<FrameView<'a>, DecodeError> {
        let function = self.function(line.function_index())?;
        let name = self.string(function.name_index())?;
        Ok(FrameView { location, of_line: Some((line, function)), name })
    }

    #[inline]
    fn element<V: Element<'a>>(
        &self,
        what: &'static str,
        table: usize,
        index: i32,
    ) -> Result<V, DecodeError> {
        let Some(offset) = self.offset(table, index) else {
            return Err(undefined(what, index, self.wire.begin()));
        };
        let mut fields = self.wire.fields_at(offset);
        fields.next()?;
        V::read(&mut fields, self.context)
    }

    #[inline]
    fn offset(&self, table: usize, index: i32) -> Option<u32> {
        let index = usize::try_from(index).ok()?;
        let begin = table.checked_sub(2).map_or(0, |before| self.ends.get(before).copied().unwrap_or(0));
        let end = *self.ends.get(table - 1)?;
        self.offsets.get(begin..end)?.get(index).copied()
    }

    /// Notes the place of every element, in one pass.
    fn filled(mut self) -> Result<Self, DecodeError> {
        let mut next = [0; TABLES];
        if let (Some(rest), Some(begins)) = (next.get_mut(1..), self.ends.get(..TABLES - 1)) {
            rest.copy_from_slice(begins);
        }
        let mut pieces = self.wire.pieces();
        while let Some(mut fields) = pieces.next()? {
            while let Some(number) = fields.next()? {
                let table = usize::try_from(number).unwrap_or(0).checked_sub(1);
                if let Some(place) = table.and_then(|table| next.get_mut(table)) {
                    if let Some(slot) = self.offsets.get_mut(*place) {
                        *slot = narrow(fields.offset());
                    }
                    *place += 1;
                }
                fields.skip()?;
            }
        }
        Ok(self)
    }
}

/// One frame of a stack.
#[derive(Debug, Clone, Copy)]
pub struct FrameView<'a> {
    location: LocationView<'a>,
    of_line: Option<(LineView<'a>, FunctionView<'a>)>,
    name: &'a str,
}

impl<'a> FrameView<'a> {
    const fn unknown(location: LocationView<'a>) -> Self {
        Self { location, of_line: None, name: "" }
    }

    /// The function's name for people; empty where it is not known.
    #[must_use]
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// The place in the code.
    #[must_use]
    pub const fn location(&self) -> LocationView<'a> {
        self.location
    }

    /// The line, where the location has lines.
    #[must_use]
    pub fn line(&self) -> Option<LineView<'a>> {
        self.of_line.map(|(line, _)| line)
    }

    /// The function, where the location has lines.
    #[must_use]
    pub fn function(&self) -> Option<FunctionView<'a>> {
        self.of_line.map(|(_, function)| function)
    }
}

/// `what` names the table, in the singular.
#[cold]
pub(super) fn undefined(what: &'static str, index: i32, offset: usize) -> DecodeError {
    // As the wire has it: sign-extended.
    let met = i64::from(index).cast_unsigned();
    DecodeError::new(offset, DecodeErrorKind::Reference { what, met })
}
