// A client and a server of grpc-go, whose messages are plain bytes; over TLS with that word.
//
// grpc serve [tls]         prints its port, serves until its input ends
// grpc call ADDRESS [tls]  calls, prints what came of it: a line each of method, status and times
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// plain takes the place of protobuf: a message is its bytes.
type plain struct{}

func (plain) Marshal(message interface{}) ([]byte, error) { return *message.(*[]byte), nil }
func (plain) Unmarshal(bytes []byte, message interface{}) error {
	*message.(*[]byte) = append([]byte{}, bytes...)
	return nil
}
func (plain) Name() string { return "proto" }

func init() { encoding.RegisterCodec(plain{}) }

func main() {
	words, encrypted := words()
	switch {
	case len(words) == 1 && words[0] == "serve":
		serve(encrypted)
	case len(words) == 2 && words[0] == "call":
		call(words[1], encrypted)
	default:
		fail(fmt.Errorf("usage: grpc serve [tls] | grpc call ADDRESS [tls]"))
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type shop interface{}

func unary(work func([]byte) ([]byte, error)) func(interface{}, context.Context, func(interface{}) error, grpc.UnaryServerInterceptor) (interface{}, error) {
	return func(_ interface{}, _ context.Context, decode func(interface{}) error, _ grpc.UnaryServerInterceptor) (interface{}, error) {
		asked := []byte{}
		if err := decode(&asked); err != nil {
			return nil, err
		}
		answer, err := work(asked)
		return &answer, err
	}
}

func echo(_ interface{}, stream grpc.ServerStream) error {
	for {
		message := []byte{}
		err := stream.RecvMsg(&message)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.SendMsg(&message); err != nil {
			return err
		}
	}
}

func serve(encrypted bool) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	fail(err)
	options := []grpc.ServerOption{}
	if encrypted {
		options = append(options, grpc.Creds(credentials.NewTLS(identity())))
	}
	server := grpc.NewServer(options...)
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "shop.v1.Cart",
		HandlerType: (*shop)(nil),
		Methods: []grpc.MethodDesc{
			{MethodName: "Add", Handler: unary(func(asked []byte) ([]byte, error) { return asked, nil })},
			{MethodName: "Missing", Handler: unary(func([]byte) ([]byte, error) {
				return nil, status.Error(codes.NotFound, "s3cret")
			})},
			{MethodName: "Broken", Handler: unary(func([]byte) ([]byte, error) {
				return nil, status.Error(codes.Internal, "s3cret")
			})},
		},
		Streams: []grpc.StreamDesc{{StreamName: "Echo", Handler: echo, ServerStreams: true, ClientStreams: true}},
	}, struct{}{})
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fail(server.Serve(listener))
}

func call(address string, encrypted bool) {
	within, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	security := grpc.WithInsecure()
	if encrypted {
		security = grpc.WithTransportCredentials(credentials.NewTLS(trusting()))
	}
	connection, err := grpc.DialContext(within, address, security, grpc.WithBlock())
	fail(err)
	count := map[string]int{}
	var lock sync.Mutex
	note := func(method string, err error) {
		lock.Lock()
		defer lock.Unlock()
		count[fmt.Sprintf("%s %s", method, name(status.Code(err)))]++
	}
	var all sync.WaitGroup
	for worker := 0; worker < 8; worker++ {
		all.Add(1)
		go func(worker int) {
			defer all.Done()
			for turn := 0; turn < 20; turn++ {
				parent := fmt.Sprintf("00-%032x-%016x-01", worker*100+turn+1, worker*100+turn+1)
				traced := metadata.AppendToOutgoingContext(within, "traceparent", parent, "authorization", "s3cret")
				method := []string{"Add", "Missing", "Broken", "Absent"}[(worker+turn)%4]
				asked, answer := []byte(strings.Repeat("s3cret", 200)), []byte{}
				note(method, connection.Invoke(traced, "/shop.v1.Cart/"+method, &asked, &answer))
			}
			note("Echo", talk(within, connection))
		}(worker)
	}
	all.Wait()
	lines := []string{}
	for line, times := range count {
		lines = append(lines, fmt.Sprintf("shop.v1.Cart/%s %d", line, times))
	}
	sort.Strings(lines)
	fmt.Println(strings.Join(lines, "\n"))
}

func talk(within context.Context, connection *grpc.ClientConn) error {
	description := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	stream, err := connection.NewStream(within, description, "/shop.v1.Cart/Echo")
	if err != nil {
		return err
	}
	for turn := 0; turn < 10; turn++ {
		message := []byte("s3cret")
		if err := stream.SendMsg(&message); err != nil {
			return err
		}
		if err := stream.RecvMsg(&message); err != nil {
			return err
		}
	}
	fail(stream.CloseSend())
	message := []byte{}
	if err := stream.RecvMsg(&message); err != io.EOF {
		return err
	}
	return nil
}

// name is what the specification calls a status; Go has names of its own.
func name(code codes.Code) string {
	names := map[codes.Code]string{
		codes.OK: "OK", codes.NotFound: "NOT_FOUND", codes.Internal: "INTERNAL", codes.Unimplemented: "UNIMPLEMENTED",
	}
	if known, found := names[code]; found {
		return known
	}
	return code.String()
}
