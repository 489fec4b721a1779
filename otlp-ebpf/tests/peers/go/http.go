// A client and a server of net/http, over HTTP/1.1, or HTTP/2 in clear text; over TLS with that word.
//
// http serve 1|2 [tls]         prints its port, serves until its input ends
// http call 1|2 ADDRESS [tls]  asks, prints what it was answered: a line each of method, path, status, bytes and times
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
)

func main() {
	words, encrypted := words()
	switch {
	case len(words) == 2 && words[0] == "serve":
		serve(words[1] == "2", encrypted)
	case len(words) == 3 && words[0] == "call":
		call(words[1] == "2", words[2], encrypted)
	default:
		fail(fmt.Errorf("usage: http serve 1|2 [tls] | http call 1|2 ADDRESS [tls]"))
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func answer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	fail(err)
	switch r.URL.Path {
	case "/cart":
		w.Write(body)
	case "/stream":
		// Without a length: in chunks over HTTP/1.1.
		for i := 0; i < 5; i++ {
			io.WriteString(w, strings.Repeat("x", 1000))
			w.(http.Flusher).Flush()
		}
	case "/broken":
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		http.NotFound(w, r)
	}
}

func serve(two, encrypted bool) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	fail(err)
	var handler http.Handler = http.HandlerFunc(answer)
	if two && !encrypted {
		handler = h2c.NewHandler(handler, &http2.Server{})
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	if !encrypted {
		fail(http.Serve(listener, handler))
	}
	server := &http.Server{Handler: handler, TLSConfig: identity()}
	if !two {
		server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	}
	fail(server.ServeTLS(listener, "", ""))
}

func client(two, encrypted bool) *http.Client {
	if encrypted {
		transport := &http.Transport{TLSClientConfig: trusting(), ForceAttemptHTTP2: two}
		return &http.Client{Timeout: 20 * time.Second, Transport: transport}
	}
	if !two {
		return &http.Client{Timeout: 20 * time.Second}
	}
	dial := func(_ context.Context, network, address string, _ *tls.Config) (net.Conn, error) {
		return net.Dial(network, address)
	}
	return &http.Client{Timeout: 20 * time.Second, Transport: &http2.Transport{AllowHTTP: true, DialTLSContext: dial}}
}

func call(two bool, address string, encrypted bool) {
	type question struct{ method, path, body string }
	questions := []question{
		{"GET", "/stream", ""},
		{"POST", "/cart", strings.Repeat("b", 3000)},
		{"PUT", "/none", "four"},
		{"HEAD", "/broken", ""},
	}
	http, scheme := client(two, encrypted), "http://"
	if encrypted {
		scheme = "https://"
	}
	count := map[string]int{}
	var lock sync.Mutex
	var all sync.WaitGroup
	for worker := 0; worker < 8; worker++ {
		all.Add(1)
		go func(worker int) {
			defer all.Done()
			for turn := 0; turn < 20; turn++ {
				asked := questions[(worker+turn)%len(questions)]
				parent := fmt.Sprintf("00-%032x-%016x-01", worker*100+turn+1, worker*100+turn+1)
				status, bytes := ask(http, scheme+address, asked.method, asked.path, asked.body, parent)
				lock.Lock()
				count[fmt.Sprintf("%s %s %d %d", asked.method, asked.path, status, bytes)]++
				lock.Unlock()
			}
		}(worker)
	}
	all.Wait()
	lines := []string{}
	for line, times := range count {
		lines = append(lines, fmt.Sprintf("%s %d", line, times))
	}
	sort.Strings(lines)
	fmt.Println(strings.Join(lines, "\n"))
}

func ask(client *http.Client, address, method, path, body, parent string) (int, int) {
	request, err := http.NewRequest(method, address+path+"?token=s3cret", strings.NewReader(body))
	fail(err)
	request.Header.Set("traceparent", parent)
	request.Header.Set("Authorization", "Bearer s3cret")
	response, err := client.Do(request)
	fail(err)
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	fail(err)
	return response.StatusCode, len(got)
}
