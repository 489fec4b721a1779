//! Kafka as `kafka-protocol` writes it, of every version that it knows, is read as it was meant.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]

mod kafka_wire;
mod stream;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Encodable, HeaderVersion, Message, Request, VersionRange};
use kafka_wire::{
    CLIENT, Portions, Said, fetch, fetch_request, fetch_response, metadata, produce, produce_request,
    produce_response, said, text, topic,
};
use otlp_ebpf::Limits;
use otlp_ebpf::parse::kafka::{Api, ErrorCode, Kafka};
use stream::{ToClient, ToServer, Turns, bytewise, whole};

/// What both directions were told to be, whole and a byte at a time.
fn tell(all: &[Said]) -> Vec<String> {
    let turns: Turns = all
        .iter()
        .flat_map(|said| [(ToServer, said.request.clone()), (ToClient, said.response.clone())])
        .collect();
    let told = whole(Kafka::new(Limits::default()), &turns);
    assert_eq!(told.unparsed, [0, 0], "{:?}", told.events);
    let slowly = bytewise(Kafka::new(Limits::default()), &turns);
    assert_eq!(told.events, slowly.events, "cut and whole differ");
    told.events.into_iter().filter(|event| !event.starts_with("request end")).collect()
}

fn has(event: &str, parts: &[&str]) {
    for part in parts {
        assert!(event.contains(part), "{part} not in {event}");
    }
}

fn versions(range: VersionRange) -> impl Iterator<Item = i16> {
    range.min..=range.max
}

const PORTIONS: Portions<'_> = &[("orders", &[(4, 3)])];
const SEVERAL: Portions<'_> = &[("orders", &[(4, 3), (0, 1)]), ("payments.eu", &[(1, 20), (2, 0)])];

#[test]
fn produce_of_every_version_is_read() {
    for version in versions(ProduceRequest::VERSIONS) {
        let learns = metadata(1, 12, &["orders", "payments.eu"], 0);
        let all = [learns, produce(2, version, PORTIONS, 0), produce(3, version, SEVERAL, 87)];
        let told = tell(&all);
        let version = format!("version: {version},");
        has(
            &told[2],
            &[
                "api: \"Produce\"",
                &version,
                "correlation_id: 2",
                "client_id: Some(\"shop-1\")",
                "topics: [Some(\"orders\")]",
                "partition: Some(4)",
                "records: Some(3)",
                "expect: One",
                "whole: true",
            ],
        );
        has(&told[3], &["api: Some(\"Produce\")", "correlation_id: 2", "error: None", "whole: true"]);
        has(
            &told[4],
            &[
                "topics: [Some(\"orders\"), Some(\"payments.eu\")]",
                "partition: None",
                "records: Some(24)",
                "whole: true",
            ],
        );
        has(&told[5], &["error: Some(\"INVALID_RECORD\")", "whole: true"]);
    }
}

#[test]
fn produce_without_an_answer_says_so_in_every_version() {
    for version in versions(ProduceRequest::VERSIONS) {
        let request = kafka_wire::request(1, version, &produce_request(version, 0, PORTIONS, 9));
        has(&tell(&[Said { request, response: Vec::new() }])[0], &["expect: Nothing"]);
    }
}

#[test]
fn fetch_of_every_version_is_read() {
    for version in versions(FetchRequest::VERSIONS) {
        let learns = metadata(1, 12, &["orders", "payments.eu"], 0);
        let all = [
            learns,
            fetch(2, version, PORTIONS, 0),
            fetch(3, version, SEVERAL, 0),
            fetch(4, version, &[("orders", &[(0, 0)])], 1),
        ];
        let told = tell(&all);
        has(&told[2], &["api: \"Fetch\"", "topics: [Some(\"orders\")]", "partition: Some(4)", "whole: true"]);
        let bytes = kafka_wire::batch(1, 30).len() + kafka_wire::batch(2, 30).len();
        has(
            &told[3],
            &[
                "error: None",
                "topics: [Some(\"orders\")]",
                "partition: Some(4)",
                "records: Some(3)",
                &format!("record_bytes: {bytes},"),
                "whole: true",
            ],
        );
        has(&told[4], &["topics: [Some(\"orders\"), Some(\"payments.eu\")]", "partition: None"]);
        has(
            &told[5],
            &["topics: [Some(\"orders\"), Some(\"payments.eu\")]", "records: Some(24)", "whole: true"],
        );
        has(
            &told[7],
            &["error: Some(\"OFFSET_OUT_OF_RANGE\")", "topics: []", "records: Some(0)", "whole: true"],
        );
    }
}

