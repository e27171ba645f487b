/**
 * Connections for `RawExchange`, in Node.
 *
 * @since 0.1.0
 */
import { once } from "node:events"
import { connect, isIP } from "node:net"
import { connect as connectSecurely } from "node:tls"
import type { OpenSocket } from "./RawExchange.ts"

/**
 * Opens a connection, over TLS where the origin wants it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const open: OpenSocket = async (origin) => {
  const isSecure = origin.protocol === "https:"
  const port = Number(origin.port === "" ? (isSecure ? 443 : 80) : origin.port)
  const host = origin.hostname.replace(/^\[|\]$/g, "")
  const socket = isSecure ? connectSecurely({ host, port, ...(isIP(host) === 0 ? { servername: host } : {}) }) : connect({ host, port })
  await once(socket, isSecure ? "secureConnect" : "connect")
  // A reset ends what can be read; that is all there is to it.
  socket.on("error", () => undefined)
  const read = socket[Symbol.asyncIterator]()
  return {
    write: (bytes) =>
      new Promise<void>((resolve) => {
        socket.write(bytes, () => resolve())
      }),
    read: async () => {
      try {
        const { done, value } = (await read.next()) as IteratorResult<Uint8Array, undefined>
        return done === true ? undefined : value
      } catch {
        return undefined
      }
    },
    close: () => void socket.destroy()
  }
}
