//! Keys of the OpenTelemetry semantic conventions (1.42) that the suite reads or writes.

macro_rules! keys {
    ($($name:ident = $key:literal: $doc:literal;)*) => {
        $(#[doc = concat!("`", $key, "`: ", $doc, ".")] pub const $name: &str = $key;)*

        /// Each key, and the constant of the same name in the crate that is generated from the conventions.
        #[cfg(test)]
        const PAIRS: &[(&str, &str)] = &[$(($name, opentelemetry_semantic_conventions::attribute::$name)),*];
    };
}

keys! {
    SERVICE_NAME = "service.name": "logical name of the service";
    SERVICE_NAMESPACE = "service.namespace": "what the service's name is unique within";
    SERVICE_INSTANCE_ID = "service.instance.id": "which instance of the service";
    SERVICE_PEER_NAME = "service.peer.name": "logical name of the service at the other end";
    SERVICE_VERSION = "service.version": "version of the service";
    DEPLOYMENT_ID = "deployment.id": "which rollout";
    DEPLOYMENT_ENVIRONMENT_NAME = "deployment.environment.name": "such as staging or production";
    TELEMETRY_SDK_LANGUAGE = "telemetry.sdk.language": "language of what made the telemetry";
    TELEMETRY_SDK_NAME = "telemetry.sdk.name": "what made the telemetry";
    TELEMETRY_SDK_VERSION = "telemetry.sdk.version": "version of what made the telemetry";
    HOST_NAME = "host.name": "name of the host";
    HOST_ARCH = "host.arch": "architecture of the processor";
    OS_TYPE = "os.type": "operating system";
    CONTAINER_ID = "container.id": "identifier of the container";
    K8S_NAMESPACE_NAME = "k8s.namespace.name": "namespace in Kubernetes";
    K8S_POD_NAME = "k8s.pod.name": "pod in Kubernetes";
    PROCESS_PID = "process.pid": "process identifier";
    PROCESS_EXECUTABLE_NAME = "process.executable.name": "file name of the program";
    PROCESS_COMMAND_LINE = "process.command_line": "how the program was called";
    HTTP_REQUEST_METHOD = "http.request.method": "method of the request, or _OTHER";
    HTTP_REQUEST_METHOD_ORIGINAL = "http.request.method_original": "method as sent, where the other says _OTHER";
    HTTP_RESPONSE_STATUS_CODE = "http.response.status_code": "status code of the response";
    HTTP_REQUEST_BODY_SIZE = "http.request.body.size": "bytes of the request body";
    HTTP_RESPONSE_BODY_SIZE = "http.response.body.size": "bytes of the response body";
    HTTP_ROUTE = "http.route": "matched route template";
    URL_FULL = "url.full": "whole address of the request, redacted";
    URL_PATH = "url.path": "path of the request";
    URL_QUERY = "url.query": "query of the request, redacted";
    URL_SCHEME = "url.scheme": "scheme of the request";
    SERVER_ADDRESS = "server.address": "address of the server";
    SERVER_PORT = "server.port": "port of the server";
    CLIENT_ADDRESS = "client.address": "address of the client";
    CLIENT_PORT = "client.port": "port of the client";
    NETWORK_PEER_ADDRESS = "network.peer.address": "address of the other end of the connection";
    NETWORK_PEER_PORT = "network.peer.port": "port of the other end of the connection";
    NETWORK_TRANSPORT = "network.transport": "transport protocol";
    NETWORK_PROTOCOL_NAME = "network.protocol.name": "application protocol";
    NETWORK_PROTOCOL_VERSION = "network.protocol.version": "version of the application protocol";
    USER_AGENT_ORIGINAL = "user_agent.original": "User-Agent header";
    ERROR_TYPE = "error.type": "class of the failure";
    DB_SYSTEM_NAME = "db.system.name": "which database";
    DB_OPERATION_NAME = "db.operation.name": "command or operation";
    DB_QUERY_TEXT = "db.query.text": "sanitised query";
    DB_QUERY_SUMMARY = "db.query.summary": "low-cardinality summary of the query";
    DB_NAMESPACE = "db.namespace": "database within the server";
    DB_RESPONSE_STATUS_CODE = "db.response.status_code": "status or error code of the database";
    DB_RESPONSE_RETURNED_ROWS = "db.response.returned_rows": "rows that the operation returned";
    DB_OPERATION_BATCH_SIZE = "db.operation.batch.size": "commands in the batch";
    DB_COLLECTION_NAME = "db.collection.name": "table or collection";
    RPC_SYSTEM_NAME = "rpc.system.name": "which remote procedure protocol";
    RPC_METHOD = "rpc.method": "service and method called";
    RPC_RESPONSE_STATUS_CODE = "rpc.response.status_code": "status code of the answer";
    MESSAGING_SYSTEM = "messaging.system": "which messaging system";
    MESSAGING_CLIENT_ID = "messaging.client.id": "name that a client of the messaging system gives itself";
    MESSAGING_CONSUMER_GROUP_NAME = "messaging.consumer.group.name": "group of consumers";
    MESSAGING_DESTINATION_NAME = "messaging.destination.name": "topic or queue";
    MESSAGING_DESTINATION_PARTITION_ID = "messaging.destination.partition.id": "partition of the topic";
    MESSAGING_MESSAGE_ENVELOPE_SIZE = "messaging.message.envelope.size": "bytes of a message and what describes it";
    MESSAGING_OPERATION_NAME = "messaging.operation.name": "operation, as the system calls it";
    MESSAGING_OPERATION_TYPE = "messaging.operation.type": "send, receive, process and so on";
    MESSAGING_BATCH_MESSAGE_COUNT = "messaging.batch.message_count": "messages in the batch";
    CODE_FILE_PATH = "code.file.path": "source file";
    CODE_FUNCTION_NAME = "code.function.name": "function, with its module";
    CODE_LINE_NUMBER = "code.line.number": "line in the source file";
    THREAD_ID = "thread.id": "number of the thread, as the program has it";
    THREAD_NAME = "thread.name": "name of the thread";
    EXCEPTION_TYPE = "exception.type": "type of the exception";
    EXCEPTION_MESSAGE = "exception.message": "message of the exception";
    EXCEPTION_STACKTRACE = "exception.stacktrace": "where the exception came from";
}

#[cfg(test)]
mod tests {
    use opentelemetry_semantic_conventions as conventions;

    use super::*;

    #[test]
    fn every_key_is_spelled_as_in_the_conventions() {
        let wrong: Vec<_> = PAIRS.iter().filter(|(ours, theirs)| ours != theirs).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        assert!(PAIRS.len() >= 60);
    }

    #[test]
    fn the_version_named_above_is_the_one_compared_with() {
        assert!(include_str!("semconv.rs").contains("(1.42)"));
        assert_eq!(conventions::SCHEMA_URL, "https://opentelemetry.io/schemas/1.42.0");
    }
}