#[test]
fn a_fetch_session_keeps_its_topics_in_every_version_that_has_them() {
    for version in versions(FetchRequest::VERSIONS).filter(|version| *version >= 7) {
        let step = |number, epoch, asks: Portions<'_>, forgets: &[&str], gives: Portions<'_>| {
            let session = if epoch == 0 { 0 } else { 99 };
            let ask = fetch_request(version, (session, epoch), asks, forgets);
            said(number, version, &ask, &fetch_response(version, 99, gives, 0))
        };
        let told = tell(&[
            metadata(1, 10, &["orders", "payments.eu"], 0),
            step(2, 0, PORTIONS, &[], PORTIONS),
            step(3, 1, &[], &[], &[]),
            step(4, 2, &[("payments.eu", &[(0, 0)])], &[], &[("payments.eu", &[(0, 5)])]),
            step(5, 3, &[], &["orders"], &[]),
        ]);
        has(&told[4], &["topics: [Some(\"orders\")]", "partition: Some(4)"]);
        has(&told[6], &["topics: [Some(\"orders\"), Some(\"payments.eu\")]", "partition: None"]);
        has(&told[7], &["topics: [Some(\"payments.eu\")]", "partition: Some(0)", "records: Some(5)"]);
        has(&told[8], &["topics: [Some(\"payments.eu\")]", "partition: None"]);
        // Another session on the same connection is not this one.
        let stray = said(
            6,
            version,
            &fetch_request(version, (98, 4), &[], &[]),
            &fetch_response(version, 98, &[], 0),
        );
        let told = tell(&[step(2, 0, PORTIONS, &[], &[]), stray]);
        has(&told[2], &["topics: [\"..\"]", "partition: None"]);
    }
}

#[test]
fn metadata_of_every_version_is_read() {
    for version in versions(MetadataRequest::VERSIONS) {
        let told = tell(&[metadata(1, version, &["orders", "x"], 3), metadata(2, version, &[], 0)]);
        has(&told[0], &["api: \"Metadata\"", "topics: []", "whole: true"]);
        has(&told[1], &["error: Some(\"UNKNOWN_TOPIC_OR_PARTITION\")", "whole: true"]);
        has(&told[3], &["error: None", "whole: true"]);
    }
}

#[test]
fn api_versions_of_every_version_are_read() {
    for version in versions(ApiVersionsRequest::VERSIONS) {
        let ask = if version < 3 {
            ApiVersionsRequest::default()
        } else {
            ApiVersionsRequest::default().with_client_software_name(text("ours"))
        };
        let keys = (0..40).map(|key| ApiVersion::default().with_api_key(key).with_max_version(9)).collect();
        let answer = ApiVersionsResponse::default().with_api_keys(keys);
        let told = tell(&[said(1, version, &ask, &answer)]);
        has(&told[0], &["api: \"ApiVersions\"", "whole: true"]);
        has(&told[1], &["error: None", "whole: true"]);
        // What the broker does not know it answers in the oldest layout, whatever was asked for.
        let refused = answer.clone().with_error_code(35);
        let refused = Said {
            request: kafka_wire::request(2, version, &ask),
            response: kafka_wire::response(2, 0, &refused),
        };
        has(&tell(&[refused])[1], &["error: Some(\"UNSUPPORTED_VERSION\")", "whole: true"]);
    }
}

