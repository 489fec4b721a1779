//! How messages are laid out, as far as they are read: a table of fields for each request and answer.
//!
//! A field is there in some versions. What a field means is told by a [`What`]; those that mean nothing here are
//! passed over. A shape that is not `full` describes the beginning of a body alone.

use super::api::Api;

/// One field of a structure, and the versions that have it.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) kind: Kind,
    pub(super) since: i16,
    pub(super) until: i16,
}

/// What a field looks like on the wire.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// So many bytes that say nothing here.
    Fixed(u8),
    /// A signed number of so many bytes.
    Number(u8, What),
    /// Sixteen bytes that identify a topic.
    Id(What),
    /// A text, or none.
    Text(What),
    /// A text with a length of two bytes, whatever the version.
    PlainText(What),
    /// Bytes that are passed over.
    Bytes,
    /// Batches of records.
    Records,
    /// A row of numbers of so many bytes, passed over.
    Numbers(u8),
    /// A row of structures.
    Structs(&'static [Field]),
    /// A row of what is no structure, and so has no tagged fields.
    Row(&'static [Field]),
    /// The number of a tagged field.
    TagNumber,
    /// Bytes of a tagged field, passed over.
    TagBytes,
}

/// What a field means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Nothing,
    ClientId,
    Acks,
    Group,
    /// What a coordinator is looked for, and of which kind.
    Key,
    KeyType,
    /// A topic that is asked for or written to.
    Topic,
    /// A topic whose records may follow.
    From,
    /// A topic that a fetch session no longer has.
    Forgotten,
    /// A topic, told together with its id.
    Described,
    Partition,
    FromPartition,
    Error,
    Throttle,
    SessionId,
    SessionEpoch,
}

/// The fields of a body, and whether they are all.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) fields: &'static [Field],
    pub(super) full: bool,
}

const LAST: i16 = i16::MAX;

const fn all(kind: Kind) -> Field {
    Field { kind, since: 0, until: LAST }
}

const fn since(since: i16, kind: Kind) -> Field {
    Field { kind, since, until: LAST }
}

const fn until(until: i16, kind: Kind) -> Field {
    Field { kind, since: 0, until }
}

const fn during(since: i16, until: i16, kind: Kind) -> Field {
    Field { kind, since, until }
}

const fn full(fields: &'static [Field]) -> Shape {
    Shape { fields, full: true }
}

const fn part(fields: &'static [Field]) -> Shape {
    Shape { fields, full: false }
}

const TEXT: Kind = Kind::Text(What::Nothing);
const BOOL: Kind = Kind::Fixed(1);
const ERROR: Kind = Kind::Number(2, What::Error);
const THROTTLE: Kind = Kind::Number(4, What::Throttle);
const PARTITION: Kind = Kind::Number(4, What::Partition);
const GROUP: Kind = Kind::Text(What::Group);
const TOPIC: Kind = Kind::Text(What::Topic);
const TOPIC_ID: Kind = Kind::Id(What::Topic);
/// A name or an id of a topic in an answer, which says nothing that the request did not.
const ID: Kind = Kind::Fixed(16);

/// What follows a request's fixed part, before its tagged fields.
pub(super) const REQUEST_HEAD: &[Field] = &[all(Kind::PlainText(What::ClientId))];

/// A tagged field.
pub(super) const TAG: &[Field] = &[all(Kind::TagNumber), all(Kind::TagBytes)];

pub(super) const UNKNOWN: Shape = part(&[]);

/// The body of a request.
pub(super) const fn request(api: Api) -> &'static Shape {
    match api.key() {
        0 => &PRODUCE,
        1 => &FETCH,
        2 => &LIST_OFFSETS,
        3 => &METADATA,
        8 => &OFFSET_COMMIT,
        9 => &OFFSET_FETCH,
        10 => &FIND_COORDINATOR,
        12 => &HEARTBEAT,
        18 => &API_VERSIONS,
        // JoinGroup, LeaveGroup, SyncGroup, OffsetDelete, and the heartbeats of the newer kinds of groups.
        11 | 13 | 14 | 47 | 68 | 76 | 78 | 79 | 88 => &OF_A_GROUP,
        28 => &TXN_OFFSET_COMMIT,
        _ => &UNKNOWN,
    }
}

