/**
 * The server of the benchmark, in a process of its own: answers any POST to `/MODE/TEXT/TOKENS/GAP/…` with that stream. It writes HTTP chunks to the
 * socket itself, so that each event is one write.
 */
import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo, Socket } from "node:net"
import { setImmediate } from "node:timers/promises"
import { type Mode, pieces, type Text } from "./Wire.ts"

const frames = new Map<string, ReadonlyArray<Buffer>>()

const framesOf = (mode: Mode, text: Text, tokens: number) => {
  const key = `${mode}/${text}/${tokens}`
  const known =
    frames.get(key) ??
    pieces(mode, text, tokens).map((piece) => Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n")]))
  frames.set(key, known)
  return known
}

// Bytes to buffer ahead of the network, so that the client never waits for the server.
const enough = 1024 * 1024

const play = async (socket: Socket, all: ReadonlyArray<Buffer>, gap: number) => {
  let next = performance.now()
  for (const frame of all) {
    while (performance.now() < next) await setImmediate()
    if (socket.destroyed) return
    socket.write(frame)
    if (socket.writableLength > enough) await Promise.race([once(socket, "drain"), once(socket, "close")]).catch(() => undefined)
    next = performance.now() + gap
  }
  socket.end("0\r\n\r\n")
}

const server = createServer((request, response) => {
  const [, mode, text, tokens, gap] = (request.url ?? "").split("/")
  request.resume()
  request.on("end", () => {
    const { socket } = response
    if (socket === null) return
    socket.setNoDelay(true)
    socket.on("error", () => socket.destroy())
    response.writeHead(200, { "content-type": "text/event-stream", "transfer-encoding": "chunked", connection: "close" })
    response.flushHeaders()
    void play(socket, framesOf(mode as Mode, text as Text, Number(tokens)), Number(gap) / 1000)
  })
})

server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port))
process.on("disconnect", () => process.exit(0))