/// Every version: the request is told by `asked`, and its answer by `answered`.
fn each<R: Request>(make: impl Fn(i16) -> (R, R::Response), asked: &[&str], answered: &[&str]) {
    let newest = R::VERSIONS.max.min(<R::Response as Message>::VERSIONS.max);
    for version in R::VERSIONS.min..=newest {
        let (ask, answer) = make(version);
        let told = tell(&[said(version.into(), version, &ask, &answer)]);
        has(&told[0], asked);
        has(&told[1], answered);
        let name = format!("api: {:?}", Api::new(R::KEY).name());
        has(&told[0], &[&name]);
    }
}

fn group() -> GroupId {
    GroupId(text("cart"))
}

const OF_GROUP: &str = "group: Some(\"cart\")";
const WHOLE: &str = "whole: true";

#[test]
fn requests_of_consumer_groups_are_read_in_every_version() {
    each(
        |_| {
            let ask = HeartbeatRequest::default().with_group_id(group()).with_member_id(text("me"));
            (ask, HeartbeatResponse::default().with_error_code(27))
        },
        &[OF_GROUP, WHOLE],
        &["REBALANCE_IN_PROGRESS", WHOLE],
    );
    each(
        |_| {
            let member = JoinGroupResponseMember::default().with_metadata(vec![1; 40].into());
            let answer = JoinGroupResponse::default()
                .with_error_code(25)
                .with_protocol_name(Some(text("range")))
                .with_members(vec![member.clone(), member]);
            (JoinGroupRequest::default().with_group_id(group()), answer)
        },
        &[OF_GROUP],
        &["UNKNOWN_MEMBER_ID", WHOLE],
    );
    each(
        |_| {
            let answer = SyncGroupResponse::default().with_error_code(22).with_assignment(vec![9; 30].into());
            (SyncGroupRequest::default().with_group_id(group()), answer)
        },
        &[OF_GROUP],
        &["ILLEGAL_GENERATION", WHOLE],
    );
    each(
        |version| {
            let member = MemberResponse::default().with_member_id(text("me"));
            let members = if version >= 3 { vec![member] } else { Vec::new() };
            let answer = LeaveGroupResponse::default().with_error_code(25).with_members(members);
            (LeaveGroupRequest::default().with_group_id(group()), answer)
        },
        &[OF_GROUP],
        &["UNKNOWN_MEMBER_ID", WHOLE],
    );
    each(
        |_| {
            let answer = ConsumerGroupHeartbeatResponse::default().with_error_code(110);
            (ConsumerGroupHeartbeatRequest::default().with_group_id(group()), answer)
        },
        &[OF_GROUP],
        &["FENCED_MEMBER_EPOCH"],
    );
}

#[test]
fn offsets_are_read_in_every_version() {
    each(
        |_| {
            let partition = OffsetCommitRequestPartition::default().with_partition_index(6);
            let topics = OffsetCommitRequestTopic::default().with_name(topic("orders"));
            let ask = OffsetCommitRequest::default()
                .with_group_id(group())
                .with_topics(vec![topics.with_partitions(vec![partition])]);
            let partition = OffsetCommitResponsePartition::default().with_error_code(28);
            let topics = OffsetCommitResponseTopic::default().with_partitions(vec![partition]);
            (ask, OffsetCommitResponse::default().with_topics(vec![topics]))
        },
        &[OF_GROUP, "topics: [Some(\"orders\")]", "partition: Some(6)", WHOLE],
        &["INVALID_COMMIT_OFFSET_SIZE", WHOLE],
    );
    each(
        offset_fetch,
        &[OF_GROUP, "topics: [Some(\"orders\")]", WHOLE],
        &["GROUP_AUTHORIZATION_FAILED", WHOLE],
    );
    each(
        |_| {
            let partition = list_offsets_request::ListOffsetsPartition::default().with_partition_index(5);
            let topics = list_offsets_request::ListOffsetsTopic::default().with_name(topic("orders"));
            let ask =
                ListOffsetsRequest::default().with_topics(vec![topics.with_partitions(vec![partition])]);
            let partition = ListOffsetsPartitionResponse::default().with_error_code(6);
            let topics = ListOffsetsTopicResponse::default().with_partitions(vec![partition]);
            (ask, ListOffsetsResponse::default().with_topics(vec![topics]))
        },
        &["topics: [Some(\"orders\")]", "partition: Some(5)", WHOLE],
        &["NOT_LEADER_OR_FOLLOWER", WHOLE],
    );
}

