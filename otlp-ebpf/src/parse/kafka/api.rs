//! The requests of Kafka by their keys, as of Kafka 4.1.

/// What a request is, by its key on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Api(i16);

impl Api {
    /// Messages to the broker.
    pub const PRODUCE: Self = Self(0);
    /// Messages from the broker.
    pub const FETCH: Self = Self(1);
    /// The brokers, topics and partitions there are.
    pub const METADATA: Self = Self(3);
    /// How far a consumer group has come.
    pub const OFFSET_COMMIT: Self = Self(8);
    /// Chooses the mechanism by which the client proves who it is.
    pub const SASL_HANDSHAKE: Self = Self(17);
    /// The requests and versions that the broker knows.
    pub const API_VERSIONS: Self = Self(18);

    pub(super) const CONTROLLED_SHUTDOWN: Self = Self(7);

    /// The request of this key; any key is taken.
    #[must_use]
    pub const fn new(key: i16) -> Self {
        Self(key)
    }

    /// Its key on the wire.
    #[must_use]
    pub const fn key(self) -> i16 {
        self.0
    }

    /// Its name as Kafka's documentation has it; `_OTHER` for a key that is not known here.
    ///
    /// ```
    /// use otlp_ebpf::parse::kafka::Api;
    /// assert_eq!((Api::new(11).name(), Api::new(-3).name()), ("JoinGroup", "_OTHER"));
    /// ```
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().map_or("_OTHER", |row| row.name)
    }

    /// True where requests of this version are laid out as is known here.
    pub(super) fn knows(self, version: i16) -> bool {
        self.row().is_some_and(|row| (0..=row.last).contains(&version))
    }

    /// True where the version writes lengths as varints and ends its structures with tagged fields (KIP-482).
    pub(super) fn is_flexible(self, version: i16) -> bool {
        self.row().is_some_and(|row| version >= row.flexible)
    }

    fn row(self) -> Option<&'static Row> {
        usize::try_from(self.0).ok().and_then(|key| ROWS.get(key))
    }
}

#[derive(Debug)]
struct Row {
    name: &'static str,
    /// The newest version known, and the first flexible one.
    last: i16,
    flexible: i16,
}

const NEVER: i16 = i16::MAX;

const fn row(name: &'static str, last: i16, flexible: i16) -> Row {
    Row { name, last, flexible }
}

/// By key.
const ROWS: [Row; 93] = [
    row("Produce", 13, 9),
    row("Fetch", 18, 12),
    row("ListOffsets", 11, 6),
    row("Metadata", 13, 9),
    row("LeaderAndIsr", 7, 4),
    row("StopReplica", 4, 2),
    row("UpdateMetadata", 8, 6),
    row("ControlledShutdown", 3, 3),
    row("OffsetCommit", 10, 8),
    row("OffsetFetch", 10, 6),
    row("FindCoordinator", 6, 3),
    row("JoinGroup", 9, 6),
    row("Heartbeat", 4, 4),
    row("LeaveGroup", 5, 4),
    row("SyncGroup", 5, 4),
    row("DescribeGroups", 6, 5),
    row("ListGroups", 5, 3),
    row("SaslHandshake", 1, NEVER),
    row("ApiVersions", 4, 3),
    row("CreateTopics", 7, 5),
    row("DeleteTopics", 6, 4),
    row("DeleteRecords", 2, 2),
    row("InitProducerId", 6, 2),
    row("OffsetForLeaderEpoch", 4, 4),
    row("AddPartitionsToTxn", 5, 3),
    row("AddOffsetsToTxn", 4, 3),
    row("EndTxn", 5, 3),
    row("WriteTxnMarkers", 2, 1),
    row("TxnOffsetCommit", 5, 3),
    row("DescribeAcls", 3, 2),
    row("CreateAcls", 3, 2),
    row("DeleteAcls", 3, 2),
    row("DescribeConfigs", 4, 4),
    row("AlterConfigs", 2, 2),
    row("AlterReplicaLogDirs", 2, 2),
    row("DescribeLogDirs", 4, 2),
    row("SaslAuthenticate", 2, 2),
    row("CreatePartitions", 3, 2),
    row("CreateDelegationToken", 3, 2),
    row("RenewDelegationToken", 2, 2),
    row("ExpireDelegationToken", 2, 2),
    row("DescribeDelegationToken", 3, 2),
    row("DeleteGroups", 2, 2),
    row("ElectLeaders", 2, 2),
    row("IncrementalAlterConfigs", 1, 1),
    row("AlterPartitionReassignments", 1, 0),
    row("ListPartitionReassignments", 0, 0),
    row("OffsetDelete", 0, NEVER),
    row("DescribeClientQuotas", 1, 1),
    row("AlterClientQuotas", 1, 1),
    row("DescribeUserScramCredentials", 0, 0),
    row("AlterUserScramCredentials", 0, 0),
    row("Vote", 2, 0),
    row("BeginQuorumEpoch", 1, 1),
    row("EndQuorumEpoch", 1, 1),
    row("DescribeQuorum", 2, 0),
    row("AlterPartition", 3, 0),
    row("UpdateFeatures", 2, 0),
    row("Envelope", 0, 0),
    row("FetchSnapshot", 1, 0),
    row("DescribeCluster", 2, 0),
    row("DescribeProducers", 0, 0),
    row("BrokerRegistration", 4, 0),
    row("BrokerHeartbeat", 1, 0),
    row("UnregisterBroker", 0, 0),
    row("DescribeTransactions", 0, 0),
    row("ListTransactions", 2, 0),
    row("AllocateProducerIds", 0, 0),
    row("ConsumerGroupHeartbeat", 1, 0),
    row("ConsumerGroupDescribe", 1, 0),
    row("ControllerRegistration", 0, 0),
    row("GetTelemetrySubscriptions", 0, 0),
    row("PushTelemetry", 0, 0),
    row("AssignReplicasToDirs", 0, 0),
    row("ListConfigResources", 1, 0),
    row("DescribeTopicPartitions", 0, 0),
    row("ShareGroupHeartbeat", 1, 0),
    row("ShareGroupDescribe", 1, 0),
    row("ShareFetch", 1, 0),
    row("ShareAcknowledge", 1, 0),
    row("AddRaftVoter", 0, 0),
    row("RemoveRaftVoter", 0, 0),
    row("UpdateRaftVoter", 0, 0),
    row("InitializeShareGroupState", 0, 0),
    row("ReadShareGroupState", 0, 0),
    row("WriteShareGroupState", 0, 0),
    row("DeleteShareGroupState", 0, 0),
    row("ReadShareGroupStateSummary", 0, 0),
    row("StreamsGroupHeartbeat", 0, 0),
    row("StreamsGroupDescribe", 0, 0),
    row("DescribeShareGroupOffsets", 0, 0),
    row("AlterShareGroupOffsets", 0, 0),
    row("DeleteShareGroupOffsets", 0, 0),
];
