//! Resources and the entities they refer to.

use super::attribute::KeyValueView;
use super::table::view;

view! {
    /// A borrowed resource.
    ResourceView of Resource {
        scalars {
            /// Attributes dropped before encoding.
            dropped_attributes_count: u32 = 2 => uint32;
        }
        lists {
            /// Its attributes.
            attributes: KeyValueView<'a> = 1 within attributes;
            /// Which of the attributes identify which entity.
            entity_refs: EntityRefView<'a> = 3 within elements;
        }
    }
}

view! {
    /// A borrowed reference from a resource to an entity.
    EntityRefView of EntityRef {
        scalars {
            /// Schema that the keys follow.
            schema_url: &'a str = 1 => str;
            /// Entity type, such as `service` or `host`.
            kind: &'a str = 2 => str;
        }
        lists {
            /// Attribute keys that identify the entity.
            id_keys: &'a str = 3 within elements;
            /// Attribute keys that describe it.
            description_keys: &'a str = 4 within elements;
        }
    }
}