fn offset_fetch(version: i16) -> (OffsetFetchRequest, OffsetFetchResponse) {
    if version < 8 {
        let topics = offset_fetch_request::OffsetFetchRequestTopic::default().with_name(topic("orders"));
        let ask = OffsetFetchRequest::default()
            .with_group_id(group())
            .with_topics(Some(vec![topics.with_partition_indexes(vec![1, 2])]));
        let partition = offset_fetch_response::OffsetFetchResponsePartition::default();
        let topics = offset_fetch_response::OffsetFetchResponseTopic::default()
            .with_partitions(vec![partition.clone().with_error_code(30), partition]);
        return (ask, OffsetFetchResponse::default().with_topics(vec![topics]));
    }
    let topics = offset_fetch_request::OffsetFetchRequestTopics::default()
        .with_name(topic("orders"))
        .with_partition_indexes(vec![1, 2]);
    let asked = offset_fetch_request::OffsetFetchRequestGroup::default()
        .with_group_id(group())
        .with_topics(Some(vec![topics]));
    let partition = offset_fetch_response::OffsetFetchResponsePartitions::default();
    let topics = offset_fetch_response::OffsetFetchResponseTopics::default().with_partitions(vec![partition]);
    let told = offset_fetch_response::OffsetFetchResponseGroup::default()
        .with_topics(vec![topics])
        .with_error_code(30);
    (
        OffsetFetchRequest::default().with_groups(vec![asked]),
        OffsetFetchResponse::default().with_groups(vec![told]),
    )
}

#[test]
fn coordinators_are_looked_for_by_their_group_in_every_version() {
    let make = |version: i16, kind: i8| {
        let mut ask = FindCoordinatorRequest::default().with_key_type(kind);
        let mut answer = FindCoordinatorResponse::default();
        if version < 4 {
            ask = ask.with_key(text("cart"));
            answer = answer.with_error_code(15).with_host(text("broker"));
        } else {
            ask = ask.with_coordinator_keys(vec![text("cart")]);
            let told = Coordinator::default().with_host(text("broker")).with_error_code(15);
            answer = answer.with_coordinators(vec![told]);
        }
        (ask, answer)
    };
    each(|version| make(version, 0), &[OF_GROUP, WHOLE], &["COORDINATOR_NOT_AVAILABLE", WHOLE]);
    for version in 1..=FindCoordinatorRequest::VERSIONS.max {
        let (ask, answer) = make(version, 1);
        has(&tell(&[said(1, version, &ask, &answer)])[0], &["group: None", WHOLE]);
    }
}