/// The body of an answer.
pub(super) const fn response(api: Api) -> &'static Shape {
    match api.key() {
        0 => &PRODUCED,
        1 => &FETCHED,
        2 => &OFFSETS_LISTED,
        3 => &METADATA_TOLD,
        8 => &OFFSETS_COMMITTED,
        9 => &OFFSETS_FETCHED,
        10 => &COORDINATOR_FOUND,
        11 => &JOINED,
        12 => &HEARTBEAT_TAKEN,
        13 => &LEFT,
        14 => &SYNCED,
        17 => &SASL_CHOSEN,
        18 => &VERSIONS_TOLD,
        22 => &PRODUCER_NAMED,
        36 => &SASL_DONE,
        // Those that say how they went behind the time to wait: transactions, groups of the newer kinds, quorum,
        // registration, telemetry, shares and streams.
        24 => &PARTITIONS_ADDED,
        16 => &GROUPS_LISTED,
        25 | 26 | 29 | 46 | 48 | 50 | 56 | 57 | 59 | 60 | 62 | 63 | 64 | 66 | 67 | 68 | 70 | 71 | 72 | 73
        | 74 | 76 | 78 | 79 | 80 | 81 | 82 | 88 => &WAIT_AND_ERROR,
        52..=55 => &ERROR_FIRST,
        _ => &UNKNOWN,
    }
}

const PRODUCE: Shape = full(&[
    since(3, TEXT),
    all(Kind::Number(2, What::Acks)),
    all(Kind::Fixed(4)),
    all(Kind::Structs(&[
        until(12, TOPIC),
        since(13, TOPIC_ID),
        all(Kind::Structs(&[all(PARTITION), all(Kind::Records)])),
    ])),
]);

const PRODUCED: Shape = full(&[
    all(Kind::Structs(&[
        until(12, TEXT),
        since(13, ID),
        all(Kind::Structs(&[
            all(Kind::Fixed(4)),
            all(ERROR),
            all(Kind::Fixed(8)),
            since(2, Kind::Fixed(8)),
            since(5, Kind::Fixed(8)),
            since(8, Kind::Structs(&[all(Kind::Fixed(4)), all(TEXT)])),
            since(8, TEXT),
        ])),
    ])),
    since(1, THROTTLE),
]);

const FETCH: Shape = full(&[
    until(14, Kind::Fixed(4)),
    all(Kind::Fixed(8)),
    since(3, Kind::Fixed(4)),
    since(4, Kind::Fixed(1)),
    since(7, Kind::Number(4, What::SessionId)),
    since(7, Kind::Number(4, What::SessionEpoch)),
    all(Kind::Structs(&[
        until(12, TOPIC),
        since(13, TOPIC_ID),
        all(Kind::Structs(&[
            all(PARTITION),
            since(9, Kind::Fixed(4)),
            all(Kind::Fixed(8)),
            since(12, Kind::Fixed(4)),
            since(5, Kind::Fixed(8)),
            all(Kind::Fixed(4)),
        ])),
    ])),
    since(
        7,
        Kind::Structs(&[
            until(12, Kind::Text(What::Forgotten)),
            since(13, Kind::Id(What::Forgotten)),
            all(Kind::Numbers(4)),
        ]),
    ),
    since(11, TEXT),
]);

