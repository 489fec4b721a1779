//! Keys of the OpenTelemetry semantic conventions (1.37) that the suite reads or writes.

macro_rules! keys {
    ($($name:ident = $key:literal: $doc:literal;)*) => {
        $(#[doc = concat!("`", $key, "`: ", $doc, ".")] pub const $name: &str = $key;)*
    };
}

keys! {
    SERVICE_NAME = "service.name": "logical name of the service";
    SERVICE_INSTANCE_ID = "service.instance.id": "which instance of the service";
    SERVICE_PEER_NAME = "service.peer.name": "logical name of the service at the other end";
    SERVICE_VERSION = "service.version": "version of the service";
    PROCESS_PID = "process.pid": "process identifier";
    HTTP_REQUEST_METHOD = "http.request.method": "method of the request, or _OTHER";
    HTTP_REQUEST_METHOD_ORIGINAL = "http.request.method_original": "method as sent, where the other says _OTHER";
    HTTP_RESPONSE_STATUS_CODE = "http.response.status_code": "status code of the response";
    HTTP_REQUEST_BODY_SIZE = "http.request.body.size": "bytes of the request body";
    HTTP_RESPONSE_BODY_SIZE = "http.response.body.size": "bytes of the response body";
    HTTP_ROUTE = "http.route": "matched route template";
    URL_PATH = "url.path": "path of the request";
    URL_QUERY = "url.query": "query of the request, redacted";
    URL_SCHEME = "url.scheme": "scheme of the request";
    SERVER_ADDRESS = "server.address": "address of the server";
    SERVER_PORT = "server.port": "port of the server";
    CLIENT_ADDRESS = "client.address": "address of the client";
    CLIENT_PORT = "client.port": "port of the client";
    NETWORK_PEER_ADDRESS = "network.peer.address": "address of the other end of the connection";
    NETWORK_PEER_PORT = "network.peer.port": "port of the other end of the connection";
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
    DB_OPERATION_BATCH_SIZE = "db.operation.batch.size": "commands in the batch";
    CODE_FILE_PATH = "code.file.path": "source file";
    CODE_LINE_NUMBER = "code.line.number": "line in the source file";
    THREAD_ID = "thread.id": "number of the thread, as the program has it";
    THREAD_NAME = "thread.name": "name of the thread";
    EXCEPTION_MESSAGE = "exception.message": "message of the exception";
}
