//! Instrumentation scopes.

use super::attribute::KeyValueView;
use super::table::view;

view! {
    /// A borrowed instrumentation scope.
    ScopeView of Scope {
        scalars {
            /// The library's name.
            name: &'a str = 1 => str;
            /// The library's version.
            version: &'a str = 2 => str;
            /// Attributes dropped before encoding.
            dropped_attributes_count: u32 = 4 => uint32;
        }
        lists {
            /// Its attributes.
            attributes: KeyValueView<'a> = 3 within attributes;
        }
    }
}
