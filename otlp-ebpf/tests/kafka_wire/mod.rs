//! Kafka as another implementation writes it: frames by `kafka-protocol`, of any version that it knows.

#![allow(dead_code, reason = "each test uses its part")]

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{
    BrokerId, FetchRequest, FetchResponse, MetadataRequest, MetadataResponse, ProduceRequest,
    ProduceResponse, RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Encodable, HeaderVersion, Request, StrBytes};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Record, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType,
};

pub(crate) const CLIENT: &str = "shop-1";

/// One request and its answer, as bytes.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) request: Vec<u8>,
    /// Empty where none is given.
    pub(crate) response: Vec<u8>,
}

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(crate) fn topic(name: &str) -> TopicName {
    TopicName(text(name))
}

/// The id that the topic of this name has in all of these tests, as text.
pub(crate) fn id(name: &str) -> String {
    let mut bytes = [7; 16];
    bytes.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to ^= from);
    format!("{:032x}", u128::from_be_bytes(bytes))
}

fn frame(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    [&length.to_be_bytes()[..], body].concat()
}

pub(crate) fn request<R: Request>(number: i32, version: i16, body: &R) -> Vec<u8> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(number)
        .with_client_id(Some(text(CLIENT)));
    let mut bytes = BytesMut::new();
    header.encode(&mut bytes, R::header_version(version)).unwrap();
    body.encode(&mut bytes, version).unwrap();
    frame(&bytes)
}

pub(crate) fn response<R: Encodable + HeaderVersion>(number: i32, version: i16, body: &R) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    ResponseHeader::default()
        .with_correlation_id(number)
        .encode(&mut bytes, R::header_version(version))
        .unwrap();
    body.encode(&mut bytes, version).unwrap();
    frame(&bytes)
}

pub(crate) fn said<R: Request>(number: i32, version: i16, ask: &R, answer: &R::Response) -> Said {
    Said { request: request(number, version, ask), response: response(number, version, answer) }
}

/// One batch of so many records.
pub(crate) fn batch(count: i64, value: usize) -> Bytes {
    let records: Vec<_> = (0..count)
        .map(|offset| Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            timestamp_type: TimestampType::Creation,
            offset,
            sequence: i32::try_from(offset).unwrap(),
            timestamp: 1_700_000_000_000 + offset,
            key: Some(Bytes::from_static(b"key")),
            value: Some(Bytes::from(vec![b'v'; value])),
            headers: Default::default(),
        })
        .collect();
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut bytes, &records, &options).unwrap();
    bytes.freeze()
}

/// What is written to or read from a topic: partitions, and how many records each has.
pub(crate) type Portions<'a> = &'a [(&'a str, &'a [(i32, i64)])];

/// Partitions that have that many records get two batches.
const TWO_BATCHES: i64 = 3;

fn batches(records: i64, value: usize) -> Option<Bytes> {
    match records {
        0 => None,
        TWO_BATCHES => Some([batch(1, value), batch(2, value)].concat().into()),
        _ => Some(batch(records, value)),
    }
}

pub(crate) fn produce_request(
    version: i16,
    acks: i16,
    portions: Portions<'_>,
    value: usize,
) -> ProduceRequest {
    let topics = portions.iter().map(|(name, partitions)| {
        let data = partitions.iter().map(|(index, records)| {
            PartitionProduceData::default().with_index(*index).with_records(batches(*records, value))
        });
        let topic_data = TopicProduceData::default().with_partition_data(data.collect());
        if version >= 13 {
            topic_data.with_topic_id(id(name).parse().unwrap())
        } else {
            topic_data.with_name(topic(name))
        }
    });
    ProduceRequest::default().with_acks(acks).with_timeout_ms(30_000).with_topic_data(topics.collect())
}

pub(crate) fn produce_response(version: i16, portions: Portions<'_>, error: i16) -> ProduceResponse {
    let topics = portions.iter().map(|(name, partitions)| {
        let partitions = partitions.iter().map(|(index, _)| {
            let partition = PartitionProduceResponse::default().with_index(*index).with_error_code(error);
            if version < 8 || error == 0 {
                return partition;
            }
            partition
                .with_error_message(Some(text("it went wrong")))
                .with_record_errors(vec![BatchIndexAndErrorMessage::default().with_batch_index(3)])
        });
        let told = TopicProduceResponse::default().with_partition_responses(partitions.collect());
        if version >= 13 {
            told.with_topic_id(id(name).parse().unwrap())
        } else {
            told.with_name(topic(name))
        }
    });
    ProduceResponse::default().with_responses(topics.collect())
}

