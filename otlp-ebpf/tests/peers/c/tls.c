// An HTTP/1.1 server over TLS with OpenSSL, one connection at a time, its certificate of its own making.
//
// tls             prints its port, serves until it is killed: what was asked for
// tls ask PORT    asks such a server for three paths over one connection, twice, and reads the answers
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int identify(SSL_CTX *context)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);

    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_set_pubkey(certificate, key);
    return X509_sign(certificate, key, EVP_sha256()) && SSL_CTX_use_certificate(context, certificate) == 1
        && SSL_CTX_use_PrivateKey(context, key) == 1;
}

static void answer(SSL *ssl)
{
    char request[4096], response[4096], path[256];
    int bytes;

    while ((bytes = SSL_read(ssl, request, sizeof(request) - 1)) > 0) {
        request[bytes] = 0;
        if (sscanf(request, "GET %255s", path) != 1)
            return;
        bytes = snprintf(response, sizeof(response), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s",
            strstr(path, "gone") ? "410 Gone" : "200 OK", strlen(path), path);
        if (SSL_write(ssl, response, bytes) <= 0)
            return;
    }
}

static int ask(int port)
{
    static const char *const paths[] = { "/one?token=hunter2", "/gone", "/three" };
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port) };
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    for (int turn = 0; turn < 2; turn++) {
        int socket_fd = socket(AF_INET, SOCK_STREAM, 0);
        SSL *ssl = SSL_new(context);

        if (connect(socket_fd, (void *)&address, sizeof(address)))
            return 1;
        SSL_set_fd(ssl, socket_fd);
        if (SSL_connect(ssl) != 1)
            return 1;
        for (int path = 0; path < 3; path++) {
            char text[4096];
            int bytes = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: guest\r\nUser-Agent: curl/0\r\n\r\n", paths[path]);

            if (SSL_write(ssl, text, bytes) != bytes || SSL_read(ssl, text, sizeof(text)) <= 0)
                return 1;
        }
        SSL_shutdown(ssl);
        SSL_free(ssl);
        close(socket_fd);
    }
    return 0;
}

int main(int count, char **words)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    signal(SIGPIPE, SIG_IGN);
    if (count == 3)
        return ask(atoi(words[2]));
    if (!identify(context) || bind(listener, (void *)&address, length) || listen(listener, 16)
        || getsockname(listener, (void *)&address, &length))
        return 1;
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int socket = accept(listener, 0, 0);
        SSL *ssl = SSL_new(context);

        SSL_set_fd(ssl, socket);
        if (SSL_accept(ssl) == 1)
            answer(ssl);
        SSL_free(ssl);
        close(socket);
    }
}