/// Answers that say how they went in one place, whatever else is in them.
#[test]
fn errors_of_other_answers_are_found_in_every_version() {
    macro_rules! answers {
        ($($request:ident $response:ident),* $(,)?) => {$(
            each(
                |_| ($request::default(), $response::default().with_error_code(42)),
                &[],
                &["error: Some(\"INVALID_REQUEST\")"],
            );
        )*};
    }
    answers!(
        AddOffsetsToTxnRequest AddOffsetsToTxnResponse,
        AllocateProducerIdsRequest AllocateProducerIdsResponse,
        AlterPartitionRequest AlterPartitionResponse,
        AssignReplicasToDirsRequest AssignReplicasToDirsResponse,
        BrokerHeartbeatRequest BrokerHeartbeatResponse,
        BrokerRegistrationRequest BrokerRegistrationResponse,
        ControllerRegistrationRequest ControllerRegistrationResponse,
        DescribeAclsRequest DescribeAclsResponse,
        DescribeClientQuotasRequest DescribeClientQuotasResponse,
        DescribeClusterRequest DescribeClusterResponse,
        DescribeQuorumRequest DescribeQuorumResponse,
        DescribeUserScramCredentialsRequest DescribeUserScramCredentialsResponse,
        EndTxnRequest EndTxnResponse,
        FetchSnapshotRequest FetchSnapshotResponse,
        GetTelemetrySubscriptionsRequest GetTelemetrySubscriptionsResponse,
        InitProducerIdRequest InitProducerIdResponse,
        ListConfigResourcesRequest ListConfigResourcesResponse,
        ListGroupsRequest ListGroupsResponse,
        ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse,
        ListTransactionsRequest ListTransactionsResponse,
        PushTelemetryRequest PushTelemetryResponse,
        SaslAuthenticateRequest SaslAuthenticateResponse,
        SaslHandshakeRequest SaslHandshakeResponse,
        ShareAcknowledgeRequest ShareAcknowledgeResponse,
        ShareFetchRequest ShareFetchResponse,
        ShareGroupHeartbeatRequest ShareGroupHeartbeatResponse,
        UnregisterBrokerRequest UnregisterBrokerResponse,
        UpdateFeaturesRequest UpdateFeaturesResponse,
        UpdateRaftVoterRequest UpdateRaftVoterResponse,
        VoteRequest VoteResponse,
    );
}

#[test]
fn names_of_requests_and_their_flexible_versions_are_those_of_the_other_implementation() {
    let mut seen = 0;
    for key in -5..300_i16 {
        let Ok(theirs) = ApiKey::try_from(key) else { continue };
        seen += 1;
        assert_eq!(Api::new(key).name(), format!("{theirs:?}"));
        // What they do not read as flexible we would not find the client's name behind the head of.
        let range = theirs.valid_versions();
        for version in range.min..=range.max {
            let bytes = frame_of(key, version, theirs.request_header_version(version));
            let told = tell(&[Said { request: bytes, response: Vec::new() }]);
            has(&told[0], &[&format!("api: {:?}", Api::new(key).name()), "client_id: Some(\"shop-1\")"]);
        }
    }
    assert!(seen > 80);
}

fn frame_of(key: i16, version: i16, header: i16) -> Vec<u8> {
    let head = RequestHeader::default()
        .with_request_api_key(key)
        .with_request_api_version(version)
        .with_client_id(Some(text(CLIENT)));
    let mut bytes = bytes::BytesMut::new();
    head.encode(&mut bytes, header).unwrap();
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], &bytes].concat()
}

#[test]
fn error_codes_are_named_as_the_other_implementation_does() {
    let mut same = 0;
    for code in (-1..134_i16).filter(|code| *code != 0) {
        let ours: String = ErrorCode::new(code).unwrap().name().split('_').collect();
        let Some(theirs) = ResponseError::try_from_code(code) else { continue };
        let theirs = format!("{theirs:?}").to_ascii_uppercase();
        if !theirs.starts_with("UNKNOWN(") {
            assert_eq!(ours, theirs, "{code}");
            same += 1;
        }
    }
    assert!(same > 100, "{same}");
    assert_eq!(ErrorCode::new(0), None);
}

/// Not a test of the parser, but of the tests: another error, topic or version would be noticed.
#[test]
fn a_wrong_answer_is_noticed() {
    let wrong =
        std::panic::catch_unwind(|| has(&tell(&[produce(1, 9, PORTIONS, 3)])[1], &["INVALID_RECORD"]));
    assert!(wrong.is_err());
    let body = produce_response(9, PORTIONS, 0);
    let of_another_version = kafka_wire::response(1, 8, &body);
    let request = kafka_wire::request(1, 9, &produce_request(9, 1, PORTIONS, 9));
    has(&tell(&[Said { request, response: of_another_version }])[1], &["whole: false"]);
    let _ = <ProduceResponse as HeaderVersion>::header_version(9);
}
