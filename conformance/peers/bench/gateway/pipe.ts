/**
 * The base of the comparison: a bare `node:http` server that pipes requests and responses, in a process of its own. The argument is the origin.
 */
import { Agent, createServer, request as send } from "node:http"
import type { AddressInfo } from "node:net"

const origin = new URL(process.argv[2] ?? "")
const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY })

const server = createServer((request, response) => {
  const { headers, method, url } = request
  const upstream = send({ agent, host: origin.hostname, port: origin.port, path: url, method, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers)
    answer.pipe(response)
  })
  upstream.on("error", () => response.destroy())
  response.on("close", () => upstream.destroy())
  request.pipe(upstream)
})

process.on("disconnect", () => process.exit(0))
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => process.send?.((server.address() as AddressInfo).port))