const FETCHED: Shape = full(&[
    since(1, THROTTLE),
    since(7, ERROR),
    since(7, Kind::Number(4, What::SessionId)),
    all(Kind::Structs(&[
        until(12, Kind::Text(What::From)),
        since(13, Kind::Id(What::From)),
        all(Kind::Structs(&[
            all(Kind::Number(4, What::FromPartition)),
            all(ERROR),
            all(Kind::Fixed(8)),
            since(4, Kind::Fixed(8)),
            since(5, Kind::Fixed(8)),
            since(4, Kind::Structs(&[all(Kind::Fixed(16))])),
            since(11, Kind::Fixed(4)),
            all(Kind::Records),
        ])),
    ])),
]);

const LIST_OFFSETS: Shape = full(&[
    all(Kind::Fixed(4)),
    since(2, Kind::Fixed(1)),
    all(Kind::Structs(&[
        all(TOPIC),
        all(Kind::Structs(&[
            all(PARTITION),
            since(4, Kind::Fixed(4)),
            all(Kind::Fixed(8)),
            until(0, Kind::Fixed(4)),
        ])),
    ])),
    since(10, Kind::Fixed(4)),
]);

const OFFSETS_LISTED: Shape = full(&[
    since(2, THROTTLE),
    all(Kind::Structs(&[
        all(TEXT),
        all(Kind::Structs(&[
            all(Kind::Fixed(4)),
            all(ERROR),
            until(0, Kind::Numbers(8)),
            since(1, Kind::Fixed(16)),
            since(4, Kind::Fixed(4)),
        ])),
    ])),
]);

/// The topics asked for are not where messages go to or come from, so they are not told.
const METADATA: Shape = full(&[
    all(Kind::Structs(&[since(10, ID), all(TEXT)])),
    since(4, BOOL),
    during(8, 10, BOOL),
    since(8, BOOL),
]);

/// What partitions lack at the moment is no failure of the request, so their errors are passed over.
const METADATA_TOLD: Shape = full(&[
    since(3, THROTTLE),
    all(Kind::Structs(&[all(Kind::Fixed(4)), all(TEXT), all(Kind::Fixed(4)), since(1, TEXT)])),
    since(2, TEXT),
    since(1, Kind::Fixed(4)),
    all(Kind::Structs(&[
        all(ERROR),
        all(Kind::Text(What::Described)),
        since(10, Kind::Id(What::Described)),
        since(1, BOOL),
        all(Kind::Structs(&[
            all(Kind::Fixed(10)),
            since(7, Kind::Fixed(4)),
            all(Kind::Numbers(4)),
            all(Kind::Numbers(4)),
            since(5, Kind::Numbers(4)),
        ])),
        since(8, Kind::Fixed(4)),
    ])),
    during(8, 10, Kind::Fixed(4)),
    since(13, ERROR),
]);

const OFFSET_COMMIT: Shape = full(&[
    all(GROUP),
    since(1, Kind::Fixed(4)),
    since(1, TEXT),
    since(7, TEXT),
    during(2, 4, Kind::Fixed(8)),
    all(Kind::Structs(&[
        until(9, TOPIC),
        since(10, TOPIC_ID),
        all(Kind::Structs(&[
            all(PARTITION),
            all(Kind::Fixed(8)),
            since(6, Kind::Fixed(4)),
            during(1, 1, Kind::Fixed(8)),
            all(TEXT),
        ])),
    ])),
]);

const OFFSETS_COMMITTED: Shape = full(&[
    since(3, THROTTLE),
    all(Kind::Structs(&[
        until(9, TEXT),
        since(10, ID),
        all(Kind::Structs(&[all(Kind::Fixed(4)), all(ERROR)])),
    ])),
]);

const OFFSET_FETCH: Shape = full(&[
    until(7, GROUP),
    until(7, Kind::Structs(&[all(TOPIC), all(Kind::Numbers(4))])),
    since(
        8,
        Kind::Structs(&[
            all(GROUP),
            since(9, TEXT),
            since(9, Kind::Fixed(4)),
            all(Kind::Structs(&[until(9, TOPIC), since(10, TOPIC_ID), all(Kind::Numbers(4))])),
        ]),
    ),
    since(7, BOOL),
]);