pub(crate) fn produce(number: i32, version: i16, portions: Portions<'_>, error: i16) -> Said {
    let ask = produce_request(version, 1, portions, 30);
    said(number, version, &ask, &produce_response(version, portions, error))
}

/// Asks for the partitions, as a session does in its `epoch`.
pub(crate) fn fetch_request(
    version: i16,
    session: (i32, i32),
    asks: Portions<'_>,
    forgets: &[&str],
) -> FetchRequest {
    let topics = asks.iter().map(|(name, partitions)| {
        let partitions = partitions.iter().map(|(index, _)| FetchPartition::default().with_partition(*index));
        let asked = FetchTopic::default().with_partitions(partitions.collect());
        if version >= 13 {
            asked.with_topic_id(id(name).parse().unwrap())
        } else {
            asked.with_topic(topic(name))
        }
    });
    let mut ask =
        FetchRequest::default().with_max_wait_ms(500).with_min_bytes(1).with_topics(topics.collect());
    if version >= 7 {
        ask = ask.with_session_id(session.0).with_session_epoch(session.1);
        let forgotten = forgets.iter().map(|name| {
            let forgotten = ForgottenTopic::default().with_partitions(vec![0]);
            if version >= 13 {
                forgotten.with_topic_id(id(name).parse().unwrap())
            } else {
                forgotten.with_topic(topic(name))
            }
        });
        ask = ask.with_forgotten_topics_data(forgotten.collect());
    }
    ask
}

pub(crate) fn fetch_response(version: i16, session: i32, gives: Portions<'_>, error: i16) -> FetchResponse {
    let topics = gives.iter().map(|(name, partitions)| {
        let partitions = partitions.iter().map(|(index, records)| {
            PartitionData::default()
                .with_partition_index(*index)
                .with_error_code(error)
                .with_high_watermark(77)
                .with_aborted_transactions(Some(Vec::new()))
                .with_records(Some(batches(*records, 30).unwrap_or_default()))
        });
        let given = FetchableTopicResponse::default().with_partitions(partitions.collect());
        if version >= 13 {
            given.with_topic_id(id(name).parse().unwrap())
        } else {
            given.with_topic(topic(name))
        }
    });
    let answer = FetchResponse::default().with_responses(topics.collect());
    if version >= 7 { answer.with_session_id(session) } else { answer }
}

pub(crate) fn fetch(number: i32, version: i16, portions: Portions<'_>, error: i16) -> Said {
    let ask = fetch_request(version, (0, 0), portions, &[]);
    said(number, version, &ask, &fetch_response(version, 0, portions, error))
}

pub(crate) fn metadata(number: i32, version: i16, topics: &[&str], error: i16) -> Said {
    let asked = topics.iter().map(|name| MetadataRequestTopic::default().with_name(Some(topic(name))));
    let told = topics.iter().map(|name| {
        let partitions = (0..3).map(|index| {
            MetadataResponsePartition::default()
                .with_partition_index(index)
                .with_leader_id(BrokerId(1))
                .with_error_code(9)
                .with_replica_nodes(vec![BrokerId(1), BrokerId(2)])
                .with_isr_nodes(vec![BrokerId(1)])
        });
        let told = MetadataResponseTopic::default()
            .with_error_code(error)
            .with_name(Some(topic(name)))
            .with_partitions(partitions.collect());
        if version >= 10 { told.with_topic_id(id(name).parse().unwrap()) } else { told }
    });
    let broker = MetadataResponseBroker::default().with_host(text("broker-1")).with_port(9092);
    let answer = MetadataResponse::default().with_brokers(vec![broker]).with_topics(told.collect());
    said(number, version, &MetadataRequest::default().with_topics(Some(asked.collect())), &answer)
}

/// A request that is written by hand: its body has no more than `body`.
pub(crate) fn by_hand(key: i16, version: i16, number: i32, body: &[u8]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    bytes.put_i16(key);
    bytes.put_i16(version);
    bytes.put_i32(number);
    bytes.put_i16(i16::try_from(CLIENT.len()).unwrap());
    bytes.put_slice(CLIENT.as_bytes());
    bytes.put_slice(body);
    frame(&bytes)
}

pub(crate) fn answer_by_hand(number: i32, body: &[u8]) -> Vec<u8> {
    frame(&[&number.to_be_bytes()[..], body].concat())
}
