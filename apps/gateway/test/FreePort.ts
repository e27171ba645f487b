// A port for a program that does not take port 0 or does not tell which one it got.
import { once } from "node:events"
import { createServer } from "node:net"

/** A port of the loopback that nobody uses at the moment. */
export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  return typeof address === "object" && address !== null ? address.port : 0
}
