// Base URLs of Unix domain sockets: `unix:/run/paradigm.sock`, with a path of the endpoint after a colon: `unix:/run/vllm.sock:/v1`.

const pattern = /^unix:(?:\/\/)?(\/[^:]+)(?::(\/.*)?)?$/

/** The path of the socket. `undefined` for other URLs. */
export const socketPathOf = (baseUrl: unknown): string | undefined => pattern.exec(String(baseUrl))?.[1]

/** The URL that is requested on the connection. */
export const toUrl = (baseUrl: string | URL): URL | null => {
  const socket = pattern.exec(String(baseUrl))
  return URL.parse(socket === null ? baseUrl : `http://localhost${socket[2] ?? ""}`)
}
