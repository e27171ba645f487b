// A way to a server that a test can cut or freeze.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { once } from "node:events"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"

export class TcpProxy {
  readonly #port: number
  readonly #sockets = new Set<Socket>()
  #server = createServer()
  #isFrozen = false
  port = 0

  constructor(port: number) {
    this.#port = port
  }

  static readonly start = (port: number): Effect.Effect<TcpProxy, never, Scope.Scope> =>
    Effect.acquireRelease(
      Effect.promise(async () => {
        const proxy = new TcpProxy(port)
        await proxy.open()
        return proxy
      }),
      (proxy) => Effect.promise(() => proxy.cut())
    )

  /** Listens, after a cut at the same port as before. */
  async open(): Promise<void> {
    this.#server = createServer((near) => {
      if (this.#isFrozen) {
        this.#sockets.add(near)
        return
      }
      const far = connect(this.#port, "127.0.0.1")
      for (const socket of [near, far]) {
        this.#sockets.add(socket)
        socket.on("error", () => undefined)
        socket.on("close", () => {
          near.destroy()
          far.destroy()
          this.#sockets.delete(socket)
        })
      }
      near.pipe(far)
      far.pipe(near)
    }).listen(this.port, "127.0.0.1")
    await once(this.#server, "listening")
    this.port = (this.#server.address() as AddressInfo).port
  }

  /** Ends every connection, and refuses new ones. */
  async cut(): Promise<void> {
    const closed = once(this.#server, "close")
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    if (this.#server.listening) await closed
  }

  /** Leaves the connections open, and passes nothing on. */
  freeze(): void {
    this.#isFrozen = true
    for (const socket of this.#sockets) {
      socket.unpipe()
      socket.pause()
    }
  }
}