const OFFSETS_FETCHED: Shape = full(&[
    since(3, THROTTLE),
    until(7, Kind::Structs(&[all(TEXT), all(Kind::Structs(OFFSET_FETCHED))])),
    during(2, 7, ERROR),
    since(
        8,
        Kind::Structs(&[
            all(TEXT),
            all(Kind::Structs(&[until(9, TEXT), since(10, ID), all(Kind::Structs(OFFSET_FETCHED))])),
            all(ERROR),
        ]),
    ),
]);

const OFFSET_FETCHED: &[Field] =
    &[all(Kind::Fixed(4)), all(Kind::Fixed(8)), since(5, Kind::Fixed(4)), all(TEXT), all(ERROR)];

const FIND_COORDINATOR: Shape = full(&[
    until(3, Kind::Text(What::Key)),
    since(1, Kind::Number(1, What::KeyType)),
    since(4, Kind::Row(&[all(Kind::Text(What::Key))])),
]);

const COORDINATOR_FOUND: Shape = full(&[
    since(1, THROTTLE),
    until(3, ERROR),
    during(1, 3, TEXT),
    until(3, Kind::Fixed(4)),
    until(3, TEXT),
    until(3, Kind::Fixed(4)),
    since(
        4,
        Kind::Structs(&[
            all(TEXT),
            all(Kind::Fixed(4)),
            all(TEXT),
            all(Kind::Fixed(4)),
            all(ERROR),
            all(TEXT),
        ]),
    ),
]);

const OF_A_GROUP: Shape = part(&[all(GROUP)]);

const TXN_OFFSET_COMMIT: Shape = part(&[all(TEXT), all(GROUP)]);

const HEARTBEAT: Shape = full(&[all(GROUP), all(Kind::Fixed(4)), all(TEXT), since(3, TEXT)]);

const HEARTBEAT_TAKEN: Shape = full(&[since(1, THROTTLE), all(ERROR)]);

const JOINED: Shape = full(&[
    since(2, THROTTLE),
    all(ERROR),
    all(Kind::Fixed(4)),
    since(7, TEXT),
    all(TEXT),
    all(TEXT),
    since(9, BOOL),
    all(TEXT),
    all(Kind::Structs(&[all(TEXT), since(5, TEXT), all(Kind::Bytes)])),
]);

const LEFT: Shape =
    full(&[since(1, THROTTLE), all(ERROR), since(3, Kind::Structs(&[all(TEXT), all(TEXT), all(ERROR)]))]);

const SYNCED: Shape =
    full(&[since(1, THROTTLE), all(ERROR), since(5, TEXT), since(5, TEXT), all(Kind::Bytes)]);

const API_VERSIONS: Shape = full(&[since(3, TEXT), since(3, TEXT)]);

const VERSIONS_TOLD: Shape =
    full(&[all(ERROR), all(Kind::Structs(&[all(Kind::Fixed(6))])), since(1, THROTTLE)]);

const PRODUCER_NAMED: Shape =
    full(&[all(THROTTLE), all(ERROR), all(Kind::Fixed(10)), since(6, Kind::Fixed(10))]);

const SASL_CHOSEN: Shape = full(&[all(ERROR), all(Kind::Row(&[all(TEXT)]))]);

const SASL_DONE: Shape = full(&[all(ERROR), all(TEXT), all(Kind::Bytes), since(1, Kind::Fixed(8))]);

const PARTITIONS_ADDED: Shape = part(&[all(THROTTLE), since(4, ERROR)]);

const GROUPS_LISTED: Shape = part(&[since(1, THROTTLE), all(ERROR)]);

const WAIT_AND_ERROR: Shape = part(&[all(THROTTLE), all(ERROR)]);

const ERROR_FIRST: Shape = part(&[all(ERROR)]);
