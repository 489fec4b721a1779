// A service that speaks gRPC-Web, and a client of it: `serve VERSION`, `ask VERSION PORT FORM`.
import http from "node:http";
import http2 from "node:http2";
import { createRequire } from "node:module";

const require = createRequire(process.env.OTLP_NODE_MODULES + "/");
const { create, createFileRegistry } = require("@bufbuild/protobuf");
const { FileDescriptorProtoSchema, FileDescriptorSetSchema } = require("@bufbuild/protobuf/wkt");
const { Code, ConnectError, createClient } = require("@connectrpc/connect");
const { connectNodeAdapter, createGrpcWebTransport } = require("@connectrpc/connect-node");

// shop.v1.Cart: what a compiler of .proto files would have written.
const note = { name: "Note", field: [{ name: "text", number: 1, type: 9, label: 1, jsonName: "text" }] };
const rpc = (name, serverStreaming) => ({
  name, serverStreaming, inputType: ".shop.v1.Note", outputType: ".shop.v1.Note",
});
const file = create(FileDescriptorProtoSchema, {
  name: "cart.proto", package: "shop.v1", syntax: "proto3", messageType: [note],
  service: [{ name: "Cart", method: [rpc("Add", false), rpc("Fail", false), rpc("List", true)] }],
});
const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [file] }));
const Cart = registry.getService("shop.v1.Cart");

const codes = [Code.NotFound, Code.ResourceExhausted, Code.Internal];
const routes = (router) => router.service(Cart, {
  add: ({ text }) => ({ text: `${text} added` }),
  fail({ text }) {
    throw new ConnectError("no such item", codes[Number(text)]);
  },
  async *list({ text }) {
    for (let item = 0; item < 5; item++) {
      yield { text: `${text} ${item}` };
    }
    if (text === "broken") {
      throw new ConnectError("the list ends here", Code.DataLoss);
    }
  },
});

function serve(version) {
  const listener = connectNodeAdapter({ routes, connect: false, grpc: false });
  const server = version === "2" ? http2.createServer(listener) : http.createServer(listener);
  server.listen(0, "127.0.0.1", () => console.log(server.address().port));
  process.stdin.resume();
  process.stdin.on("end", () => process.exit(0));
}

async function ask(version, port, form) {
  const transport = createGrpcWebTransport({
    baseUrl: `http://127.0.0.1:${port}`, httpVersion: version, useBinaryFormat: form === "proto",
  });
  const client = createClient(Cart, transport);
  // What the client itself says of each call.
  const call = async (method, text, run) => {
    let code = 0;
    try {
      await run(text);
    } catch (error) {
      code = ConnectError.from(error).code;
    }
    console.log(`shop.v1.Cart/${method} ${code}`);
  };
  const add = (text) => client.add({ text });
  const fail = (text) => client.fail({ text });
  const list = async (text) => {
    for await (const _ of client.list({ text }));
  };
  for (let number = 0; number < 20; number++) {
    await call("Add", "apple".repeat(number * 40 + 1), add);
    await call("Fail", String(number % codes.length), fail);
    await call("List", number % 2 ? "broken" : "all", list);
  }
  // Many at once.
  await Promise.all(Array.from({ length: 30 }, (_, number) => call("Add", `${number}`, add)));
  await Promise.all(Array.from({ length: 10 }, (_, number) => call("List", number % 2 ? "broken" : "all", list)));
  process.exit(0);
}

const [, , what, ...rest] = process.argv;
await (what === "serve" ? serve(...rest) : ask(...rest));
